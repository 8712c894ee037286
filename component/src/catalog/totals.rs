//! How many runs and checks there were and how many went wrong, by plan: counters that neither a restart nor a
//! prune takes back. They are for monitoring; nothing is decided by them.
//!
//! They are kept in `.catalog.json`, which is made durable before the rows. That is why a run is counted by its
//! id: what a crash between the two writes closes again has been counted already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Record, Status};

/// The plan of runs that no schedule asked for, and of rows of the original system.
pub const MANUAL: &str = "manual";

/// The counters of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Runs with an id up to this one are counted.
    #[serde(default)]
    pub through: u64,
    /// The counters of each plan.
    #[serde(default)]
    pub plans: BTreeMap<String, PlanTotals>,
    /// What later versions wrote.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The counters of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanTotals {
    /// Runs that ended, in whatever way.
    pub runs: u64,
    /// Those that failed or were cancelled.
    pub failures: u64,
    /// Those whose backup is partial.
    pub partial: u64,
    /// Verifications that found something wrong.
    pub verify_failures: u64,
    /// Drills that did not pass.
    pub drill_failures: u64,
    /// What later versions wrote.
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Totals {
    /// Counts the runs that have ended since, in order of their ids, up to the first that still goes on.
    pub(super) fn count(&mut self, rows: &[Record]) {
        let mut new: Vec<&Record> = rows.iter().filter(|r| r.id > self.through).collect();
        new.sort_unstable_by_key(|r| r.id);
        for row in new.into_iter().take_while(|r| r.status != Status::InProgress) {
            self.through = row.id;
            let plan = self.of(row);
            up(&mut plan.runs);
            match row.status {
                Status::Failed | Status::Cancelled => up(&mut plan.failures),
                Status::Partial => up(&mut plan.partial),
                Status::Completed | Status::InProgress => {}
            }
        }
    }

    /// The counters of a row's plan.
    pub(super) fn of(&mut self, row: &Record) -> &mut PlanTotals {
        let plan = row.plan.as_deref().unwrap_or(MANUAL);
        self.plans.entry(plan.to_owned()).or_default()
    }
}

/// Counts one more. The file is anybody's to write: a counter at its end stays there and does not begin anew.
pub(super) fn up(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::record_result::record_result;
    use crate::testing::{Folder, row};
    use crate::types::Check;

    const NOW: &str = "2024-06-01T00:00:00-03:00";

    fn of(id: u64, plan: Option<&str>, status: Status) -> Record {
        Record {
            plan: plan.map(str::to_owned),
            status,
            ..row(id, &format!("2024-01-{id:02}T02:00:00"))
        }
    }

    fn counted(folder: &Folder, plan: &str) -> (u64, u64, u64) {
        let totals = folder.catalog().totals();
        let plan = totals.plans.get(plan).cloned().unwrap_or_default();
        (plan.runs, plan.failures, plan.partial)
    }

    #[test]
    fn every_end_of_a_run_is_counted_in_its_plan() {
        let folder = Folder::with(&[
            of(1, None, Status::Completed),
            of(2, Some("daily"), Status::Failed),
            of(3, Some("daily"), Status::Cancelled),
            of(4, Some("daily"), Status::Partial),
            of(5, Some("daily"), Status::Completed),
            of(6, Some("daily"), Status::InProgress),
        ]);
        assert_eq!(counted(&folder, MANUAL), (1, 0, 0));
        assert_eq!(counted(&folder, "daily"), (4, 2, 1));
    }

    #[test]
    fn a_row_that_goes_takes_nothing_back() {
        let folder = Folder::with(&[
            of(1, Some("daily"), Status::Failed),
            of(2, Some("daily"), Status::Completed),
        ]);
        let mut catalog = folder.catalog();
        catalog.remove(1).unwrap();
        catalog.publish(&folder.dir()).unwrap();
        assert_eq!(counted(&folder, "daily"), (2, 1, 0));
        let mut catalog = folder.catalog();
        catalog.remove(2).unwrap();
        catalog.publish(&folder.dir()).unwrap();
        assert_eq!(counted(&folder, "daily"), (2, 1, 0));
    }

    #[test]
    fn a_crash_between_state_and_rows_counts_a_run_once() {
        let open = [of(1, Some("daily"), Status::InProgress)];
        let folder = Folder::with(&open);
        let mut catalog = folder.catalog();
        catalog.get_mut(1).unwrap().status = Status::Completed;
        catalog.publish(&folder.dir()).unwrap();
        // The rows were not written any more.
        folder.write_history(&open);
        let mut catalog = folder.catalog();
        catalog.get_mut(1).unwrap().status = Status::Failed;
        catalog.publish(&folder.dir()).unwrap();
        assert_eq!(counted(&folder, "daily").0, 1);
    }

    #[test]
    fn checks_that_fail_are_counted_and_others_are_not() {
        let folder = Folder::with(&[of(1, Some("daily"), Status::Completed)]);
        for (check, result) in [
            (Check::Verify, "verified"),
            (Check::Verify, "failed"),
            (Check::Drill, "passed"),
            (Check::Drill, "a table is missing"),
            (Check::Verify, "failed"),
            (Check::Restore, "restored"),
        ] {
            record_result(&folder.roots, 1, check, result, NOW).unwrap();
        }
        let totals = folder.catalog().totals();
        let daily = &totals.plans["daily"];
        assert_eq!(
            (daily.verify_failures, daily.drill_failures, daily.runs),
            (2, 1, 1)
        );
    }

    #[test]
    fn a_counter_at_its_end_stays_there() {
        let folder = Folder::with(&[of(1, Some("daily"), Status::Failed)]);
        let most = u64::MAX;
        let state = format!(
            r#"{{"format": 1, "next_id": 2, "totals": {{"plans": {{"daily": {{"runs": {most}, "failures": {most},
            "verify_failures": {most}, "drill_failures": {most}}}}}}}}}"#
        );
        folder.write(".catalog.json", state.as_bytes());
        assert_eq!(counted(&folder, "daily"), (most, most, 0));
        let mut catalog = folder.catalog();
        for check in [Check::Verify, Check::Drill] {
            catalog.count_failed(1, check).unwrap();
        }
        catalog.publish(&folder.dir()).unwrap();
        let daily = &folder.catalog().totals().plans["daily"];
        assert_eq!((daily.verify_failures, daily.drill_failures), (most, most));
    }

    #[test]
    fn counters_of_a_later_version_survive() {
        let folder = Folder::with(&[of(1, Some("daily"), Status::Completed)]);
        let state = r#"{"format": 1, "next_id": 2, "totals": {"through": 0, "later": 1,
            "plans": {"daily": {"runs": 41, "copies": 7}}}}"#;
        folder.write(".catalog.json", state.as_bytes());
        folder.catalog().publish(&folder.dir()).unwrap();
        assert_eq!(counted(&folder, "daily").0, 42);
        let text = folder.read(".catalog.json");
        assert!(
            text.contains("\"later\": 1") && text.contains("\"copies\": 7"),
            "{text}"
        );
    }
}
