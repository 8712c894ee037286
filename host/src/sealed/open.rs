//! Opening encrypted archives where the identity is: into a private folder, as a backups folder of its own with the rows
//! that belong to them, which is read like any other and removed afterwards.

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Form, open_archive, open_form};
use crate::config::Config;
use crate::context::Context;
use crate::crypt::{self, Identity};
use crate::engine::Access;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::fsutil::Named;
use crate::hashing::Hashing;
use crate::staging::Staging;
use crate::{fsutil, text};

/// The backups folder in the staging folder.
const FOLDER: &str = "opened";

/// Bytes of a staging folder's disk that are left free.
const ROOM: u64 = 64 << 20;

/// Archives that are open, as long as this is there.
#[derive(Debug)]
pub(crate) struct Opened {
    context: Context,
    _staging: Staging,
}

impl Opened {
    /// The context whose backups folder has them. Nothing that is written there lasts.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

/// Whether this machine has an identity to open archives with.
pub(crate) fn can_open(config: &Config) -> bool {
    config.encryption.identity_file.is_some()
}

/// That a backup can't be read here.
pub(crate) fn needs_identity(name: &str) -> Error {
    let (sealed, plain) = (Form::Sealed.file(name), Form::Plain.file(name));
    Error::new(
        Code::Encrypted,
        format!("{name} is encrypted, and there is no identity here that could open it"),
    )
    .remedy(format!(
        "give the identity file with `--identity FILE`, or as `encryption.identity_file` on a machine that restores; \
         `age -d -i FILE {sealed} > {plain}` opens it without cofre"
    ))
}

/// The row as it is now, where its archive was encrypted after `backup` was looked up: what was begun with the plain one
/// has lost it, and begins anew.
pub(crate) fn sealed_meanwhile(context: &Context, backup: &Backup) -> Option<Backup> {
    if backup.encrypted {
        return None;
    }
    let now = context.reader().ok()?.find(backup.id.to_string()).ok()?;
    now.encrypted.then_some(now)
}

/// Opens those of `backups` that are encrypted, and puts the others beside them; `None` where none is, and all can be
/// read where they are.
///
/// # Errors
/// `Encrypted` without an identity, `AccessDenied` with one that does not fit, `Corrupt`, `NoSpace`, `Cancelled`; what
/// reading and writing say.
pub(crate) fn open(context: &Context, backups: &[&Backup], cancel: &AtomicBool) -> Result<Option<Opened>> {
    let Some(first) = backups.iter().find(|backup| backup.encrypted) else {
        return Ok(None);
    };
    let Some(file) = &context.config.encryption.identity_file else {
        return Err(needs_identity(&first.name));
    };
    let identity = identity(file)?;
    let staging = Staging::new(&context.config.state_dir)?;
    let need = backups
        .iter()
        .fold(0, |sum: u64, backup| sum.saturating_add(backup.size));
    check_space(context, &staging, need)?;
    staging.folder(FOLDER)?;
    let mut rows: Vec<Backup> = Vec::new();
    for backup in backups {
        if rows.iter().all(|row| row.id != backup.id) {
            rows.push(stage(context, &staging, backup, &identity, cancel)?);
        }
    }
    fill(context, &staging, rows)?;
    let mut inside = context.clone();
    inside.config.backup_dir = staging.path().join(FOLDER);
    Ok(Some(Opened {
        context: inside,
        _staging: staging,
    }))
}

/// Reads an identity file. Whatever is wrong with it says nothing about an archive.
pub(super) fn identity(file: &Path) -> Result<Identity> {
    Identity::read(file).map_err(|error| match error.code {
        Code::Corrupt | Code::NotFound | Code::Unsupported => Error {
            code: Code::Config,
            ..error
        },
        _ => error,
    })
}

/// What to do where the plain archive of a backup is something else and an encrypted one is beside it, which counts as soon
/// as nothing has the plain one's name; none where there is none, or where the identity tells that it is not the backup
/// either. Nobody looks into it without `cancel`.
///
/// # Errors
/// What opening and reading it say, and the identity file.
pub(crate) fn beside(
    context: &Context,
    backup: &Backup,
    cancel: Option<&AtomicBool>,
) -> Result<Option<String>> {
    let Some(archive) = open_form(context.backups()?.as_fd(), &backup.name, Form::Sealed)? else {
        return Ok(None);
    };
    let what = &archive.file_name;
    let mut is = "may be good";
    if let (Some(file), Some(cancel)) = (&context.config.encryption.identity_file, cancel) {
        let means = Means {
            name: &backup.name,
            size: Some(backup.size).filter(|size| *size > 0),
            sha256: backup.sha256.as_deref(),
        };
        let mut nowhere = std::io::sink();
        match decrypt(
            &identity(file)?,
            &archive.file,
            what,
            &mut nowhere,
            &means,
            &|_| check(cancel),
        ) {
            Ok(_) if backup.sha256.is_some() => is = "is good, as the identity proves",
            Ok(_) => {}
            // It may be encrypted for another identity.
            Err(error) if error.code == Code::AccessDenied => {}
            Err(error) if matches!(error.code, Code::Corrupt | Code::Unsupported) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let plain = Form::Plain.file(&backup.name);
    Ok(Some(format!(
        "{what} beside it {is}, and counts once {plain} is moved away"
    )))
}

/// An error about a plain archive with the remedy that an encrypted one is beside it.
pub(crate) fn or_beside(context: &Context, backup: &Backup, error: Error) -> Error {
    if backup.encrypted || !matches!(error.code, Code::Corrupt | Code::VerifyFailed | Code::Unsupported) {
        return error;
    }
    match beside(context, backup, None) {
        Ok(Some(way)) => error.remedy(way),
        Ok(None) | Err(_) => error,
    }
}

/// Refuses to begin what the disk of the staging folder can't hold.
fn check_space(context: &Context, staging: &Staging, bytes: u64) -> Result<()> {
    let need = bytes.saturating_add(ROOM);
    let Some(free) = fsutil::space(staging.path())?
        .map(|space| space.free)
        .filter(|free| need > *free)
    else {
        return Ok(());
    };
    let message = format!(
        "opening the archive needs {}, and {} are free in {}",
        text::size(need),
        text::size(free),
        text::shown(&context.config.state_dir)
    );
    Err(Error::new(Code::NoSpace, message).remedy("free space, or set state_dir to a larger disk"))
}

/// Writes the archive of a backup into staging, and gives its row with what is known of it then.
fn stage(
    context: &Context,
    staging: &Staging,
    backup: &Backup,
    identity: &Identity,
    cancel: &AtomicBool,
) -> Result<Backup> {
    let backups = context.backups()?;
    let archive = open_archive(backups.as_fd(), &backup.name, backup.size)?.ok_or_else(|| {
        let message = format!("the archive of {} is not in the backups folder", backup.name);
        Error::new(Code::NotFound, message)
    })?;
    let mut to = staging.create(&Form::Plain.file(&backup.name))?;
    let sha256 = match archive.form {
        Form::Sealed => {
            let means = Means {
                name: &backup.name,
                size: Some(backup.size).filter(|size| *size > 0),
                sha256: backup.sha256.as_deref(),
            };
            let what = &archive.file_name;
            let to = &mut Named(&mut to);
            decrypt(identity, &archive.file, what, to, &means, &|_| check(cancel))?.1
        }
        Form::Plain => {
            let mut from = &archive.file;
            let mut to = Hashing::new(Named(&mut to));
            std::io::copy(&mut from, &mut to)
                .map_err(|e| Error::io(format_args!("stage {}", archive.file_name), &e))?;
            to.finish().1
        }
    };
    Ok(Backup {
        // Rows of the original system have none.
        sha256: Some(backup.sha256.clone().unwrap_or(sha256)),
        ..backup.clone()
    })
}

/// Makes a backups folder of the staged archives: first the rows, since a catalog is never empty beside archives.
fn fill(context: &Context, staging: &Staging, rows: Vec<Backup>) -> Result<()> {
    let files: Vec<String> = rows.iter().map(|row| Form::Plain.file(&row.name)).collect();
    let mounts = context
        .mounts()
        .backups(staging.open_folder(FOLDER)?, Access::ReadWrite);
    context
        .engine
        .open(mounts)?
        .import_rows(rows, context.config.zip_path_prefix.clone(), false)?;
    let (from, to) = (staging.open()?, staging.open_folder(FOLDER)?);
    for file in files {
        rustix::fs::renameat(&from, &*file, &to, &*file)
            .map_err(|errno| fsutil::error(format_args!("stage {file}"), errno))?;
    }
    Ok(())
}

/// Which archive is expected; what is not known is not compared.
pub(crate) struct Means<'a> {
    /// The backup.
    pub(crate) name: &'a str,
    /// Bytes of the archive.
    pub(crate) size: Option<u64>,
    /// Its SHA-256.
    pub(crate) sha256: Option<&'a str>,
}

/// Decrypts `from`, called `what`, into `to`, and proves that it is the archive that is expected. Gives its bytes and
/// SHA-256. Without an error alone `to` is good.
///
/// # Errors
/// `Corrupt` for another archive; what [`crypt::decrypt_with`] and `control` say.
pub(crate) fn decrypt(
    identity: &Identity,
    from: &File,
    what: &str,
    to: &mut dyn Write,
    means: &Means<'_>,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<(u64, String)> {
    let mut from = BufReader::with_capacity(1 << 20, from);
    let mut to = Hashing::new(to);
    let other = || {
        let message = format!("what {what} holds is not {}", means.name);
        Error::new(Code::Corrupt, message).remedy("another copy, or an older backup, may be good")
    };
    // What is too large fills no disk.
    let limited = |bytes| match means.size {
        Some(size) if bytes > size => Err(other()),
        _ => control(bytes),
    };
    crypt::decrypt_with(identity, &mut from, &mut to, &limited)?;
    let (size, sha256) = to.finish();
    let other_size = means.size.is_some_and(|known| known != size);
    if other_size || means.sha256.is_some_and(|known| known != sha256) {
        return Err(other());
    }
    Ok((size, sha256))
}

/// Ends what somebody wants to stop.
///
/// # Errors
/// `Cancelled`.
pub(crate) fn check(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::SeqCst) {
        return Err(Error::new(Code::Cancelled, "stopped on request"));
    }
    Ok(())
}
