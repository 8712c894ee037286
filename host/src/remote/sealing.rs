//! The bytes that are sent: the archive itself, or its encrypted form in a staged file, with their SHA-256. What is sent
//! has been read from end to end and is what the catalog says; a damaged archive is not copied over a good name.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::layout;
use super::row::{BackupRow, Object};
use super::state::{Desk, staged_front};
use super::watch::Watch;
use crate::config::Remote;
use crate::crypt::{self, Recipients};
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::text::hex;

/// Bytes hashed at a time.
const BUFFER: usize = 1 << 20;

/// Something that counts and hashes all that goes through it.
pub(super) struct Hashing<'a, T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
    watch: Option<&'a Watch>,
}

impl<'a, T> Hashing<'a, T> {
    pub(super) fn new(inner: T, watch: Option<&'a Watch>) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
            watch,
        }
    }

    /// Bytes and SHA-256 in lower-case hexadecimal.
    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.hash.finalize()))
    }

    fn saw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        match self.watch {
            Some(watch) => watch.check().map_err(io::Error::other),
            None => Ok(()),
        }
    }
}

impl<T: Read> Read for Hashing<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.saw(&buffer[..n])?;
        Ok(n)
    }
}

impl<T: Write> Write for Hashing<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.saw(&bytes[..n])?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes and SHA-256 of what is left of a reader.
///
/// # Errors
/// What reading says; `Cancelled`.
pub(super) fn digest(from: impl Read, watch: &Watch, what: &str) -> Result<(u64, String)> {
    let mut hashing = Hashing::new(from, Some(watch));
    let mut buffer = vec![0; BUFFER];
    loop {
        match hashing.read(&mut buffer) {
            Ok(0) => return Ok(hashing.finish()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                watch.check()?;
                return Err(Error::io(format_args!("read {what}"), &e));
            }
        }
    }
}

/// The archive as it is: read once, to know that it is what the catalog says.
///
/// # Errors
/// `Corrupt` when it is not; what reading says.
pub(super) fn plain(archive: &File, backup: &BackupRow, watch: &Watch) -> Result<Object> {
    let (size, sha256) = digest(archive, watch, &backup.name)?;
    compare(backup, size, &sha256)?;
    Ok(Object {
        key: layout::archive(&backup.name, false),
        size,
        sha256,
        encrypted: false,
    })
}

/// The archive encrypted into a staged file, whose name comes back too.
///
/// # Errors
/// `Corrupt` when the archive is not what the catalog says, `NoSpace`; what reading and writing say.
pub(super) fn encrypted(
    desk: &Desk,
    remote: &Remote,
    archive: &File,
    backup: &BackupRow,
    recipients: &Recipients,
    watch: &Watch,
) -> Result<(Object, String)> {
    let name = format!("{}{}.age", staged_front(&remote.name), backup.id);
    // Named as what a sweep removes, should this process die here.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fail = |errno| fsutil::error(format_args!("stage {} for `{}`", backup.name, remote.name), errno);
    let mut file = fsutil::openat(desk.dir(), name.as_str(), flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(fail)?;
    let mut from = Hashing::new(archive, None);
    let mut to = Hashing::new(&mut file, None);
    let done = crypt::encrypt(recipients, &mut from, &mut to, &|_| watch.check());
    let ((read, plain), (size, sha256)) = (from.finish(), to.finish());
    let outcome = done
        .map(drop)
        .and_then(|()| compare(backup, read, &plain))
        .and_then(|()| fsutil::fsync(&file).map_err(fail))
        .and_then(|()| fsutil::fsync(desk.dir()).map_err(fail));
    if let Err(error) = outcome {
        desk.unstage(&name);
        watch.check()?;
        return Err(error);
    }
    let object = Object {
        key: layout::archive(&backup.name, true),
        size,
        sha256,
        encrypted: true,
    };
    Ok((object, name))
}

fn compare(backup: &BackupRow, size: u64, sha256: &str) -> Result<()> {
    if size == backup.size && sha256 == backup.sha256 {
        return Ok(());
    }
    let message = format!("{} is not what the catalog says, and is not copied", backup.name);
    Err(Error::new(Code::Corrupt, message).remedy(format!("`cofre verify {}` says what is wrong", backup.id)))
}
