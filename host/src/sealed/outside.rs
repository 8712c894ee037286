//! What can be said of an encrypted archive without its identity: that the file is the one that was written, by the
//! checksum beside it, and that age can read its header.

use std::io::Seek as _;
use std::os::fd::BorrowedFd;

pub(crate) use cofre_exporter::component::record_result::WHOLE;

use super::{ArchiveFile, Form, open_form, said_beside};
use crate::error::{Code, Error, Result};
use crate::{crypt, hashing};

/// What was found.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// The file's SHA-256, in lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Whether there was a checksum to compare with.
    pub(crate) checksum: bool,
    /// What is wrong.
    pub(crate) problems: Vec<String>,
}

/// Reads all of the encrypted archive of the backup `name`, which holds an archive of `size` bytes; 0 where that is not
/// known.
///
/// # Errors
/// `NotFound` where it is not there; what reading and `control` say.
pub(crate) fn look(
    backups: BorrowedFd<'_>,
    name: &str,
    size: u64,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<Outside> {
    let sealed = open_form(backups, name, Form::Sealed)?.ok_or_else(|| {
        let message = format!("{} is not in the backups folder", Form::Sealed.file(name));
        Error::new(Code::NotFound, message)
    })?;
    let said = said_beside(backups, &sealed.file_name);
    let ArchiveFile {
        mut file,
        file_name,
        size: sealed_size,
        ..
    } = sealed;
    let mut problems = Vec::new();
    match crypt::check_header(&mut file) {
        // Anybody can encrypt for a public key, and write a checksum.
        Ok(header) if size > 0 && crypt::encrypted_size(header, size) != sealed_size => {
            problems.push(format!(
                "{file_name} has {sealed_size} bytes, and can't hold the archive of {size} bytes that the catalog knows"
            ));
        }
        Ok(_) => {}
        Err(error) if matches!(error.code, Code::Corrupt | Code::Unsupported) => {
            problems.push(format!("{file_name}: {error}"));
        }
        Err(error) => return Err(error),
    }
    file.rewind()
        .map_err(|e| Error::io(format_args!("read {file_name}"), &e))?;
    let (bytes, sha256) = hashing::digest(&file, &file_name, control)?;
    let beside = Form::Sealed.sidecar(name);
    match &said {
        Some(said) if *said == sha256 => {}
        Some(said) => problems.push(format!(
            "{file_name} has the SHA-256 {sha256}, but {beside} says {said}: it was changed or damaged"
        )),
        None => problems.push(format!(
            "nothing says whether {file_name} is whole: {beside} is missing, or has no line of `sha256sum` about it. \
             `cofre verify --identity FILE` proves it; `sha256sum {file_name} > {beside}` makes it again"
        )),
    }
    Ok(Outside {
        bytes,
        sha256,
        checksum: said.is_some(),
        problems,
    })
}
