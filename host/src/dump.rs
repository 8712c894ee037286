//! Dumping databases into staging: one SQL file a table, `schema.sql` for what is not a table's own, and
//! `restore.sql` that loads all of it.
//!
//! Each engine has its own module; what they share (the rule for file names) stands beside them. Nothing here
//! loads a dump: SQL that comes out of an archive is untrusted and the drill's business.

pub mod file_name;
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Code, Error, Result};

/// What to dump and where to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name in the configuration.
    pub name: &'a str,
    /// The folder in the archive: `database`, or `database/NAME` where there are several.
    pub folder: &'a str,
    /// The folder on disk, empty, in staging. While the dump is made it also holds a snapshot of the database.
    pub out: &'a Path,
    /// Set from outside to stop.
    pub cancel: &'a Arc<AtomicBool>,
}

impl Request<'_> {
    /// # Errors
    /// `Cancelled` once the flag is set.
    fn check_cancelled(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::new(
                Code::Cancelled,
                format!(
                    "the dump of database {} was cancelled",
                    crate::fsutil::show(self.name)
                ),
            ));
        }
        Ok(())
    }

    /// A table's file as the manifest names it: relative to `database/`.
    fn manifest_path(&self, file: &str) -> String {
        match self.folder.split_once('/') {
            Some((_, below)) => format!("{below}/{file}"),
            None => file.to_owned(),
        }
    }
}
