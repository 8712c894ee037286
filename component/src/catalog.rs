//! The catalog: `backup_history.json` (rows) and `.catalog.json` (ids, tombstones), loaded, checked and
//! published durably. Also names: which are valid and which is free.
//!
//! Only writing operations clean up after an interrupted run; reading never changes anything.

pub mod files;
pub mod names;
pub mod sidecar;
pub mod time;

mod from_archive;
pub(crate) mod going;
mod parse;
mod rebuild;
mod record;
mod state;
mod store;
mod totals;

pub(crate) use from_archive::{Facts, checksum};
pub(crate) use parse::{HISTORY_NAME, check_row};
pub use rebuild::rebuild;
pub use record::{Record, Status};
pub(crate) use state::STATE_NAME;
pub use store::Catalog;
pub use totals::{MANUAL, PlanTotals, Totals};

use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::types::Backup;

/// The rows of the catalog, oldest first.
///
/// # Errors
/// `CatalogInvalid`, or an I/O error.
pub fn list(roots: &Roots) -> Result<Vec<Backup>> {
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    Ok(catalog
        .records()
        .iter()
        .map(|r| Backup::of(r, &catalog))
        .collect())
}

/// One row: `selector` is an id, a name (or the file name of its archive), or `latest` (the newest completed or partial).
///
/// # Errors
/// `NotFound`, `CatalogInvalid`, or an I/O error.
pub fn find(roots: &Roots, selector: &str) -> Result<Backup> {
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    select(&catalog, selector).map(|r| Backup::of(r, &catalog))
}

/// The newest completed or partial row that does not lie in the future of `now` (RFC 3339): after a clock that was wrong
/// once, what was made since is the newest. Where all lie in the future, the newest of them.
///
/// # Errors
/// `InvalidInput` for a bad time, `NotFound`, `CatalogInvalid`, or an I/O error.
pub fn newest(roots: &Roots, now: &str) -> Result<Backup> {
    let now = time::parse_instant(now, "time of the newest backup")?;
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    let offset = *now.offset();
    let past = |r: &Record| is_good(r) && time::start_of(r, offset) <= now;
    let row = catalog
        .newest(offset, past)
        .or_else(|| catalog.newest(offset, is_good));
    row.map(|r| Backup::of(r, &catalog)).ok_or_else(none_yet)
}

fn is_good(row: &Record) -> bool {
    matches!(row.status, Status::Completed | Status::Partial)
}

fn none_yet() -> Error {
    let message = "there is no completed backup yet";
    Error::new(ErrorKind::NotFound, "find backup", message)
        .about("latest")
        .remedy("`cofre create` makes one")
}

/// [`find`] in a loaded catalog.
fn select<'a>(catalog: &'a Catalog, selector: &str) -> Result<&'a Record> {
    if selector == "latest" {
        return catalog
            .newest(catalog.legacy_offset(), is_good)
            .ok_or_else(none_yet);
    }
    // `parse` would take "+7".
    let digits = selector.bytes().all(|b| b.is_ascii_digit());
    if let Some(id) = selector.parse().ok().filter(|_| digits) {
        return catalog.get(id);
    }
    let name = files::of_file(selector).map_or(selector, |(name, _)| name);
    catalog.records().iter().find(|r| r.name == name).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "find backup",
            "there is no backup with this id or name",
        )
        .about(selector.chars().take(100).collect::<String>())
        .remedy("`cofre list` shows those that there are")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{Folder, row, row_with};

    #[test]
    fn a_backup_is_found_by_id_name_file_name_and_as_the_latest() {
        let rows = [
            row(3, "2024-01-03T02:00:00"),
            row(1, "2024-01-01T02:00:00"),
            row_with(4, "2024-01-04T02:00:00", Status::Failed),
        ];
        let folder = Folder::with(&rows);
        for selector in [
            "3",
            "latest",
            "backup_20240103_020000_automated",
            "backup_20240103_020000_automated.zip",
        ] {
            let found = find(&folder.roots, selector).unwrap();
            assert_eq!(found.record.id, 3, "{selector}");
            assert!(found.archive_present, "{selector}");
        }
        assert!(!find(&folder.roots, "4").unwrap().archive_present);
    }

    #[test]
    fn a_row_from_the_future_is_the_newest_only_where_there_is_no_other() {
        let rows = [
            row(1, "2024-01-01T02:00:00"),
            row(2, "2025-06-01T02:00:00"),
            row(3, "2024-01-02T02:00:00"),
        ];
        let at = |rows: &[Record]| {
            newest(&Folder::with(rows).roots, "2024-02-01T00:00:00Z")
                .unwrap()
                .record
                .id
        };
        assert_eq!(at(&rows), 3);
        assert_eq!(at(&rows[1..2]), 2);
        let none = newest(&Folder::new().roots, "2024-02-01T00:00:00Z").unwrap_err();
        assert_eq!(none.kind, ErrorKind::NotFound);
        let bad = newest(&Folder::with(&rows).roots, "yesterday").unwrap_err();
        assert_eq!(bad.kind, ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_not_there_is_not_found_and_its_name_is_shown_escaped() {
        let folder = Folder::with(&[row(3, "2024-01-03T02:00:00")]);
        for selector in [
            "",
            "2",
            "+3",
            "-3",
            "0x3",
            "3 ",
            "99999999999999999999",
            "../x",
            "a\u{1b}[31m\n",
        ] {
            let e = find(&folder.roots, selector).unwrap_err();
            assert_eq!(e.kind, ErrorKind::NotFound, "{selector}");
            assert!(!e.to_string().contains(['\u{1b}', '\n']), "{e}");
        }
        let e = find(&Folder::new().roots, "latest").unwrap_err();
        assert_eq!(e.kind, ErrorKind::NotFound);
    }

    #[test]
    fn the_list_is_the_catalog_in_its_order() {
        let rows = [row(2, "2024-01-01T02:00:00"), row(1, "2024-01-02T02:00:00")];
        let folder = Folder::with(&rows);
        std::fs::remove_file(folder.path(&rows[1].archive_name())).unwrap();
        let listed: Vec<(u64, bool)> = list(&folder.roots)
            .unwrap()
            .iter()
            .map(|b| (b.record.id, b.archive_present))
            .collect();
        assert_eq!(listed, [(2, true), (1, false)]);
    }
}
