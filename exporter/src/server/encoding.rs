//! gzip, where the client asks for it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// Whether the request's `Accept-Encoding` allows gzip: named, or by `*`, and not with a weight of 0.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut star = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or("");
            let wanted = !parts.any(is_weight_zero);
            if coding.eq_ignore_ascii_case("gzip") {
                return wanted;
            }
            star |= coding == "*" && wanted;
        }
    }
    star
}

fn is_weight_zero(parameter: &str) -> bool {
    parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="))
        .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
}

/// `text` compressed; `None` should that fail.
pub(super) fn gzip(text: &str) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn gzip_is_chosen_by_name_or_star_and_never_against_a_zero_weight() {
        for (header, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("*;q=0, gzip", true),
            ("*, gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, header.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), expected, "{header}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
