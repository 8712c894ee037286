//! Who the client is behind proxies, and which requests are of the same origin.
#![allow(clippy::unwrap_used, reason = "tests")]

use axum::http::HeaderValue;

use super::*;

fn proxies() -> Proxies {
    Proxies::new(vec![
        "10.0.0.0/8".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ])
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

#[test]
fn the_client_is_the_last_hop_that_is_no_trusted_proxy() {
    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";
    for (peer, fields, expected) in [
        ("192.0.2.1", &[][..], "192.0.2.1"),
        ("::ffff:192.0.2.1", &[], "192.0.2.1"),
        // Not a proxy of ours.
        ("192.0.2.1", &[(X, "203.0.113.5")], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[(X, "203.0.113.5")], "203.0.113.5"),
        ("::ffff:10.0.0.1", &[(X, "203.0.113.5")], "203.0.113.5"),
        ("2001:db8::1", &[(X, "203.0.113.5")], "203.0.113.5"),
        // What the client wrote itself.
        ("10.0.0.1", &[(X, "1.1.1.1, 203.0.113.5")], "203.0.113.5"),
        (
            "10.0.0.1",
            &[(X, "1.1.1.1"), (X, "203.0.113.5, 10.9.9.9")],
            "203.0.113.5",
        ),
        ("10.0.0.1", &[(X, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
        ("10.0.0.1", &[(X, "1.1.1.1, nonsense")], "10.0.0.1"),
        ("10.0.0.1", &[(X, "1.1.1.1, nonsense, 10.0.0.3")], "10.0.0.3"),
        ("10.0.0.1", &[(X, "1.1.1.1, \u{e9}")], "10.0.0.1"),
        ("10.0.0.1", &[(X, "")], "10.0.0.1"),
        ("10.0.0.1", &[(X, "203.0.113.5:4711")], "203.0.113.5"),
        ("10.0.0.1", &[(X, "[2001:db9::5]:4711")], "2001:db9::5"),
        ("10.0.0.1", &[(X, "[2001:db9::5]")], "2001:db9::5"),
        ("10.0.0.1", &[(X, "2001:db9::5")], "2001:db9::5"),
        (
            "10.0.0.1",
            &[(F, "for=1.1.1.1, For=\"[2001:db9::5]:47\";proto=https;by=10.0.0.1")],
            "2001:db9::5",
        ),
        (
            "10.0.0.1",
            &[(F, "for=203.0.113.5"), (X, "203.0.113.5")],
            "203.0.113.5",
        ),
        // One of the two is the client's, and which one is not known.
        ("10.0.0.1", &[(F, "for=203.0.113.5"), (X, "1.1.1.1")], "10.0.0.1"),
        ("10.0.0.1", &[(F, "for=unknown")], "10.0.0.1"),
        ("10.0.0.1", &[(F, "for=_hidden, for=203.0.113.5")], "203.0.113.5"),
    ] {
        let client = proxies().client(peer.parse().unwrap(), &headers(fields));
        assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {fields:?}");
    }
}

#[test]
fn an_origin_is_scheme_and_host_with_or_without_the_usual_port() {
    for (a, b, expected) in [
        ("https://a.example", "https://a.example", true),
        ("https://A.example", "https://a.EXAMPLE:443", true),
        ("http://a.example:80", "http://a.example", true),
        ("https://a.example:80", "https://a.example", false),
        ("http://a.example", "https://a.example", false),
        ("https://a.example.evil", "https://a.example", false),
        ("https://a.example/", "https://a.example", false),
        ("null", "null", false),
        ("", "", false),
    ] {
        assert_eq!(same(a, b), expected, "{a} {b}");
    }
}

#[test]
fn behind_a_trusted_proxy_the_origin_is_what_the_proxy_says() {
    let check = |peer: &str, tls, fields: &[(&'static str, &str)]| {
        let link = Link::new(peer.parse().unwrap(), tls);
        proxies().same_origin(&link, &headers(fields))
    };
    let origin = ("origin", "https://cofre.example");
    let host = ("host", "cofre.example");
    let proto = ("x-forwarded-proto", "https");
    assert!(check("192.0.2.1:9", true, &[origin, host]));
    assert!(!check("192.0.2.1:9", false, &[origin, host]));
    assert!(!check("192.0.2.1:9", false, &[origin, host, proto]));
    assert!(check("10.0.0.1:9", false, &[origin, host, proto]));
    let inner = ("host", "127.0.0.1:8642");
    let outer = ("x-forwarded-host", "cofre.example");
    assert!(check("10.0.0.1:9", false, &[origin, inner, outer, proto]));
    assert!(!check("192.0.2.1:9", true, &[origin, inner, outer, proto]));
    assert!(!check("192.0.2.1:9", true, &[origin]));
    assert!(!check("192.0.2.1:9", true, &[origin, host, host]));
}

#[test]
fn only_methods_that_are_safe_by_definition_do_not_mutate() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        assert!(!is_mutating(&method));
    }
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::from_bytes(b"BREW").unwrap(),
    ] {
        assert!(is_mutating(&method), "{method}");
    }
}
