//! Verification of the archives.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::family::family;
use crate::names::{Metric, VERIFY_LAST_SUCCESS};

pub(super) const METRICS: &[Metric] = &[VERIFY_LAST_SUCCESS];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let known = look.repositories.iter().filter_map(|(alias, snapshot)| {
        let facts = snapshot.facts.as_ref()?;
        Some(([alias.as_str()], facts.last_verified))
    });
    vec![family(&VERIFY_LAST_SUCCESS, known)]
}
