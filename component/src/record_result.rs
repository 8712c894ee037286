//! `record-result`: writes down what a verification, a drill or a restore came to. Those only read; this one
//! writes, under the host's lock.

use crate::catalog::{Catalog, Status, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::retention::is_verified;
use crate::types::{Backup, Check};

/// What a verification may come to. The last one is that of an encrypted archive whose content nobody opened: it is whole
/// by the checksum beside it, and does not count as verified where that protects a backup.
const VERIFY_RESULTS: [&str; 4] = ["verified", "verified (no manifest)", "failed", WHOLE];

/// The result of a verification of an encrypted archive that nobody opened: the file is as its checksum says.
pub const WHOLE: &str = "whole (not opened)";

/// What is written down where that comes after a verification of the content.
pub(crate) const VERIFIED_THEN_WHOLE: &str = "verified (then whole)";

/// What a drill that went well came to; anything else counts as a failure.
const DRILL_PASSED: &str = "passed";

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
            // Whoever saw the content once knows more than who looks at the file later.
            let known = result == WHOLE && is_verified(row);
            row.verify_status = Some(if known { VERIFIED_THEN_WHOLE } else { result }.to_owned());
        }
        Check::Drill => {
            row.drilled_at = Some(now);
            row.drill_status = Some(result.to_owned());
        }
        Check::Restore => row.restored_at = Some(now),
    }
    if failed(check, result) {
        catalog.count_failed(id, check)?;
    }
    catalog.publish(&dir)?;
    Ok(Backup::of(catalog.get(id)?, &catalog))
}

fn failed(check: Check, result: &str) -> bool {
    match check {
        Check::Verify => result == "failed",
        Check::Drill => result != DRILL_PASSED,
        Check::Restore => false,
    }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{Folder, row, row_with};

    const NOW: &str = "2024-06-01T00:00:00-03:00";
    const NOTED: Option<&str> = Some("2024-06-01T00:00:00.000000-03:00");

    #[test]
    fn each_check_writes_its_own_fields_and_no_other() {
        let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
        let result = |check, text| record_result(&folder.roots, 1, check, text, NOW).unwrap().record;
        let row = result(Check::Verify, "verified (no manifest)");
        assert_eq!(row.verified_at.as_deref(), NOTED);
        assert_eq!(row.verify_status.as_deref(), Some("verified (no manifest)"));
        assert_eq!((&row.drilled_at, &row.restored_at), (&None, &None));
        let row = result(Check::Drill, "passed");
        assert_eq!(row.drilled_at.as_deref(), NOTED);
        assert_eq!(row.drill_status.as_deref(), Some("passed"));
        let row = result(Check::Restore, "anything");
        assert_eq!(row.restored_at.as_deref(), NOTED);
        assert_eq!(folder.catalog().records(), [row]);
    }

    #[test]
    fn results_that_mean_nothing_are_refused() {
        let folder = Folder::with(&[
            row(1, "2024-01-01T02:00:00"),
            row_with(2, "2024-01-02T02:00:00", Status::Failed),
            row_with(3, "2024-01-03T02:00:00", Status::InProgress),
        ]);
        let before = folder.read("backup_history.json");
        let long = "x".repeat(501);
        for (id, check, text, now, kind) in [
            (1, Check::Verify, "ok", NOW, ErrorKind::InvalidInput),
            (1, Check::Verify, "", NOW, ErrorKind::InvalidInput),
            (1, Check::Drill, "", NOW, ErrorKind::InvalidInput),
            (1, Check::Drill, long.as_str(), NOW, ErrorKind::InvalidInput),
            (1, Check::Verify, "verified", "now", ErrorKind::InvalidInput),
            (2, Check::Verify, "verified", NOW, ErrorKind::InvalidInput),
            (3, Check::Restore, "", NOW, ErrorKind::InvalidInput),
            (9, Check::Verify, "verified", NOW, ErrorKind::NotFound),
        ] {
            let e = record_result(&folder.roots, id, check, text, now).unwrap_err();
            assert_eq!(e.kind, kind, "{id} {check:?} {text}");
        }
        assert_eq!(folder.read("backup_history.json"), before);
    }
}
