//! Bad input on each route, and what each route promises beyond the seed's.

use std::io::{BufRead, BufReader, Write as _};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::http::{Reply, connect};
use crate::process::{Service, until};
use crate::site::{Extra, HOLD, Site, admin};

fn post(site: &Site, path: &str, body: &str) -> Reply {
    site.call("POST", path).json(body).send()
}

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
fn of_two_creates_at_once_one_is_refused() {
    let site = Site::with(HOLD);
    let _service = Service::start(&site);
    site.hold();
    let start = Barrier::new(4);
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    post(&site, "/api/backup/criar", "{}")
                })
            })
            .collect();
        // The three that are refused are so while the first goes on.
        until("three answers", || {
            (threads.iter().filter(|thread| thread.is_finished()).count() == 3).then_some(())
        });
        site.release();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for reply in &replies {
        if reply.status != 200 {
            reply.clone().fails(409, "busy");
        }
    }
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    assert_eq!(site.list().len(), 1, "a refused run leaves no row");
}

#[test]
fn a_run_of_the_command_line_is_in_the_way_too_and_reading_goes_on() {
    let site = Site::small();
    let _service = Service::start(&site);
    site.create();
    let held = std::fs::File::open(site.app.backups()).unwrap();
    held.lock().unwrap();
    post(&site, "/api/backup/criar", "{}").fails(409, "busy");
    post(&site, "/api/backup/limpar", "{}").fails(409, "busy");
    site.call("DELETE", "/api/backup/excluir/1")
        .send()
        .fails(409, "busy");
    assert_eq!(site.list().len(), 1);
    assert_eq!(site.get("/api/backup/info/1")["success"], true);
    drop(held);
    site.create();
}

#[test]
fn reading_goes_on_whatever_a_run_does_at_the_moment() {
    let site = Site::with(Extra {
        top: "max_backups = 3",
        ..Extra::default()
    });
    let _service = Service::start(&site);
    site.create();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for route in ["listar", "status"] {
            let (site, done) = (&site, &done);
            scope.spawn(move || {
                let request = format!(
                    "GET /api/backup/{route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
                    admin()
                );
                let mut stream = BufReader::new(connect(site.port));
                while !done.load(Ordering::SeqCst) {
                    stream.get_mut().write_all(request.as_bytes()).unwrap();
                    let (status, body) = answer(&mut stream);
                    assert_eq!(status, 200, "{route}: {body}");
                }
            });
        }
        // Archives come, catalogs are exchanged and old archives go.
        for _ in 0..60 {
            if site.call("POST", "/api/backup/criar").json("{}").send().status != 200 {
                break;
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(site.list().len(), 3);
}

/// Reads one answer with a length from a connection that is kept.
fn answer(stream: &mut impl BufRead) -> (u16, String) {
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let status = head.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {head:?}"));
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn respond_async_answers_at_once_with_where_to_look() {
    let site = Site::with(HOLD);
    let _service = Service::start(&site);
    site.hold();
    let reply = site
        .call("POST", "/api/backup/criar")
        .header("Prefer", "wait=5, respond-async")
        .json("{\"tipo\":\"manual\"}")
        .send()
        .is(202);
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    let body = reply.json();
    assert_eq!(body["success"], true, "{body}");
    assert_eq!(body["backup"]["status"], "in_progress", "{body}");
    let location = format!("/api/backup/info/{}", body["backup"]["id"]);
    assert_eq!(reply.header("location"), Some(location.as_str()));
    assert_eq!(site.get(&location)["backup"]["status"], "in_progress");
    let running = site.running();
    assert_eq!(running["id"], body["backup"]["id"], "{running}");
    assert_eq!(running["plan"], "manual", "{running}");
    let download = location.replace("info", "download");
    site.call("GET", &download).send().fails(400, "not_completed");
    site.release();
    until("the end of the run", || {
        (site.get(&location)["backup"]["status"] == "completed").then_some(())
    });
    site.call("GET", &download).send().is(200);
    until("no run in the status", || {
        site.status()["running"].is_null().then_some(())
    });
}

#[test]
fn a_client_that_leaves_does_not_cancel_its_backup() {
    let site = Site::with(HOLD);
    let _service = Service::start(&site);
    site.hold();
    let gone = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let call = site.call("POST", "/api/backup/criar").json("{}");
            call.args(&["--max-time", "2"]).try_send()
        });
        client.join().unwrap()
    });
    assert_eq!(gone.err().map(|(code, _)| code), Some(28), "curl gave up");
    site.running();
    site.release();
    until("the end of the run", || {
        let rows = site.list();
        (rows.len() == 1 && rows[0]["status"] == "completed").then_some(())
    });
}

/// The events of a stream so far: name and data.
fn events(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n");
    let event = |block: &str| {
        let line = |field: &str| {
            let found = block.lines().find_map(|line| line.strip_prefix(field));
            found.map(|text| text.trim().to_owned())
        };
        let data = line("data:").and_then(|text| serde_json::from_str(&text).ok());
        Some((line("event:")?, data.unwrap_or_default()))
    };
    blocks.filter_map(event).collect()
}

#[test]
fn the_progress_of_a_run_is_told_as_events() {
    let site = Site::with(HOLD);
    let service = Service::start(&site);
    let mut stream = site.call("GET", "/api/backup/progresso").stream();
    let wait_for = |name: &str| {
        until(&format!("the event {name}"), || {
            let events = events(&stream.text());
            events
                .into_iter()
                .find(|(event, _)| event == name)
                .map(|(_, data)| data)
        })
    };
    wait_for("idle");
    site.hold();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| post(&site, "/api/backup/criar", "{}").is(200).json());
        let progress = wait_for("progress");
        assert_eq!(progress["plan"], "manual", "{progress}");
        site.release();
        let body = run.join().unwrap();
        assert_eq!(progress["id"], body["backup"]["id"], "{progress}");
        assert_eq!(progress["name"], body["backup"]["name"], "{progress}");
        let ended = wait_for("ended");
        let backup = if ended["backup"].is_object() {
            &ended["backup"]
        } else {
            &ended
        };
        assert_eq!(backup["id"], body["backup"]["id"], "{ended}");
        assert_eq!(backup["status"], "completed", "{ended}");
    });
    // The stream ends with the service, and does not keep it.
    assert_eq!(service.terminate(), Some(0));
    stream.ended();
}

#[test]
fn the_last_good_backup_and_pinned_ones_are_not_deleted() {
    let site = Site::small();
    let _service = Service::start(&site);
    let first = site.create();
    let reply = site.call("DELETE", "/api/backup/excluir/1").send();
    reply.fails(409, "refused");
    assert!(site.app.archive(&first).exists());
    site.create();
    site.app.cofre(&["pin", "1"]).exits(0);
    site.call("DELETE", "/api/backup/excluir/1")
        .send()
        .fails(409, "refused");
    site.app.cofre(&["unpin", "1"]).exits(0);
    let gone = site.call("DELETE", "/api/backup/excluir/1").send().is(200).json();
    assert_eq!(gone["success"], true, "{gone}");
    assert!(!site.app.archive(&first).exists());
    for (method, route) in [("DELETE", "excluir"), ("GET", "info"), ("GET", "download")] {
        let path = format!("/api/backup/{route}/1");
        site.call(method, &path).send().fails(404, "not_found");
    }
    assert_eq!(site.list().len(), 1);
}

#[test]
fn pruning_says_first_what_would_go() {
    let mut site = Site::with(Extra {
        top: "max_backups = 100",
        ..Extra::default()
    });
    {
        let _service = Service::start(&site);
        for _ in 0..4 {
            site.create();
        }
    }
    site.configure(Extra {
        top: "max_backups = 2",
        ..Extra::default()
    });
    let _service = Service::start(&site);
    let dry = post(&site, "/api/backup/limpar", "{\"dry_run\":true}")
        .is(200)
        .json();
    assert_eq!(dry["success"], true, "{dry}");
    assert_eq!(site.list().len(), 4, "a dry run changes nothing");
    for bad in ["{\"dry_run\":\"yes\"}", "{\"dry_run\":1}"] {
        let reply = post(&site, "/api/backup/limpar", bad);
        assert!([400, 422].contains(&reply.status), "{bad}: {reply}");
        assert_eq!(reply.json()["success"], false);
    }
    assert_eq!(site.list().len(), 4, "a mistyped dry run prunes nothing");
    let wet = post(&site, "/api/backup/limpar", "").is(200).json();
    assert_eq!(wet["success"], true, "{wet}");
    let left: Vec<_> = site.list().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(left, [3, 4]);
    assert_eq!(site.app.archives().len(), 2);
}

#[test]
fn a_damaged_archive_does_not_verify() {
    let site = Site::small();
    let _service = Service::start(&site);
    let record = site.create();
    let good = site.call("POST", "/api/backup/verificar/1").send().is(200).json();
    assert_eq!(good["success"], true, "{good}");
    let row = &site.get("/api/backup/info/1")["backup"];
    assert!(row["verified_at"].is_string(), "the result is recorded: {row}");
    let archive = site.app.archive(&record);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(&archive, bytes).unwrap();
    let bad = site
        .call("POST", "/api/backup/verificar/1")
        .send()
        .fails(422, "verify_failed")
        .json();
    assert!(bad["verification"].is_object(), "{bad}");
    std::fs::remove_file(&archive).unwrap();
    site.call("GET", "/api/backup/download/1")
        .send()
        .fails(404, "archive_missing");
    let gone = site.call("POST", "/api/backup/verificar/1").send();
    assert!([404, 422].contains(&gone.status), "{gone}");
}

#[test]
fn restoring_is_off_without_a_folder_for_it() {
    let site = Site::small();
    let _service = Service::start(&site);
    site.create();
    post(&site, "/api/backup/restaurar/1", "{}").fails(409, "restore_disabled");
}

#[test]
fn restoring_goes_below_its_folder_and_nowhere_else() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    site.app.write("restaurados/.existe", b"");
    let _service = Service::start(&site);
    let name = site.create()["name"].as_str().unwrap().to_owned();
    let before = crate::support::listing(site.app.root());
    for destino in [
        "../fora",
        "/tmp/fora",
        "a/b",
        "..",
        ".",
        "",
        "a\\u0000b",
        "a\\nb",
        "~",
        &"a".repeat(300),
    ] {
        let body = format!("{{\"destino\":\"{destino}\"}}");
        let reply = post(&site, "/api/backup/restaurar/1", &body);
        assert!([400, 422].contains(&reply.status), "{destino:?}: {reply}");
        assert_eq!(reply.json()["success"], false, "{reply}");
    }
    for body in ["{\"destino\":3}", "{\"only\":\"x\"}", "{\"only\":[3]}"] {
        let reply = post(&site, "/api/backup/restaurar/1", body);
        assert!([400, 422].contains(&reply.status), "{body}: {reply}");
    }
    let outside = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.contains(".log") && !line.starts_with("restaurados"));
        lines
            .filter(|line| !line.contains(".cofre"))
            .map(|line| line.split('\t').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        outside(&crate::support::listing(site.app.root())),
        outside(&before)
    );
    post(&site, "/api/backup/restaurar/99", "").fails(404, "not_found");

    let body = post(&site, "/api/backup/restaurar/1", "").is(200).json();
    let path = site.app.path(format!("restaurados/restore_{name}"));
    assert_eq!(body["restore_path"].as_str(), path.to_str(), "{body}");
    assert_eq!(body["metadata"]["name"].as_str(), Some(name.as_str()), "{body}");
    crate::support::same_tree(&site.app.path("static"), &path.join("static"));
    post(&site, "/api/backup/restaurar/1", "").fails(409, "already_exists");
    let only = "{\"destino\":\"css\",\"only\":[\"static/css/**\"]}";
    post(&site, "/api/backup/restaurar/1", only).is(200);
    assert!(site.app.path("restaurados/css/static/css/style.css").exists());
    assert!(!site.app.path("restaurados/css/static/app.js").exists());

    // A link that somebody put there is not followed.
    std::os::unix::fs::symlink(site.app.root(), site.app.path("restaurados/atalho")).unwrap();
    let reply = post(&site, "/api/backup/restaurar/1", "{\"destino\":\"atalho\"}");
    assert_eq!(reply.status, 409, "{reply}");
    let partials = crate::support::listing(&site.app.path("restaurados"));
    assert!(!partials.contains(".partial"), "{partials}");
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
