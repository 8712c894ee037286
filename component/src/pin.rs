//! `pin`: marks a backup that retention never removes.

use crate::catalog::Catalog;
use crate::error::Result;
use crate::fs::{BACKUPS, Roots};
use crate::types::Backup;

/// Sets or clears the pin of a backup and gives its row.
///
/// # Errors
/// `NotFound`, `CatalogInvalid`, or an I/O error.
pub fn pin(roots: &Roots, id: u64, pinned: bool) -> Result<Backup> {
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    if catalog.get(id)?.pinned != pinned {
        catalog.get_mut(id)?.pinned = pinned;
        catalog.publish(&dir)?;
    }
    Ok(Backup::of(catalog.get(id)?, &catalog))
}
