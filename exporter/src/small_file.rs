//! Reading a configuration or state file: whole, bounded, and never waiting for a FIFO's other end.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use serde::de::DeserializeOwned;

/// Largest file that is read, in bytes; all of these have a few kilobytes.
const LIMIT: u64 = 4 << 20;

/// The text of a regular file.
///
/// # Errors
/// As [`read_bytes`]; `InvalidData` for what is no UTF-8 text.
pub fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| invalid("it is no UTF-8 text"))
}

/// The bytes of a regular file.
///
/// # Errors
/// What the file system says; `InvalidData` for something else than a regular file of up to 4 MiB.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    // With room from the beginning: a key would otherwise be left behind in the pieces of memory that it outgrew.
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(LIMIT)).unwrap_or_default() + 1);
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(invalid("it is larger than 4 MiB"));
    }
    Ok(bytes)
}

/// The text of a file in cofre's state folder; `None` where the folder has none.
///
/// # Errors
/// As [`read`], naming the file. A missing folder is one: a mistyped path must not look like a state in which
/// nothing happened yet.
pub(crate) fn read_in(dir: &Path, file: &str) -> io::Result<Option<String>> {
    match read(&dir.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound && dir.is_dir() => Ok(None),
        Err(e) => Err(named(file, e.kind(), &e)),
    }
}

/// The content of a JSON file of cofre's.
///
/// # Errors
/// `InvalidData`, naming the file.
pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> io::Result<T> {
    serde_json::from_str(text).map_err(|e| named(file, io::ErrorKind::InvalidData, &e))
}

/// Refuses a file whose format is another than the `known` one.
///
/// # Errors
/// `InvalidData`, naming the file.
pub(crate) fn check_format(file: &str, format: u32, known: u32) -> io::Result<()> {
    if format == known {
        return Ok(());
    }
    let message = format!("its format is {format}, this program knows {known}; update it");
    Err(named(file, io::ErrorKind::InvalidData, &message))
}

fn named(file: &str, kind: io::ErrorKind, problem: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(kind, format!("{file}: {problem}"))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// What tells one state of a file from another; `None` where it can't be looked at.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|meta| Stamp::of(&meta))
}

/// When a file last changed, as a Unix time in seconds; 0 where that can't be told.
pub(crate) fn changed(path: &Path) -> f64 {
    let changed = std::fs::metadata(path).and_then(|meta| meta.modified());
    let since = changed
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0.0, |since| since.as_secs_f64())
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
