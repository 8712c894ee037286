//! `record-result`: writes down what a verification, a drill or a restore came to. Those only read; this one
//! writes, under the host's lock.

use crate::catalog::{Catalog, Status, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::types::{Backup, Check};

/// What a verification may come to.
const VERIFY_RESULTS: [&str; 3] = ["verified", "verified (no manifest)", "failed"];

/// Longest result of a drill, in characters.
const MAX_RESULT: usize = 500;

/// Writes the result of a check into the row of a backup and gives the row. Of a restore only the time is kept.
///
/// # Errors
/// `InvalidInput` for a bad result or time or a run without an archive, `NotFound`, `CatalogInvalid`, or an I/O
/// error.
pub fn record_result(roots: &Roots, id: u64, check: Check, result: &str, now: &str) -> Result<Backup> {
    let now = time::format_instant(time::parse_instant(now, "time of the check")?);
    check_result(check, result)?;
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let row = catalog.get_mut(id)?;
    if !matches!(row.status, Status::Completed | Status::Partial) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "record result",
            "this run has no archive that could have been checked",
        )
        .about(id.to_string()));
    }
    match check {
        Check::Verify => {
            row.verified_at = Some(now);
            row.verify_status = Some(result.to_owned());
        }
        Check::Drill => {
            row.drilled_at = Some(now);
            row.drill_status = Some(result.to_owned());
        }
        Check::Restore => row.restored_at = Some(now),
    }
    catalog.publish(&dir)?;
    Ok(Backup::of(catalog.get(id)?, &catalog))
}

fn check_result(check: Check, result: &str) -> Result<()> {
    let problem = match check {
        Check::Verify if !VERIFY_RESULTS.contains(&result) => {
            format!("a verification is one of: {}", VERIFY_RESULTS.join(", "))
        }
        Check::Drill if result.is_empty() || result.chars().count() > MAX_RESULT => {
            format!("a result has 1 to {MAX_RESULT} characters")
        }
        _ => return Ok(()),
    };
    let shown: String = result.chars().take(100).collect();
    Err(Error::new(ErrorKind::InvalidInput, "record result", problem).about(shown))
}
