//! The lock on the backups folder: an exclusive `flock(2)` on the folder itself. There is nothing to unlink,
//! the kernel frees it when the process dies, and Python's `fcntl.flock` sees the same lock.
//!
//! Whoever writes to the backups folder holds it; readers need none.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Identity};

/// The backups folder, locked until this is dropped.
#[derive(Debug)]
pub struct BackupsLock {
    // The lock belongs to this open file description.
    held: OwnedFd,
}

impl Drop for BackupsLock {
    /// To close it is not enough: a program that another thread is starting has it open too, until it runs.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.held, FlockOperation::Unlock);
    }
}

impl BackupsLock {
    /// Locks the folder behind `dir`, or says who holds it. Never waits.
    ///
    /// # Errors
    /// `Busy` when another run holds it, `Unsupported` where the file system has no flock.
    pub fn acquire(dir: impl AsFd) -> Result<Self> {
        let dir = dir.as_fd();
        let fail = |errno| fsutil::error(format_args!("lock {}", fsutil::fd_path(dir)), errno);
        // A description of its own: the caller's handle may be duplicated into other processes.
        let held = fsutil::openat(dir, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { held }),
            Err(Errno::WOULDBLOCK) => Err(busy(held.as_fd())),
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF | Errno::INVAL) => {
                Err(Error::new(
                    Code::Unsupported,
                    format!("the file system of {} has no flock(2)", fsutil::fd_path(dir)),
                )
                .remedy("keep the backups on a local file system, or mount this one with locks"))
            }
            Err(errno) => Err(fail(errno)),
        }
    }
}

fn busy(dir: BorrowedFd<'_>) -> Error {
    let who = holder(dir).map_or_else(String::new, |pid| format!(" ({})", described(pid)));
    Error::new(
        Code::Busy,
        format!("another run{who} holds {}", fsutil::fd_path(dir)),
    )
    .remedy("wait until it ends; the lock goes with the process, so nothing has to be removed")
}

/// The process that seems to hold the lock of `dir`; it may be this one. Asks `/proc/locks`, which doesn't see into
/// other containers, and leaves the lock alone: trying it would make another process's attempt fail.
#[must_use]
pub fn holder(dir: impl AsFd) -> Option<u32> {
    let stat = rustix::fs::fstat(dir).ok()?;
    let id = Identity::of(&stat);
    let file = format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(id.dev),
        rustix::fs::minor(id.dev),
        id.ino
    );
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
    let pid = locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?;
        (flock && words.next() == Some(file.as_str())).then(|| pid.to_owned())
    })?;
    pid.parse().ok().filter(|pid| *pid > 0)
}

/// A process for a message: its number, name and age.
pub(crate) fn described(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = fsutil::show_bytes(name.trim_ascii_end());
    let mut text = format!("process {pid}");
    if !name.is_empty() {
        text = format!("{text}, {name}");
    }
    match age(pid) {
        Some(seconds) => format!("{text}, started {} ago", crate::text::duration(seconds)),
        None => text,
    }
}

/// Seconds since a process began: field 22 of its `stat`, see proc(5).
fn age(pid: u32) -> Option<f64> {
    // What user space is told is in hundredths of a second, whatever the kernel's own clock does.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may have spaces and brackets.
    let (_, fields) = stat.rsplit_once(')')?;
    let began: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some((now - began / TICKS).max(0.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let dir = File::open(temp.path()).unwrap();
        let first = BackupsLock::acquire(&dir).unwrap();
        let error = BackupsLock::acquire(&dir).unwrap_err();
        assert_eq!(error.code, Code::Busy);
        assert!(
            error.message.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        assert_eq!(holder(&dir), Some(std::process::id()));
        // What a program has that is just being started.
        let inherited = first.held.try_clone().unwrap();
        drop(first);
        assert_eq!(holder(&dir), None);
        BackupsLock::acquire(&dir).unwrap();
        drop(inherited);
    }

    #[test]
    fn the_lock_is_the_same_as_that_of_flock_1_and_dies_with_its_process() {
        let temp = tempfile::tempdir().unwrap();
        let dir = File::open(temp.path()).unwrap();
        let mut other = Command::new("flock")
            .arg(temp.path())
            .args(["sh", "-c", "echo locked; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        other.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        let error = BackupsLock::acquire(&dir).unwrap_err();
        assert_eq!(error.code, Code::Busy);
        assert!(!error.message.contains('\n'), "{error}");
        assert!(
            error.message.contains(&format!("process {}, ", other.id())),
            "{error}"
        );
        assert!(error.message.contains(" ago) holds "), "since when: {error}");
        // `flock` has forked `sleep`, which shares the lock: end both.
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", other.id())).unwrap();
        for pid in children.split_whitespace() {
            Command::new("kill").args(["-9", pid]).status().unwrap();
        }
        other.kill().unwrap();
        other.wait().unwrap();
        // The orphan dies in its own time.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while BackupsLock::acquire(&dir).is_err() {
            assert!(std::time::Instant::now() < end, "the lock is free again");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_lock_in_a_folder_that_only_may_be_read_works() {
        crate::testing::as_nobody_after(
            "lock::tests::a_lock_in_a_folder_that_only_may_be_read_works",
            |work| std::fs::create_dir(work.join("b")).unwrap(),
            |work| drop(BackupsLock::acquire(File::open(work.join("b")).unwrap()).unwrap()),
        );
    }
}
