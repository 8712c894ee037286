//! `delete`: removes one backup. The catalog with its tombstone is durable before the files go; on a full disk, a mark is.

use crate::catalog::{Catalog, Record, Status, going, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Dir, Roots};
use crate::retention::is_verified;
use crate::run;
use crate::types::Backup;

/// Removes a backup and gives its row. `force` removes also what is protected: a pinned one, the newest good
/// one, and the only one that verified.
///
/// # Errors
/// `NotFound`, `Refused`, `InvalidInput` for a bad time, `CatalogInvalid`, or an I/O error; a file that can't
/// be removed is tried again by the next run.
pub fn delete(roots: &Roots, id: u64, force: bool, now: &str) -> Result<Backup> {
    let now = time::parse_instant(now, "time of the delete")?;
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let row = catalog.get(id)?;
    if row.status == Status::InProgress {
        return Err(refused(row, "its run is still going on, or was interrupted")
            .remedy("wait for it; the next run cleans up after an interrupted one"));
    }
    let future = |r: &Record| time::start_of(r, *now.offset()) > now;
    if !force && let Some(why) = protection(&catalog, row, future) {
        return Err(refused(row, why).remedy("keep it, or force its removal (`--force`)"));
    }
    let row = catalog.remove(id)?;
    publish_without(&dir, &mut catalog, std::slice::from_ref(&row))?;
    remove_buried(&dir, &mut catalog, std::slice::from_ref(&row.name))?;
    Ok(Backup::of(&row, &catalog))
}

/// Makes the catalog durable, which `gone` have left. On a full disk their archives make room for it first.
///
/// # Errors
/// Whatever writing says; what was given up for its space is gone then all the same.
pub(crate) fn publish_without(dir: &Dir, catalog: &mut Catalog, gone: &[Record]) -> Result<()> {
    match catalog.publish(dir) {
        Err(full) if full.kind == ErrorKind::NoSpace => {
            let archives = gone.iter().filter(|row| catalog.archive_present(row));
            if going::give_up(dir, archives.map(|row| row.name.as_str()))? {
                catalog.publish(dir)
            } else {
                Err(full)
            }
        }
        other => other,
    }
}

/// Removes the files of backups that have just left the durable catalog, and notes that. Goes on after a
/// failure, and gives the first.
pub(crate) fn remove_buried(dir: &Dir, catalog: &mut Catalog, names: &[String]) -> Result<()> {
    let mut outcome = Ok(());
    for name in names {
        match run::remove_files(dir, name) {
            Ok(()) => catalog.mark_removed(name),
            Err(e) => {
                let e = e.remedy("it left the catalog, and is removed by the next run once that can be done");
                outcome = outcome.and(Err(e));
            }
        }
    }
    let noted = dir.sync().and_then(|()| catalog.publish_state(dir));
    outcome.and(noted)
}

/// Why `row` may not go without force.
fn protection(catalog: &Catalog, row: &Record, future: impl Fn(&Record) -> bool) -> Option<&'static str> {
    if row.pinned {
        return Some("it is pinned");
    }
    let offset = catalog.legacy_offset();
    let newest = |status: Status, with_future: bool| {
        catalog.newest(offset, |r| {
            r.status == status && catalog.archive_present(r) && (with_future || !future(r))
        })
    };
    let last_good = newest(Status::Completed, false)
        .or_else(|| newest(Status::Completed, true))
        .or_else(|| newest(Status::Partial, true));
    if last_good.is_some_and(|r| r.id == row.id) {
        return Some("it is the newest good backup");
    }
    let other_verified = |r: &Record| r.id != row.id && is_verified(r) && catalog.archive_present(r);
    let only_verified =
        is_verified(row) && catalog.archive_present(row) && !catalog.records().iter().any(other_verified);
    only_verified.then_some("it is the only backup that was verified")
}

fn refused(row: &Record, why: &str) -> Error {
    Error::new(ErrorKind::Refused, "delete backup", why).about(format!("{} ({})", row.id, row.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::{Folder, row, row_with};

    const NOW: &str = "2024-06-01T00:00:00-03:00";

    fn refusal(folder: &Folder, id: u64) -> String {
        let before = folder.names();
        let e = delete(&folder.roots, id, false, NOW).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Refused, "{e}");
        assert_eq!(folder.names(), before, "a refusal changes nothing");
        e.to_string()
    }

    #[test]
    fn the_row_the_archive_and_the_sidecar_go_and_the_id_stays_used() {
        let rows = [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")];
        let folder = Folder::with(&rows);
        let gone = delete(&folder.roots, 1, false, NOW).unwrap();
        assert_eq!((gone.record, gone.archive_present), (rows[0].clone(), false));
        assert_eq!(folder.ids(), [2]);
        assert!(!folder.has(&rows[0].archive_name()) && !folder.has(&rows[0].sidecar_name()));
        assert!(folder.has(&rows[1].archive_name()) && folder.has(&rows[1].sidecar_name()));
        assert_eq!(folder.catalog().pending().count(), 0);
        assert!(folder.catalog().is_taken(&rows[0].name));
        assert_eq!(
            delete(&folder.roots, 1, true, NOW).unwrap_err().kind,
            ErrorKind::NotFound
        );
    }

    #[test]
    fn the_newest_good_one_needs_force_even_below_failed_and_lost_and_future_ones() {
        let rows = [
            row(1, "2024-01-01T02:00:00"),
            row(2, "2024-01-02T02:00:00"),
            row_with(3, "2024-01-03T02:00:00", Status::Failed),
            row(4, "2024-01-04T02:00:00"),
            row_with(5, "2024-01-05T02:00:00", Status::Partial),
            row(6, "9999-01-01T02:00:00"),
        ];
        let folder = Folder::with(&rows);
        std::fs::remove_file(folder.path(&rows[3].archive_name())).unwrap();
        assert!(refusal(&folder, 2).contains("newest good"));
        for id in [1, 3, 4, 5, 6] {
            delete(&folder.roots, id, false, NOW).unwrap();
        }
        assert!(refusal(&folder, 2).contains("newest good"));
        delete(&folder.roots, 2, true, NOW).unwrap();
        assert!(folder.ids().is_empty());
    }

    #[test]
    fn the_last_partial_one_is_protected_where_nothing_is_complete() {
        let folder = Folder::with(&[
            row_with(1, "2024-01-01T02:00:00", Status::Partial),
            row_with(2, "2024-01-02T02:00:00", Status::Partial),
        ]);
        refusal(&folder, 2);
        delete(&folder.roots, 1, false, NOW).unwrap();
    }

    #[test]
    fn pinned_ones_and_the_only_verified_one_need_force() {
        let verified = |id, local| Record {
            verify_status: Some("verified".into()),
            ..row(id, local)
        };
        let pinned = Record {
            pinned: true,
            ..row(1, "2024-01-01T02:00:00")
        };
        let folder = Folder::with(&[
            pinned,
            verified(2, "2024-01-02T02:00:00"),
            verified(3, "2024-01-03T02:00:00"),
            row(4, "2024-01-04T02:00:00"),
        ]);
        assert!(refusal(&folder, 1).contains("pinned"));
        delete(&folder.roots, 2, false, NOW).unwrap();
        assert!(refusal(&folder, 3).contains("only backup that was verified"));
        delete(&folder.roots, 3, true, NOW).unwrap();
        delete(&folder.roots, 1, true, NOW).unwrap();
        assert_eq!(folder.ids(), [4]);
    }

    #[test]
    fn a_running_one_is_refused_even_by_force() {
        let folder = Folder::with(&[row_with(1, "2024-01-01T02:00:00", Status::InProgress)]);
        let e = delete(&folder.roots, 1, true, NOW).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Refused);
        assert_eq!(folder.ids(), [1]);
    }

    #[test]
    fn the_path_in_a_row_is_never_followed() {
        let evil = Record {
            zip_path: Some("../vitima.txt".into()),
            ..row(1, "2024-01-01T02:00:00")
        };
        let folder = Folder::with(&[evil, row(2, "2024-01-02T02:00:00")]);
        let outside = folder.root().with_extension("vitima");
        std::fs::write(&outside, "INTACTO").unwrap();
        folder.write("vitima.txt", b"INTACTO");
        std::fs::remove_file(folder.path("backup_20240101_020000_automated.zip")).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path("backup_20240101_020000_automated.zip")).unwrap();
        delete(&folder.roots, 1, true, NOW).unwrap();
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "INTACTO");
        assert_eq!(folder.read("vitima.txt"), "INTACTO");
        std::fs::remove_file(outside).unwrap();
    }

    #[test]
    fn a_file_that_can_not_be_removed_is_an_error_and_stays_pending() {
        let rows = [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")];
        let folder = Folder::with(&rows);
        std::fs::remove_file(folder.path(&rows[0].sidecar_name())).unwrap();
        std::fs::create_dir(folder.path(&rows[0].sidecar_name())).unwrap();
        delete(&folder.roots, 1, false, NOW).unwrap_err();
        assert_eq!(folder.ids(), [2]);
        let pending: Vec<String> = folder.catalog().pending().map(|t| t.name.clone()).collect();
        assert_eq!(pending, [rows[0].name.clone()]);
    }
}
