//! The HTTP side: paths, methods, formats, bad and slow and many clients, addresses.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Signal, getrlimit, setrlimit};

use crate::backups::{Backups, row};
use crate::http::{connect, get, reply, request};
use crate::metrics::Metrics;
use crate::process::{Exporter, run};

#[test]
fn every_documented_page_answers_get_and_head() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    for (path, kind, part) in [
        ("/", "text/html; charset=utf-8", "href=\"/metrics\""),
        ("/-/healthy", "text/plain; charset=utf-8", "healthy"),
        ("/-/ready", "text/plain; charset=utf-8", "ready"),
        (
            "/metrics?x=y",
            "text/plain; version=0.0.4; charset=utf-8",
            "cofre_up 1",
        ),
    ] {
        let answer = get(exporter.address, path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        assert!(answer.text().contains(part), "{path}: {}", answer.text());
        let head = request(exporter.address, "HEAD", path, "");
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        assert!(head.body.is_empty(), "{path}");
    }
}

#[test]
fn another_path_is_404_and_another_method_405_with_allow() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    for path in [
        "/metrics/",
        "/metric",
        "/-/",
        "//metrics",
        "/%2e%2e/etc/passwd",
        "/METRICS",
    ] {
        assert_eq!(get(exporter.address, path).status, 404, "{path}");
        assert_eq!(request(exporter.address, "POST", path, "").status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = request(exporter.address, method, "/metrics", "Content-Length: 0\r\n");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[test]
fn the_text_format_is_served_whatever_is_asked_for() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    for accept in [
        "application/openmetrics-text; version=1.0.0",
        "image/png",
        "*/*;q=0",
        "\u{1f}",
    ] {
        let answer = request(
            exporter.address,
            "GET",
            "/metrics",
            &format!("Accept: {accept}\r\n"),
        );
        if accept == "\u{1f}" {
            assert_eq!(answer.status, 400);
            continue;
        }
        assert_eq!(answer.status, 200, "{accept}");
        Metrics::checked(answer.text());
    }
}

#[test]
fn a_client_that_takes_gzip_gets_it() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    let answer = request(
        exporter.address,
        "GET",
        "/metrics",
        "Accept-Encoding: deflate, gzip;q=0.8\r\n",
    );
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&answer.body).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(Metrics::checked(&text).get("cofre_up"), 1.0);
    let refused = request(
        exporter.address,
        "GET",
        "/metrics",
        "Accept-Encoding: gzip;q=0\r\n",
    );
    assert_eq!(refused.header("content-encoding"), None);
}

#[test]
fn the_telemetry_path_can_be_chosen() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start_with(&backups, &["--web.telemetry-path", "/x/m"]);
    assert!(get(exporter.address, "/x/m").text().contains("cofre_up 1"));
    assert_eq!(get(exporter.address, "/metrics").status, 404);
    assert!(get(exporter.address, "/").text().contains("href=\"/x/m\""));
}

#[test]
fn a_request_that_is_none_is_refused() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    let huge = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    for bytes in ["\x16\x03\x01\x02\x00\x01\r\n\r\n", "nonsense\r\n\r\n", &huge] {
        let mut stream = connect(exporter.address);
        // The server may close before all is sent.
        drop(stream.write_all(bytes.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bytes:.40}");
    }
    assert_eq!(get(exporter.address, "/metrics").status, 200);
}

#[test]
fn a_client_that_never_finishes_its_request_is_cut_off_and_holds_up_nobody() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    let began = Instant::now();
    let mut slow = connect(exporter.address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    assert_eq!(get(exporter.address, "/metrics").status, 200);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_thousand_scrapes_at_once_are_all_answered() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    let ask = |_| {
        let mut stream = connect(exporter.address);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stream
    };
    // None is read from before all have asked.
    let open: Vec<_> = (0..1000).map(ask).collect();
    for stream in open {
        let answer = reply(stream);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("cofre_up 1\n"));
    }
    // And none of them left a thread or a connection behind.
    thread::sleep(Duration::from_millis(500));
    let fds = std::fs::read_dir(format!("/proc/{}/fd", exporter.pid()))
        .unwrap()
        .count();
    assert!(fds < 30, "{fds} files are still open");
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    let address = exporter.address.to_string();
    let folder = backups.path();
    let output = run(&[
        "--backup-dir",
        folder.to_str().unwrap(),
        "--web.listen-address",
        &address,
    ]);
    assert_eq!(output.status.code(), Some(10));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&address) && said.contains("another process listens there"),
        "{said}"
    );
    assert!(said.contains("--web.listen-address"), "{said}");
}

#[test]
fn several_addresses_are_served_and_a_wrong_one_ends_it() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start_with(&backups, &["--web.listen-address", "localhost:0"]);
    // The address that is read back is the first; both are in the log once the second is up.
    get(exporter.address, "/-/ready");
    let begin = std::time::Instant::now();
    let mut log = exporter.log();
    while log.matches("listening on http://").count() < 2 && begin.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        log = exporter.log();
    }
    assert_eq!(log.matches("listening on http://").count(), 2, "{log}");
    let second = log.lines().nth(1).unwrap().split("http://").nth(1).unwrap();
    let second = second.split('/').next().unwrap().parse().unwrap();
    assert_eq!(get(second, "/-/ready").status, 200);

    let folder = backups.path();
    for bad in [
        "nonsense",
        "127.0.0.1",
        ":x",
        ":99999",
        "192.0.2.1:0",
        "no.such.host.invalid:80",
    ] {
        let output = run(&[
            "--backup-dir",
            folder.to_str().unwrap(),
            "--web.listen-address",
            bad,
        ]);
        assert_eq!(output.status.code(), Some(10), "{bad}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("can't listen on {bad}:")), "{said}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let backups = Backups::with(&[]);
        let exporter = Exporter::start(&backups);
        get(exporter.address, "/metrics");
        assert_eq!(exporter.end_by(signal).code(), Some(0), "{signal:?}");
    }
}
