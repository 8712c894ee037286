//! One verification: the archive against its checksum and manifest in sandboxes of its own, the result in the
//! catalog, and the news of damage to whom the configuration says.

use crate::api::convert::status_word;
use crate::api::types::Verification;
use crate::context::Context;
use crate::engine::wit::engine::Check;
use crate::engine::wit::jobs::{Outcome, Request};
use crate::engine::wit::types::{Backup, Status};
use crate::engine::{Access, Control};
use crate::error::{Code, Error, Result};
use crate::notify::{self, Event};

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
/// # Errors
/// `NotFound` for a run without an archive and for a backup that was deleted meanwhile; whatever kept the archive
/// from being looked at.
pub fn verify(context: &Context, backup: Backup, quick: bool, control: &mut Control) -> Result<Verified> {
    needs_archive(&backup)?;
    let row = backup.clone();
    let mut verification = look(context, backup, quick, control)?;
    let bad = verification.status == "failed";
    if bad {
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
        status: "failed",
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
