//! One verification: the archive against its checksum and manifest in sandboxes of its own, the result in the
//! catalog, and the news of damage to whom the configuration says.

use std::os::fd::AsFd as _;

use crate::api::convert::status_word;
use crate::api::types::Verification;
use crate::context::Context;
use crate::engine::wit::engine::Check;
use crate::engine::wit::jobs::{Outcome, Request};
use crate::engine::wit::types::{Backup, Status};
use crate::engine::{Access, Control};
use crate::error::{Code, Error, Result};
use crate::notify::{self, Event};
use crate::sealed::{self, Form, Opened, Outside};

/// The status of an archive that is not good.
const FAILED: &str = "failed";

/// What a verification found, and whether the catalog knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What was found; the row in it is the one after the record.
    pub verification: Verification,
    /// Why the result is not in the catalog (another run holds it, it is read-only); the result stands.
    pub unrecorded: Option<Error>,
}

/// Verifies one backup and records the result. A damaged or missing archive is a result, not an error. `quick`
/// doesn't decompress: it proves damage, but not that all is well, so that only damage is recorded.
///
/// Of an encrypted archive the file is checked, and the content only where there is an identity (and not `quick`).
///
/// # Errors
/// `NotFound` for a run without an archive and for a backup that was deleted meanwhile; whatever kept the archive
/// from being looked at.
pub fn verify(context: &Context, backup: Backup, quick: bool, control: &mut Control) -> Result<Verified> {
    needs_archive(&backup)?;
    let row = backup.clone();
    let mut verification = look(context, backup, quick, control)?;
    let bad = verification.status == FAILED;
    if bad {
        if let Some(now) = sealed::sealed_meanwhile(context, &row) {
            return verify(context, now, quick, control);
        }
        needs_row(context, &row)?;
    }
    let mut unrecorded = None;
    if !quick || bad {
        match record(context, row.id, Check::Verify, verification.status) {
            Ok(row) => verification.backup = row.into(),
            Err(error) => unrecorded = Some(error),
        }
    }
    if bad {
        notify::check_failed(context, Event::VerifyFailed, &row, &verification.problems);
    }
    Ok(Verified {
        verification,
        unrecorded,
    })
}

/// Whether the run of a backup made an archive, which may have gone since.
#[must_use]
pub fn has_archive(backup: &Backup) -> bool {
    matches!(backup.status, Status::Completed | Status::Partial)
}

/// Refuses a run without an archive.
///
/// # Errors
/// `NotFound`.
pub(crate) fn needs_archive(backup: &Backup) -> Result<()> {
    if has_archive(backup) {
        return Ok(());
    }
    let message = format!(
        "{} has no archive: its run ended `{}`",
        backup.name,
        status_word(backup.status)
    );
    Err(Error::new(Code::NotFound, message))
}

/// Refuses a row that has left the catalog since it was read: what was deleted is not damaged.
///
/// # Errors
/// `NotFound`.
pub(crate) fn needs_row(context: &Context, backup: &Backup) -> Result<()> {
    let found = context
        .reader()
        .and_then(|mut session| session.find(backup.id.to_string()));
    if !found.is_err_and(|error| error.code == Code::NotFound) {
        return Ok(());
    }
    let message = format!("{} was deleted meanwhile", backup.name);
    Err(Error::new(Code::NotFound, message))
}

fn look(context: &Context, backup: Backup, quick: bool, control: &mut Control) -> Result<Verification> {
    if !backup.encrypted {
        let mut found = look_inside(context, backup.clone(), quick, control)?;
        if found.status == FAILED {
            let cancel = Some(&*control.cancel).filter(|_| !quick);
            found.problems.extend(sealed::beside(context, &backup, cancel)?);
        }
        return Ok(found);
    }
    let (found, strangers) = match look_outside(context, &backup, control) {
        Ok(seen) => seen,
        Err(error) if is_about_archive(error.code) => return Ok(damaged(backup, &error)),
        Err(error) => return Err(error),
    };
    if quick || !sealed::can_open(&context.config) {
        return Ok(closed(backup, found, strangers));
    }
    let inside = match sealed::open(context, &[&backup], &control.cancel) {
        Ok(opened) => {
            let context = opened.as_ref().map_or(context, Opened::context);
            look_inside(context, backup.clone(), false, control)?
        }
        Err(error) if is_about_archive(error.code) => damaged(backup.clone(), &error),
        Err(error) => return Err(error),
    };
    // Without a checksum in the row the content proves nothing of the file.
    let is_proved =
        inside.status != FAILED && found.is_good_but_for_its_checksum() && backup.sha256.is_some();
    let mut remarks = Vec::new();
    if is_proved && found.unvouched {
        remarks.push(mend_checksum(context, &backup.name, &found));
    }
    let mut problems = if is_proved { Vec::new() } else { found.problems };
    problems.extend(inside.problems);
    let status = if problems.is_empty() {
        inside.status
    } else {
        FAILED
    };
    problems.extend(remarks.into_iter().chain(strangers));
    Ok(Verification {
        backup: backup.into(),
        status,
        problems,
        ..inside
    })
}

/// Writes the checksum beside an encrypted archive whose content is proved anew, and says so.
fn mend_checksum(context: &Context, name: &str, found: &Outside) -> String {
    let (archive, beside) = (Form::Sealed.file(name), Form::Sealed.sidecar(name));
    let bad = format!("{beside} was missing, or was not that of {archive}, whose content is proved");
    match context
        .exclusive()
        .and_then(|exclusive| found.vouch(&exclusive, name))
    {
        Ok(()) => format!("{bad}: it was written anew"),
        Err(error) => format!(
            "{bad}, and could not be written anew ({error}): `sha256sum {archive} > {beside}` makes it again"
        ),
    }
}

/// An encrypted archive as a file, without its identity; and what else is in its place.
fn look_outside(
    context: &Context,
    backup: &Backup,
    control: &mut Control,
) -> Result<(Outside, Option<String>)> {
    let cancel = &control.cancel;
    let backups = context.backups()?;
    let found = sealed::look(backups.as_fd(), &backup.name, backup.size, &|_| {
        sealed::check(cancel)
    })?;
    Ok((
        found,
        sealed::stranger(backups.as_fd(), &backup.name, backup.size),
    ))
}

/// What is said of an encrypted archive that nobody opens.
fn closed(backup: Backup, found: Outside, strangers: Option<String>) -> Verification {
    let mut problems = found.problems;
    let status = if problems.is_empty() {
        sealed::WHOLE
    } else {
        FAILED
    };
    problems.extend(strangers);
    Verification {
        backup: backup.into(),
        status,
        entries: 0,
        bytes: found.bytes,
        manifest: false,
        checksum: found.checksum,
        problems,
    }
}

fn look_inside(
    context: &Context,
    backup: Backup,
    quick: bool,
    control: &mut Control,
) -> Result<Verification> {
    let backups = context.backups()?;
    let mounts = || context.mounts_of(&backups, Access::ReadOnly);
    let request = Request::Verify((backup.id, quick));
    let outcome = context
        .engine
        .spread(request, mounts()?, &mounts, context.workers(), control);
    match outcome {
        Ok(Outcome::Verified(report)) => Ok(report.into()),
        Ok(Outcome::Created(_) | Outcome::Restored(_)) => Err(Error::new(
            Code::Internal,
            "verify: the component gave the outcome of another operation",
        )),
        Err(error) if is_about_archive(error.code) => Ok(damaged(backup, &error)),
        Err(error) => Err(error),
    }
}

/// Whether an error is about one archive, not about all of them.
pub(crate) fn is_about_archive(code: Code) -> bool {
    matches!(code, Code::Corrupt | Code::NotFound | Code::Unsupported)
}

/// What came of a backup that can't be looked at.
pub(crate) fn damaged(backup: Backup, error: &Error) -> Verification {
    Verification {
        backup: backup.into(),
        status: FAILED,
        entries: 0,
        bytes: 0,
        manifest: false,
        checksum: false,
        problems: vec![error.to_string()],
    }
}

/// Writes the result of a check into the catalog, and gives the row.
///
/// # Errors
/// `Busy` while another run holds the backups; what the component says.
pub(crate) fn record(context: &Context, id: u64, check: Check, result: &str) -> Result<Backup> {
    context
        .exclusive()?
        .writer()?
        .record_result(id, check, result.to_owned(), context.now())
}
