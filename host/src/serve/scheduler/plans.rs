//! Starting what is due, and counting what is missed.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::rows::Rows;
use super::tick::{Active, Scheduler};
use crate::audit::{self, Grade, Who};
use crate::config::{Config, Schedule};
use crate::engine::wit::types::Backup;
use crate::error::Code;
use crate::lock;
use crate::schedule::{Action, Decision, Last, Plan, Way, due, instant, newest_run};
use crate::serve::runner::{RunEnd, RunRequest};
use crate::state::{PlanState, ScheduleState};

/// A run that another process keeps from starting is tried again after this time, then after twice that.
const HELD_FIRST: Duration = Duration::from_secs(1);
const HELD_MOST: Duration = Duration::from_secs(60);

/// How long a plan that left the configuration is remembered as one that was there.
const REMEMBERED: chrono::TimeDelta = chrono::TimeDelta::days(400);

const IN_THE_WAY: &str = "another run is in the way; it starts afterwards";

/// A plan of the configuration, made ready.
#[derive(Debug)]
pub(super) struct Planned {
    schedule: Schedule,
    pub(super) plan: Plan,
    pub(super) interval: Duration,
    /// What was decided last while nothing was due, when and on what grounds: it holds until the next run.
    idle: Option<(Last, DateTime<Utc>, Decision)>,
    doubted: bool,
    /// When it was last tried to tell that it is stale.
    pub(super) stale_tried: Option<DateTime<Utc>>,
}

/// Makes the configured plans ready and their state up to date: new ones begin now, or with their first run in
/// the catalog; changed ones are to run since now; those that are gone are remembered as that.
pub(super) fn adopt(
    config: &Config,
    state: &mut ScheduleState,
    rows: &Rows,
    now: DateTime<Utc>,
) -> Vec<Planned> {
    let mut before = std::mem::take(&mut state.plans);
    state.former.retain(|_, left| now - *left < REMEMBERED);
    let mut plans = Vec::new();
    for schedule in &config.schedules {
        let plan = Plan::of(schedule, config);
        let interval = plan.times.expected_interval();
        let mut known = before
            .remove(&plan.name)
            .unwrap_or_else(|| PlanState::new(first_run(rows.list(), &plan.name).unwrap_or(now).min(now)));
        let when = plan.times.describe();
        let changed = known.when.as_ref().is_some_and(|before| *before != when);
        if changed || (plan.enabled && !known.enabled) {
            known.since = Some(now);
            known.stale_notified = None;
        }
        known.when = Some(when);
        known.enabled = plan.enabled;
        known.expected_interval_seconds = interval.as_secs();
        if plan.enabled && plan.times.next_after(now).is_none() {
            tracing::warn!(plan = %plan.name, "the plan never comes due: is its pattern right?");
        }
        state.former.remove(&plan.name);
        state.plans.insert(plan.name.clone(), known);
        plans.push(Planned {
            schedule: schedule.clone(),
            plan,
            interval,
            idle: None,
            doubted: false,
            stale_tried: None,
        });
    }
    state.former.extend(before.into_keys().map(|name| (name, now)));
    plans
}

/// When the oldest run of a plan in the catalog began.
fn first_run(rows: &[Backup], plan: &str) -> Option<DateTime<Utc>> {
    rows.iter()
        .find(|row| row.plan.as_deref() == Some(plan))
        .and_then(|row| instant(row.started_at.as_deref()))
}

impl Scheduler {
    /// Takes note of what the run that was started here has come to.
    pub(super) fn settle(&mut self, now: DateTime<Utc>) {
        let Some(active) = &self.active else { return };
        let end = active.run.ended();
        let held = end.as_deref().is_some_and(|end| never_began(end, Code::Busy));
        let refused = end
            .as_deref()
            .is_some_and(|end| never_began(end, Code::Cancelled));
        if active.run.has_begun()
            && !held
            && !refused
            && let Some(known) = self.state.plans.get_mut(&active.plan)
        {
            known.last_due = Some(active.occurrence);
            known.last_started = Some(active.started);
            if end.as_deref().is_some_and(is_complete) {
                known.last_success = Some(now);
            }
        }
        if end.is_none() {
            return;
        }
        if held && active.on_time {
            let (plan, occurrence) = (active.plan.clone(), active.occurrence);
            self.count(&plan, occurrence, 1, "waiting", IN_THE_WAY);
        }
        self.active = None;
        self.held = held.then(|| {
            let wait = self
                .held
                .map_or(HELD_FIRST, |(_, before)| (before * 2).min(HELD_MOST));
            (Instant::now(), wait)
        });
    }

    /// Decides about each plan, and starts the run that is due for the longest time.
    pub(super) fn run_due(&mut self, now: DateTime<Utc>) {
        self.wanted = false;
        let mut ready = Vec::new();
        for at in 0..self.plans.len() {
            let Some(decision) = self.decide(at, None, now) else {
                continue;
            };
            match decision.action {
                Action::Start(_) => ready.push((decision.due_since, at)),
                _ => self.take(at, &decision),
            }
        }
        ready.sort();
        for (_, at) in ready {
            if !self.start(at, now)
                && let Some(decision) = self.decide(at, Some(Way::Other), now)
            {
                self.take(at, &decision);
            }
        }
    }

    /// What is to be done about a plan, and when it comes next.
    fn decide(&mut self, at: usize, way: Option<Way>, now: DateTime<Utc>) -> Option<Decision> {
        let name = self.plans.get(at)?.plan.name.clone();
        let way = way.unwrap_or_else(|| self.way(&name));
        let known = self.state.plans.get_mut(&name)?;
        let row = newest_run(self.rows.list(), &name, now).map(|run| run.covers);
        let mut last = Last::of(Some(known), row, now);
        if let Some(active) = self.active.as_ref().filter(|active| active.plan == name) {
            last.due = last.due.max(Some(active.occurrence));
        }
        let planned = self.plans.get_mut(at)?;
        let holds = |(on, when, what): &&(Last, DateTime<Utc>, Decision)| {
            *on == last && *when <= now && what.next.is_none_or(|next| now < next)
        };
        let decision = match planned.idle.as_ref().filter(holds) {
            Some((.., decision)) => *decision,
            None => due(&planned.plan, &last, way, now),
        };
        planned.idle = (decision.action == Action::Nothing).then_some((last, now, decision));
        known.next = decision.next;
        if decision.doubted && !planned.doubted {
            tracing::warn!(plan = %name, "its last run lies in the future, and is not believed; is the clock right?");
        }
        planned.doubted = decision.doubted;
        Some(decision)
    }

    /// What is in the way of a plan's run, as far as this process knows.
    fn way(&self, name: &str) -> Way {
        if self.active.as_ref().is_some_and(|active| active.plan == name) {
            return Way::Own;
        }
        match self.service.runner.current() {
            Some(run) if run.request().plan == name => Way::Own,
            Some(_) => Way::Other,
            None => Way::Free,
        }
    }

    /// Notes that occurrences were missed or given up.
    fn take(&mut self, at: usize, decision: &Decision) {
        let Some(planned) = self.plans.get(at) else { return };
        let name = planned.plan.name.clone();
        let own = self.way(&name) == Way::Own;
        let (occurrence, status, why) = match decision.action {
            Action::Nothing => return,
            Action::Start(occurrence) => (occurrence, "missed", "one run makes up for all"),
            Action::Wait(occurrence) => (occurrence, "waiting", IN_THE_WAY),
            Action::GiveUp(occurrence) if own => (occurrence, "missed", "its own run was still going on"),
            Action::GiveUp(occurrence) => (occurrence, "missed", "it is not made up for (catch_up = false)"),
        };
        if let Some(known) = self.state.plans.get_mut(&name) {
            known.counted = Some(occurrence);
            match &mut self.active {
                // Goes into the state with the run, so that one that never begins takes nothing with it.
                Some(active) if own => active.occurrence = occurrence,
                _ if matches!(decision.action, Action::GiveUp(_)) => known.last_due = Some(occurrence),
                _ => {}
            }
        }
        self.count(&name, occurrence, decision.missed, status, why);
    }

    /// Counts missed occurrences, and says so.
    fn count(&mut self, plan: &str, occurrence: DateTime<Utc>, missed: u64, status: &str, why: &str) {
        let Some(known) = self.state.plans.get_mut(plan).filter(|_| missed > 0) else {
            return;
        };
        known.missed = known.missed.saturating_add(missed);
        known.last_missed = Some(occurrence);
        let runs = if missed == 1 { "run" } else { "runs" };
        let due = occurrence.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        audit::record(&audit::Entry {
            operation: "scheduled run",
            who: &Who::Schedule(plan.to_owned()),
            from: None,
            target: plan,
            status,
            took: Duration::ZERO,
            grade: Grade::Refused,
            error: Some(&format!(
                "{missed} {runs} missed, the last one due at {due}: {why}"
            )),
        });
    }

    /// Starts a plan's run; false when another one is in the way.
    fn start(&mut self, at: usize, now: DateTime<Utc>) -> bool {
        if self.is_ending() {
            return true;
        }
        let Some(decision) = self.decide(at, None, now) else {
            return true;
        };
        if self.active.is_some() || self.is_held() {
            // What holds them in passing is no other run.
            return decision.on_time && self.holder() == Some(std::process::id());
        }
        let Action::Start(occurrence) = decision.action else {
            return false;
        };
        if self.stop_checks() {
            // It ends at its next step; a run that waits for that alone is not missed.
            self.wanted = true;
            return true;
        }
        let Some(planned) = self.plans.get(at) else {
            return false;
        };
        let schedule = &planned.schedule;
        let request = RunRequest {
            backup_type: schedule.backup_type.clone(),
            plan: schedule.name.clone(),
            full: schedule.full,
            who: Who::Schedule(schedule.name.clone()),
        };
        let plan = schedule.name.clone();
        match self.service.runner.start(request) {
            Ok(run) => {
                self.take(at, &decision);
                self.active = Some(Active {
                    plan,
                    occurrence,
                    on_time: decision.on_time,
                    started: now,
                    run,
                });
                true
            }
            Err(error) if error.code == Code::Busy => false,
            Err(error) if error.code == Code::Cancelled => true,
            Err(error) => {
                tracing::error!(%plan, "the run can't be started: {error}");
                self.held = Some((Instant::now(), HELD_MOST));
                false
            }
        }
    }

    /// Whether anybody holds the backups, or did so a moment ago.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some_and(|(when, wait)| when.elapsed() < wait) || self.holder().is_some()
    }

    /// The process that holds the backups. This one does so in passing: to record a verification, for a call of
    /// the API.
    fn holder(&self) -> Option<u32> {
        self.service.context.backups().ok().and_then(lock::holder)
    }
}

/// Whether a run ended with this before it had a row in the catalog.
fn never_began(end: &RunEnd, code: Code) -> bool {
    end.backup.is_none() && end.error.as_ref().is_some_and(|error| error.code == code)
}

fn is_complete(end: &RunEnd) -> bool {
    end.error.is_none()
        && end
            .backup
            .as_ref()
            .is_some_and(|backup| backup.status == "completed")
}
