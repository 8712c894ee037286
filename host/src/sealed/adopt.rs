//! Encrypted archives without a row: where the identity is, `rebuild` opens one after another, lets the engine read its
//! manifest, and takes the row into the catalog.

use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicBool;

use cofre_exporter::component::catalog::files;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::open::identity;
use super::{Form, Means, check, decrypt, open_form};
use crate::context::{Context, Exclusive};
use crate::crypt::Identity;
use crate::engine::Access;
use crate::engine::wit::engine::RebuildReport;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Named};
use crate::staging::Staging;

/// The archive as a backups folder of its own, in the staging folder.
const FOLDER: &str = "alone";

/// Takes in what a rebuild has left: encrypted archives without a row, as far as the identity of the configuration opens
/// them. What it can't take in stays a problem of the report. Without an identity nothing is done.
///
/// # Errors
/// `Cancelled`, `NoSpace`; what the keys and the engine say. What was taken in until then stays.
pub(crate) fn adopt(
    context: &Context,
    exclusive: &Exclusive<'_>,
    mut report: RebuildReport,
    cancel: &AtomicBool,
) -> Result<RebuildReport> {
    let Some(file) = &context.config.encryption.identity_file else {
        return Ok(report);
    };
    let strangers = strangers(exclusive, &report)?;
    if strangers.is_empty() {
        return Ok(report);
    }
    let identity = identity(file)?;
    let mut taken = false;
    let mut renamed = Vec::new();
    for name in strangers {
        let added = match row_of(context, exclusive, &name, &identity, cancel) {
            Ok(Found { row, remarks }) if !remarks.is_empty() => {
                renamed.push((row, remarks));
                continue;
            }
            found => found.and_then(|found| take_in(context, exclusive, found.row)),
        };
        taken |= settle(&mut report, &name, added, Vec::new())?;
    }
    // After the others, so that none of these gets the id that another's manifest has.
    for (row, remarks) in renamed {
        let name = row.name.clone();
        let added = take_in(context, exclusive, Backup { id: 0, ..row });
        taken |= settle(&mut report, &name, added, remarks)?;
    }
    if taken {
        report.backups = exclusive.writer()?.list()?;
    }
    Ok(report)
}

/// Puts what came of the archive of `name` into the report, in place of what was said of it before; whether it was taken
/// in, with these remarks.
fn settle(
    report: &mut RebuildReport,
    name: &str,
    added: Result<Vec<Backup>>,
    remarks: Vec<String>,
) -> Result<bool> {
    let front = format!("{name}: ");
    let (taken, problems) = match added {
        Ok(rows) => (!rows.is_empty(), remarks),
        Err(error) if is_about_one(error.code) => (false, vec![format!("{front}{error}")]),
        Err(error) => return Err(error),
    };
    report.problems.retain(|problem| !problem.starts_with(&front));
    report.problems.extend(problems);
    Ok(taken)
}

/// What an encrypted archive is.
struct Found {
    row: Backup,
    /// What the engine says of it all the same: that it is a copy or was renamed.
    remarks: Vec<String>,
}

/// The row into the catalog, with the id that its backup had; with the next one where a run has got that since.
fn take_in(context: &Context, exclusive: &Exclusive<'_>, row: Backup) -> Result<Vec<Backup>> {
    let import = |row| {
        let prefix = context.config.zip_path_prefix.clone();
        exclusive.writer()?.import_rows(vec![row], prefix, false)
    };
    match import(row.clone()) {
        Err(error) if error.code == Code::Refused => import(Backup { id: 0, ..row }),
        done => done,
    }
}

/// Whether an error is about one archive: the others may be good, or for another identity.
fn is_about_one(code: Code) -> bool {
    matches!(
        code,
        Code::Corrupt
            | Code::AccessDenied
            | Code::Unsupported
            | Code::Refused
            | Code::NotFound
            | Code::Sandbox
    )
}

/// Names of the encrypted archives that have no row and were not deleted.
fn strangers(exclusive: &Exclusive<'_>, report: &RebuildReport) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let fail = |errno| fsutil::error("list the backups folder", errno);
    // A description of its own: another's place in the list stays where it is.
    let folder = fsutil::openat(exclusive.folder(), ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
    fsutil::list::<Errno>(folder.as_fd(), |file| {
        if let Some((name, Form::Sealed)) = file.to_str().ok().and_then(files::of_file) {
            found.push(name.to_owned());
        }
        Ok(())
    })
    .map_err(fail)?;
    found.retain(|name| {
        let has_row = report.backups.iter().any(|backup| backup.name == *name);
        let front = format!("{name}: ");
        !has_row && !report.left_out.iter().any(|line| line.starts_with(&front))
    });
    found.sort();
    Ok(found)
}

/// What the manifest of an encrypted archive says.
fn row_of(
    context: &Context,
    exclusive: &Exclusive<'_>,
    name: &str,
    identity: &Identity,
    cancel: &AtomicBool,
) -> Result<Found> {
    check(cancel)?;
    let gone = || Error::new(Code::NotFound, "the archive is gone");
    let sealed = open_form(exclusive.folder().as_fd(), name, Form::Sealed)?.ok_or_else(gone)?;
    let staging = Staging::new(&context.config.state_dir)?;
    staging.folder(FOLDER)?;
    let mut archive = staging.create(&format!("{FOLDER}/{}", Form::Plain.file(name)))?;
    let means = Means {
        name,
        size: None,
        sha256: None,
    };
    let what = &sealed.file_name;
    let to = &mut Named(&mut archive);
    let (_, sha256) = decrypt(identity, &sealed.file, what, to, &means, &|_| check(cancel))?;
    let mounts = context
        .mounts()
        .backups(staging.open_folder(FOLDER)?, Access::ReadWrite);
    let report = context
        .engine
        .open(mounts)?
        .rebuild(context.now(), context.config.zip_path_prefix.clone())?;
    let row = report.backups.into_iter().next().ok_or_else(|| {
        let why = report.problems.first().map_or("it is no backup", String::as_str);
        Error::new(Code::Corrupt, format!("what it holds can't be taken in: {why}"))
    })?;
    Ok(Found {
        row: Backup {
            sha256: Some(sha256),
            ..row
        },
        remarks: report.problems,
    })
}
