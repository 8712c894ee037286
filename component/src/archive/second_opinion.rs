//! A second, independent reading of the central directory by the `zip` library.
//!
//! cofre writes and reads its archives with code of its own, which is strict but might share a mistake in both
//! directions. Verification therefore also asks a reader that others wrote: what it lists has to be the same
//! entries, or other tools would not see what cofre sees. Content is not read again.

use std::io::{Read, Seek};

use zip::read::Config;
use zip::unstable::read::ZipIterable;

use super::reader::{ArchiveReader, shown};

/// What the other reader sees differently, in one sentence; `None` when both agree.
pub(crate) fn differs(archive: &ArchiveReader, bytes: impl Read + Seek) -> Option<String> {
    compare(archive, bytes)
        .err()
        .map(|why| format!("another ZIP reader disagrees: {why}"))
}

fn compare(archive: &ArchiveReader, bytes: impl Read + Seek) -> Result<(), String> {
    let mut other = ZipIterable::try_new(bytes, Config::default()).map_err(|e| e.to_string())?;
    if other.len() != archive.len() {
        return Err(format!(
            "it counts {} entries instead of {}",
            other.len(),
            archive.len()
        ));
    }
    let files = other.files().map_err(|e| e.to_string())?;
    for theirs in files {
        let theirs = theirs.map_err(|e| e.to_string())?;
        let name = String::from_utf8_lossy(theirs.name_raw());
        let path = shown(&name);
        let index = archive.find(name.strip_suffix('/').unwrap_or(&name));
        let ours = archive.entry(index.ok_or_else(|| format!("it sees an entry {path}"))?);
        let ours = (ours.size, ours.compressed_size, ours.crc32);
        if ours != (theirs.size(), theirs.compressed_size(), theirs.crc32()) {
            return Err(format!("it reads another size or CRC-32 of {path}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Cursor;

    use super::*;
    use crate::archive::testing::{build, item};
    use crate::fs::Roots;

    fn opinion(ours: &[u8], theirs: &[u8]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.zip"), ours).unwrap();
        let archive = ArchiveReader::open(&Roots::new().with("/b", dir.path()).open("/b").unwrap(), "a.zip");
        differs(&archive.unwrap(), Cursor::new(theirs))
    }

    #[test]
    fn readers_that_see_the_same_entries_agree() {
        let bytes = build(&[
            item("a/", ""),
            item("a/b\u{e7}.txt", "one"),
            item("c", "two").deflated(),
        ])
        .bytes;
        assert_eq!(opinion(&bytes, &bytes), None);
    }

    #[test]
    fn an_entry_that_only_one_reader_sees_is_told() {
        let ours = build(&[item("a", "one"), item("b", "two")]).bytes;
        for (theirs, part) in [
            (build(&[item("a", "one")]).bytes, "counts 1 entries instead of 2"),
            (
                build(&[item("a", "one"), item("x", "two")]).bytes,
                "sees an entry x",
            ),
            (
                build(&[item("a", "one"), item("b", "six")]).bytes,
                "another size or CRC-32 of b",
            ),
            (b"no archive".to_vec(), "disagrees"),
        ] {
            let said = opinion(&ours, &theirs).unwrap();
            assert!(said.contains(part), "{said}");
        }
    }
}
