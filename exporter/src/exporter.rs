//! One scrape from the repositories to text, for the binary, `cofre serve` and the textfile alike.

use std::sync::Arc;
use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};

use crate::collectors::{self, Look};
use crate::error::Result;
use crate::probe::Probe;
use crate::watched::Watched;

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
}

impl Exporter {
    /// Watches `repositories`, each a [`crate::Repository`] or a [`Watched`]; their aliases must differ. Nothing is
    /// read before the first scrape.
    #[must_use]
    pub fn new(repositories: impl IntoIterator<Item = impl Into<Watched>>) -> Self {
        let probes = repositories.into_iter().map(|r| Arc::new(Probe::new(r)));
        Self {
            probes: probes.collect(),
        }
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
        render(Look::new(scope == Scope::Textfile, repositories))
    }
}

fn render(look: Look) -> Result<String> {
    let stored = look.stored;
    let registry = Registry::new();
    for collector in collectors::all(&Arc::new(look))? {
        registry.register(collector)?;
    }
    if !stored {
        registry.register(Box::new(ProcessCollector::for_self()))?;
    }
    Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
}
