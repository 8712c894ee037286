//! A long operation in one sandbox, in steps.

use wasmtime::component::ResourceAny;

use super::control::{self, Control, Watch};
use super::session::Session;
use super::{failure, wit};
use crate::error::Result;

/// Work of one step, in bytes: often enough for a progress bar and a cancellation, seldom enough to cost nothing.
pub(super) const STEP_BYTES: u64 = 4 << 20;

impl Session {
    /// Runs a job to its end, in steps.
    ///
    /// # Errors
    /// What the component reports; `Cancelled` after `control.cancel`; `Stuck` when neither files nor bytes
    /// advanced within the limit.
    pub fn run(&mut self, request: wit::jobs::Request, control: &mut Control) -> Result<wit::jobs::Outcome> {
        let job = self.call("start", move |guest| {
            let jobs = guest.world.cofre_backup_jobs();
            Ok(Ok(jobs.job().call_constructor(&mut guest.store, &request)?))
        })?;
        let result = self.advance(job, control);
        if self.is_open() {
            let dropped = self.call("finish", move |guest| {
                Ok(Ok(job.resource_drop(&mut guest.store)?))
            });
            if let Err(error) = dropped {
                tracing::warn!("{error}");
            }
        }
        result
    }

    fn advance(&mut self, job: ResourceAny, control: &mut Control) -> Result<wit::jobs::Outcome> {
        let mut watch = Watch::new();
        loop {
            let now = (control.now)();
            if control.cancelled() {
                self.call("cancel", move |guest| {
                    let jobs = guest.world.cofre_backup_jobs();
                    jobs.job().call_cancel(&mut guest.store, job, &now)
                })?;
                return Err(control::cancelled());
            }
            let mut progress = self.call("step", move |guest| {
                let jobs = guest.world.cofre_backup_jobs();
                jobs.job().call_step(&mut guest.store, job, STEP_BYTES, &now)
            })?;
            control.report(&progress);
            if let Some(outcome) = progress.outcome.take() {
                return Ok(outcome);
            }
            let limits = self.limits();
            if watch.is_stuck(&progress, limits.stall) {
                return Err(self.end(failure::stuck("step", limits)));
            }
        }
    }
}
