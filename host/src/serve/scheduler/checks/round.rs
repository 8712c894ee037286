//! One kind of check: its times, the archives whose turn it is, and the one that is being looked at on a thread of
//! its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::choice;
use crate::audit::{self, Grade, Who};
use crate::config::{At, Config, When};
use crate::context::{self, Context};
use crate::drill;
use crate::engine::Control;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::schedule::{Action, Last, Plan, Times, Way, due};
use crate::sealed;
use crate::state::CheckState;
use crate::verify;

/// An archive whose check a run stops so often is left for the next time.
const INTERRUPTIONS: u32 = 3;

/// How long a run waits for a drill to stop. A drill works on a copy, and needs the backups for its record alone.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done with an archive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Every archive in its turn, each before its last verification is this old.
    Verification { max_age: Duration },
    /// The newest archive, unless one has passed so recently.
    Drill { max_age: Option<Duration> },
}

impl Kind {
    /// Who asks, in the audit log.
    const fn name(self) -> &'static str {
        match self {
            Self::Verification { .. } => "verify",
            Self::Drill { .. } => "drill",
        }
    }

    /// What it is called in sentences.
    const fn title(self) -> &'static str {
        match self {
            Self::Verification { .. } => "scheduled verification",
            Self::Drill { .. } => "scheduled drill",
        }
    }
}

/// What came of one archive.
#[derive(Debug)]
struct Checked {
    /// In one word.
    status: &'static str,
    outcome: Outcome,
    problems: Vec<String>,
    unrecorded: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sound,
    Failed,
    GivenUp,
}

/// What is checked when, and what goes on.
#[derive(Debug)]
pub(super) struct Rounds {
    kind: Kind,
    plan: Plan,
    interval: Duration,
    wake: Arc<Notify>,
    queue: VecDeque<Backup>,
    step: Option<Step>,
    interrupted: u32,
    /// Since when, and what came of it so far; none while nothing goes on.
    round: Option<Round>,
    /// That drills are not possible has been said.
    told: bool,
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
    /// When it was first told to stop.
    stopped: Option<Instant>,
    /// It did not, and nobody waits for it any more.
    left_alone: bool,
    result: Receiver<Result<Checked>>,
}

impl Rounds {
    pub(super) fn new(kind: Kind, at: &At, config: &Config, wake: &Arc<Notify>) -> Self {
        let times = Times::new(&When::At(at.clone()), config.time_zone);
        Self {
            kind,
            interval: times.expected_interval(),
            plan: Plan {
                name: kind.name().to_owned(),
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
            told: false,
        }
    }

    /// The longest time between two successes that the configuration asks for.
    pub(super) fn expected_interval(&self) -> Duration {
        match self.kind {
            Kind::Verification { .. } => self.interval,
            Kind::Drill { max_age } => max_age.map_or(self.interval, |age| age.max(self.interval)),
        }
    }

    /// Stops what goes on; true while something does that a run has to wait for.
    pub(super) fn stop(&mut self) -> bool {
        let Some(step) = &mut self.step else { return false };
        step.cancel.store(true, Ordering::SeqCst);
        let stopped = *step.stopped.get_or_insert_with(Instant::now);
        if matches!(self.kind, Kind::Verification { .. }) || stopped.elapsed() < PATIENCE {
            return true;
        }
        if !std::mem::replace(&mut step.left_alone, true) {
            tracing::error!(
                archive = step.backup.id,
                "the {} does not stop; runs go on beside it",
                self.kind.title()
            );
        }
        false
    }

    /// Whether an archive is being looked at.
    pub(super) fn is_busy(&self) -> bool {
        self.step.is_some()
    }

    /// Begins, goes on and ends as it comes; nothing is started where something is `in_the_way`.
    pub(super) fn advance(
        &mut self,
        state: &mut CheckState,
        context: &Arc<Context>,
        rows: &[Backup],
        now: DateTime<Utc>,
        in_the_way: bool,
    ) {
        if self.round.is_none() {
            self.begin(state, context, rows, now);
        }
        if self.step.is_some() {
            return;
        }
        if self.queue.is_empty() {
            self.finish(state, now);
        } else if !in_the_way {
            self.next_step(context, rows);
        }
    }

    /// When the next one is due; begins it if that is now.
    fn begin(&mut self, state: &mut CheckState, context: &Context, rows: &[Backup], now: DateTime<Utc>) {
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
            self.queue = match self.kind {
                Kind::Verification { max_age } => choice::to_verify(rows, now, self.interval, max_age),
                Kind::Drill { max_age } => choice::to_drill(rows, now, self.interval, max_age),
            }
            .into();
            let closed = self.leave_closed(context);
            self.round = Some(Round {
                began: Instant::now(),
                sound: 0,
                failed: 0,
                given_up: closed,
            });
            tracing::info!(archives = self.queue.len(), "the {} begins", self.kind.title());
        }
    }

    /// Leaves out what nobody here can open, and says so once: each drill of it would fail in the same way. How many
    /// that are.
    fn leave_closed(&mut self, context: &Context) -> u64 {
        if matches!(self.kind, Kind::Verification { .. }) || sealed::can_open(&context.config) {
            return 0;
        }
        let before = self.queue.len();
        let first = self.queue.iter().find(|backup| backup.encrypted);
        if let Some(backup) = first
            && !std::mem::replace(&mut self.told, true)
        {
            tracing::warn!(
                "no {} is held: {}",
                self.kind.title(),
                sealed::needs_identity(&backup.name)
            );
        }
        self.queue.retain(|backup| !backup.encrypted);
        (before - self.queue.len()) as u64
    }

    /// Takes the result of the archive that was looked at, if it has one.
    pub(super) fn settle(&mut self) {
        let Some(step) = self.step.take() else { return };
        let result = match step.result.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => {
                self.step = Some(step);
                return;
            }
            Err(TryRecvError::Disconnected) => Err(Error::new(Code::Internal, "the check's thread died")),
        };
        let Some(round) = &mut self.round else { return };
        let stopped = matches!(&result, Err(error) if error.code == Code::Cancelled);
        if stopped && self.interrupted + 1 < INTERRUPTIONS {
            self.interrupted += 1;
            self.queue.push_front(step.backup);
            return;
        }
        self.interrupted = 0;
        match result
            .as_ref()
            .map_or(Outcome::GivenUp, |checked| checked.outcome)
        {
            Outcome::Sound => round.sound += 1,
            Outcome::Failed => round.failed += 1,
            Outcome::GivenUp => round.given_up += 1,
        }
        record(self.kind, &step, &result);
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
            let (context, backup, kind) = (Arc::clone(context), backup.clone(), self.kind);
            let (cancel, wake) = (Arc::clone(&cancel), Arc::clone(&self.wake));
            move || {
                let checked = catch_unwind(AssertUnwindSafe(|| one(kind, &context, backup, cancel)));
                // The scheduler has gone: then nobody wants to know.
                let _ = send.send(
                    checked
                        .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the check's thread panicked"))),
                );
                wake.notify_one();
            }
        };
        match std::thread::Builder::new()
            .name(format!("cofre-{}", self.kind.name()))
            .spawn(work)
        {
            Ok(_) => {
                self.step = Some(Step {
                    backup,
                    began: Instant::now(),
                    cancel,
                    stopped: None,
                    left_alone: false,
                    result,
                });
            }
            Err(error) => {
                tracing::error!(
                    "the {} stops: {}",
                    self.kind.title(),
                    Error::io("start a thread", &error)
                );
                self.queue.clear();
            }
        }
    }

    /// Closes a round that is through.
    fn finish(&mut self, state: &mut CheckState, now: DateTime<Utc>) {
        let Some(round) = self.round.take() else { return };
        tracing::info!(
            sound = round.sound,
            failed = round.failed,
            given_up = round.given_up,
            seconds = round.began.elapsed().as_secs(),
            "the {} ends",
            self.kind.title()
        );
        state.last_finished = Some(now);
        state.sound = round.sound;
        state.failed = round.failed;
        state.given_up = round.given_up;
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        self.stop();
    }
}

fn one(kind: Kind, context: &Context, backup: Backup, cancel: Arc<AtomicBool>) -> Result<Checked> {
    let config = context.config.clone();
    let mut control = Control {
        cancel,
        on_progress: Box::new(|_| ()),
        now: Box::new(move || context::now(&config)),
    };
    Ok(match kind {
        Kind::Verification { .. } => {
            let verified = verify::verify(context, backup, false, &mut control)?;
            let status = verified.verification.status;
            Checked {
                status,
                outcome: if status == "failed" {
                    Outcome::Failed
                } else {
                    Outcome::Sound
                },
                problems: verified.verification.problems,
                unrecorded: verified.unrecorded,
            }
        }
        Kind::Drill { .. } => {
            let held = drill::drill(context, backup, &mut control)?;
            Checked {
                status: held.report.status,
                outcome: match held.report.status {
                    drill::PASSED => Outcome::Sound,
                    drill::FAILED => Outcome::Failed,
                    _ => Outcome::GivenUp,
                },
                problems: held
                    .report
                    .problems
                    .into_iter()
                    .map(|problem| problem.message)
                    .collect(),
                unrecorded: held.unrecorded,
            }
        }
    })
}

/// One line of the audit log for each archive.
fn record(kind: Kind, step: &Step, result: &Result<Checked>) {
    let (status, error) = match result {
        Ok(checked) => {
            let problems = checked.problems.join("; ");
            let unrecorded = checked.unrecorded.as_ref();
            let unrecorded = unrecorded.map(|error| format!("the result is not in the catalog: {error}"));
            let problems = Some(problems).filter(|problems| !problems.is_empty());
            (checked.status, problems.or(unrecorded))
        }
        Err(error) => (error.code.name(), Some(error.to_string())),
    };
    audit::record(&audit::Entry {
        operation: kind.title(),
        who: &Who::Schedule(kind.name().to_owned()),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::schedule::testing::row;

    #[test]
    fn no_run_waits_for_ever_for_a_drill_that_does_not_stop() {
        let config = Config::parse("[sources.static]\npath = 'static'\n", Path::new("/srv")).unwrap();
        let at = At {
            days: Vec::new(),
            time: chrono::NaiveTime::MIN,
        };
        let kind = Kind::Drill { max_age: None };
        let mut rounds = Rounds::new(kind, &at, &config, &Arc::new(Notify::new()));
        assert!(!rounds.stop());
        // Its thread never answers.
        let (_never, result) = channel();
        let cancel = Arc::new(AtomicBool::new(false));
        rounds.step = Some(Step {
            backup: row(
                1,
                "daily",
                "completed",
                "2026-03-01T02:00:00Z",
                "2026-03-01T02:05:00Z",
            ),
            began: Instant::now(),
            cancel: Arc::clone(&cancel),
            stopped: None,
            left_alone: false,
            result,
        });
        assert!(rounds.stop() && cancel.load(Ordering::SeqCst));
        rounds.step.as_mut().unwrap().stopped = Instant::now().checked_sub(PATIENCE);
        assert!(!rounds.stop());
        assert!(rounds.is_busy(), "no other check begins beside it");
    }
}
