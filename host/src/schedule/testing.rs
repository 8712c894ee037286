//! Rows for the tests of what reads the catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crate::engine::wit::types::{Backup, Status};

/// A row of `plan`; an empty end is none.
pub(crate) fn row(id: u64, plan: &str, status: &str, started: &str, finished: &str) -> Backup {
    Backup {
        id,
        name: format!("backup_{id}"),
        backup_type: "automated".into(),
        timestamp: String::new(),
        status: match status {
            "completed" => Status::Completed,
            "partial" => Status::Partial,
            "failed" => Status::Failed,
            "in_progress" => Status::InProgress,
            other => panic!("no status {other}"),
        },
        size: 1,
        error: None,
        zip_path: None,
        plan: Some(plan.to_owned()),
        started_at: Some(started.to_owned()),
        finished_at: Some(finished.to_owned()).filter(|text| !text.is_empty()),
        duration_seconds: None,
        file_count: None,
        source_bytes: None,
        skipped: None,
        changed: None,
        sha256: None,
        reused_bytes: None,
        pinned: false,
        verified_at: None,
        verify_status: None,
        drilled_at: None,
        drill_status: None,
        restored_at: None,
        archive_present: true,
    }
}
