//! Requests to the API of `cofre serve`: counted there, exported here beside everything else.
//!
//! Unlike all other metrics these live in memory: they tell how this process does, and begin anew with it.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::error::Result;
use crate::names::{HTTP_DURATION, HTTP_REQUESTS};

/// Methods that are told apart; whatever else a client invents is `other`.
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];
const OTHER: &str = "other";
/// The server's own failures are there at 0 from the start: the first one of a series that begins with it would be
/// no increase.
const FAILURES: [&str; 3] = ["500", "503", "507"];
/// Seconds. Most answers come from the catalog; a backup through the API takes minutes.
const BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

/// Counts requests. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Requests {
    total: IntCounterVec,
    duration: HistogramVec,
}

impl Requests {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// `Metrics`: a bug.
    pub fn new() -> Result<Self> {
        let total = IntCounterVec::new(
            Opts::new(HTTP_REQUESTS.name, HTTP_REQUESTS.help),
            HTTP_REQUESTS.labels,
        )?;
        let options = HistogramOpts::new(HTTP_DURATION.name, HTTP_DURATION.help).buckets(BUCKETS.to_vec());
        let duration = HistogramVec::new(options, HTTP_DURATION.labels)?;
        for method in METHODS {
            for code in FAILURES {
                total.get_metric_with_label_values(&[method, code])?;
            }
            duration.get_metric_with_label_values(&[method])?;
        }
        Ok(Self { total, duration })
    }

    /// Counts one answered request.
    pub fn count(&self, method: &str, code: u16, took: Duration) {
        let method = METHODS
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or(OTHER);
        let code = code.to_string();
        // Neither can fail: the number of labels is the definition's.
        if let Ok(counter) = self.total.get_metric_with_label_values(&[method, &code]) {
            counter.inc();
        }
        if let Ok(histogram) = self.duration.get_metric_with_label_values(&[method]) {
            histogram.observe(took.as_secs_f64());
        }
    }

    pub(crate) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.total.clone()))?;
        registry.register(Box::new(self.duration.clone()))?;
        Ok(())
    }
}
