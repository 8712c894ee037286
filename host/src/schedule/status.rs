//! When each plan runs and ran, for people and the API.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::{Last, Plan, Way, due};
use crate::api::types::ScheduleStatus;
use crate::context::Context;
use crate::engine::wit::types::{Backup, Status};
use crate::state::{self, PlanState, ScheduleState};

/// When each plan of the configuration runs and ran, in the configuration's order. A state file or a catalog that
/// can't be read leaves out what it would tell.
#[must_use]
pub fn status(context: &Context) -> Vec<ScheduleStatus> {
    let config = &context.config;
    if config.schedules.is_empty() {
        return Vec::new();
    }
    let state = state::read(config).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        None
    });
    let rows = match context.is_fresh() {
        true => Ok(Vec::new()),
        false => context.reader().and_then(|mut session| session.list()),
    };
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

fn of(
    plan: &Plan,
    state: Option<&ScheduleState>,
    rows: &[Backup],
    zone: Tz,
    now: DateTime<Utc>,
) -> ScheduleStatus {
    let known = state.and_then(|state| state.plans.get(&plan.name));
    let newest = newest_run(rows, &plan.name);
    let last = Last::of(known, newest.map(|run| run.covers), now);
    let show = |at: DateTime<Utc>| {
        at.with_timezone(&zone)
            .to_rfc3339_opts(SecondsFormat::Secs, false)
    };
    ScheduleStatus {
        plan: plan.name.clone(),
        next_run: due(plan, &last, Way::Free, now).next.map(show),
        last_run: newest
            .map(|run| run.started)
            .max(known.and_then(|known| known.last_started))
            .map(show),
        missed: known.map_or(0, |known| known.missed),
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

/// The newest run of `plan`, in the catalog's order: the times of its rows may be a wrong clock's.
#[must_use]
pub fn newest_run(rows: &[Backup], plan: &str) -> Option<NewestRun> {
    rows.iter()
        .rev()
        .filter(|row| row.plan.as_deref() == Some(plan))
        .find_map(|row| {
            let started = instant(row.started_at.as_deref())?;
            let made = matches!(row.status, Status::Completed | Status::Partial);
            let ended = instant(row.finished_at.as_deref()).filter(|_| made);
            Some(NewestRun {
                started,
                covers: ended.unwrap_or(started).max(started),
            })
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
