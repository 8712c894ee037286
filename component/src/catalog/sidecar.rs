//! `NAME.zip.sha256` beside each archive, in the format of `sha256sum -c`: written, read, and computed anew.

use sha2::{Digest, Sha256};

use super::files::Form;
use super::names;
use crate::checksum::hex;
use crate::error::{ErrorKind, Result};
use crate::fs::{self, Dir, READ_SIZE};

/// Largest sidecar that is read, in bytes; it has one line.
const LIMIT: u64 = 4096;

/// The content of the sidecar of an archive with this name (without `.zip`).
#[must_use]
pub fn render(sha256: &str, name: &str) -> String {
    format!("{sha256}  {name}.zip\n")
}

/// What is beside an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sidecar {
    /// Nothing.
    Missing,
    /// The checksum, in lower-case hexadecimal.
    Says(String),
    /// Something that gives no checksum of this archive, and why.
    Bad(String),
}

impl Sidecar {
    /// The checksum, where there is one.
    #[must_use]
    pub fn sum(self) -> Option<String> {
        match self {
            Self::Says(sha256) => Some(sha256),
            Self::Missing | Self::Bad(_) => None,
        }
    }
}

/// The sidecar of an archive. One that can't be read is no error: it can be made again, and keeps nobody from the archive.
#[must_use]
pub fn read(dir: &Dir, name: &str) -> Sidecar {
    debug_assert!(names::parse(name).is_some(), "only checked names get here");
    match fs::read_all(dir, &Form::Plain.sidecar(name), LIMIT) {
        Ok(bytes) => match parse(&bytes, &Form::Plain.file(name)) {
            Some(sha256) => Sidecar::Says(sha256),
            None => Sidecar::Bad(bad(name, "has no line of `sha256sum` about this archive")),
        },
        Err(e) if e.kind == ErrorKind::NotFound => Sidecar::Missing,
        Err(e) => Sidecar::Bad(bad(name, &format!("can't be read ({})", e.message))),
    }
}

/// A sentence about the sidecar of this archive and how to mend it.
pub(crate) fn bad(name: &str, why: &str) -> String {
    let file = format!("{name}.zip.sha256");
    format!("{file} {why}: remove it, and make it again with `sha256sum {name}.zip > {file}`")
}

/// Takes a sidecar apart: 64 hexadecimal digits, a space, a space or `*`, and the name of the file that it is about.
#[must_use]
pub fn parse(bytes: &[u8], file_name: &str) -> Option<String> {
    let line = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\n', '\r']);
    let (sha256, rest) = line.split_at_checked(64)?;
    let file = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    let good = sha256.bytes().all(|b| b.is_ascii_hexdigit()) && file == file_name;
    good.then(|| sha256.to_ascii_lowercase())
}

/// Writes the sidecar of an archive durably.
///
/// # Errors
/// Whatever writing says.
pub fn publish(dir: &Dir, name: &str, sha256: &str) -> Result<()> {
    fs::publish(dir, &Form::Plain.sidecar(name), render(sha256, name).as_bytes())
}

/// The SHA-256 of an archive, in lower-case hexadecimal, by reading all of it.
///
/// # Errors
/// `NotFound` or an I/O error.
pub fn compute(dir: &Dir, name: &str) -> Result<String> {
    let file = dir.open(&Form::Plain.file(name))?;
    let mut hash = Sha256::new();
    let mut piece = Vec::new();
    let mut offset = 0;
    loop {
        file.read_at(&mut piece, READ_SIZE, offset)?;
        if piece.is_empty() {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&piece);
        offset += piece.len() as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const NAME: &str = "backup_20240101_020000_manual";
    /// SHA-256 of `abc`, from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_sidecar_reads_back_and_is_that_of_sha256sum() {
        let folder = Folder::new();
        folder.write(&format!("{NAME}.zip"), b"abc");
        assert_eq!(compute(&folder.dir(), NAME).unwrap(), ABC);
        publish(&folder.dir(), NAME, ABC).unwrap();
        assert_eq!(read(&folder.dir(), NAME), Sidecar::Says(ABC.to_owned()));
        let output = std::process::Command::new("sha256sum")
            .args(["-c", &format!("{NAME}.zip.sha256")])
            .current_dir(folder.root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn the_checksum_covers_more_than_one_read() {
        let folder = Folder::new();
        folder.write(&format!("{NAME}.zip"), &vec![0; 200_000]);
        // head -c 200000 /dev/zero | sha256sum
        let output = std::process::Command::new("sha256sum")
            .arg(folder.path(&format!("{NAME}.zip")))
            .output()
            .unwrap();
        let sum = String::from_utf8(output.stdout).unwrap();
        assert!(sum.starts_with(&compute(&folder.dir(), NAME).unwrap()), "{sum}");
    }

    #[test]
    fn a_sidecar_of_another_file_or_shape_does_not_count() {
        let folder = Folder::new();
        assert_eq!(read(&folder.dir(), NAME), Sidecar::Missing);
        let upper = ABC.to_ascii_uppercase();
        for (content, good) in [
            (format!("{ABC}  {NAME}.zip\n"), true),
            (format!("{upper} *{NAME}.zip\r\n"), true),
            (format!("{ABC}  {NAME}.zip"), true),
            (String::new(), false),
            (format!("{ABC}  backup_20240101_020001_manual.zip\n"), false),
            (format!("{ABC}  ../{NAME}.zip\n"), false),
            (format!("{}  {NAME}.zip\n", &ABC[1..]), false),
            (format!("{}é  {NAME}.zip\n", &ABC[1..]), false),
            ("x".repeat(5000), false),
        ] {
            folder.write(&format!("{NAME}.zip.sha256"), content.as_bytes());
            let found = read(&folder.dir(), NAME);
            assert_eq!(matches!(found, Sidecar::Says(_)), good, "{content:?}");
            assert_eq!(matches!(found, Sidecar::Bad(_)), !good, "{content:?}");
        }
    }

    #[test]
    fn what_is_no_file_in_its_place_is_a_bad_sidecar_and_no_error() {
        let folder = Folder::new();
        let path = folder.path(&format!("{NAME}.zip.sha256"));
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(read(&folder.dir(), NAME), Sidecar::Bad(why) if why.contains("sha256sum")));
        std::fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(matches!(read(&folder.dir(), NAME), Sidecar::Bad(_)));
    }
}
