//! The bytes of `backup_history.json` to rows and back: strictly for every operation, leniently for `rebuild`.

use std::collections::HashMap;

use chrono::DateTime;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;

use super::{Record, names, time};
use crate::error::{Error, ErrorKind, Result};

/// Name of the catalog's file.
pub(crate) const HISTORY_NAME: &str = "backup_history.json";

/// Largest catalog that is read, in bytes: some 160,000 rows.
pub(super) const LIMIT: u64 = 128 << 20;

/// A usual row has some 850 bytes.
const ROW_BYTES: usize = 1024;

/// Largest id: what JavaScript clients can still tell apart.
pub(super) const MAX_ID: u64 = (1 << 53) - 1;

/// Largest id that `rebuild` takes over: nothing of ours counts that far, and one at [`MAX_ID`] would leave no
/// id for the next run.
pub(super) const SANE_ID: u64 = MAX_ID / 2;

/// The error for a catalog that breaks a rule.
pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::CatalogInvalid,
        "read catalog",
        shorten(&message.into(), 300),
    )
    .about(HISTORY_NAME)
    .remedy("run `cofre rebuild`; nothing was changed")
}

/// Parses and checks a whole catalog.
///
/// # Errors
/// `CatalogInvalid`, naming the row.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Record>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("the file is empty"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(invalid(
            "the file begins with a byte order mark, so another program rewrote it",
        ));
    }
    let mut rows = Vec::new();
    let mut input = serde_json::Deserializer::from_slice(bytes);
    Rows(&mut rows)
        .deserialize(&mut input)
        .and_then(|()| input.end())
        .map_err(|e| invalid(e.to_string()))?;
    check(&rows)?;
    Ok(rows)
}

/// The catalog as bytes, laid out as Python's `json.dump(rows, indent=2, ensure_ascii=False)` does.
///
/// # Errors
/// `CatalogInvalid` when the rows break a rule, so that a bug never publishes what can't be read again.
pub(super) fn render(rows: &[Record]) -> Result<Vec<u8>> {
    check(rows)?;
    // At once: growing by doubling would need the memory of two and a half catalogs for a moment.
    let mut bytes = Vec::with_capacity(rows.len().saturating_mul(ROW_BYTES));
    serde_json::to_writer_pretty(&mut bytes, rows).map_err(|e| invalid(e.to_string()))?;
    Ok(bytes)
}

/// What one row must be by itself.
pub(crate) fn check_row(row: &Record) -> std::result::Result<(), String> {
    if names::parse(&row.name).is_none() {
        return Err(format!(
            "`{}` is not a backup's name (backup_YYYYMMDD_HHMMSS_TYPE)",
            shown(&row.name)
        ));
    }
    if row.id > MAX_ID {
        return Err(format!("the id {} is too large", row.id));
    }
    if time::parse_timestamp(&row.timestamp).is_none() {
        return Err(format!(
            "`{}` is not a time (timestamp, such as 2026-11-25T02:00:00.000000)",
            shown(&row.timestamp)
        ));
    }
    if let Some(text) = &row.started_at
        && DateTime::parse_from_rfc3339(text).is_err()
    {
        return Err(format!("`{}` is not a time (started_at, RFC 3339)", shown(text)));
    }
    Ok(())
}

/// What the rows must be together.
fn check(rows: &[Record]) -> Result<()> {
    let mut ids = HashMap::with_capacity(rows.len());
    let mut seen = HashMap::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let n = i + 1;
        check_row(row).map_err(|problem| invalid(format!("row {n} (id {}): {problem}", row.id)))?;
        if let Some(first) = ids.insert(row.id, n) {
            return Err(invalid(format!(
                "rows {first} and {n} have the same id {}",
                row.id
            )));
        }
        if let Some(first) = seen.insert(row.name.as_str(), n) {
            return Err(invalid(format!(
                "rows {first} and {n} have the same name {}",
                row.name
            )));
        }
    }
    Ok(())
}

/// Text of a hostile row in a message: short and escaped.
fn shown(text: &str) -> String {
    shorten(text, 60)
}

/// Text with its control characters escaped, cut to `most` characters.
pub(super) fn shorten(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

/// Reads the array row by row, so that an error can name its row and what came before it is not lost.
struct Rows<'a, T>(&'a mut Vec<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Rows<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> std::result::Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of backups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        loop {
            match seq.next_element() {
                Ok(Some(row)) => self.0.push(row),
                Ok(None) => return Ok(()),
                Err(e) => return Err(A::Error::custom(format!("row {}: {e}", self.0.len() + 1))),
            }
        }
    }
}

/// Whatever rows can be saved from a broken catalog: those that parse and are valid by themselves. Rows behind
/// the point where the JSON itself breaks are lost.
#[must_use]
pub(super) fn salvage(bytes: &[u8]) -> Vec<Record> {
    let text = String::from_utf8_lossy(bytes);
    let mut values: Vec<Value> = Vec::new();
    let mut input = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
    // The error is why we are here.
    drop(Rows(&mut values).deserialize(&mut input));
    values
        .into_iter()
        .filter_map(|value| serde_json::from_value::<Record>(value).ok())
        .filter(|row| check_row(row).is_ok())
        .collect()
}
