//! What callers send: ids, bodies, preferences. Everything is checked here, before any work is done.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderName};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value};

use super::problem::{Cause, Problem};
use crate::text::escape;

/// Longest body, in bytes. The longest sensible one is a list of globs.
const MAX_BODY: usize = 64 << 10;
/// Of a body that is too long, this much is read and thrown away, so that a client that sends first and reads
/// afterwards gets its answer rather than a broken connection.
const MAX_DRAIN: usize = 32 << 20;
/// For at most this long.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Longest part of a caller's text in an answer.
const MAX_SHOWN: usize = 64;

/// The id of a path.
pub(super) fn id(path: Result<Path<String>, PathRejection>) -> Result<u64, Problem> {
    let invalid = || Problem::new(Cause::InvalidId);
    let Path(text) = path.map_err(|e| invalid().detail(e.body_text()))?;
    parse_id(&text).ok_or_else(|| invalid().detail(format!("`{}` is no id", shown(&text))))
}

/// 1 to 2^63-1 in plain decimal, as JSON numbers of every client can hold it.
fn parse_id(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let id: i64 = text.parse().ok().filter(|_| plain)?;
    u64::try_from(id).ok()
}

/// The parameters of a query.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    match query {
        Ok(Query(value)) => Ok(value),
        Err(e) => Err(Problem::new(Cause::InvalidQuery).detail(escape(&e.body_text()))),
    }
}

/// The object of a body; an empty one for an empty body, whose type then doesn't matter: old clients and
/// `curl -X POST` send none or any.
pub(super) async fn object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Problem> {
    let bytes = read(headers, body).await?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    if !is_json(headers) {
        return Err(Problem::new(Cause::UnsupportedMediaType).detail("send `Content-Type: application/json`"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::new(Cause::InvalidBody).detail("the body has to be a JSON object")),
        Err(e) => Err(Problem::new(Cause::InvalidJson).detail(e.to_string())),
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let announced = body.size_hint().lower();
    let too_large = || {
        Problem::new(Cause::BodyTooLarge).detail(format!("the body may have {} KiB at most", MAX_BODY >> 10))
    };
    // Such a client waits for a word before it sends anything.
    if announced > MAX_BODY as u64 && headers.contains_key(EXPECT) {
        return Err(too_large());
    }
    let mut body = Limited::new(body, MAX_BODY + MAX_DRAIN);
    let mut bytes = Vec::new();
    let mut is_too_large = announced > MAX_BODY as u64;
    let rest = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| {
                Problem::new(Cause::BadRequest).detail(format!("the body did not arrive: {e}"))
            })?;
            let Some(data) = frame.data_ref() else { continue };
            if is_too_large || bytes.len() + data.len() > MAX_BODY {
                (is_too_large, bytes) = (true, Vec::new());
            } else {
                bytes.extend_from_slice(data);
            }
        }
        Ok::<_, Problem>(())
    };
    let arrived = tokio::time::timeout(DRAIN_TIME, rest).await;
    match arrived {
        _ if is_too_large => Err(too_large()),
        Ok(Ok(())) => Ok(bytes),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Cause::RequestTimeout.into()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether the caller would rather not wait for the end (RFC 7240).
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    let names = headers
        .get_all(HeaderName::from_static("prefer"))
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split([';', '=']).next());
    names
        .map(str::trim)
        .any(|name| name.eq_ignore_ascii_case("respond-async"))
}

/// A caller's text for an answer: short and without control characters.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(MAX_SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", escape(&short))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_numbers_from_1_to_63_bits() {
        assert_eq!(parse_id("1"), Some(1));
        assert_eq!(parse_id("9223372036854775807"), Some(i64::MAX as u64));
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e3",
            " 1",
            "1\n",
            "x",
            "..",
            "latest",
            "١",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            assert_eq!(parse_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_preference_is_found_among_others() {
        for (value, expected) in [
            ("respond-async", true),
            ("wait=10, Respond-Async", true),
            ("respond-async; foo=bar", true),
            ("return=minimal", false),
            ("respond-asynchronously", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            assert_eq!(prefers_async(&headers), expected, "{value}");
        }
        assert!(!prefers_async(&HeaderMap::new()));
    }

    #[test]
    fn what_is_shown_of_a_callers_text_is_short_and_harmless() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"é".repeat(100)), format!("{}…", "é".repeat(64)));
    }
}
