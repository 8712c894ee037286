//! Each plan's schedule, and the scheduler.

use std::collections::BTreeSet;

use prometheus::proto::MetricFamily;

use super::Look;
use crate::facts::MANUAL;
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
        family(metric, plans(look).map(|(labels, plan)| (labels, value(plan))))
    };
    let scheduler = |metric: &Metric, value: fn(&ScheduleFacts) -> f64| {
        family(
            metric,
            look.schedules()
                .map(|(alias, schedule)| ([alias], value(schedule))),
        )
    };
    vec![
        info(look),
        plan(&PLAN_ENABLED, |p| flag(p.enabled)),
        plan(&PLAN_CREATED, |p| p.created),
        plan(&PLAN_INTERVAL, |p| p.interval),
        plan(&PLAN_NEXT_RUN, |p| p.next_run),
        plan(&MISSED, |p| number(p.missed)),
        scheduler(&SCHEDULER_EXPECTED, |s| flag(s.expected)),
        scheduler(&SCHEDULER_TICK, |s| s.last_tick),
    ]
}

/// Every plan of which anything is exported.
fn info(look: &Look) -> MetricFamily {
    let of_schedules = plans(look).map(|(labels, _)| labels);
    let all: BTreeSet<_> = look
        .plans()
        .map(|(labels, _)| labels)
        .chain(of_schedules)
        .collect();
    family(&PLAN_INFO, all.into_iter().map(|labels| (labels, 1.0)))
}

/// Every plan of every schedule, and `manual`, which has none.
fn plans(look: &Look) -> impl Iterator<Item = ([&str; 2], &PlanSchedule)> {
    const NONE: &PlanSchedule = &PlanSchedule {
        enabled: false,
        created: 0.0,
        interval: 0.0,
        next_run: 0.0,
        missed: 0,
    };
    look.schedules().flat_map(|(alias, schedule)| {
        let scheduled = schedule.plans.iter().map(|(name, plan)| (name.as_str(), plan));
        let manual = (!schedule.plans.contains_key(MANUAL)).then_some((MANUAL, NONE));
        scheduled
            .chain(manual)
            .map(move |(name, plan)| ([alias, name], plan))
    })
}
