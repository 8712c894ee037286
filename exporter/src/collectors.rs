//! The metrics by subject, each a `prometheus::core::Collector` over the same look at the repositories, built
//! anew for every scrape and listed here explicitly.

mod backup;
mod plan;
mod repository;
mod scrape;
mod verify;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::facts::{MANUAL, PlanFacts};
use crate::family;
use crate::names::Metric;
use crate::schedule::ScheduleFacts;
use crate::snapshot::Snapshot;

/// All repositories as one scrape saw them.
#[derive(Debug)]
pub(crate) struct Look {
    /// Unix time of the scrape, in seconds.
    pub(crate) now: f64,
    /// Whether the result is read much later, so that what only holds now is left out.
    pub(crate) stored: bool,
    /// Each repository's alias and what was found.
    pub(crate) repositories: Vec<(String, Arc<Snapshot>)>,
}

impl Look {
    pub(crate) fn new(stored: bool, repositories: Vec<(String, Arc<Snapshot>)>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            now: now.map_or(0.0, |d| d.as_secs_f64()),
            stored,
            repositories,
        }
    }
}

impl Look {
    /// The schedules that are known, each with its repository's alias.
    fn schedules(&self) -> impl Iterator<Item = (&str, &ScheduleFacts)> {
        let known = self.repositories.iter();
        known.filter_map(|(alias, snapshot)| Some((alias.as_str(), snapshot.schedule.as_deref()?)))
    }

    /// The runs of every plan of every repository whose catalog is or was known, by repository and plan.
    ///
    /// Where a schedule names plans, those count, whether they ever ran or not, and `manual`; a plan that only the
    /// catalog still names was deleted. Otherwise the catalog's are all there are.
    fn plans(&self) -> impl Iterator<Item = ([&str; 2], &PlanFacts)> {
        self.repositories.iter().flat_map(|(alias, snapshot)| {
            let scheduled = snapshot.schedule.as_deref().map(|schedule| &schedule.plans);
            let ran = snapshot.facts.as_deref().map(|facts| &facts.plans);
            let plans: Vec<(&str, &PlanFacts)> = match (scheduled, ran) {
                (_, None) => Vec::new(),
                (Some(scheduled), Some(ran)) if !scheduled.is_empty() => {
                    let names: BTreeSet<&str> =
                        scheduled.keys().map(String::as_str).chain([MANUAL]).collect();
                    let facts = |name| ran.get(name).unwrap_or(const { &PlanFacts::NONE });
                    names.into_iter().map(|name| (name, facts(name))).collect()
                }
                (_, Some(ran)) => ran.iter().map(|(name, facts)| (name.as_str(), facts)).collect(),
            };
            plans
                .into_iter()
                .map(move |(plan, facts)| ([alias.as_str(), plan], facts))
        })
    }
}

/// One subject's metrics.
struct Subject {
    descs: Vec<Desc>,
    look: Arc<Look>,
    collect: fn(&Look) -> Vec<MetricFamily>,
}

impl Collector for Subject {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.collect)(&self.look)
    }
}

type Definition = (&'static [Metric], fn(&Look) -> Vec<MetricFamily>);

const SUBJECTS: [Definition; 5] = [
    (scrape::METRICS, scrape::collect),
    (plan::METRICS, plan::collect),
    (backup::METRICS, backup::collect),
    (repository::METRICS, repository::collect),
    (verify::METRICS, verify::collect),
];

/// The collectors of one scrape.
pub(crate) fn all(look: &Arc<Look>) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    SUBJECTS
        .iter()
        .map(|(metrics, collect)| {
            Ok(Box::new(Subject {
                descs: metrics
                    .iter()
                    .map(family::desc)
                    .collect::<prometheus::Result<_>>()?,
                look: Arc::clone(look),
                collect: *collect,
            }) as Box<dyn Collector>)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::SUBJECTS;
    use crate::names;

    #[test]
    fn every_metric_belongs_to_exactly_one_subject() {
        let mut owned: Vec<_> = SUBJECTS
            .iter()
            .flat_map(|(m, _)| m.iter())
            .map(|m| m.name)
            .collect();
        let mut all: Vec<_> = names::ALL.iter().map(|m| m.name).collect();
        owned.sort_unstable();
        all.sort_unstable();
        assert_eq!(owned, all);
    }
}
