//! What the catalog's rows come down to: a handful of numbers for each plan.
//!
//! Pure: no clock, no file system. The rows are in the order in which the runs were begun, and that order counts,
//! not their times: a row with a wrong time from the future then hides nothing once a newer run ended.

use std::collections::BTreeMap;

use chrono::{DateTime, Local, NaiveDateTime, TimeZone};
use cofre_component::catalog::{PlanTotals, Record, Status, Totals};
use cofre_component::record_result::WHOLE;

pub use cofre_component::catalog::MANUAL;

/// How the newest ended run of a plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastStatus {
    /// No run has ended yet.
    #[default]
    Never,
    /// Completed.
    Success,
    /// Published, but something is missing in it.
    Partial,
    /// No archive.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl LastStatus {
    /// Every status with its label value.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Success, "success"),
        (Self::Partial, "partial"),
        (Self::Failed, "failed"),
        (Self::Cancelled, "cancelled"),
        (Self::Never, "never"),
    ];
}

/// What is known of one plan. Times are Unix times in seconds, 0 meaning never.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlanFacts {
    /// End of the newest completed run.
    pub last_success: f64,
    /// Start of the oldest run that the catalog still has.
    pub first_attempt: f64,
    /// Start of the newest run.
    pub last_attempt: f64,
    /// Start of the run that is going on.
    pub running_since: f64,
    /// How the newest ended run ended.
    pub status: LastStatus,
    /// Failed runs since the newest published backup.
    pub consecutive_failures: u64,
    /// Of the newest published backup: seconds.
    pub duration: f64,
    /// Of the newest published backup: bytes of its archive.
    pub size: u64,
    /// Of the newest published backup: bytes before compression.
    pub source_bytes: u64,
    /// Of the newest published backup: files in it.
    pub files: u64,
    /// Of the newest published backup: files that are not in it.
    pub skipped: u64,
}

/// What the catalog's state counts of one plan; no prune takes any of it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Runs that ended.
    pub runs: u64,
    /// Those that failed or were cancelled.
    pub failures: u64,
    /// Those whose backup is partial.
    pub partial: u64,
    /// Verifications that found something wrong.
    pub verify_failures: u64,
    /// Restore drills that did not pass.
    pub drill_failures: u64,
}

/// What a restore drill can find wrong with a backup: what stands before the colon of a row's `drill_status`.
pub const DRILL_FINDINGS: [&str; 10] = [
    "archive_missing",
    "archive_damaged",
    "file_missing",
    "file_truncated",
    "unexpected_file",
    "hostile_sql",
    "load_failed",
    "tables_differ",
    "rows_differ",
    "unsound",
];

/// Every value of the label `result`: no drill yet, one that passed, one of [`DRILL_FINDINGS`], or what another
/// version found.
pub(crate) fn drill_results() -> impl Iterator<Item = &'static str> {
    ["never", PASSED]
        .into_iter()
        .chain(DRILL_FINDINGS)
        .chain(["other"])
}

/// What a row says of a drill that proved the backup.
const PASSED: &str = "passed";

/// The value of the label for a row's `drill_status`.
fn drill_result(status: &str) -> &'static str {
    let word = status.split_once(':').map_or(status, |(word, _)| word);
    drill_results()
        .find(|known| *known == word && *known != "never")
        .unwrap_or("other")
}

/// What is known of a whole catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogFacts {
    /// The plans by name; [`MANUAL`] is always among them.
    pub plans: BTreeMap<String, PlanFacts>,
    /// The counters by plan. A plan that has them need not have a row any more, and the other way round.
    pub totals: BTreeMap<String, Counted>,
    /// Published backups whose archive is there.
    pub backups: u64,
    /// Published backups whose archive is not there.
    pub missing: u64,
    /// Newest verification that found an archive sound; 0 where there is none.
    pub last_verified: f64,
    /// Newest restore drill that passed; 0 where there is none.
    pub last_drilled: f64,
    /// When the newest restore drill that came to a result was held, and the result in one word.
    pub last_drill: (f64, &'static str),
}

impl CatalogFacts {
    /// Reads the rows once. `present` says whether a row's archive is in the folder.
    pub fn of(records: &[Record], present: impl Fn(&Record) -> bool) -> Self {
        let mut facts = Self {
            plans: BTreeMap::from([(MANUAL.to_owned(), PlanFacts::default())]),
            totals: BTreeMap::new(),
            backups: 0,
            missing: 0,
            last_verified: 0.0,
            last_drilled: 0.0,
            last_drill: (0.0, "never"),
        };
        for record in records {
            facts.count(record, &present);
            let plan = record.plan.as_deref().unwrap_or(MANUAL);
            match facts.plans.get_mut(plan) {
                Some(known) => known.add(record),
                None => facts.plans.entry(plan.to_owned()).or_default().add(record),
            }
        }
        facts
    }

    /// Adds the counters of the catalog's state.
    #[must_use]
    pub fn counting(self, totals: &Totals) -> Self {
        let totals = totals.plans.iter();
        Self {
            totals: totals
                .map(|(plan, counted)| (plan.clone(), Counted::of(counted)))
                .collect(),
            ..self
        }
    }

    fn count(&mut self, record: &Record, present: impl Fn(&Record) -> bool) {
        if matches!(record.status, Status::Completed | Status::Partial) {
            if present(record) {
                self.backups += 1;
            } else {
                self.missing += 1;
            }
        }
        let sound = record
            .verify_status
            .as_deref()
            // An encrypted archive that is whole is as it was when it was made, opened or not.
            .is_some_and(|s| s.starts_with("verified") || s == WHOLE);
        if let Some(at) = record.verified_at.as_deref().filter(|_| sound).and_then(instant) {
            self.last_verified = self.last_verified.max(at);
        }
        if let Some(at) = record.drilled_at.as_deref().and_then(instant)
            && let Some(status) = record.drill_status.as_deref()
        {
            if status == PASSED {
                self.last_drilled = self.last_drilled.max(at);
            }
            if at >= self.last_drill.0 {
                self.last_drill = (at, drill_result(status));
            }
        }
    }
}

impl Counted {
    fn of(plan: &PlanTotals) -> Self {
        Self {
            runs: plan.runs,
            failures: plan.failures,
            partial: plan.partial,
            verify_failures: plan.verify_failures,
            drill_failures: plan.drill_failures,
        }
    }
}

impl PlanFacts {
    /// Of a plan that never ran.
    pub(crate) const NONE: Self = Self {
        last_success: 0.0,
        first_attempt: 0.0,
        last_attempt: 0.0,
        running_since: 0.0,
        status: LastStatus::Never,
        consecutive_failures: 0,
        duration: 0.0,
        size: 0,
        source_bytes: 0,
        files: 0,
        skipped: 0,
    };

    /// Takes in the next row of this plan.
    fn add(&mut self, record: &Record) {
        self.last_attempt = started(record);
        if self.first_attempt == 0.0 {
            self.first_attempt = self.last_attempt;
        }
        // Only the newest row can be going on: one before it was interrupted.
        self.running_since = 0.0;
        match record.status {
            Status::InProgress => self.running_since = self.last_attempt,
            Status::Completed => {
                self.status = LastStatus::Success;
                self.last_success = ended(record);
                self.publish(record);
            }
            Status::Partial => {
                self.status = LastStatus::Partial;
                self.publish(record);
            }
            Status::Failed => {
                self.status = LastStatus::Failed;
                self.consecutive_failures += 1;
            }
            Status::Cancelled => self.status = LastStatus::Cancelled,
        }
    }

    fn publish(&mut self, record: &Record) {
        self.consecutive_failures = 0;
        self.duration = record.duration_seconds.unwrap_or(0.0).max(0.0);
        self.size = record.size;
        self.source_bytes = record.source_bytes.unwrap_or(0);
        self.files = record.file_count.unwrap_or(0);
        self.skipped = record.skipped.unwrap_or(0);
    }
}

fn started(record: &Record) -> f64 {
    record
        .started_at
        .as_deref()
        .and_then(instant)
        .or_else(|| instant(&record.timestamp))
        .unwrap_or(0.0)
}

fn ended(record: &Record) -> f64 {
    record
        .finished_at
        .as_deref()
        .and_then(instant)
        .unwrap_or_else(|| {
            let start = started(record);
            if start > 0.0 {
                start + record.duration_seconds.unwrap_or(0.0).max(0.0)
            } else {
                0.0
            }
        })
}

/// The Unix time of an RFC 3339 text, or of a local one without offset: rows of the original system have only
/// that, and it is taken to be in this system's zone.
pub(crate) fn instant(text: &str) -> Option<f64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(seconds(&time));
    }
    let naive: NaiveDateTime = text.parse().ok()?;
    Local
        .from_local_datetime(&naive)
        .earliest()
        .map(|time| seconds(&time))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 fit 2^53 until the year 2255"
)]
fn seconds<Z: TimeZone>(time: &DateTime<Z>) -> f64 {
    time.timestamp_micros() as f64 / 1e6
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
