//! When backups are due: what `cofre serve` wrote into `schedule.json`, and what the configuration says of plans
//! that no scheduler has taken up yet.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::config::Configured;
use crate::facts::instant;
use crate::small_file;

/// Name of the schedule's file in the state folder.
const FILE: &str = "schedule.json";
/// The one version of the file that is known.
const FORMAT: u32 = 1;

/// The part of `schedule.json` that is exported. Times are RFC 3339. Unknown fields are somebody else's.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// When the scheduler last looked whether something is due.
    #[serde(default)]
    last_tick: Option<String>,
    #[serde(default)]
    plans: BTreeMap<String, PlanState>,
    /// Plans that left the configuration, and when that was seen.
    #[serde(default)]
    former: BTreeMap<String, String>,
    #[serde(default)]
    verify: Option<CheckState>,
    #[serde(default)]
    drill: Option<CheckState>,
}

#[derive(Debug, Clone, Deserialize)]
struct PlanState {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    missed: u64,
    #[serde(default)]
    expected_interval_seconds: Option<f64>,
    #[serde(default = "yes")]
    enabled: bool,
}

/// Of the verification or of the restore drill.
#[derive(Debug, Clone, Deserialize)]
struct CheckState {
    #[serde(default)]
    expected_interval_seconds: Option<f64>,
}

fn yes() -> bool {
    true
}

impl State {
    /// Reads the state folder; `None` where no scheduler ever wrote there.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` for a file that is none of ours or newer than this program.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let Some(text) = small_file::read_in(dir, FILE)? else {
            return Ok(None);
        };
        let state: Self = small_file::parse(FILE, &text)?;
        small_file::check_format(FILE, state.format, FORMAT)?;
        Ok(Some(state))
    }
}

/// What is known of one plan's schedule. Times are Unix times in seconds, 0 meaning never.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PlanSchedule {
    /// Whether the plan is to run.
    pub enabled: bool,
    /// Since when the plan is to run: when the scheduler first saw it, or else when the configuration last changed.
    pub created: f64,
    /// Longest time between two runs that are due, in seconds; 0 where it isn't known.
    pub interval: f64,
    /// When the next run is due.
    pub next_run: f64,
    /// Runs that could not start when they were due.
    pub missed: u64,
}

/// What is known of a repository's schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScheduleFacts {
    /// Whether `cofre serve` is to run.
    pub expected: bool,
    /// When the scheduler last looked whether something is due; 0 where it never did.
    pub last_tick: f64,
    /// Every plan that has a schedule. Empty where none is configured anywhere.
    pub plans: BTreeMap<String, PlanSchedule>,
    /// Plans that had a schedule and have none any more, and when they lost it.
    pub gone: BTreeMap<String, f64>,
    /// Time between two verifications in seconds; 0 where none is scheduled.
    pub verify_interval: f64,
    /// Time between two restore drills in seconds; 0 where none is scheduled.
    pub drill_interval: f64,
}

impl ScheduleFacts {
    /// Puts together what the configuration and the scheduler's state say. Which plans there are is the
    /// configuration's word where there is one; how they stand, the state's.
    pub(crate) fn of(configured: Option<&Configured>, state: Option<&State>, expected: Option<bool>) -> Self {
        let known: BTreeMap<&str, PlanSchedule> = state
            .iter()
            .flat_map(|s| &s.plans)
            .map(|(name, plan)| (name.as_str(), PlanSchedule::of(plan)))
            .collect();
        let plans: BTreeMap<String, PlanSchedule> = match configured {
            Some(configured) => {
                let plans = configured.plans.iter();
                plans
                    .map(|plan| {
                        let stands = known.get(plan.name.as_str()).copied();
                        let assumed = || PlanSchedule {
                            enabled: plan.enabled,
                            interval: plan.interval,
                            created: configured.changed,
                            ..PlanSchedule::default()
                        };
                        (plan.name.clone(), stands.unwrap_or_else(assumed))
                    })
                    .collect()
            }
            None => known
                .iter()
                .map(|(name, plan)| ((*name).to_owned(), *plan))
                .collect(),
        };
        let gone = gone(configured, state, &plans);
        let last_tick = state.and_then(|s| s.last_tick.as_deref()).and_then(instant);
        let is_expected = last_tick.is_some() || plans.values().any(|plan| plan.enabled);
        let interval = |of_state: Option<&CheckState>, configured: Option<f64>| {
            let stands = of_state.and_then(|check| check.expected_interval_seconds);
            stands.or(configured).map_or(0.0, not_negative)
        };
        Self {
            expected: expected.unwrap_or(is_expected),
            last_tick: last_tick.unwrap_or(0.0),
            plans,
            gone,
            verify_interval: interval(
                state.and_then(|s| s.verify.as_ref()),
                configured.and_then(|c| c.verify_interval),
            ),
            drill_interval: interval(
                state.and_then(|s| s.drill.as_ref()),
                configured.and_then(|c| c.drill_interval),
            ),
        }
    }
}

/// The plans that the state knows and that are listed no more. One that the configuration dropped and no scheduler
/// has noticed yet went, at the latest, when the configuration last changed.
fn gone(
    configured: Option<&Configured>,
    state: Option<&State>,
    plans: &BTreeMap<String, PlanSchedule>,
) -> BTreeMap<String, f64> {
    let former = state.iter().flat_map(|s| &s.former);
    let former = former.map(|(name, when)| (name, instant(when).unwrap_or(f64::INFINITY)));
    let dropped = state.iter().flat_map(|s| s.plans.keys());
    let dropped = dropped.filter_map(|name| Some((name, configured?.changed)));
    former
        .chain(dropped)
        .filter(|(name, _)| !plans.contains_key(*name))
        .map(|(name, when)| (name.clone(), when))
        .collect()
}

impl PlanSchedule {
    fn of(plan: &PlanState) -> Self {
        let time = |text: &Option<String>| text.as_deref().and_then(instant).unwrap_or(0.0);
        Self {
            enabled: plan.enabled,
            created: time(&plan.created),
            interval: plan.expected_interval_seconds.map_or(0.0, not_negative),
            next_run: time(&plan.next),
            missed: plan.missed,
        }
    }
}

/// A nonsensical interval is an unknown one.
fn not_negative(seconds: f64) -> f64 {
    if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
