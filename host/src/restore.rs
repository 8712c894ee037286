//! The restore pipeline.

use std::path::PathBuf;

use crate::context::Context;
use crate::engine::{Control, wit};
use crate::error::{Code, Error, Result};

/// What is to be restored, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Id, name or `latest`.
    pub selector: String,
    /// The new folder; none means `restore_NAME` in the backups folder.
    pub to: Option<PathBuf>,
    /// Globs of paths in the archive; empty means everything.
    pub only: Vec<String>,
    /// Recreate absolute links too.
    pub absolute_links: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreOutcome {
    /// The component's report.
    pub report: wit::engine::RestoreReport,
    /// Where it is.
    pub path: PathBuf,
}

/// Restores a backup into a new folder.
///
/// # Errors
/// Whatever stopped it; the folder does not exist then.
pub fn restore(_: &Context, _: &RestoreOptions, _: &mut Control) -> Result<RestoreOutcome> {
    Err(Error::new(Code::Unsupported, "restore is not here yet"))
}
