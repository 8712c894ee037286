//! The small languages of single values: durations, times of day, names, globs, URLs.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::document::nearest;

/// Message and suggestion of a value that can't be used.
pub(super) type Bad = (String, Option<String>);

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

/// When something happens: a time of day, every day or on some days of the week, in the configured zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// Days of the week; empty means every day.
    pub days: Vec<Weekday>,
    /// Local time of day.
    pub time: NaiveTime,
}

/// `02:00`, `sunday 03:00`, `monday,thursday 22:30`.
pub(super) fn at(text: &str) -> Result<At, Bad> {
    let example = || Some("write `02:00`, or `sunday 03:00`, or `monday,thursday 22:30`".to_owned());
    let (days, clock) = match text.trim().rsplit_once(' ') {
        Some((days, clock)) => (days.trim(), clock),
        None => ("", text.trim()),
    };
    let time = NaiveTime::parse_from_str(clock, "%H:%M")
        .map_err(|_| (format!("`{text}` is not a time of day"), example()))?;
    let mut parsed = Vec::new();
    for word in days.split(',').map(str::trim).filter(|d| !d.is_empty()) {
        let lower = word.to_lowercase();
        let day = DAYS
            .iter()
            .find(|(name, _)| *name == lower || name[..3] == lower)
            .map(|(_, day)| *day);
        let Some(day) = day else {
            let near = nearest(word, DAYS.iter().map(|(name, _)| *name));
            let hint = near
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(example);
            return Err((format!("`{word}` is not a day of the week"), hint));
        };
        if !parsed.contains(&day) {
            parsed.push(day);
        }
    }
    Ok(At { days: parsed, time })
}

/// `90s`, `10m`, `12h`, `30d`, `2w`.
pub(super) fn duration(text: &str) -> Result<Duration, Bad> {
    let bad = || {
        (
            format!("`{text}` is not a duration"),
            Some("write a number with s, m, h, d or w, such as `30d`".to_owned()),
        )
    };
    let text = text.trim();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].trim().parse().map_err(|_| bad())?;
    // A century is more than anybody means, and keeps later arithmetic far from overflow.
    match number.checked_mul(unit) {
        Some(seconds) if seconds <= 100 * 366 * 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err((format!("`{text}` is more than a hundred years"), None)),
    }
}

/// Five fields as in crontab(5), `L`, `#` and names of days and months included.
pub(super) fn cron(text: &str) -> Result<Cron, Bad> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(text).map_err(|e| {
        let hint = "write minute, hour, day of month, month and day of week, such as `30 2 * * 1-5`";
        (
            format!("`{text}` is not a cron expression: {e}"),
            Some(hint.to_owned()),
        )
    })?;
    // A plan that never runs is nobody's wish, and nobody would hear of it.
    if cron
        .find_next_occurrence(&DateTime::UNIX_EPOCH.naive_utc(), false)
        .is_err()
    {
        let hint = "write a day that the month has; the last one is `L`";
        return Err((format!("`{text}` never comes"), Some(hint.to_owned())));
    }
    Ok(cron)
}

/// `500 KiB/s`, `5 MiB/s`: bytes a second.
pub(super) fn rate(text: &str) -> Result<u64, Bad> {
    let bad = || {
        (
            format!("`{text}` is not a rate"),
            Some("write `500 KiB/s` or `5 MiB/s`".to_owned()),
        )
    };
    let (number, unit) = text.trim().split_once(' ').ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let shift = match unit.trim() {
        "KiB/s" => 10,
        "MiB/s" => 20,
        "GiB/s" => 30,
        _ => return Err(bad()),
    };
    match number.checked_mul(1 << shift) {
        Some(rate) if rate > 0 => Ok(rate),
        _ => Err(bad()),
    }
}

/// A duration above zero.
pub(super) fn positive(text: &str) -> Result<Duration, Bad> {
    match duration(text)? {
        Duration::ZERO => Err(("has to be more than zero".into(), None)),
        value => Ok(value),
    }
}

/// A zone of the IANA database.
pub(super) fn zone(text: &str) -> Result<Tz, Bad> {
    text.parse().map_err(|_| {
        let near = nearest(text, TZ_VARIANTS.iter().map(|tz| tz.name()));
        let hint = near.map_or_else(
            || "write a name of the IANA list, such as `America/Sao_Paulo` or `UTC`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        (format!("there is no time zone `{text}`"), Some(hint))
    })
}

/// Checks the type in an archive's name: `[a-z0-9_-]{1,32}`.
///
/// # Errors
/// A sentence that says what is allowed.
pub fn check_backup_type(text: &str) -> Result<(), String> {
    match name_of_run(text) {
        Ok(_) => Ok(()),
        Err((message, Some(hint))) => Err(format!("{message}; {hint}")),
        Err((message, None)) => Err(message),
    }
}

/// A type or a plan's name.
pub(super) fn name_of_run(text: &str) -> Result<String, Bad> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if (1..=32).contains(&text.len()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    let mended: String = text
        .to_lowercase()
        .chars()
        .map(|c| if good(c) { c } else { '_' })
        .take(32)
        .collect();
    let hint = if mended.is_empty() {
        None
    } else {
        Some(format!("write `{mended}`"))
    };
    Err((
        format!("`{text}` is not 1 to 32 of the characters a-z, 0-9, _ and -"),
        hint,
    ))
}

/// The name of a source or a database: one component of a path in the archive.
pub(super) fn folder_name(text: &str) -> Result<(), Bad> {
    let problem = if text.is_empty() {
        "a name can't be empty"
    } else if text.len() > 64 {
        "a name can't be longer than 64 bytes"
    } else if text == "." || text == ".." || text.contains(['/', '\\', ':']) {
        "the name becomes a folder in the archive, so it can't be `.` or `..` or contain `/`, `\\` or `:`"
    } else if text.chars().any(char::is_control) {
        "a name can't contain control characters"
    } else if text.ends_with(['.', ' ']) || text.starts_with(' ') {
        "a name can't end with a dot or begin or end with a space (some systems can't extract it)"
    } else {
        return Ok(());
    };
    Err((problem.into(), None))
}

/// A glob of the `globset` syntax in which `*` does not cross `/`.
pub(super) fn glob(text: &str) -> Result<(), Bad> {
    match globset::GlobBuilder::new(text).literal_separator(true).build() {
        Ok(_) if text.is_empty() => Err(("a pattern can't be empty".into(), None)),
        Ok(_) if text.starts_with('/') => Err((
            format!("`{text}` begins with `/`"),
            Some(format!(
                "patterns are relative to the source: write `{}`",
                text.trim_start_matches('/')
            )),
        )),
        Ok(_) => Ok(()),
        Err(e) => Err((
            format!("`{text}` is not a pattern: {}", e.kind()),
            Some("see the globset syntax; a literal bracket is written `[[]`".into()),
        )),
    }
}

/// The host of an `http(s)://`, `postgres://` or `mysql://` URL: without user, password, port and path.
pub(super) fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    let host = match address.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => address.split_once(':').map_or(address, |(host, _)| host),
    };
    Some(host)
}

/// The host of a URL that cofre itself calls: `https`, or `http` to this machine or where `allow_http` says so; none where
/// there is no such key.
pub(super) fn outgoing_host(url: &str, allow_http: Option<bool>) -> Result<String, Bad> {
    let host = host_of(url).unwrap_or_default();
    if host.is_empty() || url.contains(char::is_whitespace) {
        return Err((
            "is not a URL".into(),
            Some("write `https://example.org/webhook/backup`".into()),
        ));
    }
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("https") => Ok(host.to_owned()),
        Some("http") if loopback || allow_http == Some(true) => Ok(host.to_owned()),
        Some("http") => Err((
            format!("`http` to {host} would send it in the clear"),
            Some(match allow_http {
                Some(_) => "write `https`, or `allow_http = true` beside it where that is meant".into(),
                None => "write `https`".into(),
            }),
        )),
        _ => Err(("has to begin with `https://`".into(), None)),
    }
}

/// Whether a URL carries a password.
pub(crate) fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.contains("password=")
}
