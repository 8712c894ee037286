//! The exporter itself, and how reading each part of each repository went.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::family::{family, flag};
use crate::names::{BUILD_INFO, COLLECTOR_DURATION, COLLECTOR_SUCCESS, Metric, TIME, UP};
use crate::snapshot::{Reading, Snapshot};

pub(super) const METRICS: &[Metric] = &[BUILD_INFO, UP, TIME, COLLECTOR_SUCCESS, COLLECTOR_DURATION];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let sound = |s: &Snapshot| s.up && s.catalog_valid && s.state_read();
    let up = look.repositories.iter().all(|(_, s)| sound(s));
    let now = (!look.stored).then_some(([], look.now));
    vec![
        family(&BUILD_INFO, [([env!("CARGO_PKG_VERSION")], 1.0)]),
        family(&UP, [([], flag(up))]),
        family(&TIME, now),
        family(&COLLECTOR_SUCCESS, readings(look, |r| flag(r.success))),
        family(&COLLECTOR_DURATION, readings(look, |r| r.seconds)),
    ]
}

fn readings(look: &Look, value: fn(&Reading) -> f64) -> impl Iterator<Item = ([&str; 2], f64)> {
    look.repositories.iter().flat_map(move |(alias, snapshot)| {
        let readings = snapshot.readings.iter();
        readings.map(move |r| ([alias.as_str(), r.part], value(r)))
    })
}
