//! `prune`: applies retention. The catalog without the backups is durable before their files go.

use crate::catalog::{Catalog, time};
use crate::delete::remove_buried;
use crate::error::Result;
use crate::fs::{BACKUPS, Roots};
use crate::retention::{self, RecordView};
use crate::types::{Backup, RetentionPolicy, Verdict};

/// Removes what `policy` does not keep, or with `dry_run` only says so. One verdict a row, oldest first.
///
/// # Errors
/// `InvalidInput` for a policy that keeps nothing or a bad time, `CatalogInvalid` (nothing is removed on such
/// evidence), or an I/O error; a file that can't be removed is tried again by the next run.
pub fn prune(roots: &Roots, policy: &RetentionPolicy, now: &str, dry_run: bool) -> Result<Vec<Verdict>> {
    let now = time::parse_instant(now, "time of the prune")?;
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let rows: Vec<RecordView<'_>> = catalog
        .records()
        .iter()
        .map(|record| RecordView {
            record,
            archive_present: catalog.archive_present(record),
        })
        .collect();
    let decisions = retention::decide(&rows, policy, now)?;
    let verdicts: Vec<Verdict> = rows
        .iter()
        .zip(decisions)
        .map(|(row, decision)| Verdict {
            backup: Backup {
                record: row.record.clone(),
                archive_present: row.archive_present,
            },
            keep: decision.keep,
            reasons: decision.reasons,
        })
        .collect();
    let going: Vec<u64> = verdicts
        .iter()
        .filter(|v| !v.keep)
        .map(|v| v.backup.record.id)
        .collect();
    if dry_run || going.is_empty() {
        return Ok(verdicts);
    }
    let mut names = Vec::with_capacity(going.len());
    for id in going {
        names.push(catalog.remove(id)?.name);
    }
    catalog.publish(&dir)?;
    remove_buried(&dir, &mut catalog, &names)?;
    Ok(verdicts)
}
