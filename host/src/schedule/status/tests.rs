//! What is told of a plan from its rows and its state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::config::When;
use crate::schedule::Times;
use crate::schedule::testing::row;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn rows() -> Vec<Backup> {
    vec![
        row(
            1,
            "daily",
            "completed",
            "2026-03-01T02:00:00-03:00",
            "2026-03-01T02:10:00-03:00",
        ),
        row(
            2,
            "daily",
            "partial",
            "2026-03-02T02:00:00-03:00",
            "2026-03-02T02:10:00-03:00",
        ),
        row(
            3,
            "weekly",
            "completed",
            "2026-03-02T03:00:00-03:00",
            "2026-03-02T03:10:00-03:00",
        ),
        row(
            4,
            "daily",
            "failed",
            "2026-03-03T02:00:00-03:00",
            "2026-03-05T09:00:00-03:00",
        ),
    ]
}

#[test]
fn a_failed_row_covers_its_beginning_and_a_backup_its_whole_time() {
    let failed = newest_run(&rows(), "daily").unwrap();
    assert_eq!(
        (failed.started, failed.covers),
        (utc("2026-03-03T05:00:00Z"), utc("2026-03-03T05:00:00Z"))
    );
    let partial = newest_run(&rows()[..3], "daily").unwrap();
    assert_eq!(
        (partial.started, partial.covers),
        (utc("2026-03-02T05:00:00Z"), utc("2026-03-02T05:10:00Z"))
    );
    assert_eq!(newest_run(&rows(), "manual"), None);
}

#[test]
fn only_a_complete_backup_is_a_success() {
    assert_eq!(
        newest_success(&rows(), "daily"),
        Some(utc("2026-03-01T05:10:00Z"))
    );
    assert_eq!(newest_success(&rows()[1..2], "daily"), None);
}

#[test]
fn a_plan_is_told_in_local_time_with_what_it_missed() {
    let zone = chrono_tz::America::Sao_Paulo;
    let daily = Plan {
        name: "daily".into(),
        repository: "r".into(),
        times: Times::new(&When::Cron(Box::new("0 2 * * *".parse().unwrap())), zone),
        jitter: Duration::ZERO,
        enabled: true,
        catch_up: true,
    };
    let mut state = ScheduleState::default();
    let mut known = PlanState::new(utc("2026-02-01T00:00:00Z"));
    known.missed = 4;
    state.plans.insert("daily".into(), known);
    let now = utc("2026-03-03T12:00:00Z");
    let told = of(&daily, Some(&state), &rows(), zone, now);
    assert_eq!(told.next_run.as_deref(), Some("2026-03-04T02:00:00-03:00"));
    assert_eq!(told.last_run.as_deref(), Some("2026-03-03T02:00:00-03:00"));
    assert_eq!(
        (told.missed, told.enabled, told.plan.as_str()),
        (4, true, "daily")
    );
    // Neither state nor rows, as before the first run of the service.
    let new = of(&daily, None, &[], zone, now);
    assert_eq!(
        (new.next_run.as_deref(), new.last_run, new.missed),
        (Some("2026-03-04T02:00:00-03:00"), None, 0)
    );
    let off = of(
        &Plan {
            enabled: false,
            ..daily
        },
        Some(&state),
        &rows(),
        zone,
        now,
    );
    assert_eq!((off.next_run, off.enabled), (None, false));
}
