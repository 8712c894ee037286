//! What can be said of an encrypted archive without its identity: that the file is the one that was written, by the
//! checksum beside it, that age can read its header, and what else lies in the archive's place.

use std::fs::File;
use std::io::Seek as _;
use std::os::fd::{AsFd as _, BorrowedFd};

pub(crate) use cofre_exporter::component::record_result::WHOLE;

use rustix::fs::FileType;

use super::seal::write_checksum;
use super::{ArchiveFile, Form, open_form, said_beside};
use crate::context::Exclusive;
use crate::crypt;
use crate::error::{Code, Error, Result};
use crate::{fsutil, hashing};

/// What was found.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Bytes that were read.
    pub(crate) bytes: u64,
    /// The file's SHA-256, in lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Whether there was a checksum to compare with.
    pub(crate) checksum: bool,
    /// What is wrong, as long as nobody opens it.
    pub(crate) problems: Vec<String>,
    /// Whether the last of that is that the checksum beside it does not vouch for it. The identity can; then only the file
    /// with the checksum is bad.
    pub(crate) unvouched: bool,
    file: File,
}

impl Outside {
    /// Whether nothing is wrong with the file itself.
    pub(crate) fn is_good_but_for_its_checksum(&self) -> bool {
        self.problems.len() == usize::from(self.unvouched)
    }

    /// Writes the checksum of the archive of the backup `name` anew, whose content the identity has proved.
    ///
    /// # Errors
    /// `Refused` where another file has its place by now; what writing says.
    pub(crate) fn vouch(&self, exclusive: &Exclusive<'_>, name: &str) -> Result<()> {
        let folder = exclusive.folder();
        let which =
            |file: &File| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino, stat.st_size));
        let now = open_form(folder.as_fd(), name, Form::Sealed)?;
        if now.is_none_or(|now| which(&now.file) != which(&self.file)) {
            let message = format!("{} was exchanged meanwhile", Form::Sealed.file(name));
            return Err(Error::new(Code::Refused, message));
        }
        write_checksum(folder, name, &self.sha256)
    }
}

/// What has the name of the plain archive beside an encrypted one and is not the archive of `size` bytes (0 where that is
/// not known): nothing reads it, but it is in the way of whoever looks there.
pub(crate) fn stranger(backups: BorrowedFd<'_>, name: &str, size: u64) -> Option<String> {
    let file = Form::Plain.file(name);
    let stat = fsutil::stat_name(backups, file.as_bytes()).ok()?;
    let is = match fsutil::file_type(&stat) {
        FileType::RegularFile if size == 0 || u64::try_from(stat.st_size) == Ok(size) => return None,
        FileType::RegularFile => format!(
            "has {} bytes instead of the {size} that the catalog says",
            stat.st_size
        ),
        FileType::Symlink => "is a symbolic link".to_owned(),
        FileType::Directory => "is a folder".to_owned(),
        _ => "is no regular file".to_owned(),
    };
    Some(format!(
        "{file} {is}: it is not this backup, whose archive is {}, and nothing reads it; move it away",
        Form::Sealed.file(name)
    ))
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
    let ways = format!(
        "`cofre verify {name} --identity FILE` tells by the content whether the archive is good, and then writes the checksum anew"
    );
    let why = match &said {
        Some(said) if *said == sha256 => None,
        Some(said) => Some(format!(
            "{file_name} has the SHA-256 {sha256}, but {beside} says {said}: one of them was changed or damaged. {ways}; \
             without the identity, bring the one that is damaged back from another copy"
        )),
        None => Some(format!(
            "nothing says whether {file_name} is whole: {beside} is missing, or has no line of `sha256sum` about it. {ways}; \
             without the identity, where it is known to be good, `sha256sum {file_name} > {beside}` does"
        )),
    };
    let unvouched = why.is_some();
    problems.extend(why);
    Ok(Outside {
        bytes,
        sha256,
        checksum: said.is_some(),
        problems,
        unvouched,
        file,
    })
}
