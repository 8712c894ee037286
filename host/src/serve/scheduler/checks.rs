//! The scheduled checks of archives, one archive at a time and never beside a backup run, which goes first: the
//! verification of a share of them each time, and the practised restore of the newest one.

mod choice;
mod round;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::tick::Scheduler;
use crate::config::{At, Config};
use crate::state::{CheckState, ScheduleState};
use round::{Kind, Rounds};

/// What is checked when, and what goes on.
#[derive(Debug)]
pub(super) struct Checks {
    verification: Option<Rounds>,
    drill: Option<Rounds>,
}

impl Checks {
    /// What the configuration asks for, and its state.
    pub(super) fn adopt(
        config: &Config,
        state: &mut ScheduleState,
        now: DateTime<Utc>,
        wake: &Arc<Notify>,
    ) -> Self {
        let make = |kind: Kind, at: Option<&At>, known: &mut Option<CheckState>| {
            let Some(at) = at else {
                *known = None;
                return None;
            };
            let rounds = Rounds::new(kind, at, config, wake);
            let known = known.get_or_insert_with(|| CheckState::new(now));
            known.expected_interval_seconds = rounds.expected_interval().as_secs();
            Some(rounds)
        };
        let verify = config.verify.as_ref();
        let drill = config.drill.as_ref();
        Self {
            verification: make(
                Kind::Verification {
                    max_age: verify.map(|plan| plan.max_age).unwrap_or_default(),
                },
                verify.map(|plan| &plan.at),
                &mut state.verify,
            ),
            drill: make(
                Kind::Drill {
                    max_age: drill.and_then(|plan| plan.max_age),
                },
                drill.and_then(|plan| plan.at.as_ref()),
                &mut state.drill,
            ),
        }
    }

    fn both(&self) -> impl Iterator<Item = &Rounds> {
        [&self.verification, &self.drill].into_iter().flatten()
    }

    /// Stops what goes on; true while something does. It is checked again later.
    pub(super) fn stop(&mut self) -> bool {
        let both = [&mut self.verification, &mut self.drill];
        let both = both.into_iter().flatten();
        // Not `any`, which would stop at the first.
        both.filter_map(|rounds| rounds.stop().then_some(())).count() > 0
    }

    /// Whether an archive is being looked at.
    fn is_busy(&self) -> bool {
        self.both().any(Rounds::is_busy)
    }
}

impl Scheduler {
    /// Stops what goes on of the checks, since a run is due; true while something does.
    pub(super) fn stop_checks(&mut self) -> bool {
        self.checks.stop()
    }

    /// Begins each check at its time, and goes on with it while no run is in the way.
    pub(super) fn check_due(&mut self, now: DateTime<Utc>) {
        let runs = self.wanted || self.active.is_some() || self.service.runner.current().is_some();
        let idle = !runs && !self.is_ending();
        let held = idle && self.is_held();
        for rounds in [&mut self.checks.verification, &mut self.checks.drill]
            .into_iter()
            .flatten()
        {
            rounds.settle();
        }
        if !idle {
            self.checks.stop();
            return;
        }
        let mut busy = self.checks.is_busy();
        let each = [
            (&mut self.checks.verification, &mut self.state.verify),
            (&mut self.checks.drill, &mut self.state.drill),
        ];
        for (rounds, state) in each {
            let (Some(rounds), Some(state)) = (rounds, state) else {
                continue;
            };
            rounds.advance(state, &self.service.context, self.rows.list(), now, held || busy);
            busy |= rounds.is_busy();
        }
    }
}
