//! Archives of the backups folder that are encrypted in place (`encrypt_local`): `NAME.zip.age` in the age format instead
//! of `NAME.zip`. The catalog goes on describing the archive inside; which files stand for a backup says the component
//! (`catalog::files`).
//!
//! `seal` encrypts what a run has published, `outside` checks what can be checked without the identity, `open` makes the
//! content readable where there is one, and `adopt` takes in those that have no row.

mod adopt;
mod open;
mod outside;
mod seal;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::BorrowedFd;

use cofre_exporter::component::catalog::{names, sidecar};
use rustix::fs::FileType;
use rustix::io::Errno;

pub(crate) use adopt::adopt;
pub(crate) use cofre_exporter::component::catalog::files::Form;
pub(crate) use open::{
    Means, Opened, beside, can_open, check, decrypt, needs_identity, open, or_beside, sealed_meanwhile,
};
pub(crate) use outside::{Outside, WHOLE, look, stranger};
pub(crate) use seal::seal_all;

use crate::error::{Code, Error, Result};
use crate::fsutil;

/// Longest sidecar that is read; it has one line.
const SIDECAR_BYTES: u64 = 4096;

/// An archive of the backups folder, open for reading.
#[derive(Debug)]
pub(crate) struct ArchiveFile {
    pub(crate) file: File,
    pub(crate) form: Form,
    /// Its name in the folder.
    pub(crate) file_name: String,
    /// Bytes of the open file, whatever the catalog says.
    pub(crate) size: u64,
}

/// Opens the archive of the backup `name`, of `size` bytes (0 where that is not known), in whichever form it lies in the
/// folder; `None` where it is in neither. No link is followed. As in the catalog, the encrypted one counts where what has
/// the plain one's name is not the archive.
///
/// # Errors
/// `Sandbox` for what is no regular file; what the system says.
pub(crate) fn open_archive(backups: BorrowedFd<'_>, name: &str, size: u64) -> Result<Option<ArchiveFile>> {
    // In this order: the encrypted one is there before the plain one goes.
    let plain = open_form(backups, name, Form::Plain);
    if let Ok(Some(archive)) = &plain
        && (size == 0 || archive.size == size)
    {
        return plain;
    }
    match (open_form(backups, name, Form::Sealed), plain) {
        (sealed @ (Ok(Some(_)) | Err(_)), Ok(None)) | (sealed @ Ok(Some(_)), _) => sealed,
        (_, plain) => plain,
    }
}

/// The same in this form alone.
///
/// # Errors
/// As [`open_archive`].
pub(crate) fn open_form(backups: BorrowedFd<'_>, name: &str, form: Form) -> Result<Option<ArchiveFile>> {
    // The catalog is a file that others may have written: only a name of ours is opened.
    if names::parse(name).is_none() {
        return Ok(None);
    }
    let file_name = form.file(name);
    let fail = |errno| fsutil::error(format_args!("open {file_name}"), errno);
    let file = match fsutil::open_beneath(backups, file_name.as_bytes(), fsutil::file_flags()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(irregular(&file_name, "a symbolic link")),
        Err(errno) => return Err(fail(errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(fail)?;
    if fsutil::file_type(&stat) != FileType::RegularFile {
        return Err(irregular(&file_name, "no regular file"));
    }
    Ok(Some(ArchiveFile {
        file: File::from(file),
        form,
        file_name,
        size: u64::try_from(stat.st_size).unwrap_or(0),
    }))
}

fn irregular(name: &str, what: &str) -> Error {
    Error::new(
        Code::Sandbox,
        format!("{name} in the backups folder is {what}, and is not read"),
    )
}

/// What the file with the checksum beside an archive says; `None` where there is none that says anything.
pub(crate) fn said_beside(backups: BorrowedFd<'_>, file_name: &str) -> Option<String> {
    let beside = format!("{file_name}.sha256");
    let file = fsutil::open_beneath(backups, beside.as_bytes(), fsutil::file_flags()).ok()?;
    let mut bytes = Vec::new();
    File::from(file)
        .take(SIDECAR_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    sidecar::parse(&bytes, file_name)
}
