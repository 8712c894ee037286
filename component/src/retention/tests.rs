//! Retention over a whole year of dates, rule by rule.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod property;

use chrono::{Days, NaiveDate, NaiveDateTime};

use super::*;
use crate::testing::{row, row_with};

/// Only `max_backups` is set.
fn last(max_backups: u32) -> RetentionPolicy {
    RetentionPolicy {
        max_backups,
        keep_daily: 0,
        keep_weekly: 0,
        keep_monthly: 0,
        keep_yearly: 0,
        keep_within_seconds: 0,
        keep_partial: 0,
        keep_failed_seconds: 0,
    }
}

fn at(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(&format!("{text}-03:00")).unwrap()
}

/// The instant after the last row of [`year`].
fn new_year() -> DateTime<FixedOffset> {
    at("2025-01-01T00:00:00")
}

/// One completed backup on each day of the leap year 2024 at 02:00; the id is the day of the year.
fn year() -> Vec<Record> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
    (0..366)
        .map(|n| row(n + 1, &format!("{}T02:00:00", first + Days::new(n))))
        .collect()
}

fn decide_all(rows: &[Record], policy: &RetentionPolicy, now: DateTime<FixedOffset>) -> Vec<Decision> {
    let views: Vec<_> = rows
        .iter()
        .map(|record| RecordView {
            record,
            archive_present: matches!(record.status, Status::Completed | Status::Partial),
        })
        .collect();
    decide(&views, policy, now).unwrap()
}

fn kept(rows: &[Record], policy: &RetentionPolicy, now: DateTime<FixedOffset>) -> Vec<u64> {
    let decisions = decide_all(rows, policy, now);
    let both = rows.iter().zip(decisions);
    both.filter(|(_, d)| d.keep).map(|(r, _)| r.id).collect()
}

fn reasons_of(id: u64, rows: &[Record], policy: &RetentionPolicy, now: DateTime<FixedOffset>) -> Vec<String> {
    let index = rows.iter().position(|r| r.id == id).unwrap();
    decide_all(rows, policy, now)[index].reasons.clone()
}

/// `MM-DD` of each kept day, newest first, in a year of daily backups.
fn kept_days(policy: &RetentionPolicy) -> String {
    let rows = year();
    let ids = kept(&rows, policy, new_year());
    let days = ids.iter().rev().map(|id| {
        let timestamp: NaiveDateTime = rows[usize::try_from(id - 1).unwrap()].timestamp.parse().unwrap();
        timestamp.format("%m-%d").to_string()
    });
    days.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_rule_keeps_exactly_its_days_of_a_year() {
    let day = 86_400;
    // 2024-12-31 is a Tuesday of week 1 of 2025; weeks end on Sundays.
    let table: &[(&str, RetentionPolicy, &str)] = &[
        ("one", last(1), "12-31"),
        ("three", last(3), "12-31 12-30 12-29"),
        (
            "daily",
            RetentionPolicy {
                keep_daily: 4,
                ..last(1)
            },
            "12-31 12-30 12-29 12-28",
        ),
        (
            "weekly",
            RetentionPolicy {
                keep_weekly: 5,
                ..last(1)
            },
            "12-31 12-29 12-22 12-15 12-08",
        ),
        (
            "monthly",
            RetentionPolicy {
                keep_monthly: 12,
                ..last(1)
            },
            "12-31 11-30 10-31 09-30 08-31 07-31 06-30 05-31 04-30 03-31 02-29 01-31",
        ),
        (
            "more months than there are",
            RetentionPolicy {
                keep_monthly: 40,
                ..last(1)
            },
            "12-31 11-30 10-31 09-30 08-31 07-31 06-30 05-31 04-30 03-31 02-29 01-31",
        ),
        (
            "yearly",
            RetentionPolicy {
                keep_yearly: 3,
                ..last(1)
            },
            "12-31",
        ),
        (
            "within a day and 22 hours, to the second",
            RetentionPolicy {
                keep_within_seconds: day + 22 * 3600,
                ..last(1)
            },
            "12-31 12-30",
        ),
        (
            "one second less",
            RetentionPolicy {
                keep_within_seconds: day + 22 * 3600 - 1,
                ..last(1)
            },
            "12-31",
        ),
        (
            "all together",
            RetentionPolicy {
                keep_daily: 3,
                keep_weekly: 3,
                keep_monthly: 3,
                keep_yearly: 1,
                keep_within_seconds: 2 * day,
                ..last(2)
            },
            "12-31 12-30 12-29 12-22 11-30 10-31",
        ),
    ];
    for (name, policy, days) in table {
        assert_eq!(&kept_days(policy), days, "{name}");
    }
}

#[test]
fn max_backups_keeps_that_many_of_a_year_and_never_more_than_there_are() {
    let rows = year();
    for (max, expected) in [
        (1, 1),
        (30, 30),
        (365, 365),
        (366, 366),
        (367, 366),
        (u32::MAX, 366),
    ] {
        let ids = kept(&rows, &last(max), new_year());
        assert_eq!(ids.len(), expected, "max_backups {max}");
        assert_eq!(ids.last(), Some(&366), "the newest stays");
        assert_eq!(ids[0], 367 - expected as u64, "the oldest go first");
    }
}

#[test]
fn pruning_on_each_day_of_a_year_ends_with_the_same_set_as_pruning_once() {
    let policy = RetentionPolicy {
        keep_weekly: 4,
        keep_monthly: 12,
        ..last(7)
    };
    let mut rows: Vec<Record> = Vec::new();
    for new in year() {
        let now = time::start_of(&new, *new_year().offset());
        rows.push(new);
        let ids = kept(&rows, &policy, now);
        rows.retain(|r| ids.contains(&r.id));
    }
    let all_at_once = kept(&year(), &policy, new_year());
    assert_eq!(rows.iter().map(|r| r.id).collect::<Vec<_>>(), all_at_once);
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    let e = decide(&[], &last(0), new_year()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert!(e.to_string().contains("max_backups"), "{e}");
}

#[test]
fn the_newest_of_a_day_is_kept_by_local_date_and_not_by_utc() {
    // 21:30 at -03:00 is the next day in UTC.
    let rows = [
        row(1, "2024-05-01T02:00:00"),
        row(2, "2024-05-01T21:30:00"),
        row(3, "2024-05-02T02:00:00"),
        row(4, "2024-05-02T21:30:00"),
    ];
    let policy = RetentionPolicy {
        keep_daily: 2,
        ..last(1)
    };
    assert_eq!(kept(&rows, &policy, new_year()), [2, 4]);
    assert_eq!(reasons_of(2, &rows, &policy, new_year()), ["daily 2024-05-01"]);
    assert_eq!(
        reasons_of(4, &rows, &policy, new_year()),
        ["last 1", "daily 2024-05-02", "newest of plan daily"]
    );
    assert_eq!(reasons_of(3, &rows, &policy, new_year()), ["over max_backups"]);
}

#[test]
fn weeks_are_iso_weeks_and_cross_the_year() {
    let rows = [
        row(1, "2024-12-29T02:00:00"),
        row(2, "2024-12-30T02:00:00"),
        row(3, "2025-01-05T02:00:00"),
    ];
    let policy = RetentionPolicy {
        keep_weekly: 2,
        ..last(1)
    };
    let now = at("2025-01-06T00:00:00");
    assert_eq!(kept(&rows, &policy, now), [1, 3]);
    assert_eq!(reasons_of(1, &rows, &policy, now), ["weekly 2024-W52"]);
}

#[test]
fn days_without_a_backup_take_no_place() {
    let rows = [
        row(1, "2024-01-01T02:00:00"),
        row(2, "2024-06-01T02:00:00"),
        row(3, "2024-12-31T02:00:00"),
    ];
    let policy = RetentionPolicy {
        keep_daily: 3,
        ..last(1)
    };
    assert_eq!(kept(&rows, &policy, new_year()), [1, 2, 3]);
}

#[test]
fn creation_order_is_by_start_and_not_by_id_or_position() {
    let rows = [
        row(9, "2024-01-01T02:00:00"),
        row(1, "2024-03-01T02:00:00"),
        row(5, "2024-02-01T02:00:00"),
    ];
    assert_eq!(kept(&rows, &last(2), new_year()), [1, 5]);
}

#[test]
fn the_hour_that_comes_twice_is_ordered_by_its_offset() {
    let early = Record {
        started_at: Some("2024-11-03T01:50:00.000000-02:00".into()),
        ..row(1, "2024-11-03T01:50:00")
    };
    let late = Record {
        started_at: Some("2024-11-03T01:10:00.000000-03:00".into()),
        ..row(2, "2024-11-03T01:10:00")
    };
    assert_eq!(kept(&[early, late], &last(1), new_year()), [2]);
}

#[test]
fn the_newest_completed_of_each_plan_stays() {
    let mut rows = year();
    rows[10].plan = Some("weekly".into());
    rows[20].plan = Some("weekly".into());
    rows[5].plan = None;
    rows[6].plan = None;
    assert_eq!(kept(&rows, &last(1), new_year()), [7, 21, 366]);
    assert_eq!(
        reasons_of(21, &rows, &last(1), new_year()),
        ["newest of plan weekly"]
    );
}

#[test]
fn pinned_ones_and_the_newest_verified_stay() {
    let mut rows = year();
    rows[3].pinned = true;
    for (index, result) in [(40, "verified"), (50, "verified (no manifest)"), (60, "failed")] {
        rows[index].verify_status = Some(result.into());
    }
    assert_eq!(kept(&rows, &last(1), new_year()), [4, 51, 366]);
    assert_eq!(reasons_of(4, &rows, &last(1), new_year()), ["pinned"]);
    assert_eq!(reasons_of(51, &rows, &last(1), new_year()), ["newest verified"]);
}

#[test]
fn a_verified_partial_one_does_not_replace_the_verified_completed_one() {
    let mut rows = year();
    rows[40].verify_status = Some("verified".into());
    rows[50].verify_status = Some("verified".into());
    rows[50].status = Status::Partial;
    rows[30].verify_status = Some("verified".into());
    rows[30].status = Status::Partial;
    assert_eq!(kept(&rows, &last(1), new_year()), [41, 51, 366]);
}

#[test]
fn partial_ones_have_their_own_limit_and_take_no_place() {
    let mut rows = year();
    for index in [100, 200, 300, 364] {
        rows[index].status = Status::Partial;
    }
    let policy = RetentionPolicy {
        keep_partial: 2,
        ..last(2)
    };
    assert_eq!(kept(&rows, &policy, new_year()), [301, 364, 365, 366]);
    assert_eq!(reasons_of(101, &rows, &policy, new_year()), ["over keep_partial"]);
    assert_eq!(kept(&rows, &last(2), new_year()), [364, 366]);
}

#[test]
fn the_newest_partial_stays_while_no_completed_one_is_newer() {
    let mut rows = year();
    rows[365].status = Status::Partial;
    assert_eq!(kept(&rows, &last(1), new_year()), [365, 366]);
    let only_partial: Vec<Record> = (1..=3)
        .map(|n| row_with(n, &format!("2024-01-0{n}T02:00:00"), Status::Partial))
        .collect();
    assert_eq!(kept(&only_partial, &last(1), new_year()), [3]);
}

#[test]
fn missing_archives_neither_count_nor_go() {
    let rows = year();
    let views: Vec<_> = rows
        .iter()
        .map(|record| RecordView {
            record,
            archive_present: record.id <= 300,
        })
        .collect();
    let decisions = decide(&views, &last(2), new_year()).unwrap();
    let kept: Vec<u64> = rows
        .iter()
        .zip(&decisions)
        .filter(|(_, d)| d.keep)
        .map(|(r, _)| r.id)
        .collect();
    assert_eq!(kept, (299..=366).collect::<Vec<_>>());
    assert!(decisions[365].reasons[0].contains("missing"), "{decisions:?}");
}

#[test]
fn rows_from_the_future_neither_count_nor_go() {
    let mut rows = year();
    rows.push(row(400, "9999-12-31T23:59:59"));
    rows.push(row(401, "2025-06-01T02:00:00"));
    assert_eq!(kept(&rows, &last(1), new_year()), [366, 400, 401]);
    // A clock that is years behind removes nothing.
    assert_eq!(kept(&rows, &last(1), at("1999-01-01T00:00:00")).len(), rows.len());
}

#[test]
fn failed_and_cancelled_rows_age_out_but_the_newest_of_each_plan_stays() {
    let rows = [
        row_with(1, "2024-01-01T02:00:00", Status::Failed),
        row_with(2, "2024-12-01T02:00:00", Status::Cancelled),
        Record {
            plan: Some("weekly".into()),
            ..row_with(3, "2024-02-01T02:00:00", Status::Failed)
        },
        row_with(4, "2024-12-31T02:00:00", Status::Failed),
        Record {
            pinned: true,
            ..row_with(5, "2024-01-05T02:00:00", Status::Failed)
        },
        row(6, "2024-01-02T02:00:00"),
    ];
    let month = RetentionPolicy {
        keep_failed_seconds: 30 * 86_400,
        ..last(1)
    };
    assert_eq!(kept(&rows, &month, new_year()), [3, 4, 5, 6]);
    let longer = RetentionPolicy {
        keep_failed_seconds: 31 * 86_400,
        ..last(1)
    };
    assert_eq!(kept(&rows, &longer, new_year()), [2, 3, 4, 5, 6]);
    assert_eq!(
        reasons_of(4, &rows, &month, new_year()),
        ["failed within 30 d", "newest failure of plan daily"]
    );
}

#[test]
fn a_running_one_stays_and_takes_no_place() {
    let mut rows = year();
    rows[0].status = Status::InProgress;
    rows[365].status = Status::InProgress;
    assert_eq!(kept(&rows, &last(1), new_year()), [1, 365, 366]);
}

#[test]
fn a_failed_run_whose_archive_exists_is_left_alone() {
    let rows = [
        row_with(1, "2020-01-01T02:00:00", Status::Failed),
        row(2, "2024-01-01T02:00:00"),
        row_with(3, "2024-01-03T02:00:00", Status::Failed),
    ];
    let views: Vec<_> = rows
        .iter()
        .map(|record| RecordView {
            record,
            archive_present: record.id < 3,
        })
        .collect();
    let decisions = decide(&views, &last(1), new_year()).unwrap();
    assert!(decisions.iter().all(|d| d.keep), "{decisions:?}");
}

#[test]
fn rows_of_the_original_system_count_by_their_local_time() {
    let legacy = |id, local| Record {
        started_at: None,
        plan: None,
        ..row(id, local)
    };
    let rows = [
        legacy(1, "2024-12-31T21:00:00"),
        legacy(2, "2024-12-31T23:59:59"),
        legacy(3, "2025-01-01T00:00:01"),
    ];
    // In UTC all three lie behind the new year at -03:00; only the third is in the future.
    assert_eq!(kept(&rows, &last(1), new_year()), [2, 3]);
}

#[test]
fn extreme_limits_keep_everything_instead_of_overflowing() {
    let policy = RetentionPolicy {
        max_backups: u32::MAX,
        keep_daily: u32::MAX,
        keep_weekly: u32::MAX,
        keep_monthly: u32::MAX,
        keep_yearly: u32::MAX,
        keep_within_seconds: u64::MAX,
        keep_partial: u32::MAX,
        keep_failed_seconds: u64::MAX,
    };
    assert_eq!(kept(&year(), &policy, new_year()).len(), 366);
}
