//! Bad input on each route: bodies, types, ids, paths and methods, and what is meant to forge the log.

use serde_json::Value;

use crate::http::Reply;
use crate::process::Service;
use crate::site::{Extra, Site, post};

#[test]
fn what_is_no_request_for_a_backup_is_refused_and_makes_none() {
    let site = Site::small();
    let _service = Service::start(&site);
    let criar = "/api/backup/criar";
    for body in [
        "{",
        "manual",
        "{\"tipo\":\"manual\"",
        "\u{feff}",
        "{\"tipo\":\"a\u{1}\"}",
        "[1,",
        "nul",
        "{\"tipo\":\"\\ud800\"}",
        "{\"tipo\":\"completo\",\"n\":1e999}",
        &"[".repeat(60_000),
    ] {
        post(&site, criar, body).fails(400, "invalid_json");
    }
    let not_utf8 = site
        .call("POST", criar)
        .body("application/json", b"{\"tipo\":\"\xff\"}")
        .send();
    not_utf8.fails(400, "invalid_json");
    for body in [
        "{\"tipo\":\"\"}",
        "{\"tipo\":3}",
        "{\"tipo\":null}",
        "{\"tipo\":true}",
        "{\"tipo\":[\"manual\"]}",
        "{\"tipo\":{\"a\":1}}",
        "{\"tipo\":\"../etc\"}",
        "{\"tipo\":\"..\"}",
        "{\"tipo\":\"a/b\"}",
        "{\"tipo\":\"a\\\\b\"}",
        "{\"tipo\":\"Manual\"}",
        "{\"tipo\":\"manuál\"}",
        "{\"tipo\":\"manual \"}",
        "{\"tipo\":\"a\\u0000b\"}",
        "{\"tipo\":\"a\\nERROR forjado\"}",
        // The last one counts, as everywhere.
        "{\"tipo\":\"completo\",\"tipo\":\"../x\"}",
        &format!("{{\"tipo\":\"{}\"}}", "a".repeat(33)),
    ] {
        let reply = post(&site, criar, body);
        assert_eq!(reply.status, 422, "{body}: {reply}");
        reply.fails(422, "invalid_type");
    }
    // JSON, but no object.
    for body in ["[]", "3", "\"manual\""] {
        let reply = post(&site, criar, body);
        assert!([400, 422].contains(&reply.status), "{body}: {reply}");
        assert_eq!(reply.json()["success"], false, "{reply}");
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "nada",
        "",
    ] {
        let reply = site
            .call("POST", criar)
            .body(kind, b"{\"tipo\":\"manual\"}")
            .send();
        assert_eq!(reply.status, 415, "{kind:?}: {reply}");
        reply.fails(415, "unsupported_media_type");
    }
    assert_eq!(site.list(), Vec::<Value>::new());
    assert!(!site.app.backups().exists() || site.app.archives().is_empty());
}

#[test]
fn a_body_of_ten_megabytes_is_refused_unread() {
    let site = Site::small();
    let service = Service::start(&site);
    let before = service.peak_memory();
    let big = format!("{{\"tipo\":\"{}\"}}", "a".repeat(10 << 20));
    for route in ["criar", "limpar", "restaurar/1"] {
        let path = format!("/api/backup/{route}");
        post(&site, &path, &big).fails(413, "body_too_large");
        // Without a length, in chunks.
        let call = site.call("POST", &path).json(&big);
        call.header("Transfer-Encoding", "chunked")
            .send()
            .fails(413, "body_too_large");
    }
    let grown = service.peak_memory() - before;
    assert!(grown < 8 << 20, "{grown} bytes more than before");
    site.create();
}

#[test]
fn the_type_defaults_to_manual_and_old_clients_may_send_more() {
    let site = Site::small();
    let _service = Service::start(&site);
    let made = |reply: Reply| {
        let body = reply.is(200).json();
        body["backup"]["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(made(site.call("POST", "/api/backup/criar").send()), "manual");
    assert_eq!(made(post(&site, "/api/backup/criar", "")), "manual");
    assert_eq!(made(post(&site, "/api/backup/criar", "{}")), "manual");
    let more = "{\"tipo\":\"teste_script-2\",\"usuario\":\"maria\",\"extra\":{\"a\":[1]}}";
    assert_eq!(made(post(&site, "/api/backup/criar", more)), "teste_script-2");
    let charset = site
        .call("POST", "/api/backup/criar")
        .body("application/json; charset=utf-8", b"{\"tipo\":\"a\"}");
    assert_eq!(made(charset.send()), "a");
    for row in site.list() {
        assert_eq!(row["plan"], "manual", "{row}");
    }
}

#[test]
fn ids_are_positive_numbers_and_nothing_else() {
    let site = Site::small();
    let _service = Service::start(&site);
    let name = site.create()["name"].as_str().unwrap().to_owned();
    let bad = [
        "0",
        "-1",
        "18446744073709551616",
        "18446744073709551615",
        "9223372036854775808",
        "1.0",
        "1e0",
        "0x1",
        "+1",
        "%201",
        "latest",
        "%2e%2e",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "1%00",
        "1%0a",
        "%FF",
        "%C3%A7",
        &name,
    ];
    for (method, route) in [
        ("GET", "download"),
        ("GET", "info"),
        ("POST", "verificar"),
        ("POST", "restaurar"),
        ("DELETE", "excluir"),
    ] {
        for id in bad {
            let path = format!("/api/backup/{route}/{id}");
            let reply = site.call(method, &path).send();
            assert_eq!(reply.status, 400, "{method} {path}: {reply}");
            reply.fails(400, "invalid_id");
        }
        let unknown = if route == "restaurar" { 409 } else { 404 };
        for id in ["2", "9223372036854775807"] {
            let path = format!("/api/backup/{route}/{id}");
            let reply = site.call(method, &path).send();
            assert_eq!(reply.status, unknown, "{method} {path}: {reply}");
        }
    }
    assert_eq!(site.list().len(), 1);
}

#[test]
fn unknown_routes_and_methods_are_named_as_such() {
    let site = Site::small();
    let _service = Service::start(&site);
    for path in [
        "/",
        "/api",
        "/api/backup",
        "/api/backup/",
        "/api/backup/criar/",
        "/api/backup/criar/1",
        "/api/backup/download",
        "/api/backup/download/",
        "/api/backup/../../etc/passwd",
        "/api/backup/%2e%2e/status",
        "//api/backup/status",
        "/API/BACKUP/STATUS",
        "/api/backup/status%20",
        "/favicon.ico",
    ] {
        for method in ["GET", "POST", "PATCH"] {
            let reply = site.call(method, path).send();
            assert_eq!(reply.status, 404, "{method} {path}: {reply}");
            reply.fails(404, "unknown_route");
        }
    }
    for (path, allowed) in [
        ("/api/backup/criar", "POST"),
        ("/api/backup/status", "GET,HEAD"),
        ("/api/backup/listar", "GET,HEAD"),
        ("/api/backup/download/1", "GET,HEAD"),
        ("/api/backup/info/1", "GET,HEAD"),
        ("/api/backup/verificar/1", "POST"),
        ("/api/backup/restaurar/1", "POST"),
        ("/api/backup/excluir/1", "DELETE"),
        ("/api/backup/limpar", "POST"),
        ("/api/backup/progresso", "GET,HEAD"),
        ("/api/openapi.json", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
    ] {
        for method in [
            "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND",
        ] {
            if allowed.split(',').any(|allowed| allowed == method) {
                continue;
            }
            let reply = site.call(method, path).send();
            // To ask which methods there are is no mistake.
            let status = if method == "OPTIONS" { 204 } else { 405 };
            assert_eq!(reply.status, status, "{method} {path}: {reply}");
            let mut got: Vec<_> = reply
                .header("allow")
                .unwrap_or_default()
                .split(',')
                .map(str::trim)
                .collect();
            got.sort_unstable();
            assert_eq!(got.join(","), allowed, "{method} {path}: {reply}");
            if status == 405 {
                reply.fails(405, "method_not_allowed");
            }
        }
    }
}

#[test]
fn the_entries_of_a_backup_come_in_pages() {
    let site = Site::small();
    for index in 0..25 {
        site.app.write(format!("static/dados/{index:02}.txt"), b"x");
    }
    let _service = Service::start(&site);
    site.create();
    let short = site.get("/api/backup/info/1");
    assert_eq!(short["success"], true);
    assert_eq!(short["backup"]["id"], 1, "{short}");
    let (mut after, mut paths, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let more = if after.is_empty() {
            String::new()
        } else {
            format!("&after={after}")
        };
        let page = site.get(&format!("/api/backup/info/1?entries=true&limit=7{more}"));
        let entries = page["entries"].as_array().unwrap_or_else(|| panic!("{page}"));
        assert!(entries.len() <= 7, "{page}");
        let Some(last) = entries.last() else { break };
        after = last["path"].as_str().unwrap().to_owned();
        paths.extend(
            entries
                .iter()
                .map(|entry| entry["path"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        assert!(pages < 20, "no end: {paths:?}");
    }
    let mut unique = paths.clone();
    unique.dedup();
    assert_eq!(unique, paths, "each once, in order");
    for index in 0..25 {
        assert!(
            paths.contains(&format!("static/dados/{index:02}.txt")),
            "{paths:?}"
        );
    }
    for bad in ["limit=0", "limit=10001", "limit=x", "limit=-1", "entries=perhaps"] {
        let reply = site
            .call("GET", &format!("/api/backup/info/1?entries=true&{bad}"))
            .send();
        assert!([400, 422].contains(&reply.status), "{bad}: {reply}");
        assert_eq!(reply.json()["success"], false);
    }
}

#[test]
fn nothing_that_a_caller_sends_forges_a_line_of_the_log() {
    let site = Site::with(Extra {
        tables: "[log]\nfile = \"cofre.log\"\n",
        ..Extra::default()
    });
    let service = Service::start(&site);
    let forged = "2026-01-01T00:00:00Z  INFO cofre::audit: forjado";
    for text in [
        format!("a\n{forged}"),
        format!("a\r\n{forged}"),
        format!("a\u{2028}{forged}\u{1b}[31m"),
    ] {
        let body = serde_json::json!({ "tipo": text, "destino": text, "only": [text] }).to_string();
        for route in ["criar", "restaurar/1", "limpar"] {
            site.call("POST", &format!("/api/backup/{route}"))
                .json(&body)
                .send();
        }
    }
    for path in [
        "/api/backup/nada%0a2026-01-01T00:00:00Z%20%20INFO%20forjado",
        "/api/backup/info/1%0d%0aforjado",
        "/%1b%5b31mforjado",
        "/api/backup/info/1?after=%0aforjado",
    ] {
        site.call("GET", path)
            .header("User-Agent", "forjado\u{9b}31m")
            .send();
    }
    site.status();
    service.logs(&["/api/backup/status"]);
    for log in [
        service.log(),
        std::fs::read_to_string(site.app.path("cofre.log")).unwrap(),
    ] {
        for line in log.lines() {
            assert!(!line.trim_start().starts_with("2026-01-01T00:00:00Z"), "{log}");
            assert!(!line.starts_with("forjado"), "{log}");
        }
        let bad = log.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(bad, None, "{log:?}");
        assert!(!log.contains('\u{2028}'), "{log:?}");
    }
}

#[test]
fn an_invalid_catalog_and_an_empty_state_are_answered_not_died_of() {
    let site = Site::small();
    let _service = Service::start(&site);
    assert_eq!(site.list(), Vec::<Value>::new(), "before the first run");
    site.create();
    let good = std::fs::read(site.app.history_path()).unwrap();
    std::fs::write(site.app.history_path(), b"[{\"id\":1},{\"id\":1}]").unwrap();
    for path in ["status", "listar", "info/1", "download/1"] {
        let reply = site.call("GET", &format!("/api/backup/{path}")).send();
        reply.fails(500, "catalog_invalid");
    }
    post(&site, "/api/backup/criar", "{}").fails(500, "catalog_invalid");
    std::fs::write(site.app.history_path(), good).unwrap();
    site.create();
    assert_eq!(site.list().len(), 2);
}
