//! Who may call what, from where, and what is said of it.

use super::*;

#[test]
fn each_path_has_its_answer_for_each_credential_before_any_route_is_chosen() {
    let server = start("");
    let other = "some-other-token";
    for (method, path, none, wrong, viewer, admin) in [
        ("GET", "/healthz", 200, 200, 200, 200),
        ("GET", "/metrics", 401, 401, 200, 200),
        ("GET", "/api/backup/status", 401, 401, 403, 200),
        ("DELETE", "/api/backup/status", 401, 401, 403, 405),
        ("GET", "/api/backup/unknown", 401, 401, 403, 404),
        ("GET", "/healthz/", 401, 401, 403, 404),
        ("GET", "//healthz", 401, 401, 403, 404),
        ("BREW", "/metrics/x", 401, 429, 403, 404),
    ] {
        for (credential, expected) in [
            (None, none),
            (Some(other), wrong),
            (Some(VIEWER), viewer),
            (Some(ADMIN), admin),
        ] {
            let mut answer = server.call(method, path, credential, &[]);
            if answer.status == 429 && expected == 401 {
                // The throttle is of another test.
                answer.status = 401;
            }
            if expected == 429 {
                assert!([401, 429].contains(&answer.status));
                continue;
            }
            assert_eq!(
                answer.status, expected,
                "{method} {path} {credential:?}: {answer:?}"
            );
            if expected == 403 {
                assert_eq!(answer.code(), "forbidden");
            }
        }
    }
    let anonymous = server.get("/api/backup/status", None);
    assert_eq!(anonymous.code(), "not_authenticated");
    assert!(anonymous.body.contains("Não autenticado"));
    assert_eq!(anonymous.field("www-authenticate"), Some("bearer"));
    assert_eq!(server.get("/metrics", Some(VIEWER)).body, "token:graphs Viewer");
    assert_eq!(
        server.get("/api/backup/status", Some(ADMIN)).body,
        "token:ops Admin"
    );
}

#[test]
fn every_answer_has_the_fields_that_keep_browsers_from_using_it() {
    let server = start("");
    for answer in [
        server.get("/healthz", None),
        server.get("/nothing", None),
        server.get("/nothing", Some(ADMIN)),
        server.get("/api/backup/panics", Some(ADMIN)),
    ] {
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
        let policy = answer.field("content-security-policy");
        assert_eq!(policy, Some("default-src 'none'; frame-ancestors 'none'"));
    }
}

#[test]
fn guesses_are_throttled_and_the_administrator_at_the_same_address_is_not() {
    let server = start("");
    let mut statuses = Vec::new();
    for attempt in 0..14 {
        // A fresh name for the client changes nothing: this peer is no trusted proxy.
        let fields = [&*format!("X-Forwarded-For: 198.51.100.{attempt}")];
        let guess = format!("guess-{attempt}");
        let answer = server.call("GET", "/api/backup/status", Some(&guess), &fields);
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.code(), "too_many_attempts");
            let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=7).contains(&wait), "{wait}");
        }
        assert_eq!(server.get("/api/backup/status", Some(ADMIN)).status, 200);
        assert_eq!(server.get("/api/backup/status", None).status, 401);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[11..], [429; 3]);
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_count() {
    let server = start("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    let guess = |forwarded: &str| {
        server
            .call(
                "GET",
                "/metrics",
                Some("guess"),
                &[&format!("X-Forwarded-For: {forwarded}")],
            )
            .status
    };
    for attempt in 0..30 {
        assert_eq!(guess(&format!("198.51.100.{attempt}")), 401);
    }
    // What stands before the last hop is the client's own claim.
    let spoofed: Vec<u16> = (0..14)
        .map(|n| guess(&format!("198.51.101.{n}, 203.0.113.9, 10.1.2.3")))
        .collect();
    assert_eq!(spoofed[11..], [429; 3]);
    assert!(server.log.text().contains("203.0.113.9"));
    assert!(!server.log.text().contains("198.51.101."));
}

#[test]
fn the_audit_log_has_every_call_and_no_credential() {
    let mut server = start("");
    server.get("/api/backup/status?token=in-the-query", Some(ADMIN));
    server.get("/api/backup/status", Some("a-wrong-token"));
    server.call("POST", "/api/backup/criar", Some(VIEWER), &["Content-Length: 0"]);
    server.get("/api/backup/panics", Some(ADMIN));
    server.get(&format!("/{}", "y".repeat(3_000)), Some(ADMIN));
    server.get("/healthz", None);
    server.end();
    let log = server.log.text();
    let line = |operation: &str| {
        log.lines()
            .find(|line| line.contains(&format!("operation={operation} ")))
            .unwrap_or_else(|| panic!("{operation} is not in {log}"))
    };
    let normal = line("GET /api/backup/status");
    assert!(normal.contains("INFO") && normal.contains("who=token:ops") && normal.contains("status=200"));
    assert!(normal.contains("from=\"127.0.0.1\""), "{normal}");
    assert!(log.contains("status=401") && log.contains("the token is not known"));
    let refused = line("POST /api/backup/criar");
    assert!(refused.contains("WARN") && refused.contains("token:graphs") && refused.contains("status=403"));
    let failed = line("GET /api/backup/panics");
    assert!(failed.contains("ERROR") && failed.contains("status=500"));
    assert!(log.contains("a route panicked, which is a bug: secretless text"));
    assert!(log.lines().all(|line| line.len() < 1_000), "{log}");
    for hidden in ["in-the-query", "a-wrong-token", ADMIN, VIEWER, "healthz"] {
        assert!(!log.contains(hidden), "{hidden} in {log}");
    }
}

#[test]
fn a_call_whose_client_leaves_is_in_the_audit_log() {
    let mut server = start_with(
        Limits::default(),
        sleeping("/api/backup/criar", Duration::from_secs(60)),
    );
    let mut stream = server.connect();
    write!(
        stream,
        "GET /api/backup/criar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    drop(stream);
    std::thread::sleep(Duration::from_millis(200));
    server.end();
    let log = server.log.text();
    assert!(log.contains("status=left") && log.contains("token:ops"), "{log}");
}

#[test]
fn a_cookie_counts_where_it_is_configured_and_changes_something_only_from_the_same_site() {
    let folder = tempfile::tempdir().unwrap();
    let key = "0123456789abcdef0123456789abcdef";
    std::fs::write(folder.path().join("jwt.key"), format!("{key}\n")).unwrap();
    let session = crate::serve::http::jwt::tests::session(
        key.as_bytes(),
        &serde_json::json!({"sub": "ana", "setor": "admin", "exp": 4_000_000_000_u64}),
    );
    let jwt =
        "[api.jwt]\nalgorithm = \"HS256\"\nkey_file = \"jwt.key\"\nclaim = \"setor\"\nadmin = \"admin\"";
    let plain = start_in(tempfile::tempdir().unwrap(), "", Limits::default(), routes());
    let cookie = format!("Cookie: a=b; session={session}; c=d");
    assert_eq!(plain.call("GET", "/metrics", None, &[&cookie]).status, 401);
    let more = format!("trusted_proxies = [\"127.0.0.2\"]\n{jwt}\ncookie = \"session\"");
    let server = start_in(folder, &more, Limits::default(), routes());
    let answer = server.call("GET", "/api/backup/status", None, &[&cookie]);
    assert_eq!((answer.status, &*answer.body), (200, "session:ana Admin"));
    let twice = format!("{cookie}; session=x");
    assert_eq!(server.call("GET", "/metrics", None, &[&twice]).status, 401);
    let own = format!("Origin: http://{}", server.address);
    for (fields, expected) in [
        (vec![], 403),
        (vec![&*own], 200),
        (vec!["Sec-Fetch-Site: same-origin"], 200),
        (vec!["Sec-Fetch-Site: same-site"], 403),
        (vec!["Sec-Fetch-Site: none"], 403),
        (vec!["Origin: https://evil.example"], 403),
        (
            vec!["Origin: https://evil.example", "Sec-Fetch-Site: same-origin"],
            403,
        ),
        (vec!["Origin: null"], 403),
        (vec![&*own, "Origin: https://evil.example"], 403),
        // Not from a trusted proxy.
        (
            vec![
                "Origin: https://evil.example",
                "X-Forwarded-Host: evil.example",
                "X-Forwarded-Proto: https",
            ],
            403,
        ),
    ] {
        let mut all = fields.clone();
        all.extend(["Content-Length: 0", &*cookie]);
        let answer = server.call("POST", "/api/backup/criar", None, &all);
        assert_eq!(answer.status, expected, "{fields:?}: {answer:?}");
        if expected == 403 {
            assert_eq!(answer.code(), "cross_site");
        }
        // Nobody's browser sends a header by itself.
        let mut all = fields.clone();
        all.push("Content-Length: 0");
        assert_eq!(
            server
                .call("POST", "/api/backup/criar", Some(&session), &all)
                .status,
            200
        );
    }
}
