//! Reading a configuration or state file: whole, bounded, and never waiting for a FIFO's other end.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Largest file that is read, in bytes; all of these have a few kilobytes.
const LIMIT: u64 = 4 << 20;

/// The text of a regular file.
///
/// # Errors
/// What the file system says; `InvalidData` for something else than a regular file of UTF-8 text up to 4 MiB.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(LIMIT + 1).read_to_string(&mut text);
    if text.len() as u64 > LIMIT {
        return Err(invalid("it is larger than 4 MiB"));
    }
    match read {
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(invalid("it is no UTF-8 text")),
        Err(e) => Err(e),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// What tells one state of a file from another; `None` where it can't be looked at.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|meta| Stamp::of(&meta))
}

/// Identity, size and times of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([i64; 7]);

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self([
            meta.dev().cast_signed(),
            meta.ino().cast_signed(),
            meta.len().cast_signed(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_a_regular_text_file_of_bounded_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good"), "text").unwrap();
        std::fs::write(at("binary"), b"\xff\xfe").unwrap();
        std::fs::write(at("large"), vec![b'x'; (4 << 20) + 1]).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(read(&at("good")).unwrap(), "text");
        for (name, part) in [
            ("binary", "UTF-8"),
            ("large", "4 MiB"),
            ("fifo", "regular"),
            (".", "regular"),
        ] {
            let said = read(&at(name)).unwrap_err().to_string();
            assert!(said.contains(part), "{name}: {said}");
        }
        assert_eq!(read(&at("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
