//! The catalog: `backup_history.json` (rows) and `.catalog.json` (ids, tombstones), loaded, checked and
//! published durably. Also names: which are valid and which is free.
//!
//! Only writing operations clean up after an interrupted run; reading never changes anything.

pub mod names;
pub mod time;

mod parse;
mod record;
mod state;
mod store;

pub(crate) use parse::HISTORY_NAME;
pub use record::{Record, Status};
pub(crate) use state::STATE_NAME;
pub use store::Catalog;

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

/// One row: `selector` is an id, a name (with or without `.zip`), or `latest` (the newest completed or partial).
///
/// # Errors
/// `NotFound`, `CatalogInvalid`, or an I/O error.
pub fn find(roots: &Roots, selector: &str) -> Result<Backup> {
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    select(&catalog, selector).map(|r| Backup::of(r, &catalog))
}

/// [`find`] in a loaded catalog.
fn select<'a>(catalog: &'a Catalog, selector: &str) -> Result<&'a Record> {
    if selector == "latest" {
        let good = |r: &Record| matches!(r.status, Status::Completed | Status::Partial);
        return catalog.newest(catalog.legacy_offset(), good).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "find backup",
                "there is no completed backup yet",
            )
            .about(selector)
            .remedy("`cofre create` makes one")
        });
    }
    // `parse` would take "+7".
    let digits = selector.bytes().all(|b| b.is_ascii_digit());
    if let Some(id) = selector.parse().ok().filter(|_| digits) {
        return catalog.get(id);
    }
    let name = selector.strip_suffix(".zip").unwrap_or(selector);
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
