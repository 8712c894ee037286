//! Loading, checking and publishing the catalog.

use super::Record;
use crate::error::Result;
use crate::fs::Dir;

/// The rows, the ids that were given out, and which archives are in the folder.
#[derive(Debug, Clone)]
pub struct Catalog {}

impl Catalog {
    /// Loads the catalog of a backups folder; an empty one where there is none yet.
    ///
    /// # Errors
    /// `CatalogInvalid` when it can't be parsed or breaks a rule; nothing is changed.
    pub fn load(_dir: &Dir) -> Result<Self> {
        todo!()
    }

    /// The rows, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        todo!()
    }

    /// Whether the archive of `record` was in the folder when the catalog was loaded.
    #[must_use]
    pub fn archive_present(&self, _record: &Record) -> bool {
        todo!()
    }
}
