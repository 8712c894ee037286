//! The metrics by subject, each a `prometheus::core::Collector` over the same look at the repositories, built
//! anew for every scrape and listed here explicitly.

mod backup;
mod plan;
mod remote;
mod repository;
mod scrape;
mod verify;
mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::copies::Remotes;
use crate::facts::{CatalogFacts, Counted, MANUAL, PlanFacts};
use crate::family;
use crate::names::Metric;
use crate::schedule::{PlanSchedule, ScheduleFacts};
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

    /// Every plan of every repository.
    fn plans(&self) -> impl Iterator<Item = PlanLook<'_>> {
        self.repositories.iter().flat_map(|(alias, snapshot)| {
            let schedule = snapshot.schedule.as_deref();
            let facts = snapshot.facts.as_deref();
            let names = names(schedule, facts, self.now).into_iter();
            names.map(move |plan| PlanLook {
                labels: [alias, plan],
                ran: facts.map(|facts| {
                    let ran = facts.plans.get(plan).unwrap_or(const { &PlanFacts::NONE });
                    (ran, facts.totals.get(plan).copied().unwrap_or_default())
                }),
                schedule: schedule.map(|schedule| schedule.plans.get(plan).copied().unwrap_or_default()),
                remotes: snapshot.remotes.as_deref(),
            })
        })
    }
}

/// One plan as one scrape saw it.
struct PlanLook<'a> {
    /// Repository and plan.
    labels: [&'a str; 2],
    /// Its runs and their counters; `None` where no valid catalog was ever seen.
    ran: Option<(&'a PlanFacts, Counted)>,
    /// Its schedule, all 0 where it has none; `None` where nothing is known of schedules.
    schedule: Option<PlanSchedule>,
    /// The remotes of its repository; `None` where nothing is known of any.
    remotes: Option<&'a Remotes>,
}

/// How long a plan that no schedule lists is shown after its newest run, in seconds: a monthly one stays.
const UNLISTED: f64 = 35.0 * 86_400.0;

/// The names of a repository's plans.
///
/// Where a schedule lists plans: those, whether they ever ran or not, and `manual`. Besides them what else runs
/// (`cofre create --plan NAME` of a cron job or of another host), while its newest run is not too long ago. A plan
/// that was listed and is no more is gone, unless it ran since. Where nothing is listed, the catalog's are all there
/// are.
fn names<'a>(
    schedule: Option<&'a ScheduleFacts>,
    facts: Option<&'a CatalogFacts>,
    now: f64,
) -> BTreeSet<&'a str> {
    let ran = facts.into_iter().flat_map(|facts| &facts.plans);
    let Some(schedule) = schedule else {
        return ran.map(|(name, _)| name.as_str()).collect();
    };
    let runs_unlisted = |name: &str, plan: &PlanFacts| {
        let since = schedule
            .gone
            .get(name)
            .is_none_or(|gone| plan.last_attempt > *gone);
        since && (schedule.plans.is_empty() || now - plan.last_attempt < UNLISTED)
    };
    let unlisted = ran.filter(|(name, plan)| runs_unlisted(name, plan));
    let listed = schedule.plans.keys().map(String::as_str);
    listed
        .chain(unlisted.map(|(name, _)| name.as_str()))
        .chain([MANUAL])
        .collect()
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

const SUBJECTS: [Definition; 7] = [
    (scrape::METRICS, scrape::collect),
    (plan::METRICS, plan::collect),
    (backup::METRICS, backup::collect),
    (repository::METRICS, repository::collect),
    (verify::METRICS, verify::collect),
    (webhook::METRICS, webhook::collect),
    (remote::METRICS, remote::collect),
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
