//! Heads that are bombs.

use crate::process::Service;
use crate::site::Site;
use crate::wire::{answer, answers, request};

use super::{is_well, lines};

#[test]
fn a_head_beyond_the_limits_is_refused_in_words_and_in_the_audit_log() {
    let site = Site::small();
    let service = Service::start(&site);
    let long = "y".repeat(20_000);
    let query = format!("/api/backup/status?{long}");
    let many: Vec<(String, &str)> = (0..100).map(|n| (format!("X-{n}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let bombs = [
        request("GET", "/api/backup/status", &many, b""),
        request("GET", "/api/backup/status", &[("Cookie", &long)], b""),
        request("GET", &query, &[], b""),
        request("POST", "/api/backup/criar", &[("X-Long", &long)], b"{}"),
    ];
    for bomb in &bombs {
        let got = answer(site.port, bomb);
        assert_eq!((got.status, &*got.code()), (431, "headers_too_large"), "{got}");
        assert_eq!(got.field("x-content-type-options"), Some("nosniff"), "{got}");
    }
    lines(&service, &["cofre::audit", "431", "127.0.0.1"], bombs.len());
    assert!(site.list().is_empty());
    is_well(&site);
}

#[test]
fn ten_thousand_fields_and_megabytes_in_one_are_refused_in_little_memory() {
    let site = Site::small();
    let service = Service::start(&site);
    let huge = "z".repeat(1 << 20);
    let url = format!("/{huge}");
    let fields: Vec<(String, String)> = (0..10_000).map(|n| (format!("X-{n}"), n.to_string())).collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let same: Vec<(&str, &str)> = (0..10_000).map(|_| ("X-Same", "1")).collect();
    let bombs = [
        request("GET", "/api/backup/status", &fields, b""),
        request("GET", "/api/backup/status", &same, b""),
        request("GET", "/api/backup/status", &[("X-Huge", &huge)], b""),
        request("GET", "/api/backup/status", &[(&huge, "1")], b""),
        request("GET", &url, &[], b""),
        request(&huge, "/", &[], b""),
    ];
    for bomb in &bombs {
        for _ in 0..5 {
            // A reset may swallow the answer; a good one it never is.
            for got in answers(site.port, bomb) {
                assert!([400, 414, 431].contains(&got.status), "{got}");
            }
        }
    }
    lines(&service, &["cofre::audit", "anonymous", "WARN"], 5 * bombs.len());
    let peak = service.peak_memory();
    assert!(peak < 150 << 20, "peak memory {} MiB", peak >> 20);
    is_well(&site);
}
