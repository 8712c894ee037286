//! When a plan is due: pure functions of the plan, its last run and the time. No clock is read here, nothing is
//! stored, nothing runs; `serve::scheduler` does that.
//!
//! The patterns are croner's, the local times are ours: croner takes a plan with several hours for a rhythm that
//! DST may skip and repeat, gives up on a gap of more than two hours, and drops a run whose gap ends on a day
//! that the plan does not name.

mod decide;
mod status;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _, Utc};
use chrono_tz::Tz;
use croner::Cron;
use sha2::{Digest as _, Sha256};

use crate::config::{At, When};

pub use decide::{Action, Decision, Last, ON_TIME, Plan, Way, due};
pub(crate) use status::instant;
pub use status::{NewestRun, newest_run, newest_success, status};

/// Clocks outside of these years are broken, and calendar arithmetic at the ends of what chrono holds panics.
const YEARS: std::ops::Range<i32> = 1900..4000;

/// The first time after `after` at which `when` is due in `zone`; none if it never is.
#[must_use]
pub fn next_run(when: &When, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Times::new(when, zone).next_after(after)
}

/// The longest time between two runs that `when` asks for, by the wall clock: a day for `02:00`, a week for
/// `sunday 03:00`, three days for `0 2 * * 1-5`.
#[must_use]
pub fn expected_interval(when: &When, zone: Tz) -> Duration {
    Times::new(when, zone).expected_interval()
}

/// By how much a run is put off, at most `max`: the same whenever and wherever it is computed, and different for
/// each plan and day, so that many machines with one configuration don't start at once.
#[must_use]
pub fn jitter_of(repository: &str, plan: &str, occurrence: DateTime<Utc>, max: Duration) -> Duration {
    let mut hash = Sha256::new();
    for part in [repository, plan] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(occurrence.timestamp().to_be_bytes());
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    let max = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(u64::from_be_bytes(first) % max.saturating_add(1))
}

/// The times of a plan in its zone, made ready once.
#[derive(Debug, Clone)]
pub struct Times {
    /// None only for a pattern that croner refuses, which never is due.
    cron: Option<Cron>,
    zone: Tz,
    /// Every hour of a day is named, so that elapsed time is meant rather than times of day.
    rhythm: bool,
}

impl Times {
    /// Makes `when` ready.
    #[must_use]
    pub fn new(when: &When, zone: Tz) -> Self {
        let cron = match when {
            When::At(at) => pattern(at).parse().ok(),
            When::Cron(cron) => Some((**cron).clone()),
        };
        let every = |cron: &Cron| (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        Self {
            rhythm: cron.as_ref().is_some_and(every),
            cron,
            zone,
        }
    }

    /// What a changed plan is told by: pattern and zone.
    #[must_use]
    pub fn describe(&self) -> String {
        let pattern = self.cron.as_ref().map_or("", |cron| cron.pattern.as_str());
        format!("{pattern} {}", self.zone.name())
    }

    /// The first time after `after`.
    ///
    /// A time of day that the zone skips is the end of the gap, once however many times lie in it; one that it
    /// repeats is the first of the two. A plan for every hour (`*/15 * * * *`) goes by elapsed time instead: it
    /// runs in both of the repeated hours and has nothing to make up for in a skipped one.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !YEARS.contains(&after.year()) {
            return None;
        }
        if self.rhythm {
            return self.next_of_rhythm(after);
        }
        // The wall clock only moves on here, and each of its times has one instant, in the same order: those up to
        // now lie behind. In the repeated hour the next ones may, too.
        let mut wall = after.with_timezone(&self.zone).naive_local();
        loop {
            wall = self.next_on_the_wall(wall)?;
            let instant = match wall.and_local_timezone(self.zone) {
                chrono::MappedLocalTime::Single(at) | chrono::MappedLocalTime::Ambiguous(at, _) => {
                    at.to_utc()
                }
                chrono::MappedLocalTime::None => gap_end(self.zone, wall)?,
            };
            if instant > after {
                return Some(instant);
            }
        }
    }

    fn next_of_rhythm(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let cron = self.cron.as_ref()?;
        let next = cron
            .find_next_occurrence(&after.with_timezone(&self.zone), false)
            .ok()?
            .to_utc();
        (next > after).then_some(next)
    }

    /// The next time of the pattern on a clock that knows no zone.
    fn next_on_the_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let next = self.cron.as_ref()?.find_next_occurrence(&after, false).ok()?;
        YEARS.contains(&next.year()).then_some(next)
    }

    /// See [`expected_interval`].
    #[must_use]
    pub fn expected_interval(&self) -> Duration {
        self.longest_interval()
            .and_then(|interval| interval.to_std().ok())
            .unwrap_or(NEVER)
    }

    /// Days that the plan names have the same times, so that the longest time between two runs lies within any of
    /// them or between two.
    fn longest_interval(&self) -> Option<TimeDelta> {
        let first = self.next_on_the_wall(wall(2021, NaiveTime::MIN)? - TimeDelta::seconds(1))?;
        let mut longest = TimeDelta::zero();
        let mut last = first;
        while let Some(next) = self.next_on_the_wall(last).filter(|t| t.date() == first.date()) {
            longest = longest.max(next - last);
            last = next;
        }
        // Nine years hold two leap days wherever they begin.
        let end = wall(2030, NaiveTime::MIN)?;
        let (mut day, mut days) = (first, TimeDelta::zero());
        loop {
            let evening = day.date().and_hms_opt(23, 59, 59)?;
            let Some(next) = self.next_on_the_wall(evening).filter(|t| *t < end) else {
                break;
            };
            days = days.max(next - day);
            day = next;
        }
        if days.is_zero() {
            return None;
        }
        Some(longest.max(days - (last - first)))
    }
}

/// The interval of a plan that runs once in nine years, or never.
const NEVER: Duration = Duration::from_secs(9 * 366 * 86_400);

fn wall(year: i32, time: NaiveTime) -> Option<NaiveDateTime> {
    NaiveDate::from_ymd_opt(year, 1, 1).map(|day| day.and_time(time))
}

/// The cron pattern of a time of day.
fn pattern(at: &At) -> String {
    let days: Vec<String> = at
        .days
        .iter()
        .map(|day| day.num_days_from_sunday().to_string())
        .collect();
    let days = if days.is_empty() {
        "*".to_owned()
    } else {
        days.join(",")
    };
    format!("{} {} * * {days}", at.time.minute(), at.time.hour())
}

/// The first instant after the gap in which the local time `wall` lies.
fn gap_end(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    // No offset is more than a day, and the largest gap is one (Samoa went over the date line in 2011).
    let span = TimeDelta::days(2);
    let mut before = wall.and_utc().checked_sub_signed(span)?.timestamp();
    let mut after = wall.and_utc().checked_add_signed(span)?.timestamp();
    while after - before > 1 {
        let middle = before.midpoint(after);
        let shown = DateTime::from_timestamp(middle, 0)?
            .with_timezone(&zone)
            .naive_local();
        if shown < wall {
            before = middle;
        } else {
            after = middle;
        }
    }
    DateTime::from_timestamp(after, 0)
}

#[cfg(test)]
mod tests;
