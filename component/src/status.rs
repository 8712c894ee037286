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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::testing::{Folder, row, row_with};

    #[test]
    fn the_totals_count_rows_by_status_and_archives_that_are_there() {
        let rows = [
            row(1, "2024-01-01T02:00:00"),
            row(2, "2024-01-02T02:00:00"),
            row_with(3, "2024-01-03T02:00:00", Status::Partial),
            row_with(4, "2024-01-04T02:00:00", Status::Failed),
            row_with(5, "2024-01-05T02:00:00", Status::Cancelled),
            row(6, "9999-12-31T23:59:59"),
        ];
        let folder = Folder::with(&rows);
        std::fs::remove_file(folder.path(&rows[0].archive_name())).unwrap();
        folder.write("backup_20230101_020000_manual.zip", b"x");
        folder.write("backup_20230101_020000_clienteB.zip", b"x");
        let s = status(&folder.roots, "2024-06-01T00:00:00-03:00").unwrap();
        assert_eq!(
            (
                s.total_backups,
                s.completed_backups,
                s.failed_backups,
                s.partial_backups
            ),
            (6, 3, 1, 1)
        );
        assert_eq!(s.total_size_bytes, 3 * 7);
        assert_eq!(s.last_backup.unwrap().record.id, 5);
        assert_eq!(s.last_success.unwrap().record.id, 2);
        assert_eq!(s.archives_missing, [1]);
        assert_eq!(s.archives_unknown, ["backup_20230101_020000_manual"]);
        assert_eq!(s.future, [6]);
    }

    #[test]
    fn an_empty_folder_has_a_status_and_a_bad_time_is_refused() {
        let folder = Folder::new();
        let s = status(&folder.roots, "2024-06-01T00:00:00Z").unwrap();
        assert_eq!((s.total_backups, s.total_size_bytes), (0, 0));
        assert_eq!((s.last_backup, s.last_success), (None, None));
        assert_eq!(
            status(&folder.roots, "").unwrap_err().kind,
            ErrorKind::InvalidInput
        );
    }

    #[test]
    fn sizes_that_can_not_be_added_do_not_overflow() {
        let huge = |id, local| Record {
            size: u64::MAX,
            ..row(id, local)
        };
        let folder = Folder::with(&[huge(1, "2024-01-01T02:00:00"), huge(2, "2024-01-02T02:00:00")]);
        let s = status(&folder.roots, "2024-06-01T00:00:00Z").unwrap();
        assert_eq!(s.total_size_bytes, u64::MAX);
    }
}
