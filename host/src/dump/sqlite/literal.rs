//! Values as SQL literals that give exactly the same value again, through SQLite's shell (3.40 and later),
//! which reads line by line, and through any library.
//!
//! Every row stays on one line: line breaks in texts go through `replace(…, char(10))`, as the shell's own
//! `.dump` does, since the shell drops the CR of a CRLF within a literal.

use std::io::{self, Write};

use rusqlite::types::ValueRef;

/// The text encoding of a database, as `PRAGMA encoding` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16le,
    Utf16be,
}

impl Encoding {
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "UTF-16le" => Self::Utf16le,
            "UTF-16be" => Self::Utf16be,
            _ => Self::Utf8,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16le => "UTF-16le",
            Self::Utf16be => "UTF-16be",
        }
    }

    /// The bytes that a text has in this encoding.
    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}

/// Writes a value. `stored` has the bytes of a text as the database stores them, where that isn't UTF-8.
pub(super) fn write_value(
    out: &mut dyn Write,
    value: ValueRef<'_>,
    stored: Option<&[u8]>,
    encoding: Encoding,
) -> io::Result<()> {
    match value {
        ValueRef::Null => out.write_all(b"NULL"),
        ValueRef::Integer(i) => write!(out, "{i}"),
        ValueRef::Real(r) => out.write_all(real(r).as_bytes()),
        ValueRef::Blob(b) => blob(out, b),
        ValueRef::Text(t) => match std::str::from_utf8(t) {
            Ok(text)
                if !text.contains('\0')
                    && stored.is_none_or(|stored| stored == encoding.encode(text).as_slice()) =>
            {
                write_text(out, text)
            }
            _ => {
                // A literal can't say it: the stored bytes can.
                out.write_all(b"CAST(")?;
                blob(out, stored.unwrap_or(t))?;
                out.write_all(b" AS TEXT)")
            }
        },
    }
}

fn blob(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.write_all(b"X'")?;
    let mut piece = [0_u8; 1024];
    for chunk in bytes.chunks(piece.len() / 2) {
        for (two, byte) in piece.chunks_exact_mut(2).zip(chunk) {
            two[0] = DIGITS[usize::from(byte >> 4)];
            two[1] = DIGITS[usize::from(byte & 15)];
        }
        out.write_all(&piece[..chunk.len() * 2])?;
    }
    out.write_all(b"'")
}

/// Writes a text without NUL.
pub(super) fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let breaks = [('\r', "\\r", 13), ('\n', "\\n", 10)];
    let marks: Vec<_> = breaks
        .into_iter()
        .filter(|(c, ..)| text.contains(*c))
        .map(|(c, mark, code)| (c, unused(text, mark), code))
        .collect();
    for _ in &marks {
        out.write_all(b"replace(")?;
    }
    out.write_all(b"'")?;
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '\r', '\n']) {
        out.write_all(&rest.as_bytes()[..at])?;
        match (rest.as_bytes()[at], &marks) {
            (b'\'', _) => out.write_all(b"''")?,
            (byte, marks) => {
                let mark = marks.iter().find(|(c, ..)| *c == char::from(byte));
                out.write_all(mark.map_or("", |(_, mark, _)| mark).as_bytes())?;
            }
        }
        rest = &rest[at + 1..];
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"'")?;
    for (_, mark, code) in &marks {
        write!(out, ",'{mark}',char({code}))")?;
    }
    Ok(())
}

/// A mark that the text does not contain.
fn unused(text: &str, mark: &str) -> String {
    let mut candidate = mark.to_owned();
    let mut n = 0_u64;
    while text.contains(&candidate) {
        candidate = format!("{mark}{n}");
        n += 1;
    }
    candidate
}

/// A real as text that every SQLite reads as exactly this value.
///
/// SQLite's reader is not correctly rounded (3.40 goes through long double, later ones through pairs of doubles),
/// so the decimal has to lie well within the value's own interval: the shortest decimal if it does, else 18
/// digits. Values near the smallest are products, which are exact.
pub(super) fn real(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "9e999" } else { "-9e999" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return if value.is_sign_negative() { "-0.0" } else { "0.0" }.to_owned();
    }
    if magnitude < 1e-280 {
        return tiny(value);
    }
    let short = format!("{value:?}");
    if is_well_inside(&short, magnitude) {
        short
    } else {
        format!("{value:.17e}")
    }
}

/// Whether a decimal of at most 15 digits and 22 places lies well within the interval of its value.
fn is_well_inside(decimal: &str, value: f64) -> bool {
    let digits = decimal.trim_start_matches('-');
    let Some((whole, fraction)) = digits.split_once('.') else {
        return false;
    };
    let fraction = if fraction == "0" { "" } else { fraction };
    let places = fraction.len();
    let Ok(scaled) = format!("{whole}{fraction}").parse::<u64>() else {
        return false;
    };
    if scaled >= 1_000_000_000_000_000 || places > 22 {
        return false;
    }
    // value = mantissa / 2^shift
    let bits = value.to_bits();
    let exponent = i64::try_from(bits >> 52).unwrap_or(0);
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let shift = 1075 - exponent;
    if shift <= 0 {
        return false;
    }
    let (Ok(shift), Ok(places)) = (u32::try_from(shift), u32::try_from(places)) else {
        return false;
    };
    if shift > 76 {
        return false;
    }
    let power = 10_u128.pow(places);
    // In units of 1 / (2^shift * 10^places); the products fit 128 bits by the limits above.
    let left = u128::from(scaled) << shift;
    let Some(right) = u128::from(mantissa).checked_mul(power) else {
        return false;
    };
    // A hair less than half of the spacing: readers differ from each other by less than a 500th of it.
    left.abs_diff(right).saturating_mul(2) <= power - (power / 64).max(1)
}

/// A value near zero as mantissa divided by powers of two: each step is exact, and every SQLite computes it.
fn tiny(value: f64) -> String {
    let bits = value.abs().to_bits();
    let exponent = i64::try_from(bits >> 52).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, mut shift) = if exponent == 0 {
        (fraction, 1074)
    } else {
        (fraction | (1 << 52), 1075 - exponent)
    };
    let sign = if value < 0.0 { "-" } else { "" };
    let mut out = format!("CAST({sign}{mantissa} AS REAL)");
    while shift > 0 {
        let step = shift.min(62);
        out.push_str(&format!("/{}", 1_u64 << step));
        shift -= step;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::process::{Command, Stdio};

    fn literal(value: ValueRef<'_>) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value, None, Encoding::Utf8).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everyday_values_stay_readable() {
        for (value, text) in [
            (ValueRef::Null, "NULL"),
            (ValueRef::Integer(i64::MIN), "-9223372036854775808"),
            (ValueRef::Real(19.99), "19.99"),
            (ValueRef::Real(0.1), "0.1"),
            (ValueRef::Real(-3.0), "-3.0"),
            (ValueRef::Blob(b"\x00\xff"), "X'00FF'"),
            (ValueRef::Blob(b""), "X''"),
            (ValueRef::Text(b"O'Brien"), "'O''Brien'"),
            (
                ValueRef::Text(b"a\r\nb"),
                "replace(replace('a\\r\\nb','\\r',char(13)),'\\n',char(10))",
            ),
            (ValueRef::Text(b"\\n\n"), "replace('\\n\\n0','\\n0',char(10))"),
            (ValueRef::Text(b"a\0b"), "CAST(X'610062' AS TEXT)"),
            (ValueRef::Text(b"\xff"), "CAST(X'FF' AS TEXT)"),
        ] {
            assert_eq!(literal(value), text);
        }
    }

    /// The real shell of this system reads the literals and shows the bits of what it read.
    #[test]
    fn reals_come_back_to_the_bit_in_the_shell_and_in_the_library() {
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            0.1,
            0.1 + 0.2,
            1.0 / 3.0,
            1e15,
            1e16,
            1e22,
            1e23,
            9_007_199_254_740_993.0,
            1e300,
            -1e300,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            -f64::from_bits(1),
            1e-280,
            9.99e-281,
            1e-300,
            f64::from_bits(0x000f_ffff_ffff_ffff),
            5e-324,
            1.797_693_134_862_315_7e308,
            std::f64::consts::PI,
            f64::INFINITY,
            f64::NEG_INFINITY,
            123_456_789.123_456_78,
            4.35,
            0.000_001,
            2.5e-8,
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        while values.len() < 40_000 {
            // xorshift; the first half any bits, the second half amounts of money and measurements
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = if values.len() < 20_000 {
                f64::from_bits(state)
            } else {
                let places = [10.0, 100.0, 1000.0, 1e6, 1e9][usize::try_from(state % 5).unwrap()];
                f64::from(u32::try_from(state >> 33).unwrap()) / places
            };
            if !value.is_nan() {
                values.push(value);
            }
        }
        let mut sql = String::new();
        for value in &values {
            sql.push_str(&format!("SELECT hex(ieee754_to_blob({}));\n", real(*value)));
        }
        let mut shell = Command::new("sqlite3")
            .args(["-batch", ":memory:"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let feed = std::thread::spawn(move || stdin.write_all(sql.as_bytes()).unwrap());
        let shown = String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap();
        feed.join().unwrap();
        let db = rusqlite::Connection::open_in_memory().unwrap();
        let mut lines = shown.lines();
        for value in &values {
            let got = u64::from_str_radix(lines.next().unwrap(), 16).unwrap();
            // SQLite has one zero.
            let same = got == value.to_bits() || (*value == 0.0 && f64::from_bits(got) == 0.0);
            assert!(
                same,
                "{value:e} as {} came back as {:e}",
                real(*value),
                f64::from_bits(got)
            );
            let read: f64 = db
                .query_row(&format!("SELECT {}", real(*value)), [], |row| row.get(0))
                .unwrap();
            assert!(
                read == *value,
                "{value:e} as {} was read as {read:e}",
                real(*value)
            );
        }
        assert!(lines.next().is_none());
    }
}
