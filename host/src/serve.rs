//! `cofre serve`: schedule, API and metrics in one process. What each part shares is [`Service`]; how they start
//! and end together is here, what they do is in the modules below.

pub mod http;
pub mod routes;
pub mod runner;
pub mod scheduler;

use std::sync::Arc;

use cofre_exporter::Exporter;
use tokio::sync::watch;

use crate::context::Context;
use runner::Runner;

/// What the parts of the service share.
#[derive(Debug)]
pub struct Service {
    /// Configuration and engine.
    pub context: Arc<Context>,
    /// Runs one backup at a time.
    pub runner: Runner,
    /// The metrics.
    pub exporter: Arc<Exporter>,
    /// Becomes true when the service ends: no new work, streams close.
    pub ending: watch::Receiver<bool>,
}
