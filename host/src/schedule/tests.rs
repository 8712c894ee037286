//! A whole year in zones with every kind of change of clocks, walked minute by minute and run by run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use chrono::{Datelike as _, Days, TimeZone as _, Weekday};
use chrono_tz::{America, Atlantic, Australia, Europe, Pacific};
use croner::parser::{CronParser, Seconds, Year};

use super::*;

/// São Paulo had DST until 2019, with changes at midnight; Lord Howe's is half an hour.
const YEARS: [(Tz, i32); 7] = [
    (America::Sao_Paulo, 2018),
    (America::Sao_Paulo, 2026),
    (Europe::Lisbon, 2026),
    (America::New_York, 2026),
    (Australia::Lord_Howe, 2026),
    (Tz::UTC, 2026),
    (Tz::UTC, 2024),
];

fn at(days: &[Weekday], hour: u32, minute: u32) -> When {
    When::At(At {
        days: days.to_vec(),
        time: NaiveTime::from_hms_opt(hour, minute, 0).unwrap(),
    })
}

fn cron(pattern: &str) -> When {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    When::Cron(Box::new(parser.parse(pattern).unwrap()))
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The instant at which a local day begins, whatever its first time is.
fn midnight(zone: Tz, day: NaiveDate) -> DateTime<Utc> {
    let mut minute = 0;
    loop {
        let wall = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(minute);
        if let Some(instant) = zone.from_local_datetime(&wall).earliest() {
            return instant.to_utc();
        }
        minute += 1;
    }
}

/// The beginning of a local year and of the next.
fn year(zone: Tz, year: i32) -> (DateTime<Utc>, DateTime<Utc>) {
    let first = |year| midnight(zone, NaiveDate::from_ymd_opt(year, 1, 1).unwrap());
    (first(year), first(year + 1))
}

/// Every run of a time span, each computed from the one before.
fn runs(when: &When, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let times = Times::new(when, zone);
    let mut all = Vec::new();
    let mut last = from - TimeDelta::seconds(1);
    while let Some(next) = times.next_after(last).filter(|next| *next < to) {
        assert!(next > last, "{next} after {last}");
        all.push(next);
        last = next;
    }
    all
}

/// When each local day of a time span sees a time of day first, or the first time after it: read off a wall clock,
/// minute by minute, without any calendar arithmetic.
fn first_seen(
    zone: Tz,
    times: &[(u32, u32)],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<Vec<DateTime<Utc>>> {
    let mut seen: Vec<BTreeMap<NaiveDate, DateTime<Utc>>> = vec![BTreeMap::new(); times.len()];
    let mut now = from;
    while now < to {
        let wall = now.with_timezone(&zone).naive_local();
        for ((hour, minute), seen) in times.iter().zip(&mut seen) {
            let reached = (wall.hour(), wall.minute()) >= (*hour, *minute);
            if reached && seen.last_key_value().is_none_or(|(day, _)| *day < wall.date()) {
                seen.insert(wall.date(), now);
            }
        }
        now += TimeDelta::minutes(1);
    }
    seen.into_iter()
        .map(|seen| seen.into_values().collect())
        .collect()
}

#[test]
fn a_daily_plan_runs_once_on_each_day_of_the_year_also_when_its_time_is_skipped_or_repeated() {
    let mut times: Vec<(u32, u32)> = (0..8).map(|half| (half / 2, half % 2 * 30)).collect();
    times.extend([(2, 15), (12, 0), (23, 0), (23, 30), (23, 59)]);
    for (zone, of) in YEARS {
        let (from, to) = year(zone, of);
        for ((hour, minute), expected) in times.iter().zip(first_seen(zone, &times, from, to)) {
            let found = runs(&at(&[], *hour, *minute), zone, from, to);
            assert_eq!(found, expected, "{zone} {of} {hour:02}:{minute:02}");
            let days = if of == 2024 { 366 } else { 365 };
            assert_eq!(found.len(), days, "{zone} {of} {hour:02}:{minute:02}");
        }
    }
}

#[test]
fn it_makes_no_difference_from_which_minute_the_next_run_is_asked_for() {
    for (zone, of) in YEARS {
        let (from, to) = year(zone, of);
        for (hour, minute) in [(0, 0), (0, 30), (1, 30), (2, 15), (23, 30)] {
            let times = Times::new(&at(&[], hour, minute), zone);
            let all = runs(&at(&[], hour, minute), zone, from, to);
            let mut ahead = all.iter().copied().peekable();
            let mut now = from - TimeDelta::seconds(1);
            while let Some(next) = ahead.peek().copied() {
                assert_eq!(times.next_after(now), Some(next), "{zone} after {now}");
                // Every 97 minutes of the year, and every minute of the days on which clocks change.
                let calm = now
                    .with_timezone(&zone)
                    .naive_local()
                    .signed_duration_since(now.naive_utc())
                    == (now + TimeDelta::days(1))
                        .with_timezone(&zone)
                        .naive_local()
                        .signed_duration_since((now + TimeDelta::days(1)).naive_utc());
                now += TimeDelta::minutes(if calm { 97 } else { 1 });
                while ahead.peek().is_some_and(|next| *next <= now) {
                    ahead.next();
                }
            }
        }
    }
}

#[test]
fn a_weekly_plan_runs_once_a_week() {
    for (zone, of) in YEARS {
        let (from, to) = year(zone, of);
        for day in [Weekday::Sun, Weekday::Mon, Weekday::Sat] {
            for (hour, minute) in [(0, 0), (0, 30), (1, 30), (2, 15), (2, 30), (3, 0), (23, 30)] {
                let found = runs(&at(&[day], hour, minute), zone, from, to);
                let days: Vec<_> = found
                    .iter()
                    .map(|run| run.with_timezone(&zone).date_naive())
                    .collect();
                let first = (0..7)
                    .map(|n| NaiveDate::from_ymd_opt(of, 1, 1).unwrap() + Days::new(n))
                    .find(|date| date.weekday() == day)
                    .unwrap();
                let expected: Vec<_> = (0..53)
                    .map(|week| first + Days::new(week * 7))
                    .filter(|date| date.year() == of)
                    .collect();
                assert_eq!(days, expected, "{zone} {of} {day} {hour:02}:{minute:02}");
            }
        }
    }
}

#[test]
fn a_gap_over_midnight_does_not_swallow_the_week_whose_day_it_ends() {
    // In 2024 Nuuk's clocks went from 23:00 on Saturday to midnight.
    let (from, to) = year(America::Nuuk, 2024);
    let found = runs(&at(&[Weekday::Sat], 23, 30), America::Nuuk, from, to);
    assert_eq!(found.len(), 52);
    assert!(found.contains(&utc("2024-03-31T01:00:00Z")), "{found:?}");
}

#[test]
fn a_day_that_a_zone_never_had_is_made_up_for_at_its_end() {
    // Samoa had no 30 December 2011.
    let zone = Pacific::Apia;
    let found = runs(
        &at(&[], 2, 0),
        zone,
        utc("2011-12-29T00:00:00Z"),
        utc("2012-01-01T00:00:00Z"),
    );
    let walls: Vec<String> = found
        .iter()
        .map(|run| run.with_timezone(&zone).naive_local().to_string())
        .collect();
    assert_eq!(
        walls,
        [
            "2011-12-29 02:00:00",
            "2011-12-31 00:00:00",
            "2011-12-31 02:00:00",
            "2012-01-01 02:00:00"
        ]
    );
}

#[test]
fn the_changes_of_clocks_by_the_instant() {
    for (zone, when, after, expected) in [
        // Skipped: the end of the gap.
        (
            America::New_York,
            "02:30",
            "2026-03-08T00:00:00Z",
            "2026-03-08T07:00:00Z",
        ),
        (
            Europe::Lisbon,
            "01:30",
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            America::Sao_Paulo,
            "00:00",
            "2018-11-03T12:00:00Z",
            "2018-11-04T03:00:00Z",
        ),
        (
            Australia::Lord_Howe,
            "02:15",
            "2026-10-03T12:00:00Z",
            "2026-10-03T15:30:00Z",
        ),
        // Repeated: the first of the two, and not the second after it.
        (
            America::New_York,
            "01:30",
            "2026-11-01T00:00:00Z",
            "2026-11-01T05:30:00Z",
        ),
        (
            America::New_York,
            "01:30",
            "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z",
        ),
        (
            America::New_York,
            "01:30",
            "2026-11-01T06:10:00Z",
            "2026-11-02T06:30:00Z",
        ),
        (
            Australia::Lord_Howe,
            "01:45",
            "2026-04-04T12:00:00Z",
            "2026-04-04T14:45:00Z",
        ),
        (
            Australia::Lord_Howe,
            "01:45",
            "2026-04-04T14:45:00Z",
            "2026-04-05T15:15:00Z",
        ),
        // The fraction of a second in which an occurrence lies.
        (
            Tz::UTC,
            "02:00",
            "2026-01-01T01:59:59.999Z",
            "2026-01-01T02:00:00Z",
        ),
        (
            Tz::UTC,
            "02:00",
            "2026-01-01T02:00:00.001Z",
            "2026-01-02T02:00:00Z",
        ),
    ] {
        let (hour, minute) = when.split_once(':').unwrap();
        let plan = at(&[], hour.parse().unwrap(), minute.parse().unwrap());
        assert_eq!(
            next_run(&plan, zone, utc(after)),
            Some(utc(expected)),
            "{zone} {when} {after}"
        );
    }
}

#[test]
fn a_cron_plan_with_several_hours_names_times_of_day() {
    // Both lie in the gap and are made up for by one run; the repeated ones run once.
    let spring = runs(
        &cron("0,30 2,14 * * *"),
        America::New_York,
        utc("2026-03-08T05:00:00Z"),
        utc("2026-03-09T04:00:00Z"),
    );
    assert_eq!(
        spring,
        [
            "2026-03-08T07:00:00Z",
            "2026-03-08T18:00:00Z",
            "2026-03-08T18:30:00Z"
        ]
        .map(utc)
    );
    let autumn = runs(
        &cron("30 1,13 * * *"),
        America::New_York,
        utc("2026-11-01T04:00:00Z"),
        utc("2026-11-02T05:00:00Z"),
    );
    assert_eq!(autumn, ["2026-11-01T05:30:00Z", "2026-11-01T18:30:00Z"].map(utc));
    for (zone, of) in YEARS {
        let (from, to) = year(zone, of);
        let days = usize::try_from((to - from).num_hours().div_euclid(24)).unwrap();
        // Six times on each day; in a gap's hour two of them become one.
        let found = runs(&cron("0 0-20/4 * * *"), zone, from, to).len();
        assert_eq!(found, days * 6, "{zone} {of}");
    }
}

#[test]
fn a_plan_for_every_hour_goes_by_elapsed_time() {
    for (zone, of) in YEARS {
        let (from, to) = year(zone, of);
        for (pattern, step) in [("*/15 * * * *", 15), ("0 * * * *", 60), ("* * * * *", 1)] {
            // Half an hour's shift puts a plan of full hours out of step once.
            if zone == Australia::Lord_Howe && step == 60 {
                continue;
            }
            let found = runs(&cron(pattern), zone, from, to);
            let expected: Vec<_> = (0..)
                .map(|n| from + TimeDelta::minutes(n * step))
                .take_while(|t| *t < to)
                .collect();
            assert!(found == expected, "{zone} {of} {pattern}: {} runs", found.len());
        }
    }
    let (from, to) = year(Australia::Lord_Howe, 2026);
    let found = runs(&cron("0 * * * *"), Australia::Lord_Howe, from, to);
    for pair in found.windows(2) {
        assert!(pair[1] - pair[0] <= TimeDelta::minutes(90), "{pair:?}");
    }
}

#[test]
fn cron_with_ranges_steps_and_last_days() {
    let local = |pattern: &str| -> Vec<String> {
        let zone = America::New_York;
        let (from, to) = year(zone, 2026);
        runs(&cron(pattern), zone, from, to)
            .iter()
            .map(|run| run.with_timezone(&zone).format("%m-%d %H:%M %a").to_string())
            .collect()
    };
    let last = local("30 2 L * *");
    assert_eq!(last.len(), 12);
    assert_eq!(
        last[..3],
        ["01-31 02:30 Sat", "02-28 02:30 Sat", "03-31 02:30 Tue"]
    );
    assert_eq!(local("0 3 * * FRI#L").first().unwrap(), "01-30 03:00 Fri");
    assert_eq!(local("30 2 * * SUN#2")[2], "03-08 03:00 Sun", "in the gap");
    let work = local("0 8-18/5 * * 1-5");
    assert_eq!(work.len(), 261 * 3);
    assert_eq!(
        work[..4],
        [
            "01-01 08:00 Thu",
            "01-01 13:00 Thu",
            "01-01 18:00 Thu",
            "01-02 08:00 Fri"
        ]
    );
    assert_eq!(local("0 0 1 1,7 *"), ["01-01 00:00 Thu", "07-01 00:00 Wed"]);
}

#[test]
fn what_never_comes_is_none_and_found_out_soon() {
    let began = std::time::Instant::now();
    assert_eq!(
        next_run(&cron("0 2 30 2 *"), Europe::Lisbon, utc("2026-01-01T00:00:00Z")),
        None
    );
    assert_eq!(expected_interval(&cron("0 2 30 2 *"), Europe::Lisbon), NEVER);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // Clocks that are out of their mind.
    for broken in [
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
        utc("9999-12-31T23:59:59Z"),
    ] {
        assert_eq!(next_run(&at(&[], 2, 0), America::New_York, broken), None);
    }
    assert_eq!(
        next_run(&at(&[], 2, 0), Tz::UTC, utc("1969-12-31T23:00:00Z")),
        Some(utc("1970-01-01T02:00:00Z"))
    );
}

#[test]
fn the_expected_interval_is_what_the_plan_means() {
    let hours = |when: &When| expected_interval(when, America::New_York).as_secs() / 3600;
    assert_eq!(hours(&at(&[], 2, 0)), 24);
    assert_eq!(hours(&at(&[Weekday::Sun], 3, 0)), 168);
    assert_eq!(hours(&at(&[Weekday::Mon, Weekday::Thu], 22, 30)), 96);
    assert_eq!(hours(&cron("0 2 * * 1-5")), 72);
    assert_eq!(hours(&cron("0 9-17 * * *")), 16);
    assert_eq!(hours(&cron("0 2,3 * * *")), 23);
    assert_eq!(hours(&cron("0 0 1 * *")), 31 * 24);
    assert_eq!(hours(&cron("0 0 29 2 *")), (4 * 365 + 1) * 24);
    assert_eq!(expected_interval(&cron("* * * * *"), Tz::UTC).as_secs(), 60);
    assert_eq!(expected_interval(&cron("*/20 * * * *"), Tz::UTC).as_secs(), 1200);
}

#[test]
fn jitter_is_spread_and_always_the_same() {
    let max = Duration::from_secs(600);
    let days: Vec<_> = (0..200)
        .map(|day| utc("2026-01-01T02:00:00Z") + TimeDelta::days(day))
        .collect();
    let of = |repository: &str, plan: &str| -> Vec<Duration> {
        days.iter()
            .map(|day| jitter_of(repository, plan, *day, max))
            .collect()
    };
    let first = of("a", "daily");
    assert_eq!(first, of("a", "daily"));
    assert_ne!(first, of("b", "daily"));
    assert_ne!(of("a", "bc"), of("ab", "c"), "the parts are kept apart");
    assert!(first.iter().all(|jitter| *jitter <= max));
    let early = first.iter().filter(|jitter| **jitter < max / 2).count();
    assert!((70..130).contains(&early), "{early} of 200 in the first half");
    assert_eq!(jitter_of("a", "daily", days[0], Duration::ZERO), Duration::ZERO);
    // Written down, so that a new release does not shuffle every machine's time.
    assert_eq!(
        jitter_of("relatorios", "daily", days[0], max).as_millis(),
        564_096
    );
}

#[test]
fn islands_with_their_own_rules() {
    for (zone, of) in [
        (Pacific::Chatham, 2026),
        (Atlantic::Azores, 2026),
        (America::Nuuk, 2026),
    ] {
        let (from, to) = year(zone, of);
        let times: Vec<_> = (0..22).map(|hour| (hour, 45)).collect();
        for ((hour, minute), expected) in times.iter().zip(first_seen(zone, &times, from, to)) {
            assert_eq!(
                runs(&at(&[], *hour, *minute), zone, from, to),
                expected,
                "{zone} {hour}:45"
            );
        }
    }
}
