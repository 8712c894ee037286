//! Machines that sleep, clocks that jump, runs that are in the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use chrono::NaiveTime;
use chrono_tz::{America, Tz};

use super::*;
use crate::config::{At, When};

fn plan(when: &str, zone: Tz) -> Plan {
    let when = match when.split_once(':') {
        Some((hour, minute)) => When::At(At {
            days: Vec::new(),
            time: NaiveTime::from_hms_opt(hour.parse().unwrap(), minute.parse().unwrap(), 0).unwrap(),
        }),
        None => When::Cron(Box::new(when.parse().unwrap())),
    };
    Plan {
        name: "daily".into(),
        repository: "r".into(),
        times: Times::new(&when, zone),
        jitter: Duration::ZERO,
        enabled: true,
        catch_up: true,
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn since(text: &str) -> Last {
    Last {
        since: utc(text),
        due: None,
        row: None,
        counted: None,
    }
}

#[test]
fn a_new_plan_waits_for_its_first_time() {
    let plan = plan("02:00", Tz::UTC);
    let last = since("2026-03-01T10:00:00Z");
    let before = due(&plan, &last, Way::Free, utc("2026-03-02T01:59:59Z"));
    assert_eq!((before.action, before.missed), (Action::Nothing, 0));
    assert_eq!(before.next, Some(utc("2026-03-02T02:00:00Z")));
    let on_time = due(&plan, &last, Way::Free, utc("2026-03-02T02:00:04Z"));
    assert_eq!(on_time.action, Action::Start(utc("2026-03-02T02:00:00Z")));
    assert_eq!(on_time.missed, 0);
    assert_eq!(on_time.next, Some(utc("2026-03-03T02:00:00Z")));
}

#[test]
fn many_missed_runs_are_made_up_for_by_one() {
    let mut plan = plan("02:00", Tz::UTC);
    let mut last = since("2026-03-01T10:00:00Z");
    let morning = utc("2026-03-06T09:00:00Z");
    let found = due(&plan, &last, Way::Free, morning);
    assert_eq!(found.action, Action::Start(utc("2026-03-06T02:00:00Z")));
    assert_eq!(found.missed, 5);
    assert_eq!(found.due_since, Some(utc("2026-03-02T02:00:00Z")));
    plan.catch_up = false;
    assert_eq!(
        due(&plan, &last, Way::Free, morning).action,
        Action::GiveUp(utc("2026-03-06T02:00:00Z"))
    );
    // On time it runs all the same, and the four before are missed.
    let night = due(&plan, &last, Way::Free, utc("2026-03-06T02:00:30Z"));
    assert_eq!(
        (night.action, night.missed),
        (Action::Start(utc("2026-03-06T02:00:00Z")), 4)
    );
    last.due = Some(utc("2026-03-06T02:00:00Z"));
    assert_eq!(due(&plan, &last, Way::Free, morning).action, Action::Nothing);
}

#[test]
fn a_run_by_hand_or_of_another_host_counts() {
    let plan = plan("02:00", Tz::UTC);
    let mut last = since("2026-03-01T10:00:00Z");
    last.row = Some(utc("2026-03-02T02:30:00Z"));
    let found = due(&plan, &last, Way::Free, utc("2026-03-02T09:00:00Z"));
    assert_eq!((found.action, found.missed), (Action::Nothing, 0));
}

#[test]
fn a_disabled_plan_is_never_due() {
    let mut plan = plan("02:00", Tz::UTC);
    plan.enabled = false;
    let found = due(
        &plan,
        &since("2026-03-01T10:00:00Z"),
        Way::Free,
        utc("2026-04-01T00:00:00Z"),
    );
    assert_eq!(
        (found.action, found.missed, found.next),
        (Action::Nothing, 0, None)
    );
}

#[test]
fn a_run_in_the_way_is_waited_for_and_counted_once() {
    let mut plan = plan("02:00", Tz::UTC);
    // Waiting is not catching up: the service was there.
    plan.catch_up = false;
    let mut last = since("2026-03-01T10:00:00Z");
    let occurrence = utc("2026-03-02T02:00:00Z");
    let found = due(&plan, &last, Way::Other, utc("2026-03-02T02:00:01Z"));
    assert_eq!((found.action, found.missed), (Action::Wait(occurrence), 1));
    last.counted = Some(occurrence);
    let still = due(&plan, &last, Way::Other, utc("2026-03-02T03:00:00Z"));
    assert_eq!((still.action, still.missed), (Action::Wait(occurrence), 0));
    let free = due(&plan, &last, Way::Free, utc("2026-03-02T05:00:00Z"));
    assert_eq!((free.action, free.missed), (Action::Start(occurrence), 0));
    // Unless the service was away for a night in between.
    let later = due(&plan, &last, Way::Free, utc("2026-03-04T05:00:00Z"));
    assert_eq!(
        (later.action, later.missed),
        (Action::GiveUp(utc("2026-03-04T02:00:00Z")), 2)
    );
}

#[test]
fn what_comes_due_during_the_plans_own_run_is_given_up() {
    let plan = plan("*/10 * * * *", Tz::UTC);
    let mut last = since("2026-03-01T10:00:00Z");
    last.due = Some(utc("2026-03-01T10:10:00Z"));
    let found = due(&plan, &last, Way::Own, utc("2026-03-01T10:35:00Z"));
    assert_eq!(
        (found.action, found.missed),
        (Action::GiveUp(utc("2026-03-01T10:30:00Z")), 2)
    );
}

#[test]
fn a_clock_that_jumps_back_repeats_nothing() {
    let plan = plan("02:00", Tz::UTC);
    let mut last = since("2026-03-01T10:00:00Z");
    last.due = Some(utc("2026-03-05T02:00:00Z"));
    let found = due(&plan, &last, Way::Free, utc("2026-03-04T02:30:00Z"));
    assert_eq!((found.action, found.doubted), (Action::Nothing, false));
    assert_eq!(found.next, Some(utc("2026-03-06T02:00:00Z")));
}

#[test]
fn a_last_run_in_the_far_future_is_not_believed() {
    let plan = plan("02:00", Tz::UTC);
    let now = utc("2026-03-04T09:00:00Z");
    let mut last = since("2026-03-01T10:00:00Z");
    last.row = Some(utc("2036-01-01T00:00:00Z"));
    last.due = Some(utc("2026-03-03T02:00:00Z"));
    let found = due(&plan, &last, Way::Free, now);
    assert_eq!(
        found.action,
        Action::Start(utc("2026-03-04T02:00:00Z")),
        "the other one is"
    );
    assert!(found.doubted);
    let future = Last {
        since: DateTime::<Utc>::MAX_UTC,
        due: Some(DateTime::<Utc>::MAX_UTC),
        row: Some(utc("2262-01-01T00:00:00Z")),
        counted: Some(DateTime::<Utc>::MAX_UTC),
    };
    let found = due(&plan, &future, Way::Free, now);
    assert_eq!(
        (found.action, found.next),
        (Action::Nothing, Some(utc("2026-03-05T02:00:00Z")))
    );
    let past = Last {
        since: DateTime::<Utc>::MIN_UTC,
        due: Some(DateTime::<Utc>::MIN_UTC),
        row: None,
        counted: Some(DateTime::<Utc>::MIN_UTC),
    };
    let found = due(&plan, &past, Way::Free, now);
    assert_eq!(found.action, Action::Start(utc("2026-03-04T02:00:00Z")));
    assert_eq!(found.missed, 366, "a year is looked back");
    for broken in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(due(&plan, &past, Way::Free, broken).action, Action::Nothing);
    }
}

#[test]
fn a_plan_of_minutes_that_slept_for_months_is_decided_soon() {
    let plan = plan("* * * * *", America::New_York);
    let began = std::time::Instant::now();
    let now = utc("2026-12-01T00:00:30Z");
    let found = due(&plan, &since("2026-01-01T00:00:00Z"), Way::Free, now);
    let Action::Start(occurrence) = found.action else {
        panic!("{found:?}")
    };
    assert!(
        found.missed >= COUNT_LIMIT - 1 && now - occurrence < TimeDelta::minutes(1),
        "{found:?}"
    );
    assert_eq!(found.next, Some(utc("2026-12-01T00:01:00Z")));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn jitter_puts_each_start_off_and_keeps_their_order() {
    let mut plan = plan("*/5 * * * *", Tz::UTC);
    plan.jitter = Duration::from_secs(3600);
    let mut last = since("2026-03-01T00:00:00Z");
    let mut now = last.since;
    let mut starts = Vec::new();
    for _ in 0..200 {
        let next = due(&plan, &last, Way::Free, now).next.unwrap();
        assert!(next >= now);
        now = next;
        let Action::Start(occurrence) = due(&plan, &last, Way::Free, now).action else {
            panic!("not due at its own time {now}")
        };
        assert!(now - occurrence <= TimeDelta::minutes(5), "{occurrence} at {now}");
        last.due = Some(occurrence);
        starts.push((occurrence, now));
    }
    assert!(
        starts
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
    );
    assert!(starts.iter().any(|(occurrence, start)| start > occurrence));
}

/// A generator of the tests' own, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// One machine's months: true time goes on, sometimes in a sleep; its clock is wrong by up to 25 hours for a while;
/// runs take their time; the service restarts.
#[test]
fn no_occurrence_runs_twice_whatever_the_clock_does() {
    for seed in 1..60 {
        let mut random = Random(seed * 0x9e37_79b9_7f4a_7c15);
        let pattern =
            ["02:00", "*/20 * * * *", "0 2,14 * * *", "01:30"][usize::try_from(random.below(4)).unwrap()];
        let mut plan = plan(pattern, America::New_York);
        plan.catch_up = random.below(2) == 0;
        plan.jitter = Duration::from_secs(random.below(3) * 700);
        let mut truth = utc("2026-01-15T00:00:00Z") + TimeDelta::days(i64::try_from(seed).unwrap() * 5);
        let mut error = TimeDelta::zero();
        let mut last = since(&truth.to_rfc3339());
        let (mut ran, mut missed, mut busy_until) = (BTreeSet::new(), 0, truth);
        let begin = truth;
        for _ in 0..6000 {
            truth += match random.below(200) {
                0 => TimeDelta::hours(i64::try_from(random.below(60)).unwrap()),
                _ => TimeDelta::seconds(i64::try_from(1 + random.below(900)).unwrap()),
            };
            if random.below(60) == 0 {
                error = -TimeDelta::minutes(i64::try_from(random.below(25 * 60)).unwrap());
            } else if random.below(20) == 0 {
                error = TimeDelta::zero();
            }
            let now = truth + error;
            let way = match truth < busy_until {
                true if random.below(2) == 0 => Way::Own,
                true => Way::Other,
                false => Way::Free,
            };
            let found = due(&plan, &last, way, now);
            assert!(!found.doubted);
            assert!(found.next.is_none_or(|next| next > now), "seed {seed}");
            missed += found.missed;
            match found.action {
                Action::Nothing => {}
                Action::Start(occurrence) => {
                    assert!(occurrence <= now && way == Way::Free);
                    assert!(ran.insert(occurrence), "seed {seed}: {occurrence} twice");
                    assert!(
                        ran.last() == Some(&occurrence),
                        "seed {seed}: {occurrence} after a later one"
                    );
                    (last.due, last.counted) = (Some(occurrence), Some(occurrence));
                    busy_until = truth + TimeDelta::minutes(i64::try_from(random.below(50)).unwrap());
                }
                Action::Wait(occurrence) => last.counted = Some(occurrence),
                Action::GiveUp(occurrence) => (last.due, last.counted) = (Some(occurrence), Some(occurrence)),
            }
        }
        // Every occurrence either ran, on time or to make up, or was missed: none is forgotten. One that was
        // missed and then made up for is both.
        let mut all = 0;
        let mut at = plan.times.next_after(begin);
        while let Some(occurrence) = at.filter(|occurrence| Some(*occurrence) <= last.due) {
            all += 1;
            at = plan.times.next_after(occurrence);
        }
        let ran = u64::try_from(ran.len()).unwrap();
        assert!(
            ran + missed >= all && ran > 0 && ran <= all,
            "seed {seed}: {ran} + {missed}, {all}"
        );
    }
}
