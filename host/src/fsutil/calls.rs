//! Calls that a signal may interrupt, made again until they are done: on a file system over a network, or in a program
//! of its own, that happens and is no failure.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::path::Arg;

/// `openat(2)`.
///
/// # Errors
/// What the system says.
pub fn openat(
    dir: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| rustix::fs::openat(&dir, path, flags, mode))
}

/// `fsync(2)`.
///
/// # Errors
/// What the system says.
pub fn fsync(fd: impl AsFd) -> rustix::io::Result<()> {
    retry_on_intr(|| rustix::fs::fsync(&fd))
}

/// `syncfs(2)`.
///
/// # Errors
/// What the system says.
pub fn syncfs(fd: impl AsFd) -> rustix::io::Result<()> {
    retry_on_intr(|| rustix::fs::syncfs(&fd))
}

/// `fchmod(2)`.
///
/// # Errors
/// What the system says.
pub fn fchmod(fd: impl AsFd, mode: Mode) -> rustix::io::Result<()> {
    retry_on_intr(|| rustix::fs::fchmod(&fd, mode))
}

/// Copies at most `limit` bytes of a file; how many it were.
///
/// # Errors
/// What reading or writing says.
pub fn copy(from: &mut File, limit: u64, to: &mut File) -> io::Result<u64> {
    let mut copied = 0;
    // `std::io::copy` lets the kernel copy, and gives up when a signal interrupts that. Both files then stand where it
    // stopped, so that it can go on; how much it was, only the position tells.
    let start = io::Seek::stream_position(from)?;
    while copied < limit {
        match io::copy(&mut Read::take(&*from, limit - copied), to) {
            Ok(_) => return Ok(io::Seek::stream_position(from)? - start),
            Err(e) if e.kind() == ErrorKind::Interrupted => {
                copied = io::Seek::stream_position(from)? - start;
            }
            Err(e) => return Err(e),
        }
    }
    to.flush()?;
    Ok(copied)
}
