//! Times in the catalog: RFC 3339 with offset for cofre's own fields, local time without offset for the field
//! of the original system. The component reads no clock; `now` is always an argument.

use chrono::{DateTime, FixedOffset, NaiveDateTime, SecondsFormat, TimeDelta, Timelike};

use super::Record;
use crate::error::{Error, ErrorKind, Result};

/// Parses a time that came with a request; `field` names it in the error.
///
/// # Errors
/// `InvalidInput` when it is not RFC 3339.
pub fn parse_instant(text: &str, field: &str) -> Result<DateTime<FixedOffset>> {
    let shown: String = text.chars().take(64).collect();
    let instant = DateTime::parse_from_rfc3339(text).map_err(|e| {
        Error::new(ErrorKind::InvalidInput, format!("read {field}"), e.to_string())
            .about(shown)
            .remedy("give RFC 3339 with an offset, such as 2026-11-25T02:00:00.000000-03:00")
    })?;
    // A leap second (23:59:60) is shown as such by chrono and refused by most readers.
    let whole = instant.nanosecond() % 1_000_000_000;
    Ok(instant.with_nanosecond(whole).unwrap_or(instant))
}

/// An instant as the catalog has it: RFC 3339 with offset and microseconds.
#[must_use]
pub fn format_instant(instant: DateTime<FixedOffset>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Parses the `timestamp` of a row; Python leaves the fraction out when it is zero.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()
}

/// A local time as `timestamp` of a row: ISO 8601 without offset, with microseconds.
#[must_use]
pub fn format_timestamp(local: NaiveDateTime) -> String {
    local.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// When the run of `record` started. Rows of the original system know only local time: `offset` places them.
#[must_use]
pub fn start_of(record: &Record, offset: FixedOffset) -> DateTime<FixedOffset> {
    let known = record
        .started_at
        .as_deref()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    known
        .or_else(|| {
            let local = parse_timestamp(&record.timestamp)?;
            local.and_local_timezone(offset).single()
        })
        .unwrap_or_else(|| DateTime::UNIX_EPOCH.with_timezone(&offset))
}

/// Seconds from the start of `record` to `end`, to the millisecond; never negative.
#[must_use]
pub fn duration_seconds(record: &Record, end: DateTime<FixedOffset>) -> f64 {
    let passed = end - start_of(record, *end.offset());
    #[allow(
        clippy::cast_precision_loss,
        reason = "a run of 2^53 milliseconds does not happen"
    )]
    let millis = passed.max(TimeDelta::zero()).num_milliseconds() as f64;
    millis / 1000.0
}
