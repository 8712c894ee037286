//! Writing small files of cofre's own: the old content or the new, never half of one. And what keeps files from being
//! written.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{error, fd_path, fsync, openat, path_in, show, stat_name};
use crate::error::Result;

/// Writes a small file of cofre's own so that a crash leaves the old content or the new, never half of one: aside
/// as `.NAME.tmp`, made durable, renamed, the folder made durable. Mode 0600; a link in the name's place is
/// replaced, not followed. Two writers of one name need a lock of their own.
///
/// # Errors
/// What the system says; then the old content is still there.
pub fn write_file(dir: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<()> {
    write_file_with(dir, name, bytes, |_| ())
}

/// [`write_file`] with something to be done to the file before it appears under its name: giving it to a group.
///
/// # Errors
/// As [`write_file`].
pub fn write_file_with(
    dir: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    prepare: impl FnOnce(BorrowedFd<'_>),
) -> Result<()> {
    let aside = format!(".{name}.tmp");
    clear(dir, OsStr::new(&aside))?;
    let written = write_aside(dir, &aside, bytes).and_then(|file| {
        prepare(file.as_fd());
        rustix::fs::renameat(dir, &*aside, dir, name)
    });
    finish(dir, name, &aside, written)
}

/// [`write_file`] for a file that must not exist.
///
/// # Errors
/// `AlreadyExists`, and as [`write_file`].
pub fn write_new_file(dir: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<()> {
    let aside = format!(".{name}.tmp");
    clear(dir, OsStr::new(&aside))?;
    let written = write_aside(dir, &aside, bytes).and_then(|_| rename_new(dir, &aside, name));
    finish(dir, name, &aside, written)
}

/// Removes what a killed write left at the name that it writes aside to.
///
/// # Errors
/// What the system says of that name, which is not the one that the user asked for.
pub fn clear(dir: BorrowedFd<'_>, aside: &OsStr) -> Result<()> {
    match rustix::fs::unlinkat(dir, aside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => {
            let what = format_args!("remove {}", path_in(dir, aside));
            Err(error(what, errno)
                .remedy("cofre writes there before it renames: move what is in the way to another place"))
        }
    }
}

/// Renames without replacing anything; where the file system can't promise that, it is looked at before.
fn rename_new(dir: BorrowedFd<'_>, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(dir, from, dir, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => match stat_name(dir, to.as_bytes()) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(dir, from, dir, to),
            Err(errno) => Err(errno),
        },
        other => other,
    }
}

/// A file whose errors name it, for writing behind an interface that knows no path.
#[derive(Debug)]
pub struct Named<F>(pub F);

impl<F: AsFd> Named<F> {
    fn named<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", fd_path(self.0.as_fd()))))
    }
}

impl<F: Write + AsFd> Write for Named<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes);
        self.named(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        self.named(flushed)
    }
}

/// What keeps files from being written in a folder, where that is more than a single error: the file system is
/// read-only, or there is no space or quota. Tried with a file that never has a name; `None` where all is well, or
/// where such a file can't be made.
#[must_use]
pub fn trouble(folder: &Path) -> Option<Errno> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let tried = openat(rustix::fs::CWD, folder, flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| rustix::io::write(&file, &[0; 4096]).map(drop));
    tried
        .err()
        .filter(|errno| matches!(*errno, Errno::ROFS | Errno::NOSPC | Errno::DQUOT))
}

fn finish(dir: BorrowedFd<'_>, name: &str, aside: &str, written: rustix::io::Result<()>) -> Result<()> {
    if let Err(errno) = written {
        // Left over it would only cost its space; the next write removes it.
        let _ = rustix::fs::unlinkat(dir, aside, AtFlags::empty());
        return Err(error(
            format_args!("write {} in {}", show(name), fd_path(dir)),
            errno,
        ));
    }
    fsync(dir).map_err(|errno| error(format_args!("make {} durable", fd_path(dir)), errno))
}

/// Makes a new file with this content and makes it durable.
fn write_aside(dir: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut left = bytes;
    while !left.is_empty() {
        let written = match rustix::io::write(&file, left) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        left = left.get(written..).unwrap_or_default();
    }
    fsync(&file)?;
    Ok(file)
}
