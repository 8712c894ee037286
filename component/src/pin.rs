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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::testing::{Folder, row};

    #[test]
    fn a_pin_is_durable_and_can_be_taken_back() {
        let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
        for pinned in [true, true, false] {
            assert_eq!(pin(&folder.roots, 1, pinned).unwrap().record.pinned, pinned);
            assert_eq!(folder.catalog().get(1).unwrap().pinned, pinned);
        }
        assert_eq!(pin(&folder.roots, 2, true).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_pin_that_changes_nothing_writes_nothing() {
        let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
        let before = (folder.names(), folder.read("backup_history.json"));
        pin(&folder.roots, 1, false).unwrap();
        assert_eq!((folder.names(), folder.read("backup_history.json")), before);
    }
}
