//! Text for people: the one place where control characters are escaped, and how sizes and times are written.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Makes a name or message harmless for a terminal and a log: control characters, and those invisible ones
/// that turn text around, become `\n`, `\x1b` or `\u{202e}`.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            c if is_hostile(c) && u32::from(c) < 0x100 => clean.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if is_hostile(c) => clean.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

/// The same for a JSON document on one line: such a character can only be inside a string, where `\u202e` stands
/// for it.
#[must_use]
pub fn escape_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            clean.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A path for a message, bytes that are not UTF-8 as `\xNN`.
#[must_use]
pub fn shown(path: impl AsRef<Path>) -> String {
    shown_bytes(path.as_ref().as_os_str().as_bytes())
}

/// A name for a message, as [`shown`].
#[must_use]
pub fn shown_bytes(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(
        |_| name.escape_ascii().to_string(),
        |text| escape(text).into_owned(),
    )
}

/// A TOML string, in quotes.
#[must_use]
pub fn toml_string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `1.5 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `48 ms`, `1.5 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if seconds.is_finite() && (0.0..1.0).contains(&seconds) {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if !seconds.is_finite() || seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "finite and above 60; `as` saturates"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// `1 archive is`, `2 archives are`.
#[must_use]
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}

/// `2026-11-25 02:00:05` of the catalog's `2026-11-25T02:00:05.123456`.
#[must_use]
pub fn time(iso: &str) -> String {
    let text = iso.split('.').next().unwrap_or(iso);
    escape(text).replacen('T', " ", 1)
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] made digits of, which may be in capitals; none for anything else.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
        }
        _ => None,
    });
    pairs.collect()
}

/// A text out of hexadecimal digits of its UTF-8; none for anything else.
pub(crate) fn unhex_text(digits: &str) -> Option<String> {
    String::from_utf8(unhex(digits)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn escape_shows_control_characters_and_leaves_other_text() {
        assert_eq!(escape("a\u{1b}[2Jb\nc\u{7f}\u{9b}"), "a\\x1b[2Jb\\nc\\x7f\\x9b");
        assert_eq!(escape("relatório ção 日本 \\ '"), "relatório ção 日本 \\ '");
    }

    #[test]
    fn escape_shows_characters_that_turn_text_around() {
        assert_eq!(escape("x\u{202e}gpj.exe"), "x\\u{202e}gpj.exe");
    }

    #[test]
    fn a_path_that_is_not_utf8_is_shown_byte_by_byte() {
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/a/c\xf3pia"));
        assert_eq!(shown(path), "/a/c\\xf3pia");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(0.048), "48 ms");
        assert_eq!(duration(9.96), "10.0 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(7_500.0), "2 h 5 min");
    }

    #[test]
    fn catalog_times_lose_their_microseconds() {
        assert_eq!(time("2025-08-31T21:52:49.123456"), "2025-08-31 21:52:49");
    }

    #[test]
    fn hexadecimal_digits_come_back_and_nothing_else_is_taken_for_them() {
        assert_eq!(unhex(&hex(b"\x00\xffa")).unwrap(), b"\x00\xffa");
        assert_eq!(unhex_text("C3A7").unwrap(), "ç");
        assert_eq!(unhex("").unwrap(), b"");
        for bad in ["a", "abc", "+1", "0g", " 1"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
        assert_eq!(unhex_text("ff"), None);
    }
}
