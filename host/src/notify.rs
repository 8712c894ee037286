//! Who is told of runs, and how: webhooks and dead-man's switches, through an outbox that survives a restart.

mod event;

pub use event::Event;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::context::{Context, Exclusive};
use crate::engine::wit;
use crate::error::Result;

/// Puts into the outbox what is to be told of every run that has ended and was not told yet, those that a crash
/// interrupted included. Called under the lock, before a run and after it. Failures are logged: no notification
/// fails a backup.
pub fn ended_runs(_context: &Context, _exclusive: &Exclusive<'_>) {}

/// Reports the start of a run to the plan's dead-man's switch.
pub fn run_begun(_context: &Context, _plan: &str, _id: u64) {}

/// Puts the failed verification of a backup into the outbox.
pub fn verify_failed(_context: &Context, _backup: &wit::types::Backup, _problems: &[String]) {}

/// Puts into the outbox that a plan has had no success for longer than `limit`.
pub fn stale(_context: &Context, _plan: &str, _last_success: Option<DateTime<Utc>>, _limit: Duration) {}

/// Sends what is in the outbox, as long as it lives.
#[derive(Debug)]
pub struct Deliverer;

impl Deliverer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(_context: Arc<Context>) -> Result<Self> {
        Ok(Self)
    }

    /// Ends it.
    pub fn stop(self) {}
}

/// Tries what is due in the outbox once, unless a service does so.
pub fn deliver_once(_context: &Context) {}
