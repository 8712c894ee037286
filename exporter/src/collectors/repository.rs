//! Each backups folder as a whole. What could not be read is left out, but never `up` and `catalog_valid`.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::family::{family, flag, number};
use crate::names::{
    ARCHIVES_MISSING, ARCHIVES_UNKNOWN, BACKUPS, CAPACITY, CATALOG_VALID, FREE, LOCK_HELD, Metric,
    REPOSITORY_SIZE, REPOSITORY_UP,
};
use crate::snapshot::Snapshot;

pub(super) const METRICS: &[Metric] = &[
    REPOSITORY_UP,
    CATALOG_VALID,
    REPOSITORY_SIZE,
    BACKUPS,
    ARCHIVES_MISSING,
    ARCHIVES_UNKNOWN,
    FREE,
    CAPACITY,
    LOCK_HELD,
];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let of = |metric: &Metric, value: fn(&Snapshot) -> Option<f64>| {
        let repositories = look.repositories.iter();
        family(
            metric,
            repositories.filter_map(|(alias, s)| Some(([alias.as_str()], value(s)?))),
        )
    };
    vec![
        of(&REPOSITORY_UP, |s| Some(flag(s.up))),
        of(&CATALOG_VALID, |s| Some(flag(s.catalog_valid))),
        of(&REPOSITORY_SIZE, |s| s.size.map(number)),
        of(&BACKUPS, |s| s.facts.as_ref().map(|f| number(f.backups))),
        of(&ARCHIVES_MISSING, |s| s.facts.as_ref().map(|f| number(f.missing))),
        of(&ARCHIVES_UNKNOWN, |s| s.unknown.map(number)),
        of(&FREE, |s| s.space.map(|space| number(space.free))),
        of(&CAPACITY, |s| s.space.map(|space| number(space.capacity))),
        of(&LOCK_HELD, |s| s.lock_held.map(flag)),
    ]
}
