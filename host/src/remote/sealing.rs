//! The bytes that are sent: the archive itself, or its encrypted form in a staged file, with their SHA-256. What is sent
//! has been read from end to end and is what the catalog says; a damaged archive is not copied over a good name.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

use super::layout;
use super::row::{BackupRow, Object};
use super::state::{Desk, staged_front};
use super::watch::Watch;
use crate::config::Remote;
use crate::crypt::{self, Recipients};
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::hashing::{Hashing, digest};
use crate::sealed;

/// The archive as it is: read once, to know that it is what the catalog says.
///
/// # Errors
/// `Corrupt` when it is not; what reading says.
pub(super) fn plain(archive: &File, backup: &BackupRow, watch: &Watch) -> Result<Object> {
    let (size, sha256) = digest(archive, &backup.name, &|_| watch.check())?;
    compare(backup, size, &sha256)?;
    Ok(Object {
        key: layout::archive(&backup.name, false),
        size,
        sha256,
        encrypted: false,
    })
}

/// The archive that is encrypted in the backups folder already, as it is there: it is the object.
///
/// # Errors
/// `Corrupt` when it is not what was written, or nothing says so; what reading says.
pub(super) fn sealed(backups: BorrowedFd<'_>, backup: &BackupRow, watch: &Watch) -> Result<Object> {
    let found = sealed::look(backups, &backup.name, backup.size, &|_| watch.check())?;
    if let Some(problem) = found.problems.first() {
        let message = format!("{} is not copied: {problem}", backup.name);
        return Err(Error::new(Code::Corrupt, message));
    }
    Ok(Object {
        key: layout::archive(&backup.name, true),
        size: found.bytes,
        sha256: found.sha256,
        encrypted: true,
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
    let mut from = Hashing::new(archive);
    let mut to = Hashing::new(&mut file);
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
