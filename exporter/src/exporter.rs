//! One scrape from the repositories to text, for the binary, `cofre serve` and the textfile alike.

use std::sync::Arc;
use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry, TextEncoder};

use crate::collectors::{self, Look};
use crate::error::Result;
use crate::names::COMPONENT_INFO;
use crate::probe::Probe;
use crate::requests::Requests;
use crate::watched::{Repository, Watched};

/// Who will read the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A scrape: everything.
    Scrape,
    /// node_exporter, some time later: without the clock and the ages, which would stand still, and without
    /// `process_…`, which would clash with its own.
    Textfile,
}

/// The repositories to watch. Cheap to share behind an `Arc`; scrapes may overlap.
#[derive(Debug)]
pub struct Exporter {
    probes: Vec<Arc<Probe>>,
    /// Version and digest.
    component: Option<(String, String)>,
    requests: Option<Requests>,
}

impl Exporter {
    /// Watches `repositories` about whose schedules nothing is known; their aliases must differ. Nothing is read
    /// before the first scrape.
    #[must_use]
    pub fn new(repositories: impl IntoIterator<Item = Repository>) -> Self {
        Self::watching(repositories.into_iter().map(Watched::from))
    }

    /// Watches repositories and their schedules; the aliases must differ. Nothing is read before the first scrape.
    #[must_use]
    pub fn watching(repositories: impl IntoIterator<Item = Watched>) -> Self {
        let probes = repositories.into_iter().map(|r| Arc::new(Probe::new(r)));
        Self {
            probes: probes.collect(),
            component: None,
            requests: None,
        }
    }

    /// Adds which component makes the backups: its version, and the SHA-256 of its bytes. For `cofre serve`, which
    /// has it.
    #[must_use]
    pub fn with_component(self, version: impl Into<String>, digest: impl Into<String>) -> Self {
        Self {
            component: Some((version.into(), digest.into())),
            ..self
        }
    }

    /// Adds the requests to the API. For `cofre serve`, which counts them.
    #[must_use]
    pub fn with_requests(self, requests: Requests) -> Self {
        Self {
            requests: Some(requests),
            ..self
        }
    }

    /// Where requests to the API are counted, if they are.
    #[must_use]
    pub fn requests(&self) -> Option<&Requests> {
        self.requests.as_ref()
    }

    /// Looks at every repository, for at most `limit` at all of them together, and gives the metrics in
    /// Prometheus's text format 0.0.4.
    ///
    /// # Errors
    /// Only when the metrics themselves don't fit together; a repository that can't be read is a metric.
    pub async fn scrape(&self, limit: Duration, scope: Scope) -> Result<String> {
        let looks: Vec<_> = self
            .probes
            .iter()
            .map(|probe| {
                let probe = Arc::clone(probe);
                tokio::spawn(async move { (probe.alias().to_owned(), probe.snapshot(limit).await) })
            })
            .collect();
        let mut repositories = Vec::with_capacity(looks.len());
        for look in looks {
            match look.await {
                Ok(found) => repositories.push(found),
                Err(e) => tracing::error!("a probe died: {e}"),
            }
        }
        self.render(Look::new(scope == Scope::Textfile, repositories))
    }

    fn render(&self, look: Look) -> Result<String> {
        let stored = look.stored;
        let registry = Registry::new();
        for collector in collectors::all(&Arc::new(look))? {
            registry.register(collector)?;
        }
        if !stored {
            registry.register(Box::new(ProcessCollector::for_self()))?;
        }
        if let Some((version, digest)) = &self.component {
            let labels = [("version", version), ("digest", digest)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.clone()));
            let options = Opts::new(COMPONENT_INFO.name, COMPONENT_INFO.help);
            let info = IntGauge::with_opts(options.const_labels(labels.into()))?;
            info.set(1);
            registry.register(Box::new(info))?;
        }
        if let Some(requests) = &self.requests {
            requests.register(&registry)?;
        }
        Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
    }
}
