//! The end of the service: nothing new begins, what runs may finish within the grace, the rest is cut short.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::runner::Run;
use super::{Ended, Service, Tasks};
use crate::text;

/// How long running work may take without `[api]`, where `api.grace` is.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// How long a run may take to end after it was cancelled; then it is given up, stuck in the kernel perhaps.
pub(super) const CANCEL: Duration = Duration::from_secs(15);
/// How long an answer about a run may take after the run's end.
const ANSWER: Duration = Duration::from_secs(1);

/// Ends everything. `ending` is true already.
pub(super) async fn end(service: &Arc<Service>, tasks: Tasks) -> Ended {
    service.runner.close();
    let api = service.context.config.api.as_ref();
    let grace = api.map_or(DEFAULT_GRACE, |api| api.grace);
    let deadline = Instant::now() + grace;
    let ended = match service.runner.current() {
        Some(run) => end_run(&run, grace, deadline).await,
        None => Ended::Done,
    };
    if let Some(http) = tasks.http {
        // A caller who waited for the run still gets the answer; downloads get the whole grace.
        stop("the API's server", http, deadline.max(Instant::now() + ANSWER)).await;
    }
    stop("the scheduler", tasks.scheduler, Instant::now() + ANSWER).await;
    ended
}

async fn end_run(run: &Run, grace: Duration, deadline: Instant) -> Ended {
    let plan = text::escape(&run.request().plan);
    let limit = text::duration(grace.as_secs_f64());
    tracing::info!("a backup is running (plan {plan}); it may take {limit} to finish");
    if timeout_at(deadline, run.end()).await.is_ok() {
        return Ended::Done;
    }
    tracing::warn!("the backup (plan {plan}) has not finished within {limit}, and is cancelled");
    run.cancel();
    match timeout(CANCEL, run.end()).await {
        // It got to its end before it saw the flag.
        Ok(end) if end.error.is_none() => Ended::Done,
        Ok(_) => Ended::CutShort,
        Err(_) => {
            tracing::error!(
                "the backup (plan {plan}) does not react and is given up; the next start marks it failed"
            );
            Ended::CutShort
        }
    }
}

async fn stop(part: &str, mut task: JoinHandle<()>, deadline: Instant) {
    if task.is_finished() {
        return;
    }
    if timeout_at(deadline, &mut task).await.is_err() {
        tracing::warn!("{part} still had something to do, and is stopped");
        task.abort();
    }
}
