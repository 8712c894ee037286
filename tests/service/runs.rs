//! `criar` while others are at it: one run at a time, callers that wait, ask for an early answer or leave, and
//! what can be read meanwhile.

use std::io::{BufRead, BufReader, Write as _};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::http::{Reply, connect};
use crate::process::{Service, until};
use crate::site::{Extra, HOLD, Site, admin, post};

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
