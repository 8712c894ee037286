//! What of a file a conditional or partial request wants: RFC 9110, sections 13 and 14, for a file that never
//! changes and has at most a strong entity tag.

use std::ops::Range;

use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};

/// What the request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing: the client has it.
    Nothing,
    /// Another file: this one is not of those that the client expects.
    Another,
    /// A range that there is not, and why.
    Impossible(String),
}

/// Evaluates the conditions in the order of section 13.2.2, then the range.
pub(super) fn wanted(method: &Method, headers: &HeaderMap, etag: Option<&HeaderValue>, size: u64) -> Wanted {
    if headers.contains_key(IF_MATCH) && !lists(headers, IF_MATCH, etag, strong) {
        return Wanted::Another;
    }
    if headers.contains_key(IF_NONE_MATCH) && lists(headers, IF_NONE_MATCH, etag, weak) {
        return Wanted::Nothing;
    }
    // Range is defined for GET alone.
    let Some(range) = headers.get(RANGE).filter(|_| method == Method::GET) else {
        return Wanted::Whole;
    };
    // A date never matches: the archive has no Last-Modified.
    let is_other = |condition: &HeaderValue| etag.is_none_or(|etag| condition.as_bytes() != etag.as_bytes());
    if headers.get(IF_RANGE).is_some_and(is_other) {
        return Wanted::Whole;
    }
    match range.to_str() {
        Ok(text) => part(text, size),
        Err(_) => Wanted::Whole,
    }
}

/// Whether `*` or one of the entity tags in the field fits.
fn lists(
    headers: &HeaderMap,
    field: HeaderName,
    etag: Option<&HeaderValue>,
    fits: fn(&str, &str) -> bool,
) -> bool {
    let etag = etag.and_then(|etag| etag.to_str().ok());
    // Our tag is a number in hexadecimal, so that a comma inside of a quoted tag can't make another tag into it.
    headers
        .get_all(field)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || etag.is_some_and(|etag| fits(tag, etag)))
}

/// Section 8.8.3.2: a weak tag never fits.
fn strong(tag: &str, etag: &str) -> bool {
    tag == etag
}

/// The same section: whether it is weak makes no difference.
fn weak(tag: &str, etag: &str) -> bool {
    tag.strip_prefix("W/").unwrap_or(tag) == etag
}

fn part(text: &str, size: u64) -> Wanted {
    let text = text.trim();
    let is_bytes = text
        .get(..5)
        .is_some_and(|unit| unit.eq_ignore_ascii_case("bytes"));
    if !is_bytes {
        // Section 14.2: a unit that is not understood is ignored.
        return Wanted::Whole;
    }
    let impossible =
        |e: RangeUnsatisfiableError| Wanted::Impossible(format!("Range: {e} ({size} bytes in all)"));
    let ranges = match parse_range_header(text) {
        // The same section lets a server ignore Range, and several parts are not worth multipart/byteranges.
        Ok(ranges) if ranges.len() > 1 => return Wanted::Whole,
        Ok(ranges) => ranges,
        Err(e) => return impossible(e),
    };
    match ranges.validate(size) {
        Ok(valid) => match valid.into_iter().next() {
            Some(range) => Wanted::Part(*range.start()..range.end().saturating_add(1)),
            None => Wanted::Impossible("Range: the archive is empty".to_owned()),
        },
        Err(e) => impossible(e),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ask(fields: &[(&str, &str)], etag: Option<&'static str>, size: u64) -> Wanted {
        let headers = fields
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        wanted(
            &Method::GET,
            &headers,
            etag.map(HeaderValue::from_static).as_ref(),
            size,
        )
    }

    #[test]
    fn a_single_range_is_a_part_and_what_is_no_range_is_impossible() {
        for (range, expected) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=0-9", Some(0..10)),
            ("BYTES=2-4", Some(2..5)),
            ("bytes=9-", Some(9..10)),
            ("bytes=0-18446744073709551615", Some(0..10)),
            ("bytes=5-99999999999999999999", Some(5..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-10", Some(0..10)),
            ("bytes=-11", Some(0..10)),
            ("bytes=10-", None),
            ("bytes=10-12", None),
            ("bytes=-0", None),
            ("bytes=4-2", None),
            ("bytes=", None),
            ("bytes", None),
            ("bytes=a-b", None),
            ("bytes=--1", None),
            ("bytes=1", None),
            ("bytes=+1-2", None),
            ("bytes=0-1,x", None),
        ] {
            let got = ask(&[("range", range)], None, 10);
            match expected {
                Some(part) => assert_eq!(got, Wanted::Part(part), "{range}"),
                None => assert!(matches!(got, Wanted::Impossible(_)), "{range}: {got:?}"),
            }
        }
    }

    #[test]
    fn several_ranges_and_other_units_give_the_whole() {
        for range in ["bytes=0-1,4-5", "bytes=0-1, -1", "items=0-1", "bites=0-1", ""] {
            assert_eq!(ask(&[("range", range)], None, 10), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn no_range_of_an_empty_file_can_be_had() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            let got = ask(&[("range", range)], None, 0);
            assert!(matches!(got, Wanted::Impossible(_)), "{range}: {got:?}");
        }
    }

    #[test]
    fn a_range_is_for_get_alone() {
        let headers = [(RANGE, HeaderValue::from_static("bytes=0-1"))]
            .into_iter()
            .collect();
        assert_eq!(wanted(&Method::HEAD, &headers, None, 10), Wanted::Whole);
    }

    #[test]
    fn if_none_match_compares_weakly_and_goes_before_the_range() {
        for (condition, expected) in [
            ("\"ab\"", Wanted::Nothing),
            ("W/\"ab\"", Wanted::Nothing),
            ("\"cd\" , \"ab\"", Wanted::Nothing),
            ("*", Wanted::Nothing),
            ("\"cd\"", Wanted::Part(0..2)),
            ("ab", Wanted::Part(0..2)),
            ("\"AB\"", Wanted::Part(0..2)),
        ] {
            let got = ask(
                &[("if-none-match", condition), ("range", "bytes=0-1")],
                Some("\"ab\""),
                10,
            );
            assert_eq!(got, expected, "{condition}");
        }
        // Without a tag only `*` says that the client has it.
        assert_eq!(ask(&[("if-none-match", "\"ab\"")], None, 10), Wanted::Whole);
        assert_eq!(ask(&[("if-none-match", "*")], None, 10), Wanted::Nothing);
    }

    #[test]
    fn if_match_compares_strongly() {
        for (condition, expected) in [
            ("\"ab\"", Wanted::Whole),
            ("\"cd\", \"ab\"", Wanted::Whole),
            ("*", Wanted::Whole),
            ("W/\"ab\"", Wanted::Another),
            ("\"cd\"", Wanted::Another),
        ] {
            assert_eq!(
                ask(&[("if-match", condition)], Some("\"ab\""), 10),
                expected,
                "{condition}"
            );
        }
        assert_eq!(ask(&[("if-match", "\"ab\"")], None, 10), Wanted::Another);
    }

    #[test]
    fn if_range_needs_the_strong_tag() {
        for (condition, expected) in [
            ("\"ab\"", Wanted::Part(0..2)),
            ("W/\"ab\"", Wanted::Whole),
            ("\"cd\"", Wanted::Whole),
            ("*", Wanted::Whole),
            ("Sat, 29 Oct 1994 19:43:31 GMT", Wanted::Whole),
        ] {
            let got = ask(
                &[("if-range", condition), ("range", "bytes=0-1")],
                Some("\"ab\""),
                10,
            );
            assert_eq!(got, expected, "{condition}");
        }
        // A range that can't be had does not matter then.
        let fields = [("if-range", "\"cd\""), ("range", "bytes=99-")];
        assert_eq!(ask(&fields, Some("\"ab\""), 10), Wanted::Whole);
        assert_eq!(
            ask(&[("if-range", "\"ab\""), ("range", "bytes=0-1")], None, 10),
            Wanted::Whole
        );
    }
}
