//! Programs before and after a run: argument vectors without a shell, with a deadline, their output in the log.

use std::sync::atomic::AtomicBool;

use crate::context::Context;
use crate::engine::wit;
use crate::error::Result;

/// The run that a hook is about.
#[derive(Debug, Clone)]
pub struct HookRun<'a> {
    /// Id of its row.
    pub id: u64,
    /// Name of the archive.
    pub name: &'a str,
    /// Type in the archive's name.
    pub backup_type: &'a str,
    /// The schedule's name, or `manual`.
    pub plan: &'a str,
}

/// Runs `hooks.before`, if there is one.
///
/// # Errors
/// `HookFailed` when it can't be started, fails or takes too long; `Cancelled`.
pub fn before(_context: &Context, _run: &HookRun<'_>, _cancel: &AtomicBool) -> Result<()> {
    Ok(())
}

/// Runs `hooks.after`, if there is one, with the result in its environment. Its failure is logged and changes
/// nothing: the run has ended.
pub fn after(_context: &Context, _run: &HookRun<'_>, _ended: Option<&wit::types::Backup>) {}
