//! Each plan's runs.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::facts::{Counted, LastStatus, PlanFacts};
use crate::family::{family, flag, number};
use crate::names::{
    CONSECUTIVE_FAILURES, FAILURES, LAST_ATTEMPT, LAST_DURATION, LAST_FILES, LAST_SIZE, LAST_SKIPPED,
    LAST_SOURCE, LAST_STATUS, LAST_SUCCESS, LAST_SUCCESS_AGE, Metric, PARTIAL, RUN_START, RUNS,
};

pub(super) const METRICS: &[Metric] = &[
    LAST_SUCCESS,
    LAST_SUCCESS_AGE,
    LAST_ATTEMPT,
    RUN_START,
    LAST_STATUS,
    CONSECUTIVE_FAILURES,
    RUNS,
    FAILURES,
    PARTIAL,
    LAST_DURATION,
    LAST_SIZE,
    LAST_SOURCE,
    LAST_FILES,
    LAST_SKIPPED,
];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let of = |metric: &Metric, value: fn(&PlanFacts) -> f64| {
        family(
            metric,
            runs(look).map(|(labels, facts, _)| (labels, value(facts))),
        )
    };
    let total = |metric: &Metric, value: fn(Counted) -> u64| {
        family(
            metric,
            runs(look).map(|(labels, _, counted)| (labels, number(value(counted)))),
        )
    };
    vec![
        of(&LAST_SUCCESS, |p| p.last_success),
        age(look),
        of(&LAST_ATTEMPT, |p| p.last_attempt),
        of(&RUN_START, |p| p.running_since),
        status(look),
        of(&CONSECUTIVE_FAILURES, |p| number(p.consecutive_failures)),
        total(&RUNS, |c| c.runs),
        total(&FAILURES, |c| c.failures),
        total(&PARTIAL, |c| c.partial),
        of(&LAST_DURATION, |p| p.duration),
        of(&LAST_SIZE, |p| number(p.size)),
        of(&LAST_SOURCE, |p| number(p.source_bytes)),
        of(&LAST_FILES, |p| number(p.files)),
        of(&LAST_SKIPPED, |p| number(p.skipped)),
    ]
}

/// The plans of the repositories whose catalog is or was known.
fn runs(look: &Look) -> impl Iterator<Item = ([&str; 2], &PlanFacts, Counted)> {
    look.plans().filter_map(|plan| {
        let (facts, counted) = plan.ran?;
        Some((plan.labels, facts, counted))
    })
}

/// An age stands still in a stored result, so it is left out there; the timestamp says the same.
fn age(look: &Look) -> MetricFamily {
    let ages = runs(look).map(|(labels, facts, _)| (labels, look.now - facts.last_success));
    family(&LAST_SUCCESS_AGE, ages.filter(|_| !look.stored))
}

fn status(look: &Look) -> MetricFamily {
    let states = runs(look).flat_map(|([repository, plan], facts, _)| {
        LastStatus::ALL.map(|(status, label)| ([repository, plan, label], flag(status == facts.status)))
    });
    family(&LAST_STATUS, states)
}
