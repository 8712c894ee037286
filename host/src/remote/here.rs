//! What lies in the backups folder as the archive of which the remote has a proved copy: whether it is that, and what
//! becomes of it where it is not. No byte of it is removed: it keeps them under a name that nothing takes for an archive.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::row::Row;
use super::watch::Watch;
use super::{arrive, layout, trust};
use crate::config::Config;
use crate::context::Context;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::sealed::{self, ArchiveFile, Form};
use crate::{fsutil, hashing};

/// What was found.
pub(super) enum Here {
    /// The archive.
    Good,
    /// Something else, or nothing any more; the copy takes the place of these.
    Other(Vec<Aside>),
}

/// A file that makes room for the copy.
pub(super) struct Aside {
    file: String,
    why: Why,
}

#[derive(Clone, Copy)]
enum Why {
    Damaged,
    /// It may be good, but nothing here can open it, while the copy is proved.
    Unproved,
}

/// Looks at the archive of a backup that lies here; `row` is proved.
///
/// # Errors
/// `Refused` where the catalog means another archive than the row; `Encrypted` where only an identity could tell, and open
/// the copy; what reading says.
pub(super) fn look(
    config: &Config,
    backups: BorrowedFd<'_>,
    known: &Backup,
    row: &Row,
    watch: &Watch,
) -> Result<Here> {
    let name = &known.name;
    if known
        .sha256
        .as_ref()
        .is_some_and(|sha256| *sha256 != row.backup.sha256)
    {
        let message = format!("the catalog has another archive as {name} than the remote has a copy of");
        return Err(Error::new(Code::Refused, message).remedy("fetch it into a backups folder of its own"));
    }
    let Some(archive) = sealed::open_archive(backups, name, row.backup.size)? else {
        return Ok(Here::Other(Vec::new()));
    };
    let wrong = match archive.form {
        Form::Plain => {
            let (_, sha256) = hashing::digest(&archive.file, &archive.file_name, &|_| watch.check())?;
            (sha256 != row.backup.sha256).then_some(Why::Damaged)
        }
        Form::Sealed => wrong_with_sealed(config, &archive, row, watch)?,
    };
    let Some(why) = wrong else { return Ok(Here::Good) };
    let mut aside = Vec::new();
    let plain = Form::Plain.file(name);
    // What is no archive of this backup would be in the way.
    if archive.form == Form::Sealed && fsutil::stat_name(backups, plain.as_bytes()).is_ok() {
        aside.push(Aside {
            file: plain,
            why: Why::Damaged,
        });
    }
    aside.push(Aside {
        file: archive.file_name,
        why,
    });
    Ok(Here::Other(aside))
}

/// What is wrong with an encrypted archive. Its own checksum proves nothing: whoever exchanges the one writes the other.
fn wrong_with_sealed(
    config: &Config,
    archive: &ArchiveFile,
    row: &Row,
    watch: &Watch,
) -> Result<Option<Why>> {
    let mut file = &archive.file;
    let what = &archive.file_name;
    let (_, sha256) = hashing::digest(file, what, &|_| watch.check())?;
    // As it left: what was signed is what lies here.
    if row.object.encrypted && sha256 == row.object.sha256 {
        return Ok(None);
    }
    // Encrypting the same twice gives two files: beyond that, only its content tells.
    if !sealed::can_open(config) {
        if !row.object.encrypted {
            return Ok(Some(Why::Unproved));
        }
        let message = format!(
            "{what} is not the file that the remote has a copy of, and there is no identity here to tell whether it holds \
             the same archive, or to open the copy"
        );
        return Err(Error::new(Code::Encrypted, message).remedy(
            "bring the identity file from where it is kept: name it as `encryption.identity_file`, or give it to a restore \
             with `--identity FILE`",
        ));
    }
    std::io::Seek::rewind(&mut file).map_err(|e| Error::io(format_args!("read {what}"), &e))?;
    let means = sealed::Means {
        name: &row.backup.name,
        size: Some(row.backup.size),
        sha256: Some(&row.backup.sha256),
    };
    let identity = trust::identity(config)?;
    let opened = sealed::decrypt(&identity, file, what, &mut std::io::sink(), &means, &|_| {
        watch.check()
    });
    match opened {
        Ok(_) => Ok(None),
        Err(error) if matches!(error.code, Code::Corrupt | Code::AccessDenied | Code::Unsupported) => {
            tracing::warn!("{what}: {error}");
            // One that was encrypted for an earlier identity is none that is damaged.
            Ok(Some(match error.code {
                Code::AccessDenied => Why::Unproved,
                _ => Why::Damaged,
            }))
        }
        Err(error) => Err(error),
    }
}

/// Writes the checksum beside a plain archive that was just proved, where it is missing: a fetch was stopped before it came
/// to that. What is in the way is only logged, since the archive is here.
pub(super) fn mend_checksum(context: &Context, row: &Row) {
    let name = &row.backup.name;
    let lacks = |folder: BorrowedFd<'_>| {
        let archive = sealed::open_archive(folder, name, row.backup.size);
        let beside = layout::checksum(&Form::Plain.file(name));
        archive.is_ok_and(|archive| archive.is_some_and(|archive| archive.form == Form::Plain))
            && fsutil::stat_name(folder, beside.as_bytes()).err() == Some(Errno::NOENT)
    };
    if !context.backups().is_ok_and(|folder| lacks(folder.as_fd())) {
        return;
    }
    let mended = context.exclusive().and_then(|exclusive| {
        // Retention may have been quicker.
        if lacks(exclusive.folder().as_fd()) {
            arrive::write_checksum(exclusive.folder(), row)?;
        }
        Ok(())
    });
    if let Err(error) = mended {
        tracing::warn!("the checksum beside {name} is missing, and can't be written: {error}");
    }
}

impl Aside {
    /// Keeps the file under another name, for whoever wants to save something of it, and says so.
    ///
    /// # Errors
    /// `AlreadyExists` where all names are taken; what the system says.
    pub(super) fn put(&self, backups: &OwnedFd) -> Result<()> {
        let name = &self.file;
        let (word, what) = match self.why {
            Why::Damaged => ("damaged", "is damaged"),
            Why::Unproved => ("unproved", "can't be opened here to prove what it holds,"),
        };
        for number in 0..100 {
            let aside = match number {
                0 => format!("{name}.{word}"),
                number => format!("{name}.{word}-{number}"),
            };
            match rustix::fs::renameat_with(backups, name, backups, &aside, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    tracing::warn!("{name} {what} and is kept as {aside}; the copy takes its place");
                    // It is that of another file now; the plain one is written anew.
                    let _ = rustix::fs::unlinkat(backups, layout::checksum(name), AtFlags::empty());
                    return Ok(());
                }
                // A run has encrypted or removed it meanwhile.
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(fsutil::error(format_args!("put {name} aside"), errno)),
            }
        }
        let message = format!("{name} {what} and a hundred such files are beside it");
        Err(Error::new(Code::AlreadyExists, message).remedy("remove those that nobody needs"))
    }
}
