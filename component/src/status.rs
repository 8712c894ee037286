//! `status`: the totals of a catalog and what does not fit together in the folder.

use crate::catalog::{Catalog, Record, Status, time};
use crate::error::Result;
use crate::fs::{BACKUPS, Roots};
use crate::types::{Backup, Summary};

/// The totals at `now` (RFC 3339). Rows from the future are listed, and are never the newest.
///
/// # Errors
/// `InvalidInput` for a bad time, `CatalogInvalid`, or an I/O error.
pub fn status(roots: &Roots, now: &str) -> Result<Summary> {
    let now = time::parse_instant(now, "time of the status")?;
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    let rows = catalog.records();
    let count = |status: Status| rows.iter().filter(|r| r.status == status).count() as u64;
    let has_archive = |r: &&Record| matches!(r.status, Status::Completed | Status::Partial);
    let future = |r: &Record| time::start_of(r, *now.offset()) > now;
    let newest = |accept: &dyn Fn(&Record) -> bool| {
        catalog
            .newest(*now.offset(), |r| !future(r) && accept(r))
            .map(|r| Backup::of(r, &catalog))
    };
    let archives = rows.iter().filter(has_archive);
    let present = archives.clone().filter(|r| catalog.archive_present(r));
    Ok(Summary {
        total_backups: rows.len() as u64,
        completed_backups: count(Status::Completed),
        failed_backups: count(Status::Failed),
        partial_backups: count(Status::Partial),
        total_size_bytes: present.fold(0, |sum, r| sum.saturating_add(r.size)),
        last_backup: newest(&|_| true),
        last_success: newest(&|r| r.status == Status::Completed),
        archives_missing: archives
            .filter(|r| !catalog.archive_present(r))
            .map(|r| r.id)
            .collect(),
        archives_unknown: catalog.unknown_archives(),
        future: rows.iter().filter(|r| future(r)).map(|r| r.id).collect(),
    })
}
