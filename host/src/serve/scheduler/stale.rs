//! Says once when a plan has had no success for too long.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::tick::Scheduler;
use crate::notify;
use crate::schedule::newest_success;
use crate::state::PlanState;

/// A run that goes on may still be the success that is missing; one that takes longer than this may not.
const BENEFIT_OF_DOUBT: TimeDelta = TimeDelta::hours(1);

/// Further in the future than a clock is off for a good reason.
const BELIEVED: TimeDelta = TimeDelta::hours(26);

/// How old a plan's last success may be: a quarter more than its interval, and an hour for a run that takes long.
pub(super) fn limit(interval: Duration) -> Duration {
    interval
        .saturating_add(interval / 4)
        .saturating_add(Duration::from_secs(3600))
}

/// Since when a plan has had no success: its last one, its creation, or its last change.
fn waiting_since(known: &PlanState, success: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let believed = |at: &DateTime<Utc>| *at - now <= BELIEVED;
    let since = known.since.filter(believed);
    success
        .unwrap_or(known.created)
        .max(since.unwrap_or(known.created))
}

impl Scheduler {
    /// Reports each plan whose last success is too old, once until the next success.
    pub(super) fn report_stale(&mut self, now: DateTime<Utc>) {
        for planned in self.plans.iter().filter(|planned| planned.plan.enabled) {
            let name = &planned.plan.name;
            let Some(known) = self.state.plans.get_mut(name) else {
                continue;
            };
            let goes_on = |active: &&super::tick::Active| {
                active.plan == *name && now - active.started < BENEFIT_OF_DOUBT
            };
            if self.active.as_ref().filter(goes_on).is_some() {
                continue;
            }
            let success = [newest_success(self.rows.list(), name), known.last_success]
                .into_iter()
                .flatten()
                .filter(|at| *at - now <= BELIEVED)
                .max();
            let limit = limit(planned.interval);
            let over = (now - waiting_since(known, success, now))
                .to_std()
                .is_ok_and(|age| age > limit);
            if !over {
                known.stale_notified = None;
            } else if known.stale_notified.is_none() {
                let last = success.map_or_else(
                    || "never".to_owned(),
                    |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
                );
                tracing::error!(plan = %name, %last, "the plan has had no success for too long");
                notify::stale(&self.service.context, name, success, limit);
                known.stale_notified = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_daily_plan_may_be_31_hours_old() {
        assert_eq!(
            limit(Duration::from_secs(24 * 3600)),
            Duration::from_secs(31 * 3600)
        );
        assert!(limit(Duration::MAX) == Duration::MAX);
    }

    #[test]
    fn a_plan_that_never_succeeded_counts_from_its_creation_or_its_change() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-03-05T00:00:00Z");
        let mut known = PlanState::new(at("2026-03-01T00:00:00Z"));
        assert_eq!(waiting_since(&known, None, now), known.created);
        let success = at("2026-03-02T00:00:00Z");
        assert_eq!(waiting_since(&known, Some(success), now), success);
        known.since = Some(at("2026-03-04T00:00:00Z"));
        assert_eq!(
            waiting_since(&known, Some(success), now),
            at("2026-03-04T00:00:00Z")
        );
        known.since = Some(at("2036-03-04T00:00:00Z"));
        assert_eq!(waiting_since(&known, Some(success), now), success);
    }
}
