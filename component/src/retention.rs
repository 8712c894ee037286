//! Which backups stay, and why: the rules alone. `prune` applies them; nothing here touches a file.
//!
//! A backup stays as soon as one rule wants it. Only completed backups whose archive is there fill places, so
//! that failed, partial, lost or future ones never push a good one out.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeDelta};

use crate::catalog::{Record, Status, time};
use crate::error::{Error, ErrorKind, Result};
use crate::record_result::VERIFIED_THEN_WHOLE;
use crate::types::RetentionPolicy;

#[cfg(test)]
mod tests;

/// A row, and whether its archive is in the folder.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// The row.
    pub record: &'a Record,
    /// Whether the archive exists.
    pub archive_present: bool,
}

/// What becomes of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it stays.
    pub keep: bool,
    /// Every rule that keeps it, or why none does.
    pub reasons: Vec<String>,
}

/// Decides on all rows, in their order.
///
/// # Errors
/// `InvalidInput` when the policy would keep nothing.
pub fn decide(
    rows: &[RecordView<'_>],
    policy: &RetentionPolicy,
    now: DateTime<FixedOffset>,
) -> Result<Vec<Decision>> {
    if policy.max_backups == 0 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "check retention",
            "max_backups has to be at least 1",
        )
        .about("max_backups")
        .remedy("set it to the number of completed backups that are to stay"));
    }
    let mut table = Table::new(rows, now);
    table.keep_what_no_rule_touches();
    table.keep_newest(Class::Completed, policy.max_backups, "last");
    for (count, period) in [
        (policy.keep_daily, Period::Day),
        (policy.keep_weekly, Period::Week),
        (policy.keep_monthly, Period::Month),
        (policy.keep_yearly, Period::Year),
    ] {
        table.keep_periods(count, period);
    }
    table.keep_within(policy.keep_within_seconds);
    table.keep_newest(Class::Partial, policy.keep_partial, "last partial");
    table.keep_partial_without_a_newer_completed();
    table.keep_recent_failures(policy.keep_failed_seconds);
    table.keep_newest_of_each_plan(Class::Completed, "newest of");
    table.keep_newest_of_each_plan(Class::Ended, "newest failure of");
    table.keep_newest_verified();
    Ok(table.decisions())
}

/// What the rules make of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Completed, with its archive.
    Completed,
    /// Partial, with its archive.
    Partial,
    /// Failed or cancelled, without an archive.
    Ended,
    /// Neither counts nor goes.
    Outside(&'static str),
}

/// A calendar period of local dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// The period that `date` lies in, as it is shown.
    fn of(self, date: NaiveDate) -> String {
        match self {
            Self::Day => format!("daily {date}"),
            Self::Week => {
                let week = date.iso_week();
                format!("weekly {}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("monthly {}", date.format("%Y-%m")),
            Self::Year => format!("yearly {}", date.format("%Y")),
        }
    }
}

/// The rows with what the rules need to know of them, and what they have said so far.
struct Table<'a> {
    rows: &'a [RecordView<'a>],
    now: DateTime<FixedOffset>,
    starts: Vec<DateTime<FixedOffset>>,
    classes: Vec<Class>,
    /// Indices, newest first.
    newest_first: Vec<usize>,
    reasons: Vec<Vec<String>>,
}

impl<'a> Table<'a> {
    fn new(rows: &'a [RecordView<'a>], now: DateTime<FixedOffset>) -> Self {
        let starts: Vec<_> = rows
            .iter()
            .map(|r| time::start_of(r.record, *now.offset()))
            .collect();
        let classes = rows
            .iter()
            .zip(&starts)
            .map(|(r, s)| classify(r, *s, now))
            .collect();
        let mut newest_first: Vec<usize> = (0..rows.len()).collect();
        newest_first.sort_by_key(|&i| std::cmp::Reverse((starts[i], rows[i].record.id)));
        Self {
            rows,
            now,
            starts,
            classes,
            newest_first,
            reasons: vec![Vec::new(); rows.len()],
        }
    }

    /// Indices of one class, newest first.
    fn of_class(&self, class: Class) -> Vec<usize> {
        let all = self.newest_first.iter().copied();
        all.filter(|&i| self.classes[i] == class).collect()
    }

    fn keep(&mut self, index: usize, reason: impl Into<String>) {
        self.reasons[index].push(reason.into());
    }

    fn keep_what_no_rule_touches(&mut self) {
        for i in 0..self.rows.len() {
            if let Class::Outside(why) = self.classes[i] {
                self.keep(i, why);
            }
            if self.rows[i].record.pinned {
                self.keep(i, "pinned");
            }
        }
    }

    fn keep_newest(&mut self, class: Class, count: u32, label: &str) {
        for i in self.of_class(class).into_iter().take(to_usize(count)) {
            self.keep(i, format!("{label} {count}"));
        }
    }

    /// The newest completed of each of the `count` newest periods that have one.
    fn keep_periods(&mut self, count: u32, period: Period) {
        let mut seen = HashSet::new();
        for i in self.of_class(Class::Completed) {
            if seen.len() == to_usize(count) {
                return;
            }
            let local = time::parse_timestamp(&self.rows[i].record.timestamp);
            let name = period.of(local.unwrap_or_else(|| self.starts[i].naive_local()).date());
            if seen.insert(name.clone()) {
                self.keep(i, name);
            }
        }
    }

    fn keep_within(&mut self, seconds: u64) {
        if seconds == 0 {
            return;
        }
        for i in self.of_class(Class::Completed) {
            if self.age_is_at_most(i, seconds) {
                self.keep(i, format!("within {}", duration(seconds)));
            }
        }
    }

    fn keep_partial_without_a_newer_completed(&mut self) {
        let good = |class: &Class| matches!(class, Class::Completed | Class::Partial);
        let newest = self
            .newest_first
            .iter()
            .copied()
            .find(|&i| good(&self.classes[i]));
        if let Some(i) = newest.filter(|&i| self.classes[i] == Class::Partial) {
            self.keep(i, "newest partial, no completed one is newer");
        }
    }

    fn keep_recent_failures(&mut self, seconds: u64) {
        for i in self.of_class(Class::Ended) {
            if self.age_is_at_most(i, seconds) {
                self.keep(i, format!("failed within {}", duration(seconds)));
            }
        }
    }

    fn keep_newest_of_each_plan(&mut self, class: Class, label: &str) {
        let mut seen = HashSet::new();
        for i in self.of_class(class) {
            let plan = self.rows[i].record.plan.as_deref();
            if seen.insert(plan) {
                let shown = plan.map_or("those without a plan".to_owned(), |p| format!("plan {p}"));
                self.keep(i, format!("{label} {shown}"));
            }
        }
    }

    /// The newest completed one that verified, and a newer partial one if there is one: a partial one must not
    /// take the place of a completed one.
    fn keep_newest_verified(&mut self) {
        let verified = |i: &usize| is_verified(self.rows[*i].record);
        let completed = self.of_class(Class::Completed).into_iter().find(verified);
        let partial = self.of_class(Class::Partial).into_iter().find(verified);
        let newer = match (completed, partial) {
            (Some(c), Some(p)) => Some(p).filter(|&p| self.starts[p] > self.starts[c]),
            (None, p) => p,
            _ => None,
        };
        for i in [completed, newer].into_iter().flatten() {
            self.keep(i, "newest verified");
        }
    }

    fn age_is_at_most(&self, index: usize, seconds: u64) -> bool {
        let limit = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
        limit.is_none_or(|limit| self.now - self.starts[index] <= limit)
    }

    fn decisions(self) -> Vec<Decision> {
        let both = self.reasons.into_iter().zip(self.classes);
        both.map(|(reasons, class)| match reasons.is_empty() {
            false => Decision { keep: true, reasons },
            true => Decision {
                keep: false,
                reasons: vec![why_it_goes(class).to_owned()],
            },
        })
        .collect()
    }
}

fn classify(row: &RecordView<'_>, start: DateTime<FixedOffset>, now: DateTime<FixedOffset>) -> Class {
    if start > now {
        return Class::Outside("from the future: neither counts nor goes");
    }
    match (row.record.status, row.archive_present) {
        (Status::InProgress, _) => Class::Outside("in progress"),
        (Status::Completed, true) => Class::Completed,
        (Status::Partial, true) => Class::Partial,
        (Status::Completed | Status::Partial, false) => {
            Class::Outside("its archive is missing: does not count")
        }
        (Status::Failed | Status::Cancelled, false) => Class::Ended,
        // Nothing of ours makes such a thing, so it may be somebody's only copy.
        (Status::Failed | Status::Cancelled, true) => {
            Class::Outside("an archive exists although the run failed")
        }
    }
}

fn why_it_goes(class: Class) -> &'static str {
    match class {
        Class::Completed => "over max_backups",
        Class::Partial => "over keep_partial",
        Class::Ended => "a failed run, older than its limit",
        Class::Outside(why) => why,
    }
}

/// Whether the last verification of a row's content was good, with or without a manifest, also where the file was only
/// compared with its checksum since.
pub(crate) fn is_verified(record: &Record) -> bool {
    let status = record.verify_status.as_deref();
    matches!(
        status,
        Some("verified" | "verified (no manifest)" | VERIFIED_THEN_WHOLE)
    )
}

/// A duration as it is shown: in the largest unit that divides it.
fn duration(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("min", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{} {unit}", seconds / length);
        }
    }
    format!("{seconds} s")
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
