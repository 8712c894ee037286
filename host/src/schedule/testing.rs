//! Rows for the tests of what reads the catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crate::engine::wit::types::{Backup, Status};
use crate::testing::backup;

/// A row of `plan`; an empty end is none.
pub(crate) fn row(id: u64, plan: &str, status: &str, started: &str, finished: &str) -> Backup {
    let status = match status {
        "completed" => Status::Completed,
        "partial" => Status::Partial,
        "failed" => Status::Failed,
        "in_progress" => Status::InProgress,
        other => panic!("no status {other}"),
    };
    Backup {
        size: 1,
        plan: Some(plan.to_owned()),
        started_at: Some(started.to_owned()),
        finished_at: Some(finished.to_owned()).filter(|text| !text.is_empty()),
        ..backup(id, status)
    }
}
