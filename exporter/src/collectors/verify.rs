//! Verification of the archives, and restore drills.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::facts::{CatalogFacts, Counted, drill_results};
use crate::family::{family, flag, number};
use crate::names::{
    DRILL_FAILURES, DRILL_INTERVAL, DRILL_LAST_RESULT, DRILL_LAST_SUCCESS, Metric, VERIFY_FAILURES,
    VERIFY_INTERVAL, VERIFY_LAST_SUCCESS,
};
use crate::schedule::ScheduleFacts;

pub(super) const METRICS: &[Metric] = &[
    VERIFY_LAST_SUCCESS,
    VERIFY_FAILURES,
    VERIFY_INTERVAL,
    DRILL_LAST_SUCCESS,
    DRILL_LAST_RESULT,
    DRILL_FAILURES,
    DRILL_INTERVAL,
];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let done = |metric: &Metric, value: fn(&CatalogFacts) -> f64| {
        let known = look.repositories.iter().filter_map(|(alias, snapshot)| {
            let facts = snapshot.facts.as_ref()?;
            Some(([alias.as_str()], value(facts)))
        });
        family(metric, known)
    };
    let due = |metric: &Metric, value: fn(&ScheduleFacts) -> f64| {
        family(
            metric,
            look.schedules()
                .map(|(alias, schedule)| ([alias], value(schedule))),
        )
    };
    let failures = |metric: &Metric, value: fn(Counted) -> u64| {
        let known = look.plans();
        family(
            metric,
            known.filter_map(|plan| Some((plan.labels, number(value(plan.ran?.1))))),
        )
    };
    vec![
        done(&VERIFY_LAST_SUCCESS, |f| f.last_verified),
        failures(&VERIFY_FAILURES, |c| c.verify_failures),
        due(&VERIFY_INTERVAL, |s| s.verify_interval),
        done(&DRILL_LAST_SUCCESS, |f| f.last_drilled),
        results(look),
        failures(&DRILL_FAILURES, |c| c.drill_failures),
        due(&DRILL_INTERVAL, |s| s.drill_interval),
    ]
}

fn results(look: &Look) -> MetricFamily {
    let known = look
        .repositories
        .iter()
        .filter_map(|(alias, snapshot)| Some((alias.as_str(), snapshot.facts.as_ref()?.last_drill.1)));
    let states = known
        .flat_map(|(alias, last)| drill_results().map(move |result| ([alias, result], flag(result == last))));
    family(&DRILL_LAST_RESULT, states)
}
