//! Each plan's schedule, and the scheduler.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::family::{family, flag, number};
use crate::names::{
    MISSED, Metric, PLAN_CREATED, PLAN_ENABLED, PLAN_INFO, PLAN_INTERVAL, PLAN_NEXT_RUN, SCHEDULER_EXPECTED,
    SCHEDULER_TICK,
};
use crate::schedule::{PlanSchedule, ScheduleFacts};

pub(super) const METRICS: &[Metric] = &[
    PLAN_INFO,
    PLAN_ENABLED,
    PLAN_CREATED,
    PLAN_INTERVAL,
    PLAN_NEXT_RUN,
    MISSED,
    SCHEDULER_EXPECTED,
    SCHEDULER_TICK,
];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let plan = |metric: &Metric, value: fn(&PlanSchedule) -> f64| {
        let known = look.plans();
        family(
            metric,
            known.filter_map(|plan| Some((plan.labels, value(&plan.schedule?)))),
        )
    };
    let scheduler = |metric: &Metric, value: fn(&ScheduleFacts) -> f64| {
        family(
            metric,
            look.schedules()
                .map(|(alias, schedule)| ([alias], value(schedule))),
        )
    };
    vec![
        family(&PLAN_INFO, look.plans().map(|plan| (plan.labels, 1.0))),
        plan(&PLAN_ENABLED, |p| flag(p.enabled)),
        created(look),
        plan(&PLAN_INTERVAL, |p| p.interval),
        plan(&PLAN_NEXT_RUN, |p| p.next_run),
        plan(&MISSED, |p| number(p.missed)),
        scheduler(&SCHEDULER_EXPECTED, |s| flag(s.expected)),
        scheduler(&SCHEDULER_TICK, |s| s.last_tick),
    ]
}

/// A plan that has run is at least as old as its first run: where cron starts it, no scheduler notes when it began.
fn created(look: &Look) -> MetricFamily {
    let created = look.plans().filter_map(|plan| {
        let created = plan.schedule?.created;
        let first = plan.ran.map(|(facts, _)| facts.first_attempt);
        let first = first.filter(|first| *first > 0.0 && created > 0.0);
        Some((plan.labels, first.map_or(created, |first| first.min(created))))
    });
    family(&PLAN_CREATED, created)
}
