//! When the plans run, whether anything runs them, and what they missed.

use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use super::Findings;
use crate::config::Config;
use crate::schedule::{Last, Plan, Way, due};
use crate::state::{self, ScheduleState};
use crate::text;

const AREA: &str = "schedule";

/// The scheduler looks every few seconds and says so every minute: silent for this long, it is not there.
const SILENCE: TimeDelta = TimeDelta::minutes(5);

/// Missed runs are worth a warning for so long.
const MISSED_LATELY: TimeDelta = TimeDelta::days(7);

pub(super) fn examine(found: &mut Findings, config: &Config) {
    if config.schedules.is_empty() {
        let remedy =
            "add `[[schedules]]` for `cofre serve`, or run `cofre create` from cron or a systemd timer";
        return found.warn(AREA, "nothing says when backups happen", remedy);
    }
    let state = state::read(config).unwrap_or_else(|error| {
        let message = format!("what the schedule remembers is lost: {}", error.message);
        found.warn(AREA, message, "the service keeps it aside and starts anew");
        None
    });
    let now = DateTime::<Utc>::from(SystemTime::now());
    service(found, state.as_ref(), now);
    for schedule in &config.schedules {
        plan(found, config, &Plan::of(schedule, config), state.as_ref(), now);
    }
}

/// A folder that no service was ever used with is another's: `cofre create` by a timer needs none.
fn service(found: &mut Findings, state: Option<&ScheduleState>, now: DateTime<Utc>) {
    let Some(state) = state else { return };
    let silent = state
        .last_tick
        .is_none_or(|last| now.signed_duration_since(last) > SILENCE);
    if silent {
        let since = state.last_tick.map_or_else(
            || "ever".to_owned(),
            |last| format!("since {}", last.format("%F %T UTC")),
        );
        let message = format!("the schedule has not been looked after {since}");
        found.warn(AREA, message, "is `cofre serve` running?");
    }
}

fn plan(
    found: &mut Findings,
    config: &Config,
    plan: &Plan,
    state: Option<&ScheduleState>,
    now: DateTime<Utc>,
) {
    let name = &plan.name;
    let known = state.and_then(|state| state.plans.get(name));
    if !plan.enabled {
        return found.ok(AREA, format!("{name} is disabled"));
    }
    let show = |at: DateTime<Utc>| {
        let local = at.with_timezone(&config.time_zone).to_rfc3339();
        text::time(&local)
    };
    let decision = due(plan, &Last::of(known, None, now), Way::Free, now);
    match decision.next {
        Some(next) => found.ok(
            AREA,
            format!("{name} runs next at {} ({})", show(next), config.time_zone.name()),
        ),
        None => found.warn(
            AREA,
            format!("{name} never comes due"),
            "correct its `cron`; a day such as 30 February never comes",
        ),
    }
    if decision.doubted {
        let message = format!("the last run of {name} lies in the future");
        found.warn(AREA, message, "is the clock right?");
    }
    let Some(known) = known else { return };
    let lately = known
        .last_missed
        .filter(|at| now.signed_duration_since(*at) < MISSED_LATELY);
    if let Some(last) = lately {
        let message = format!(
            "{name} has missed {} runs, the last one on {}",
            known.missed,
            show(last)
        );
        let remedy =
            "the machine was off, or another run was in the way: the log tells; give the plans times apart";
        found.warn(AREA, message, remedy);
    }
}
