//! Rows in, numbers out.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

use serde_json::json;

use super::*;

/// 2026-01-02T03:00:00Z.
const T0: f64 = 1_767_322_800.0;

/// A row of the plan `daily` that started `hour` hours after [`T0`] and took ten seconds.
fn row(hour: u32, status: &str) -> Record {
    serde_json::from_value(json!({
        "id": hour, "name": format!("backup_20260102_{:02}0000_automated", hour + 3), "type": "automated",
        "timestamp": "2026-01-02T03:00:00.000000", "status": status, "size": 100 + hour, "plan": "daily",
        "started_at": format!("2026-01-02T{:02}:00:00.000000-03:00", hour),
        "finished_at": format!("2026-01-02T{:02}:00:10.500000-03:00", hour),
        "duration_seconds": 10.5, "file_count": 7, "source_bytes": 900, "skipped": 1,
    }))
    .unwrap()
}

fn daily(rows: &[Record]) -> PlanFacts {
    CatalogFacts::of(rows, |_| true).plans["daily"].clone()
}

#[test]
fn manual_is_there_even_in_an_empty_catalog() {
    let facts = CatalogFacts::of(&[], |_| true);
    assert_eq!(facts.plans.len(), 1);
    assert_eq!(facts.plans[MANUAL].status, LastStatus::Never);
    assert_eq!(facts.plans[MANUAL].last_success, 0.0);
}

#[test]
fn success_counts_from_its_end_and_attempt_from_its_start() {
    let plan = daily(&[row(1, "completed")]);
    assert_eq!(plan.last_success, T0 + 3600.0 + 10.5);
    assert_eq!(plan.last_attempt, T0 + 3600.0);
    assert_eq!(
        (plan.size, plan.source_bytes, plan.files, plan.skipped),
        (101, 900, 7, 1)
    );
    assert_eq!(plan.duration, 10.5);
}

#[test]
fn a_partial_run_never_advances_last_success() {
    let plan = daily(&[row(1, "completed"), row(2, "partial")]);
    assert_eq!(plan.last_success, T0 + 3600.0 + 10.5);
    assert_eq!(plan.status, LastStatus::Partial);
    assert_eq!(plan.size, 102);
}

#[test]
fn failures_in_a_row_count_over_cancelled_ones_until_a_backup_is_published() {
    let failing = [row(1, "failed"), row(2, "cancelled"), row(3, "failed")];
    assert_eq!(daily(&failing).consecutive_failures, 2);
    assert_eq!(daily(&failing).status, LastStatus::Failed);
    let mended = [row(1, "failed"), row(2, "failed"), row(3, "partial")];
    assert_eq!(daily(&mended).consecutive_failures, 0);
}

#[test]
fn a_run_that_goes_on_keeps_the_last_status_and_shows_its_start() {
    let plan = daily(&[row(1, "failed"), row(2, "in_progress")]);
    assert_eq!(plan.status, LastStatus::Failed);
    assert_eq!(plan.running_since, T0 + 7200.0);
    assert_eq!(plan.last_attempt, T0 + 7200.0);
}

#[test]
fn an_interrupted_run_before_a_newer_one_is_not_going_on() {
    assert_eq!(
        daily(&[row(1, "in_progress"), row(2, "completed")]).running_since,
        0.0
    );
}

#[test]
fn a_row_from_the_future_hides_nothing_once_a_newer_run_completed() {
    let mut future = row(1, "completed");
    future.finished_at = Some("2099-01-01T00:00:00.000000Z".into());
    assert_eq!(
        daily(&[future, row(2, "completed")]).last_success,
        T0 + 7200.0 + 10.5
    );
}

#[test]
fn a_row_of_the_original_system_counts_as_manual_in_local_time() {
    let legacy: Record = serde_json::from_value(json!({
        "id": 3, "name": "backup_20250831_215249_manual", "type": "teste_script",
        "timestamp": "2025-08-31T21:52:49.123456", "status": "completed",
        "files": ["database\\relatorios.sql"], "size": 51234, "error": null,
        "zip_path": "backups\\backup_20250831_215249_manual.zip"
    }))
    .unwrap();
    let naive: NaiveDateTime = "2025-08-31T21:52:49.123456".parse().unwrap();
    let expected = Local.from_local_datetime(&naive).earliest().unwrap();
    let facts = CatalogFacts::of(&[legacy], |_| true);
    assert_eq!(facts.plans[MANUAL].last_success, seconds(&expected));
    assert_eq!(facts.plans[MANUAL].size, 51234);
}

#[test]
fn missing_archives_of_published_backups_are_counted() {
    let rows = [row(1, "completed"), row(2, "partial"), row(3, "failed")];
    let facts = CatalogFacts::of(&rows, |r| r.id == 1);
    assert_eq!((facts.backups, facts.missing), (1, 1));
}

#[test]
fn only_a_sound_verification_counts() {
    let mut sound = row(1, "completed");
    sound.verified_at = Some("2026-01-02T03:00:00Z".into());
    sound.verify_status = Some("verified (no manifest)".into());
    let mut bad = row(2, "completed");
    bad.verified_at = Some("2026-01-03T03:00:00Z".into());
    bad.verify_status = Some("failed".into());
    assert_eq!(
        CatalogFacts::of(&[sound.clone(), bad], |_| true).last_verified,
        T0
    );
    sound.verify_status = Some("whole (not opened)".into());
    assert_eq!(CatalogFacts::of(&[sound], |_| true).last_verified, T0);
}

#[test]
fn only_a_drill_that_passed_counts() {
    let mut passed = row(1, "completed");
    passed.drilled_at = Some("2026-01-02T03:00:00Z".into());
    passed.drill_status = Some("passed".into());
    let mut bad = row(2, "completed");
    bad.drilled_at = Some("2026-01-03T03:00:00Z".into());
    bad.drill_status = Some("failed".into());
    let facts = CatalogFacts::of(&[passed.clone(), bad.clone()], |_| true);
    assert_eq!(facts.last_drilled, T0);
    assert_eq!(facts.last_drill, (T0 + 86_400.0, "other"));
    let mut result = |status: &str| {
        bad.drill_status = Some(status.into());
        // The order of the rows is that of the backups, not of the drills.
        CatalogFacts::of(&[bad.clone(), passed.clone()], |_| true)
            .last_drill
            .1
    };
    assert_eq!(result("rows_differ: table a: b"), "rows_differ");
    assert_eq!(result("passed"), "passed");
    assert_eq!(result("never"), "other");
}

#[test]
fn a_plan_that_never_ran_is_the_default() {
    assert_eq!(PlanFacts::NONE, PlanFacts::default());
}

#[test]
fn absurd_durations_stay_harmless() {
    let mut odd = row(1, "completed");
    odd.duration_seconds = Some(-5.0);
    assert_eq!(daily(&[odd]).duration, 0.0);
}
