//! The create pipeline.

use crate::context::Context;
use crate::engine::{Control, wit};
use crate::error::{Code, Error, Result};

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Type in the archive's name.
    pub backup_type: String,
    /// The schedule's name, or `manual`.
    pub plan: String,
    /// Read every byte again.
    pub full: bool,
    /// Only say what would be in it.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateOutcome {
    /// A backup, complete or partial.
    Created {
        /// The component's report.
        report: wit::engine::CreateReport,
        /// What retention removed after it.
        pruned: Vec<wit::types::Backup>,
    },
    /// What would be in one.
    Planned {
        /// Its entries.
        entries: Vec<wit::types::Entry>,
        /// What would not be in it.
        skips: Vec<wit::types::Skip>,
    },
}

/// Makes a backup.
///
/// # Errors
/// Whatever stopped the run, which is recorded as failed.
pub fn create(_: &Context, _: &CreateOptions, _: &mut Control) -> Result<CreateOutcome> {
    Err(Error::new(Code::Unsupported, "create is not here yet"))
}
