//! Encrypting in place: after a run has published its archive, under the lock that the run holds. The plain archive goes
//! when the encrypted one is durable under its name, has been read back, and has its checksum beside it; a crash before
//! leaves the plain one, and the next run goes on from there. No failure here fails a backup.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::AtomicBool;

use rustix::fs::{Advice, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{Form, check, open_form};
use crate::context::{Context, Exclusive};
use crate::crypt::{self, Recipients};
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Error, Result};
use crate::fsutil::Named;
use crate::hashing::{self, Hashing};
use crate::verify::has_archive;
use crate::{fsutil, text};

/// The engine's notes about the files of the last archive.
const CACHE: &str = ".scan.json";

/// Encrypts every archive of the catalog that is not, the newest first, where the configuration asks for that. `run` is
/// the backup that was just made. What is not possible is told, and tried again by the next run.
///
/// Gives the name of the completed backup before that one, where only an identity opens it: nothing of it was reused.
pub(crate) fn seal_all(
    context: &Context,
    exclusive: &Exclusive<'_>,
    run: u64,
    cancel: &AtomicBool,
) -> Option<String> {
    let config = &context.config.encryption;
    if !config.encrypt_local {
        return None;
    }
    let begun = exclusive
        .writer()
        .and_then(|mut session| session.list())
        .and_then(|rows| Ok((rows, Recipients::parse(&config.recipients)?)));
    let (rows, recipients) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!("the archives are not encrypted: {error}");
            return None;
        }
    };
    let unreadable = rows
        .iter()
        .rev()
        .find(|row| row.id != run && row.status == Status::Completed)
        .filter(|row| row.encrypted)
        .map(|row| row.name.clone());
    let folder = exclusive.folder();
    let older = rows
        .iter()
        .filter(|row| row.id != run && !row.encrypted && has_archive(row) && row.archive_present);
    let (many, bytes) = older.fold((0_u64, 0_u64), |(many, bytes), row| {
        (many + 1, bytes.saturating_add(row.size))
    });
    if many > 0 {
        tracing::warn!(
            "{many} older archives ({}) are encrypted now, once; no other run begins meanwhile",
            text::size(bytes)
        );
    }
    for row in rows
        .iter()
        .rev()
        .filter(|row| has_archive(row) && row.archive_present)
    {
        match one(folder, row, &recipients, cancel) {
            Ok(done) => {
                if done {
                    tracing::info!(id = row.id, name = %row.name, "encrypted");
                }
                if row.id == run {
                    forget_files(folder);
                }
            }
            Err(error) => {
                tracing::warn!(
                    id = row.id,
                    "{} is not encrypted, and the next run tries it again: {error}",
                    row.name
                );
                // What is in the way of all.
                if matches!(error.code, Code::NoSpace | Code::Cancelled | Code::AccessDenied) {
                    break;
                }
            }
        }
    }
    unreadable
}

/// Removes what the engine has noted of the files, for the next run to reuse: it has their names, and is about an archive
/// that can't be read any more.
fn forget_files(folder: &OwnedFd) {
    match rustix::fs::unlinkat(folder, CACHE, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => {
            tracing::warn!("{CACHE} is left behind, and names files of encrypted archives: {errno}")
        }
    }
}

/// Encrypts one archive, unless it is already; whether that was to be done.
fn one(folder: &OwnedFd, row: &Backup, recipients: &Recipients, cancel: &AtomicBool) -> Result<bool> {
    let control = |_| check(cancel);
    let plain = open_form(folder.as_fd(), &row.name, Form::Plain)?;
    // Anew, also where a run that was killed left an encrypted one: without an identity nobody can tell that it holds the
    // same, and the plain one is what the catalog describes.
    if let Some(plain) = &plain {
        write(folder, row, &plain.file, recipients, &control)?;
    }
    // The checksum too, which a killed run may have left.
    let gone = remove(folder, &row.name)?;
    Ok(plain.is_some() && gone)
}

/// Writes the encrypted archive under its name, durably, with its checksum.
fn write(
    folder: &OwnedFd,
    row: &Backup,
    plain: &File,
    recipients: &Recipients,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<()> {
    let sealed = Form::Sealed.file(&row.name);
    // As the engine calls what it has not finished: the next run removes it.
    let partial = format!(".{sealed}.partial");
    let written = fill(folder, &partial, row, plain, recipients, control).and_then(|sha256| {
        rustix::fs::renameat(folder, &*partial, folder, &*sealed)
            .map_err(|errno| fsutil::error(format_args!("write {sealed}"), errno))?;
        Ok(sha256)
    });
    if written.is_err() {
        // Best effort: the engine removes it too.
        let _ = rustix::fs::unlinkat(folder, &*partial, AtFlags::empty());
    }
    // Makes the folder durable, and the archive's new name with it.
    write_checksum(folder, &row.name, &written?)
}

/// Writes the checksum beside the encrypted archive of the backup `name`, durably.
pub(super) fn write_checksum(folder: &OwnedFd, name: &str, sha256: &str) -> Result<()> {
    let line = format!("{sha256}  {}\n", Form::Sealed.file(name));
    fsutil::write_file(folder.as_fd(), &Form::Sealed.sidecar(name), line.as_bytes())
}

/// The encrypted archive in a file aside, durable and read back; its SHA-256.
fn fill(
    folder: &OwnedFd,
    partial: &str,
    row: &Backup,
    plain: &File,
    recipients: &Recipients,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<String> {
    let what = Form::Sealed.file(&row.name);
    let fail = |errno| fsutil::error(format_args!("write {what}"), errno);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = fsutil::openat(folder, partial, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(fail)?;
    let mut from = Hashing::new(BufReader::with_capacity(1 << 20, plain));
    let mut to = Hashing::new(BufWriter::with_capacity(crypt::WRITE_SIZE, Named(&mut file)));
    crypt::encrypt(recipients, &mut from, &mut to, control)?;
    let ((size, sha256), written) = (from.finish(), to.finish());
    let known = row.sha256.as_ref();
    if known.is_some_and(|known| *known != sha256) || (row.size > 0 && row.size != size) {
        let message = format!("{} is not what the catalog says", Form::Plain.file(&row.name));
        return Err(Error::new(Code::Corrupt, message)
            .remedy(format!("`cofre verify {}` says what is wrong", row.id)));
    }
    fsutil::fsync(&file).map_err(fail)?;
    // So that it comes from the disk, where the system takes the hint.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    file.rewind()
        .map_err(|e| Error::io(format_args!("read {what}"), &e))?;
    let read = hashing::digest(&file, &what, control)?;
    if read != written {
        let message = format!("{what} did not come back from the disk as it was written");
        return Err(Error::new(Code::Io, message).remedy("look at the disk (`dmesg`, SMART)"));
    }
    Ok(written.1)
}

/// Removes the plain archive and its checksum, durably; whether the archive was there.
fn remove(folder: &OwnedFd, name: &str) -> Result<bool> {
    let mut removed = [false; 2];
    for (file, removed) in [Form::Plain.file(name), Form::Plain.sidecar(name)]
        .into_iter()
        .zip(&mut removed)
    {
        // A look first, since there seldom is anything.
        match fsutil::stat_name(folder.as_fd(), file.as_bytes()) {
            Err(Errno::NOENT) => continue,
            Err(errno) => {
                return Err(fsutil::error(
                    format_args!("look at {}", text::escape(&file)),
                    errno,
                ));
            }
            Ok(_) => {}
        }
        rustix::fs::unlinkat(folder, &*file, AtFlags::empty())
            .map_err(|errno| fsutil::error(format_args!("remove {}", text::escape(&file)), errno))?;
        *removed = true;
    }
    if removed.contains(&true) {
        fsutil::fsync(folder).map_err(|errno| fsutil::error("make the backups folder durable", errno))?;
    }
    Ok(removed[0])
}
