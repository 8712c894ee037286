//! The scheduled verification: each time a share of the archives, the oldest check first, one at a time, and never
//! beside a backup run, which goes first.

mod choice;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::tick::Scheduler;
use crate::audit::{self, Grade, Who};
use crate::config::When;
use crate::context::{self, Context};
use crate::engine::Control;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::schedule::{Action, Last, Plan, Times, Way, due};
use crate::serve::Service;
use crate::state::{ScheduleState, VerifyState};
use crate::verify::{self, Verified};

/// Who asks, in the audit log.
const NAME: &str = "verify";

/// An archive whose verification a run stops so often is left for the next time.
const INTERRUPTIONS: u32 = 3;

/// What is verified when, and what goes on.
#[derive(Debug)]
pub(super) struct Verification {
    plan: Plan,
    interval: Duration,
    max_age: Duration,
    wake: Arc<Notify>,
    queue: VecDeque<Backup>,
    step: Option<Step>,
    interrupted: u32,
    /// Since when, and what came of it so far; none while nothing goes on.
    round: Option<Round>,
}

#[derive(Debug)]
struct Round {
    began: Instant,
    sound: u64,
    failed: u64,
    given_up: u64,
}

/// One archive.
#[derive(Debug)]
struct Step {
    backup: Backup,
    began: Instant,
    cancel: Arc<AtomicBool>,
    result: Receiver<Result<Verified>>,
}

impl Verification {
    /// What the configuration asks for, and its state.
    pub(super) fn adopt(
        service: &Service,
        state: &mut ScheduleState,
        now: DateTime<Utc>,
        wake: &Arc<Notify>,
    ) -> Option<Self> {
        let config = &service.context.config;
        let Some(verify) = &config.verify else {
            state.verify = None;
            return None;
        };
        let times = Times::new(&When::At(verify.at.clone()), config.time_zone);
        let interval = times.expected_interval();
        let known = state.verify.get_or_insert_with(|| VerifyState::new(now));
        known.expected_interval_seconds = interval.as_secs();
        Some(Self {
            interval,
            max_age: verify.max_age,
            plan: Plan {
                name: NAME.to_owned(),
                repository: config.repository.clone(),
                times,
                jitter: Duration::ZERO,
                enabled: true,
                catch_up: true,
            },
            wake: Arc::clone(wake),
            queue: VecDeque::new(),
            step: None,
            interrupted: 0,
            round: None,
        })
    }

    /// Stops what goes on; true while something does. It is verified again later.
    pub(super) fn stop(&self) -> bool {
        if let Some(step) = &self.step {
            step.cancel.store(true, Ordering::SeqCst);
        }
        self.step.is_some()
    }

    /// When the next one is due; begins it if that is now.
    fn begin(&mut self, state: &mut VerifyState, rows: &[Backup], now: DateTime<Utc>) {
        let last = Last {
            since: state.created,
            due: state.last_due,
            row: None,
            counted: None,
        };
        let decision = due(&self.plan, &last, Way::Free, now);
        state.next = decision.next;
        if let Action::Start(occurrence) = decision.action {
            state.last_due = Some(occurrence);
            self.queue = choice::to_verify(rows, now, self.interval, self.max_age).into();
            self.round = Some(Round {
                began: Instant::now(),
                sound: 0,
                failed: 0,
                given_up: 0,
            });
            tracing::info!(archives = self.queue.len(), "the scheduled verification begins");
        }
    }

    /// Takes the result of the archive that was verified, if it has one.
    fn settle(&mut self) {
        let Some(step) = self.step.take() else { return };
        let result = match step.result.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => {
                self.step = Some(step);
                return;
            }
            Err(TryRecvError::Disconnected) => {
                Err(Error::new(Code::Internal, "the verification's thread died"))
            }
        };
        let Some(round) = &mut self.round else { return };
        let stopped = matches!(&result, Err(error) if error.code == Code::Cancelled);
        if stopped && self.interrupted + 1 < INTERRUPTIONS {
            self.interrupted += 1;
            self.queue.push_front(step.backup);
            return;
        }
        self.interrupted = 0;
        match &result {
            Ok(verified) if verified.verification.status == "failed" => round.failed += 1,
            Ok(_) => round.sound += 1,
            Err(_) => round.given_up += 1,
        }
        record(&step, &result);
    }

    /// Starts with the next archive that was not deleted since.
    fn next_step(&mut self, context: &Arc<Context>, rows: &[Backup]) {
        self.queue
            .retain(|backup| rows.iter().any(|row| row.id == backup.id));
        let Some(backup) = self.queue.pop_front() else {
            return;
        };
        let cancel = Arc::new(AtomicBool::new(false));
        let (send, result) = channel();
        let work = {
            let (context, backup) = (Arc::clone(context), backup.clone());
            let (cancel, wake) = (Arc::clone(&cancel), Arc::clone(&self.wake));
            move || {
                let verified = catch_unwind(AssertUnwindSafe(|| one(&context, backup, cancel)));
                // The scheduler has gone: then nobody wants to know.
                let _ = send.send(verified.unwrap_or_else(|_| {
                    Err(Error::new(Code::Internal, "the verification's thread panicked"))
                }));
                wake.notify_one();
            }
        };
        match std::thread::Builder::new()
            .name("cofre-verify".to_owned())
            .spawn(work)
        {
            Ok(_) => {
                self.step = Some(Step {
                    backup,
                    began: Instant::now(),
                    cancel,
                    result,
                });
            }
            Err(error) => {
                tracing::error!(
                    "the scheduled verification stops: {}",
                    Error::io("start a thread", &error)
                );
                self.queue.clear();
            }
        }
    }

    /// Closes a round that is through.
    fn finish(&mut self, state: &mut VerifyState, now: DateTime<Utc>) {
        let Some(round) = self.round.take() else { return };
        tracing::info!(
            sound = round.sound,
            failed = round.failed,
            given_up = round.given_up,
            seconds = round.began.elapsed().as_secs(),
            "the scheduled verification ends"
        );
        state.last_finished = Some(now);
        state.sound = round.sound;
        state.failed = round.failed;
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Scheduler {
    /// Begins the verification at its time, and goes on with it while no run is in the way.
    pub(super) fn verify_due(&mut self, now: DateTime<Utc>) {
        let runs = self.wanted || self.active.is_some() || self.service.runner.current().is_some();
        let idle = !runs && !self.is_ending();
        let held = idle && self.is_held();
        let (Some(verification), Some(state)) = (&mut self.verification, &mut self.state.verify) else {
            return;
        };
        verification.settle();
        if !idle {
            verification.stop();
            return;
        }
        if verification.round.is_none() {
            verification.begin(state, self.rows.list(), now);
        }
        if verification.step.is_none() && verification.queue.is_empty() {
            verification.finish(state, now);
        } else if verification.step.is_none() && !held {
            verification.next_step(&self.service.context, self.rows.list());
        }
    }
}

fn one(context: &Context, backup: Backup, cancel: Arc<AtomicBool>) -> Result<Verified> {
    let config = context.config.clone();
    let mut control = Control {
        cancel,
        on_progress: Box::new(|_| ()),
        now: Box::new(move || context::now(&config)),
    };
    verify::verify(context, backup, false, &mut control)
}

/// One line of the audit log for each archive.
fn record(step: &Step, result: &Result<Verified>) {
    let (status, error) = match result {
        Ok(verified) => {
            let problems = verified.verification.problems.join("; ");
            let unrecorded = verified.unrecorded.as_ref();
            let unrecorded = unrecorded.map(|error| format!("the result is not in the catalog: {error}"));
            let problems = Some(problems).filter(|problems| !problems.is_empty());
            (verified.verification.status, problems.or(unrecorded))
        }
        Err(error) => (error.code.name(), Some(error.to_string())),
    };
    audit::record(&audit::Entry {
        operation: "scheduled verification",
        who: &Who::Schedule(NAME.to_owned()),
        from: None,
        target: &format!("{} {}", step.backup.id, step.backup.name),
        status,
        took: step.began.elapsed(),
        grade: if error.is_none() {
            Grade::Normal
        } else {
            Grade::Problem
        },
        error: error.as_deref(),
    });
}
