//! Texts of callers that want to be lines of the log.

use serde_json::Value;

use crate::auth::{HEAD, JWT, KEY, now, secret_file};
use crate::process::Service;
use crate::python::jwt;
use crate::site::{Extra, Site, post};
use crate::wire::{answers, request};

use super::is_well;

/// What a forged line would look like, with what moves a terminal's cursor.
const FORGED: &str = "x\r\n2026-01-01T00:00:00Z  INFO cofre::audit: operation=forjado who=token:ops\u{1b}[2J\u{9b}31m\u{2028}\u{202e}";

fn site(format: &str) -> Site {
    let tables = format!("[log]\nfile = \"cofre.log\"\nformat = \"{format}\"\nlevel = \"debug\"\n{JWT}");
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"\ntrusted_proxies = [\"127.0.0.1\"]",
        tables: &tables,
        ..Extra::default()
    });
    secret_file(&site, "jwt.key", KEY);
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    // Sources come from the application's users.
    site.app
        .write(format!("static/{}", FORGED.replace('/', "")), b"conteudo");
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        site.app.path(format!("static/fifo-{FORGED}")),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    );
    made.unwrap();
    site
}

/// Puts it wherever a caller's text can go. How many calls that were.
fn attack(site: &Site) -> usize {
    let quoted = serde_json::to_string(FORGED).unwrap();
    let mut calls = 0;
    for (path, body) in [
        ("criar", format!("{{\"tipo\":{quoted}}}")),
        ("criar", format!("{{{quoted}:1}}")),
        ("restaurar/1", format!("{{\"destino\":{quoted}}}")),
        (
            "restaurar/1",
            format!("{{\"destino\":\"bom\",\"only\":[{quoted}]}}"),
        ),
        ("limpar", format!("{{{quoted}:1}}")),
        ("limpar", FORGED.to_owned()),
    ] {
        let reply = post(site, &format!("/api/backup/{path}"), &body);
        assert!((200..500).contains(&reply.status), "{reply}");
        calls += 1;
    }
    let percent: String = FORGED.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let raw = "\u{202e}\u{2028}forjado\u{85}";
    for target in [
        format!("/api/backup/info/{percent}"),
        format!("/api/backup/info/1?after={percent}&entries=true&limit=5"),
        format!("/api/backup/info/1?{percent}={percent}"),
        format!("/{percent}"),
        format!("/api/backup/info/{raw}"),
    ] {
        calls += answers(site.port, &request("GET", &target, &[], b"")).len();
    }
    for (name, value) in [
        ("User-Agent", raw),
        ("User-Agent", "a\tb"),
        ("X-Forwarded-For", "1.2.3.4 who=token:ops\u{202e}"),
        ("Forwarded", raw),
        ("Prefer", raw),
        ("Range", raw),
        ("If-Match", raw),
        ("Origin", raw),
        ("Content-Type", raw),
    ] {
        calls += answers(
            site.port,
            &request("GET", "/api/backup/download/1", &[(name, value)], b""),
        )
        .len();
    }
    let claims = format!(
        "{{\"sub\":{quoted},\"setor\":\"admin\",\"aud\":\"relatorios\",\"exp\":{}}}",
        now() + 600
    );
    for credential in [
        jwt(HEAD, &claims, KEY),
        "\u{202e}forjado".to_owned(),
        jwt(&format!("{{\"alg\":{quoted}}}"), &claims, KEY),
    ] {
        site.anonymous("GET", "/api/backup/status")
            .bearer(&credential)
            .send();
        calls += 1;
    }
    // A field with such bytes never gets as far as a route, and is a line all the same.
    for bytes in [
        "User-Agent: a\u{1b}[31m\r\n",
        "User-Agent: a\nINFO forjado\r\n",
        "A\u{1b}: b\r\n",
    ] {
        let text = format!("GET /{bytes} HTTP/1.1\r\nHost: x\r\n{bytes}\r\n");
        calls += answers(site.port, text.as_bytes()).len();
    }
    calls
}

fn is_harmless(log: &str) {
    for line in log.lines() {
        let hostile = |c: &char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(c);
        let found = line.chars().find(hostile);
        assert_eq!(found, None, "{line:?}");
    }
}

#[test]
fn a_line_of_text_is_one_event_whatever_callers_send() {
    let site = site("text");
    let service = Service::start(&site);
    site.create();
    let calls = attack(&site) + 1;
    is_well(&site);
    for log in [
        service.log(),
        std::fs::read_to_string(site.app.path("cofre.log")).unwrap(),
    ] {
        is_harmless(&log);
        for line in log.lines() {
            // The time comes first, then the level and where it comes from.
            let time = line.split_once(' ').map(|(time, _)| time).unwrap_or_default();
            assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
            assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line}");
        }
        let audit = log
            .lines()
            .filter(|line| line.contains(" cofre::audit: ") && line.contains("from="))
            .count();
        // The two calls of `is_well`.
        assert_eq!(audit, calls + 2, "{log}");
    }
}

#[test]
fn a_line_of_json_is_one_event_whatever_callers_send() {
    let site = site("json");
    let service = Service::start(&site);
    site.create();
    let calls = attack(&site) + 1;
    is_well(&site);
    for log in [
        service.log(),
        std::fs::read_to_string(site.app.path("cofre.log")).unwrap(),
    ] {
        is_harmless(&log);
        let parsed: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        let audit = parsed
            .iter()
            .filter(|line| line["target"] == "cofre::audit" && line["from"].is_string());
        assert_eq!(audit.count(), calls + 2, "{log}");
        let forged = parsed.iter().find(|line| line["operation"] == "forjado");
        assert!(forged.is_none(), "{forged:?}");
    }
}
