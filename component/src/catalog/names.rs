//! Names of archives: the one check for types, names and their time, and the choice of a free one.
//!
//! Whatever is opened in the backups folder goes through [`parse`] first, so a row of the catalog can't lead
//! anywhere else. Looking at the folder is `store`'s.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};

use crate::error::{Error, ErrorKind, Result};

/// Longest type, in bytes.
pub const MAX_TYPE: usize = 32;

const PREFIX: &str = "backup_";
const TIME_FORMAT: &str = "%Y%m%d_%H%M%S";
/// Length of `YYYYMMDD_HHMMSS`.
const TIME_LENGTH: usize = 15;

/// The parts of `backup_YYYYMMDD_HHMMSS_TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveName {
    /// Local time of the run, to the second.
    pub time: NaiveDateTime,
    /// The type.
    pub backup_type: String,
}

/// Whether `text` may be a type: `[a-z0-9_-]{1,32}`.
#[must_use]
pub fn is_type(text: &str) -> bool {
    (1..=MAX_TYPE).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Refuses what may not be a type.
///
/// # Errors
/// `InvalidInput`, saying what a type looks like.
pub fn check_type(text: &str) -> Result<()> {
    if is_type(text) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "check backup type",
        format!("a type has 1 to {MAX_TYPE} characters out of a-z, 0-9, `_` and `-`"),
    )
    .about(text.chars().take(2 * MAX_TYPE).collect::<String>())
    .remedy("choose a type such as `manual` or `weekly`"))
}

/// Takes a name (without `.zip`) apart; `None` for anything that is not the name of an archive of ours.
#[must_use]
pub fn parse(name: &str) -> Option<ArchiveName> {
    let rest = name.strip_prefix(PREFIX)?;
    let (time, rest) = rest.split_at_checked(TIME_LENGTH)?;
    let backup_type = rest.strip_prefix('_')?;
    // chrono is lenient about signs and widths, so the shape is checked first.
    let shape = time
        .bytes()
        .enumerate()
        .all(|(i, b)| if i == 8 { b == b'_' } else { b.is_ascii_digit() });
    if !shape || !is_type(backup_type) {
        return None;
    }
    // A leap second is a valid time to chrono; no name of ours has one.
    if time.ends_with("60") {
        return None;
    }
    Some(ArchiveName {
        time: time_of(time)?,
        backup_type: backup_type.to_owned(),
    })
}

/// The time of a checked `YYYYMMDD_HHMMSS`. By hand: chrono would read its format anew for each row of a catalog.
fn time_of(text: &str) -> Option<NaiveDateTime> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let year = i32::try_from(number(0, 4)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(4, 6)?, number(6, 8)?)?.and_hms_opt(
        number(9, 11)?,
        number(11, 13)?,
        number(13, 15)?,
    )
}

/// The first name from `time` on, second by second, that is not `taken`.
///
/// # Errors
/// `InvalidInput` for a bad type or a time outside the years 1 to 9999.
pub fn next_free(backup_type: &str, time: NaiveDateTime, taken: impl Fn(&str) -> bool) -> Result<String> {
    check_type(backup_type)?;
    let mut time = time;
    while (1..=9999).contains(&time.year()) {
        let name = format!("{PREFIX}{}_{backup_type}", time.format(TIME_FORMAT));
        if !taken(&name) {
            return Ok(name);
        }
        match time.checked_add_signed(TimeDelta::seconds(1)) {
            Some(next) => time = next,
            None => break,
        }
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "choose a name",
        "the start of the run is outside the years 1 to 9999",
    )
    .about(time.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_documented_form_parse_and_nothing_else_does() {
        let long = format!("backup_20250831_215249_{}", "a".repeat(32));
        for good in [
            "backup_20250831_215249_manual",
            "backup_20240229_000000_teste_script",
            "backup_99991231_235959_-",
            &long,
        ] {
            assert!(parse(good).is_some(), "{good}");
        }
        let too_long = format!("{long}a");
        for bad in [
            "",
            ".",
            "..",
            "backup_",
            "backup_20250831_215249_",
            "backup_20250831_215249",
            "backup_20250831215249_manual",
            "backup_20250831_215249_Manual",
            "backup_20250831_215249_a b",
            "backup_20250831_215249_a/b",
            "backup_20250831_215249_a\\b",
            "backup_20250831_215249_a\0",
            "backup_20250831_215249_a\n",
            "backup_20250831_215249_manual.zip",
            "backup_20250231_215249_manual",
            "backup_20251301_215249_manual",
            "backup_20250831_245249_manual",
            "backup_20250831_215260_manual",
            "backup_+0250831_215249_manual",
            "backup_2025083١_215249_manual",
            "xbackup_20250831_215249_manual",
            "../backup_20250831_215249_manual",
            &too_long,
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_gives_its_time_and_type_back() {
        let name = parse("backup_20250831_215249_teste_script").unwrap();
        assert_eq!(name.time.to_string(), "2025-08-31 21:52:49");
        assert_eq!(name.backup_type, "teste_script");
    }

    #[test]
    fn the_next_free_second_is_taken_across_midnight_and_new_year() {
        let start = parse("backup_20251231_235958_manual").unwrap().time;
        let used = [
            "backup_20251231_235958_manual",
            "backup_20251231_235959_manual",
            "backup_20260101_000000_weekly",
        ];
        let name = next_free("manual", start, |n| used.contains(&n)).unwrap();
        assert_eq!(name, "backup_20260101_000000_manual");
    }

    #[test]
    fn a_bad_type_or_the_end_of_time_is_an_error() {
        let end = parse("backup_99991231_235959_manual").unwrap().time;
        assert_eq!(
            next_free("manual", end, |_| true).unwrap_err().kind,
            ErrorKind::InvalidInput
        );
        let long = "x".repeat(33);
        for bad in ["", "A", "a b", "a/b", "é", long.as_str()] {
            let e = next_free(bad, end, |_| false).unwrap_err();
            assert_eq!(e.kind, ErrorKind::InvalidInput, "{bad}");
        }
    }
}
