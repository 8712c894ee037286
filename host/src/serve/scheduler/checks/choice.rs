//! Which archives are verified or drilled this time: pure functions of the catalog and the time.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::drill::PASSED;
use crate::engine::wit::types::Backup;
use crate::schedule::{instant, is_believed};
use crate::verify::has_archive;

/// The archives to verify, the oldest check first and those never verified before (a check in the far future is a
/// wrong clock's, and none): all that would be older than
/// `max_age` before the next time, and at least the share that spreads them evenly.
pub(super) fn to_verify(
    rows: &[Backup],
    now: DateTime<Utc>,
    interval: Duration,
    max_age: Duration,
) -> Vec<Backup> {
    let mut all: Vec<(Option<DateTime<Utc>>, &Backup)> = rows
        .iter()
        .filter(|row| has_archive(row))
        .map(|row| {
            let checked = instant(row.verified_at.as_deref());
            (checked.filter(|at| is_believed(*at, now)), row)
        })
        .collect();
    all.sort_by_key(|(checked, row)| (*checked, row.id));
    let limit = max_age.saturating_sub(interval);
    let old = |checked: &Option<DateTime<Utc>>| {
        checked.is_none_or(|at| (now - at).to_std().is_ok_and(|age| age > limit))
    };
    let due = all.iter().filter(|(checked, _)| old(checked)).count();
    let share = share(all.len(), interval, max_age);
    all.truncate(due.max(share));
    all.into_iter().map(|(_, row)| row.clone()).collect()
}

/// The newest archive, unless a drill has passed (of whichever archive) that would still be younger than `max_age` at
/// the next time.
pub(super) fn to_drill(
    rows: &[Backup],
    now: DateTime<Utc>,
    interval: Duration,
    max_age: Option<Duration>,
) -> Vec<Backup> {
    let passed = rows
        .iter()
        .filter(|row| row.drill_status.as_deref() == Some(PASSED))
        .filter_map(|row| instant(row.drilled_at.as_deref()))
        .filter(|at| is_believed(*at, now))
        .max();
    let limit = max_age.map(|age| age.saturating_sub(interval));
    let is_recent = passed.zip(limit).is_some_and(|(at, limit)| {
        // One that lies a little ahead is as recent as can be.
        (now - at).to_std().map_or(true, |age| age < limit)
    });
    let newest = rows.iter().rev().find(|row| has_archive(row));
    newest.filter(|_| !is_recent).cloned().into_iter().collect()
}

/// How many of `count` are verified each `interval` so that all are within `max_age`, rounded up.
fn share(count: usize, interval: Duration, max_age: Duration) -> usize {
    let (interval, max_age) = (interval.as_secs(), max_age.as_secs().max(1));
    let share = u128::from(interval) * u128::try_from(count).unwrap_or(0);
    usize::try_from(share.div_ceil(u128::from(max_age)))
        .unwrap_or(count)
        .min(count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use chrono::TimeDelta;

    use super::*;
    use crate::schedule::testing::row;

    const DAY: Duration = Duration::from_secs(86_400);

    fn ids(rows: &[Backup], days: u32) -> Vec<u64> {
        let now = "2026-03-31T04:00:00Z".parse().unwrap();
        let chosen = to_verify(rows, now, DAY, DAY * days);
        chosen.iter().map(|row| row.id).collect()
    }

    /// Completed rows 1.. with this verification each.
    fn rows(verified: &[Option<&str>]) -> Vec<Backup> {
        let all = (1..).zip(verified);
        all.map(|(id, verified)| Backup {
            verified_at: verified.map(str::to_owned),
            ..row(
                id,
                "daily",
                "completed",
                "2026-03-01T02:00:00Z",
                "2026-03-01T02:05:00Z",
            )
        })
        .collect()
    }

    #[test]
    fn those_never_verified_come_first_and_all_of_them() {
        let rows = rows(&[
            Some("2026-03-30T04:00:00Z"),
            None,
            Some("2026-03-29T04:00:00Z"),
            None,
        ]);
        assert_eq!(ids(&rows, 30), [2, 4]);
    }

    #[test]
    fn what_would_be_too_old_next_time_is_due_now() {
        let rows = rows(&[
            Some("2026-03-03T04:00:00Z"),
            Some("2026-03-01T03:00:00Z"),
            Some("2026-03-02T03:00:00-03:00"),
            Some("2026-03-30T04:00:00Z"),
        ]);
        assert_eq!(ids(&rows, 30), [2], "only one is older than 29 days");
        assert_eq!(ids(&rows, 29), [2, 3]);
        assert_eq!(ids(&rows, 1), [2, 3, 1, 4]);
    }

    #[test]
    fn at_least_a_share_is_verified_the_oldest_first() {
        let fresh: Vec<String> = (1..=60)
            .map(|n| format!("2026-03-30T{:02}:{:02}:00Z", n % 24, n % 60))
            .collect();
        let fresh: Vec<_> = fresh.iter().map(|text| Some(text.as_str())).collect();
        let rows = rows(&fresh);
        assert_eq!(ids(&rows, 30), [24, 48], "60 in 30 days are 2 a day");
        assert_eq!(ids(&rows, 50).len(), 2, "rounded up");
        assert_eq!(ids(&rows, 4000).len(), 1);
    }

    #[test]
    fn within_the_age_everything_is_verified_again() {
        // 37 archives, a daily round, 10 days: none is ever older.
        let mut now: DateTime<Utc> = "2026-03-01T04:00:00Z".parse().unwrap();
        let mut rows = rows(&vec![Some("2026-03-01T03:00:00Z"); 37]);
        for round in 0..60 {
            now += TimeDelta::days(1);
            let chosen: Vec<_> = to_verify(&rows, now, DAY, DAY * 10)
                .iter()
                .map(|row| row.id)
                .collect();
            assert!((1..=10).contains(&chosen.len()), "round {round}: {chosen:?}");
            for row in &mut rows {
                if chosen.contains(&row.id) {
                    row.verified_at = Some(now.to_rfc3339());
                }
                let checked = instant(row.verified_at.as_deref()).unwrap();
                assert!(now - checked <= TimeDelta::days(10), "round {round}: {row:?}");
            }
        }
    }

    #[test]
    fn the_newest_archive_is_drilled_unless_one_passed_recently() {
        let now = "2026-03-31T04:00:00Z".parse().unwrap();
        let drilled = |rows: &[Backup], max_age| {
            let chosen = to_drill(rows, now, DAY, max_age);
            chosen.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let mut rows = rows(&[None, None, None]);
        rows.push(row(
            4,
            "daily",
            "failed",
            "2026-03-01T02:00:00Z",
            "2026-03-01T02:05:00Z",
        ));
        assert_eq!(drilled(&[], None), [0_u64; 0]);
        assert_eq!(drilled(&rows, None), [3]);
        rows[0].drilled_at = Some("2026-03-26T04:00:00Z".into());
        rows[0].drill_status = Some("passed".into());
        assert_eq!(drilled(&rows, None), [3], "each time");
        assert_eq!(
            drilled(&rows, Some(DAY * 7)),
            [0_u64; 0],
            "six days old next time"
        );
        assert_eq!(drilled(&rows, Some(DAY * 6)), [3]);
        rows[1].drilled_at = Some("2026-03-30T04:00:00Z".into());
        rows[1].drill_status = Some("rows_differ: table a".into());
        assert_eq!(drilled(&rows, Some(DAY * 6)), [3], "a failure counts for nothing");
        rows[1].drill_status = Some("passed".into());
        rows[1].drilled_at = Some("2099-03-30T04:00:00Z".into());
        assert_eq!(drilled(&rows, Some(DAY * 6)), [3], "nor does a wrong clock's");
    }

    #[test]
    fn rows_without_an_archive_and_checks_of_the_future() {
        let mut rows = rows(&[Some("2099-01-01T00:00:00Z"), Some("2026-03-30T04:00:00Z")]);
        rows.push(row(
            3,
            "daily",
            "failed",
            "2026-03-01T02:00:00Z",
            "2026-03-01T02:05:00Z",
        ));
        rows.push(row(4, "daily", "in_progress", "2026-03-01T02:00:00Z", ""));
        assert_eq!(ids(&rows, 30), [1]);
        assert_eq!(ids(&[], 30), [0_u64; 0]);
        assert_eq!(share(10, DAY, Duration::ZERO), 10);
    }
}
