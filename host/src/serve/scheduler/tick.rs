//! One look at the clock: what has ended, what is due, what has to be remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use super::checks::Checks;
use super::clock::Clock;
use super::plans::Planned;
use super::rows::Rows;
use crate::error::Result;
use crate::notify;
use crate::serve::Service;
use crate::serve::runner::Run;
use crate::state::{self, ScheduleState};

/// How often `last_tick` is written when nothing else is.
const REMEMBER_EVERY: TimeDelta = TimeDelta::seconds(60);

/// How often telling of ended runs is tried again.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The shortest wait: a clock that is a little behind must not make it spin.
const SHORTEST: Duration = Duration::from_millis(20);

/// The schedule of one service.
#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) service: Arc<Service>,
    pub(super) clock: Clock,
    pub(super) state: ScheduleState,
    pub(super) plans: Vec<Planned>,
    pub(super) rows: Rows,
    /// The run that was started here and goes on.
    pub(super) active: Option<Active>,
    /// Another process held the backups when a run was started: when, and how long to leave it alone.
    pub(super) held: Option<(Instant, Duration)>,
    /// A run is due as soon as the check that goes on has stopped.
    pub(super) wanted: bool,
    pub(super) checks: Checks,
    pub(super) wake: Arc<Notify>,
    /// When telling of ended runs was last tried again.
    told: Option<Instant>,
    saved: Option<ScheduleState>,
    complained: Option<String>,
}

/// A run that was started here.
#[derive(Debug)]
pub(super) struct Active {
    /// Its plan's name.
    pub(super) plan: String,
    /// The occurrence up to which it makes up.
    pub(super) occurrence: DateTime<Utc>,
    /// That occurrence was not missed when it was started.
    pub(super) on_time: bool,
    /// When it was started.
    pub(super) started: DateTime<Utc>,
    /// The run.
    pub(super) run: Run,
}

/// Until when nothing is to be done.
#[derive(Debug)]
pub(super) struct Wait {
    /// At most this long,
    pub(super) time: Duration,
    /// or until this run gets its row or ends.
    pub(super) run: Option<Run>,
}

impl Scheduler {
    /// Takes up what was remembered, or what the catalog tells.
    ///
    /// # Errors
    /// What [`state::load`] says.
    pub(super) fn open(service: Arc<Service>) -> Result<Self> {
        Self::with_clock(service, Clock::from_env())
    }

    pub(super) fn with_clock(service: Arc<Service>, clock: Clock) -> Result<Self> {
        let context = &service.context;
        let saved = state::load(&context.config)?;
        let mut rows = Rows::default();
        rows.refresh(context);
        let now = clock.now();
        let mut state = saved.clone().unwrap_or_default();
        let plans = super::plans::adopt(&context.config, &mut state, &rows, now);
        let wake = Arc::new(Notify::new());
        let checks = Checks::adopt(&service.context.config, &mut state, now, &wake);
        Ok(Self {
            clock,
            state,
            plans,
            rows,
            active: None,
            held: None,
            wanted: false,
            checks,
            wake,
            told: None,
            saved,
            complained: None,
            service,
        })
    }

    /// Woken when something ends in between.
    pub(super) fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Looks once.
    pub(super) fn tick(&mut self) -> Wait {
        let now = self.clock.now();
        self.rows.refresh(&self.service.context);
        self.settle(now);
        self.run_due(now);
        self.report_stale(now);
        self.tell_again();
        self.check_due(now);
        self.remember(now);
        self.wait()
    }

    /// Whether the service ends, and nothing is to be started.
    pub(super) fn is_ending(&self) -> bool {
        *self.service.ending.borrow()
    }

    /// Tells of ended runs again when that was not possible at their end: the next run may be a day away.
    fn tell_again(&mut self) {
        let just_tried = self.told.is_some_and(|tried| tried.elapsed() < TELL_AGAIN);
        if !notify::has_untold() || just_tried || self.active.is_some() || self.is_held() {
            return;
        }
        self.told = Some(Instant::now());
        match self.service.context.exclusive() {
            Ok(exclusive) => notify::ended_runs(&self.service.context, &exclusive),
            Err(error) => tracing::debug!("ended runs are told later: {error}"),
        }
    }

    /// Writes the state if it has changed, and at least once a minute.
    fn remember(&mut self, now: DateTime<Utc>) {
        let fresh = |last: DateTime<Utc>| last <= now && now - last < REMEMBER_EVERY;
        if self.state.last_tick.is_some_and(fresh) && self.saved.as_ref() == Some(&self.state) {
            return;
        }
        self.state.last_tick = Some(now);
        match state::save(&self.service.context.config, &self.state) {
            Ok(()) => {
                self.saved = Some(self.state.clone());
                self.complained = None;
            }
            Err(error) => {
                let said = error.to_string();
                if self.complained.as_ref() != Some(&said) {
                    tracing::error!("the schedule goes on, but a restart will not know of it: {said}");
                    self.complained = Some(said);
                }
            }
        }
    }

    fn wait(&self) -> Wait {
        let now = self.clock.now();
        // One that is due waits for the run in its way, whose end wakes this.
        let checks = [&self.state.verify, &self.state.drill].into_iter().flatten();
        let checks = checks.filter_map(|check| check.next).filter(|next| *next > now);
        let next = self.state.plans.values().filter_map(|plan| plan.next);
        let time = next
            .chain(checks)
            .min()
            .map_or(Duration::MAX, |next| (next - now).to_std().unwrap_or_default());
        let ours = self.active.as_ref().map(|active| active.run.clone());
        Wait {
            time: time.clamp(SHORTEST, self.clock.patience()),
            run: ours.or_else(|| self.service.runner.current()),
        }
    }
}
