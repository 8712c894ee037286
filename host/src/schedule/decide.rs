//! What is to be done about a plan now: pure, so that sleeping machines and jumping clocks can be walked through
//! in a test.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::{Times, jitter_of};
use crate::config::{Config, Schedule};

/// A run that starts up to this much after its time is not late.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// A last run further in the future than this is a wrong clock's, and not believed: it would keep the plan from
/// running until then. Below it lies whatever a clock is set back by for a good reason, a wrong zone included.
const BELIEVED: TimeDelta = TimeDelta::hours(26);

/// What was missed longer ago is not looked at: one run makes up for it all the same.
const LOOK_BACK: TimeDelta = TimeDelta::days(366);

/// More missed runs than this are not counted one by one.
const COUNT_LIMIT: u64 = 10_000;

/// A plan, made ready.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The repository's name, for the jitter.
    pub repository: String,
    /// Its times.
    pub times: Times,
    /// Each start is put off by up to this much.
    pub jitter: Duration,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Whether a run that was missed is made up for.
    pub catch_up: bool,
}

/// What is known of a plan's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Since when it is to run: its creation, or its last change.
    pub since: DateTime<Utc>,
    /// The newest occurrence that was run or given up.
    pub due: Option<DateTime<Utc>>,
    /// Its newest run in the catalog, whoever started it.
    pub row: Option<DateTime<Utc>>,
    /// Up to which occurrence missed ones are counted already.
    pub counted: Option<DateTime<Utc>>,
}

/// What is in a run's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing.
    Free,
    /// A run of the same plan.
    Own,
    /// Another run.
    Other,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing is due.
    Nothing,
    /// Start a run, which makes up for everything up to this occurrence.
    Start(DateTime<Utc>),
    /// A run is due up to this occurrence, and starts as soon as the way is free.
    Wait(DateTime<Utc>),
    /// Nothing up to this occurrence is to be run any more.
    GiveUp(DateTime<Utc>),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// How many occurrences turn out to be missed now: no run could start at their time. Those up to
    /// [`Last::counted`] are not among them.
    pub missed: u64,
    /// The newest occurrence can still start at its time, and is not among the missed ones.
    pub on_time: bool,
    /// Since when a run is due.
    pub due_since: Option<DateTime<Utc>>,
    /// When the next run starts after now, its jitter included.
    pub next: Option<DateTime<Utc>>,
    /// A last run was too far in the future to be believed.
    pub doubted: bool,
}

impl Plan {
    /// The plan of a configured schedule.
    #[must_use]
    pub fn of(schedule: &Schedule, config: &Config) -> Self {
        Self {
            name: schedule.name.clone(),
            repository: config.repository.clone(),
            times: Times::new(&schedule.when, config.time_zone),
            jitter: schedule.jitter,
            enabled: schedule.enabled,
            catch_up: schedule.catch_up,
        }
    }

    /// When the run of an occurrence starts. The jitter never reaches the following occurrence, so that the order
    /// stays.
    fn start_of(&self, occurrence: DateTime<Utc>, following: Option<DateTime<Utc>>) -> DateTime<Utc> {
        let room = following.map_or(self.jitter, |following| {
            (following - occurrence).to_std().unwrap_or_default()
        });
        let jitter = jitter_of(&self.repository, &self.name, occurrence, self.jitter.min(room));
        TimeDelta::from_std(jitter)
            .ok()
            .and_then(|jitter| occurrence.checked_add_signed(jitter))
            .unwrap_or(occurrence)
    }
}

impl Last {
    /// The newest thing that says that the plan has run, as far as that can be believed.
    fn believed(&self, now: DateTime<Utc>) -> (DateTime<Utc>, bool) {
        let limit = now.checked_add_signed(BELIEVED).unwrap_or(now);
        let known = [Some(self.since), self.due, self.row];
        let newest = known.into_iter().flatten().filter(|at| *at <= limit).max();
        let doubted = known.into_iter().flatten().any(|at| at > limit);
        let oldest = now.checked_sub_signed(LOOK_BACK).unwrap_or(now);
        (newest.unwrap_or(now).max(oldest), doubted)
    }
}

/// The occurrences that have come due.
struct Found {
    newest: DateTime<Utc>,
    start: DateTime<Utc>,
    since: DateTime<Utc>,
    uncounted: u64,
}

/// Decides. However many occurrences came due since the last run, one run makes up for them; an occurrence up to
/// the last run never comes due again, also when the clock jumps back.
#[must_use]
pub fn due(plan: &Plan, last: &Last, way: Way, now: DateTime<Utc>) -> Decision {
    let (base, doubted) = last.believed(now);
    let mut decision = Decision {
        action: Action::Nothing,
        missed: 0,
        on_time: false,
        due_since: None,
        next: None,
        doubted,
    };
    if !plan.enabled {
        return decision;
    }
    let (found, next) = walk(plan, base, last.counted, now);
    decision.next = next;
    let Some(found) = found else { return decision };
    decision.due_since = Some(found.since);
    let waited = last.counted.is_some_and(|counted| counted >= found.newest);
    let late = now - found.start > ON_TIME;
    decision.on_time = way == Way::Free && !late && !waited;
    decision.missed = found.uncounted - u64::from(decision.on_time);
    decision.action = match way {
        Way::Own => Action::GiveUp(found.newest),
        Way::Other => Action::Wait(found.newest),
        Way::Free if late && !plan.catch_up && !waited => Action::GiveUp(found.newest),
        Way::Free => Action::Start(found.newest),
    };
    decision
}

/// What came due after `base` until now, and the start of what comes next.
fn walk(
    plan: &Plan,
    base: DateTime<Utc>,
    counted: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (Option<Found>, Option<DateTime<Utc>>) {
    let mut found: Option<Found> = None;
    let mut at = plan.times.next_after(base);
    let mut steps = 0;
    while let Some(occurrence) = at {
        let following = plan.times.next_after(occurrence);
        let start = plan.start_of(occurrence, following);
        if start > now {
            return (found, Some(start));
        }
        let (since, before) = found.as_ref().map_or((start, 0), |f| (f.since, f.uncounted));
        let uncounted = before + u64::from(counted.is_none_or(|counted| occurrence > counted));
        found = Some(Found {
            newest: occurrence,
            start,
            since,
            uncounted,
        });
        at = following;
        steps += 1;
        if steps == COUNT_LIMIT {
            // Everything up to now, whatever it is.
            let newest = now.trunc_subsecs(0);
            found = Some(Found {
                newest,
                start: newest,
                since,
                uncounted: uncounted + u64::from(counted.is_none_or(|counted| newest > counted)),
            });
            at = plan.times.next_after(now);
        }
    }
    (found, None)
}

#[cfg(test)]
mod tests;
