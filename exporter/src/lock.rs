//! Whether someone holds the backups folder's lock, without taking it: a scrape that took the lock, even for a
//! moment, could turn a writing run away.
//!
//! The kernel lists the locks of this machine in `/proc/locks`; a holder on another machine doesn't show there.
//! Opening the list makes the kernel wait for its other processors: measured as up to 30 ms, without any work.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Whether an exclusive `flock` is held on the folder that `meta` describes.
///
/// # Errors
/// When `/proc/locks` can't be read.
pub(crate) fn is_held(meta: &fs::Metadata) -> io::Result<bool> {
    let device = meta.dev();
    let id = format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device),
        meta.ino()
    );
    Ok(lists(&fs::read_to_string("/proc/locks")?, &id))
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
    use super::lists;

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
}
