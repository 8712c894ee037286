//! Starts each plan's runs at their time, makes up for missed ones, verifies archives little by little, practises
//! restores, and says when a plan has had no success for too long.
//!
//! What is due is decided in [`crate::schedule`], by pure functions; what has to be remembered is in
//! [`crate::state`]. Everything that touches a disk runs on a blocking thread, so that a dead mount stops this and
//! not the API.

mod checks;
mod clock;
mod plans;
mod rows;
mod stale;
mod tick;

use std::sync::Arc;
use std::time::Duration;

use cofre_exporter::component::run::INTERRUPTED;
use tokio::task::spawn_blocking;

use super::Service;
use super::runner::Run;
use crate::audit::{self, Grade, Who};
use crate::context::Context;
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Result};
use crate::notify;
use tick::{Scheduler, Wait};

/// How long it waits after a bug, or a state folder that can't be read.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Runs the schedule until the service ends, and starts nothing afterwards.
pub async fn run(service: Arc<Service>) {
    let mut ending = service.ending.clone();
    let ended = tokio::select! {
        () = run_on(Arc::clone(&service)) => false,
        // That the sender is gone means the same.
        _ = ending.wait_for(|ending| *ending) => true,
    };
    // A tick may still be on its way.
    service.runner.close();
    tracing::debug!(ended, "the scheduler ends");
}

async fn run_on(service: Arc<Service>) {
    let mut complained = None;
    while !*service.ending.borrow() {
        let opened = spawn_blocking({
            let service = Arc::clone(&service);
            move || Scheduler::open(service)
        });
        match opened.await {
            Ok(Ok(scheduler)) => {
                complained = None;
                tick_on(scheduler).await;
                tracing::error!(
                    "the scheduler stopped by a bug, and starts again; please report it with the log"
                );
            }
            Ok(Err(error)) => {
                let said = error.to_string();
                if complained.as_ref() != Some(&said) {
                    tracing::error!("nothing runs by the schedule: {said}");
                    complained = Some(said);
                }
            }
            Err(panic) => tracing::error!("the scheduler did not start by a bug: {panic}"),
        }
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

/// Ticks; returns only when a tick panicked.
async fn tick_on(mut scheduler: Scheduler) {
    let wake = scheduler.waker();
    loop {
        let ticked = spawn_blocking(move || {
            let wait = scheduler.tick();
            (scheduler, wait)
        });
        let Ok((back, Wait { time, run })) = ticked.await else {
            return;
        };
        scheduler = back;
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = wake.notified() => {}
            () = moved(run) => {}
        }
    }
}

/// Waits until a run gets its row or ends.
async fn moved(run: Option<Run>) {
    match run {
        None => std::future::pending().await,
        Some(run) if run.has_begun() => drop(run.end().await),
        Some(run) => drop(run.begun().await),
    }
}

/// Closes the rows of runs that a crash interrupted, and tells of them. Called once, before anything else starts;
/// while another process holds the backups, its run closes them.
///
/// # Errors
/// What reading and writing the catalog says.
pub fn recover(context: &Context) -> Result<()> {
    if context.is_fresh() {
        return Ok(());
    }
    let exclusive = match context.exclusive() {
        Err(error) if error.code == Code::Busy => {
            tracing::info!("interrupted runs are left to whoever holds the backups: {error}");
            return Ok(());
        }
        exclusive => exclusive?,
    };
    exclusive.remember_history();
    // Where nobody was ever told of anything, what has ended until now is old; what ends now is not.
    notify::ended_runs(context, &exclusive);
    let mut session = exclusive.writer()?;
    for row in session.list()? {
        if row.status == Status::InProgress {
            session.fail_run(row.id, INTERRUPTED.to_owned(), false, context.now())?;
            record_interrupted(&row);
        }
    }
    drop(session);
    notify::ended_runs(context, &exclusive);
    Ok(())
}

/// The audit line of a run that could not write its own. Who asked for a run by hand is not known any more.
fn record_interrupted(row: &Backup) {
    let who = match row.plan.as_deref() {
        None | Some("manual") => Who::Anonymous,
        Some(plan) => Who::Schedule(plan.to_owned()),
    };
    audit::record(&audit::Entry {
        operation: "run",
        who: &who,
        from: None,
        target: &format!("{} {}", row.id, row.name),
        status: "failed",
        took: Duration::ZERO,
        grade: Grade::Problem,
        error: Some(INTERRUPTED),
    });
}

#[cfg(test)]
mod tests;
