//! When each plan runs and ran, for people and the API.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{Last, ON_TIME, Plan, Way, due, is_believed};
use crate::api::types::ScheduleStatus;
use crate::config::Config;
use crate::context::Context;
use crate::engine::Session;
use crate::engine::wit::types::{Backup, Status};
use crate::serve::only;
use crate::state::{self, PlanState, ScheduleState};

/// The scheduler looks every few seconds and says so every minute: a service that is silent for this long hangs.
const SILENCE: TimeDelta = TimeDelta::minutes(5);
/// And where nothing shows that there is a service, this long is enough.
const TWO_TICKS: TimeDelta = TimeDelta::seconds(150);

/// When each plan of the configuration runs and ran, in the configuration's order. `session` reads the
/// catalog; there is none before the first run. A state file or a catalog that can't be read leaves out what it
/// would tell.
#[must_use]
pub fn status(context: &Context, session: Option<&mut Session>) -> Vec<ScheduleStatus> {
    let config = &context.config;
    if config.schedules.is_empty() {
        return Vec::new();
    }
    let state = state::read(config).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        None
    });
    let rows = session.map_or_else(|| Ok(Vec::new()), Session::list);
    let rows = rows.unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Vec::new()
    });
    let now = DateTime::<Utc>::from(SystemTime::now());
    let plans = config.schedules.iter();
    plans
        .map(|schedule| {
            of(
                &Plan::of(schedule, config),
                state.as_ref(),
                &rows,
                config.time_zone,
                now,
            )
        })
        .collect()
}

/// Says that no service looks after the schedule, where one did before: a folder that none was ever used with is
/// another's, and `cofre create` by a timer needs none.
#[must_use]
pub fn unattended(config: &Config, state: &ScheduleState, now: DateTime<Utc>) -> Option<String> {
    let age = state.last_tick.map(|last| now.signed_duration_since(last));
    let limit = match only::is_held(&config.state_dir) {
        true => SILENCE,
        false => TWO_TICKS,
    };
    if age.is_some_and(|age| age <= limit) {
        return None;
    }
    let since = state.last_tick.map_or_else(
        || "ever".to_owned(),
        |last| {
            let local = last.with_timezone(&config.time_zone).to_rfc3339();
            format!("since {}", crate::text::time(&local))
        },
    );
    Some(format!("no `cofre serve` has looked after the schedule {since}"))
}

fn of(
    plan: &Plan,
    state: Option<&ScheduleState>,
    rows: &[Backup],
    zone: Tz,
    now: DateTime<Utc>,
) -> ScheduleStatus {
    let known = state.and_then(|state| state.plans.get(&plan.name));
    let newest = newest_run(rows, &plan.name, now);
    let last = Last::of(known, newest.map(|run| run.covers), now);
    let show = |at: DateTime<Utc>| {
        at.with_timezone(&zone)
            .to_rfc3339_opts(SecondsFormat::Secs, false)
    };
    let decision = due(plan, &last, Way::Free, now);
    let late = |since: &DateTime<Utc>| now - *since > ON_TIME;
    ScheduleStatus {
        plan: plan.name.clone(),
        next_run: decision.next.map(show),
        last_run: newest
            .map(|run| run.started)
            .max(known.and_then(|known| known.last_started))
            .map(show),
        missed: known.map_or(0, |known| known.missed),
        late_since: decision.due_since.filter(late).map(show),
        enabled: plan.enabled,
    }
}

impl Last {
    /// What the state file and the catalog tell of a plan; one that neither knows is new.
    #[must_use]
    pub fn of(known: Option<&PlanState>, row: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        Self {
            since: known.map_or(row.unwrap_or(now), |known| {
                known.created.max(known.since.unwrap_or(known.created))
            }),
            due: known.and_then(|known| known.last_due),
            row,
            counted: known.and_then(|known| known.counted),
        }
    }
}

/// The newest run of a plan in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestRun {
    /// When it began.
    pub started: DateTime<Utc>,
    /// Up to when nothing is due any more: its end if it made a backup, otherwise its beginning. The row of a run
    /// that a crash interrupted is closed at the next start, however much later that is.
    pub covers: DateTime<Utc>,
}

/// The newest run of `plan`, in the catalog's order. A row of a clock that was far ahead does not hide those before
/// it, whose runs would be repeated; where there is no other, it is the newest all the same.
#[must_use]
pub fn newest_run(rows: &[Backup], plan: &str, now: DateTime<Utc>) -> Option<NewestRun> {
    let runs = || rows.iter().rev().filter_map(move |row| run_of(row, plan));
    runs()
        .find(|run| is_believed(run.covers, now))
        .or_else(|| runs().next())
}

fn run_of(row: &Backup, plan: &str) -> Option<NewestRun> {
    if row.plan.as_deref() != Some(plan) {
        return None;
    }
    let started = instant(row.started_at.as_deref())?;
    let made = matches!(row.status, Status::Completed | Status::Partial);
    let ended = instant(row.finished_at.as_deref()).filter(|_| made);
    Some(NewestRun {
        started,
        covers: ended.unwrap_or(started).max(started),
    })
}

/// When the newest complete backup of `plan` was finished.
#[must_use]
pub fn newest_success(rows: &[Backup], plan: &str) -> Option<DateTime<Utc>> {
    rows.iter()
        .rev()
        .filter(|row| row.plan.as_deref() == Some(plan) && row.status == Status::Completed)
        .find_map(|row| instant(row.finished_at.as_deref()))
}

/// A time of the catalog.
pub(crate) fn instant(text: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text?).ok().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests;
