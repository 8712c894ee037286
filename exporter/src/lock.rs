//! Whether someone holds the backups folder's lock, without taking it: a scrape that took the lock, even for a
//! moment, could turn a writing run away.
//!
//! The kernel lists the locks of this machine in `/proc/locks`; a holder on another machine doesn't show there.
//! Opening the list makes the kernel wait for its other processors: measured as 8 to 30 ms, without any work. So it
//! is read on a thread of its own beside everything else, and a scrape that is done before takes the answer that
//! the last one had to leave behind.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a scrape waits for the list when it has an older answer.
const PATIENCE: Duration = Duration::from_millis(2);
/// What is older than this is no answer: a scrape after a longer pause waits for the list.
const YOUNG: Duration = Duration::from_secs(60);
/// How long to wait at most; the list has been open for 30 ms in the worst case seen.
const LIMIT: Duration = Duration::from_secs(2);

/// One reading: when it was done, and what it found.
type Answer = (Instant, io::Result<bool>);

/// Asks for the lock of one folder, at most once at a time.
#[derive(Debug, Default)]
pub(crate) struct LockWatch {
    outstanding: Option<Receiver<Answer>>,
    last: Option<(Instant, bool)>,
}

impl LockWatch {
    /// Begins to find out whether an exclusive `flock` is held on the folder that `meta` describes.
    pub(crate) fn begin(&mut self, meta: &fs::Metadata) -> io::Result<()> {
        self.take(Duration::ZERO)?;
        if self.outstanding.is_some() {
            return Ok(());
        }
        let (send, receive) = channel();
        let id = id_of(meta);
        thread::Builder::new().name("locks".to_owned()).spawn(move || {
            let found = fs::read_to_string("/proc/locks").map(|list| lists(&list, &id));
            // The watch may be gone.
            drop(send.send((Instant::now(), found)));
        })?;
        self.outstanding = Some(receive);
        Ok(())
    }

    /// The answer to what was begun, or the one before where that would take too long.
    ///
    /// # Errors
    /// When `/proc/locks` can't be read.
    pub(crate) fn end(&mut self) -> io::Result<bool> {
        let is_young = |(at, _): &(Instant, bool)| at.elapsed() < YOUNG;
        let patience = if self.last.as_ref().is_some_and(is_young) {
            PATIENCE
        } else {
            LIMIT
        };
        self.take(patience)?;
        match self.last.filter(is_young) {
            Some((_, held)) => Ok(held),
            None => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "/proc/locks gives no answer",
            )),
        }
    }

    /// Takes in the outstanding answer, should it come in time.
    fn take(&mut self, patience: Duration) -> io::Result<()> {
        let Some(outstanding) = &self.outstanding else {
            return Ok(());
        };
        match outstanding.recv_timeout(patience) {
            Ok((at, found)) => {
                self.outstanding = None;
                self.last = None;
                self.last = Some((at, found?));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.outstanding = None,
        }
        Ok(())
    }
}

/// The folder as `/proc/locks` names it.
fn id_of(meta: &fs::Metadata) -> String {
    let device = meta.dev();
    format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device),
        meta.ino()
    )
}

/// A line reads `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`; one who waits has `->` after the number.
fn lists(locks: &str, id: &str) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("FLOCK")
            && words.next().is_some()
            && words.next() == Some("WRITE")
            && words.nth(1) == Some(id)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const LOCKS: &str = "\
1: POSIX  ADVISORY  WRITE 11 fe:00:1 0 EOF
2: FLOCK  ADVISORY  READ 12 fe:00:2 0 EOF
3: FLOCK  ADVISORY  WRITE 13 fe:00:3 0 EOF
3: -> FLOCK  ADVISORY  WRITE 14 fe:00:4 0 EOF
";

    #[test]
    fn only_an_exclusive_flock_that_is_held_counts() {
        assert!(lists(LOCKS, "fe:00:3"));
        for other in ["fe:00:1", "fe:00:2", "fe:00:4", "fe:00:33"] {
            assert!(!lists(LOCKS, other), "{other}");
        }
        assert!(!lists("", "fe:00:3"));
    }

    #[test]
    fn the_first_answer_is_waited_for_and_a_later_one_lags_by_one_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let folder = fs::File::open(dir.path()).unwrap();
        let meta = folder.metadata().unwrap();
        let mut watch = LockWatch::default();
        let mut ask = || {
            watch.begin(&meta).unwrap();
            let held = watch.end().unwrap();
            // As long as the list may take, so that the next begin finds it read.
            thread::sleep(Duration::from_millis(200));
            held
        };
        assert!(!ask());
        folder.lock().unwrap();
        ask();
        assert!(ask());
        folder.unlock().unwrap();
        ask();
        assert!(!ask());
    }
}
