//! Copies off the machine, by remote.

use prometheus::proto::MetricFamily;

use super::Look;
use crate::copies::RemoteFacts;
use crate::family::{family, number};
use crate::names::{
    Metric, REMOTE_CONSECUTIVE_FAILURES, REMOTE_COPIES, REMOTE_FAILURES, REMOTE_LAST_SUCCESS, REMOTE_PENDING,
    REMOTE_SIZE,
};

pub(super) const METRICS: &[Metric] = &[
    REMOTE_LAST_SUCCESS,
    REMOTE_PENDING,
    REMOTE_COPIES,
    REMOTE_SIZE,
    REMOTE_FAILURES,
    REMOTE_CONSECUTIVE_FAILURES,
];

pub(super) fn collect(look: &Look) -> Vec<MetricFamily> {
    let of = |metric: &Metric, value: fn(&RemoteFacts) -> u64| {
        let known = look.repositories.iter().flat_map(|(alias, snapshot)| {
            let remotes = snapshot.remotes.iter().flat_map(|remotes| remotes.iter());
            remotes.map(move |(name, remote)| ([alias.as_str(), name.as_str()], number(value(remote))))
        });
        family(metric, known)
    };
    vec![
        last_success(look),
        of(&REMOTE_PENDING, |r| r.pending),
        of(&REMOTE_COPIES, |r| r.copies),
        of(&REMOTE_SIZE, |r| r.size_bytes),
        of(&REMOTE_FAILURES, |r| r.failures),
        of(&REMOTE_CONSECUTIVE_FAILURES, |r| r.failing_since_success),
    ]
}

/// Of every plan at every remote, so that one that was never copied shows.
fn last_success(look: &Look) -> MetricFamily {
    let copied = look.plans().flat_map(|plan| {
        let [repository, name] = plan.labels;
        let remotes = plan.remotes.into_iter().flatten();
        remotes.map(move |(remote, facts)| ([repository, name, remote.as_str()], facts.last_success(name)))
    });
    family(&REMOTE_LAST_SUCCESS, copied)
}
