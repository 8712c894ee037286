//! `delete`: removes one backup. The catalog with its tombstone is durable before the files go.

use crate::catalog::{Catalog, Record, Status, time};
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
        return Err(refused(row, why).remedy("keep it, or use force"));
    }
    let row = catalog.remove(id)?;
    catalog.publish(&dir)?;
    remove_buried(&dir, &mut catalog, std::slice::from_ref(&row.name))?;
    Ok(Backup::of(&row, &catalog))
}

/// Removes the files of backups that have just left the durable catalog, and notes that. Goes on after a
/// failure, and gives the first.
pub(crate) fn remove_buried(dir: &Dir, catalog: &mut Catalog, names: &[String]) -> Result<()> {
    let mut outcome = Ok(());
    for name in names {
        match run::remove_files(dir, name) {
            Ok(()) => catalog.mark_removed(name),
            Err(e) => outcome = outcome.and(Err(e)),
        }
    }
    dir.sync()?;
    catalog.publish_state(dir)?;
    outcome
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
