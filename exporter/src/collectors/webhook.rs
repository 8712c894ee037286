//! Deliveries to webhooks.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::family::{family, number};
use crate::names::{Metric, WEBHOOK_FAILURES};

pub(super) const METRICS: &[Metric] = &[WEBHOOK_FAILURES];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let known = look.repositories.iter();
    let failures = known.filter_map(|(alias, s)| Some(([alias.as_str()], number(s.webhook_failures?))));
    vec![family(&WEBHOOK_FAILURES, failures)]
}
