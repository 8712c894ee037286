//! `--web.config.file`: TLS, passwords, headers, their renewal, and files that can't be.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::backups::{Backups, row};
use crate::http;
use crate::process::{Exporter, run};
use crate::tls::{curl, pair};

/// A hash of the lowest cost that there is.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn web(backups: &Backups, text: &str) -> PathBuf {
    let file = backups.outside().join("web.yml");
    write(&file, text);
    file
}

/// As an administrator's tool would: aside, then renamed.
fn write(file: &Path, text: &str) {
    let aside = file.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, file).unwrap();
}

fn start(backups: &Backups, file: &Path) -> Exporter {
    Exporter::start_with(backups, &["--web.config.file", file.to_str().unwrap()])
}

const TLS: &str = "tls_server_config:\n  cert_file: a.pem\n  key_file: a.key\n";

#[test]
fn with_tls_and_users_only_who_knows_the_password_gets_anything() {
    let backups = Backups::with(&[row(1, "completed")]);
    let cert = pair(backups.outside(), "a").cert;
    let file = web(
        &backups,
        &format!("{TLS}basic_auth_users:\n  alice: {}\n", hash("se:cret")),
    );
    let exporter = start(&backups, &file);
    assert!(exporter.log().contains("https://"), "{}", exporter.log());
    let ca = ["--cacert", cert.to_str().unwrap()];
    let ask = |path: &str, more: &[&str]| curl(exporter.address, path, &[&ca[..], more].concat());

    for _ in 0..2 {
        let (status, text) = ask("/metrics", &["-u", "alice:se:cret"]);
        assert!(status == 200 && text.contains("cofre_up 1\n"), "{text}");
    }
    for path in ["/", "/metrics", "/-/healthy", "/nothing"] {
        for credentials in [
            &[][..],
            &["-u", "alice:wrong"],
            &["-u", "bob:se:cret"],
            &["-H", "Authorization: Bearer x"],
        ] {
            let (status, text) = ask(path, credentials);
            assert_eq!(status, 401, "{path} {credentials:?}");
            assert!(
                text.to_lowercase().contains("www-authenticate: basic realm="),
                "{text}"
            );
            assert!(!text.contains("cofre_up"), "{text}");
        }
    }
    assert_eq!(ask("/metrics", &["-X", "POST"]).0, 401);
    assert_eq!(ask("/nothing", &["-u", "alice:se:cret"]).0, 404);

    // No plain HTTP on the same port.
    let mut plain = http::connect(exporter.address);
    std::io::Write::write_all(&mut plain, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    drop(std::io::Read::read_to_end(&mut plain, &mut answer));
    assert!(
        !answer.starts_with(b"HTTP/"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    // Neither the password nor its hash is in the log, whatever was asked.
    assert!(!exporter.log().contains("se:cret") && !exporter.log().contains("$2"));
}

#[test]
fn the_versions_of_tls_are_kept_to() {
    let backups = Backups::with(&[]);
    let cert = pair(backups.outside(), "a").cert;
    let file = web(&backups, &format!("{TLS}  min_version: TLS13\n"));
    let exporter = start(&backups, &file);
    let ca = ["--cacert", cert.to_str().unwrap()];
    let ask = |more: &[&str]| curl(exporter.address, "/metrics", &[&ca[..], more].concat()).0;
    assert_eq!(ask(&["--tls-max", "1.2"]), 0);
    assert_eq!(ask(&["--tlsv1.3"]), 200);
    assert_eq!(
        curl(exporter.address, "/metrics", &[]).0,
        0,
        "an unknown certificate"
    );
    let lower = web(&backups, TLS);
    let exporter = start(&backups, &lower);
    assert_eq!(
        curl(
            exporter.address,
            "/metrics",
            &[&ca[..], &["--tls-max", "1.2"]].concat()
        )
        .0,
        200
    );
}

#[test]
fn clients_can_be_asked_for_a_certificate() {
    let backups = Backups::with(&[]);
    let cert = pair(backups.outside(), "a").cert;
    let client = pair(backups.outside(), "client");
    let stranger = pair(backups.outside(), "stranger");
    let file = web(
        &backups,
        &format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: client.pem\n"),
    );
    let exporter = start(&backups, &file);
    let ask = |more: &[&str]| {
        let ca = ["--cacert", cert.to_str().unwrap()];
        curl(exporter.address, "/metrics", &[&ca[..], more].concat()).0
    };
    let with = |pair: &crate::tls::Pair| {
        ask(&[
            "--cert",
            pair.cert.to_str().unwrap(),
            "--key",
            pair.key.to_str().unwrap(),
        ])
    };
    assert_eq!(ask(&[]), 0);
    assert_eq!(with(&stranger), 0);
    assert_eq!(with(&client), 200);
}

#[test]
fn a_change_is_taken_in_without_a_restart_and_a_broken_one_changes_nothing() {
    let backups = Backups::with(&[]);
    let old = pair(backups.outside(), "a");
    let with = |user: &str| format!("{TLS}basic_auth_users:\n  {user}: {}\n", hash("secret"));
    let file = web(&backups, &with("alice"));
    let exporter = start(&backups, &file);
    let ask = |user: &str| {
        let ca = old.cert.to_str().unwrap();
        curl(
            exporter.address,
            "/metrics",
            &["--cacert", ca, "-u", &format!("{user}:secret")],
        )
        .0
    };
    assert_eq!((ask("alice"), ask("bob")), (200, 401));
    write(&file, &with("bob"));
    exporter.wait_for_log("was read again");
    assert_eq!((ask("alice"), ask("bob")), (401, 200));

    write(&file, "basic_auth_users: {bob: plain}");
    exporter.wait_for_log("stays in force");
    assert_eq!((ask("alice"), ask("bob")), (401, 200));
    assert!(!exporter.log().contains("plain"), "{}", exporter.log());

    write(&file, &with("bob"));
    let renewed = pair(backups.outside(), "b");
    // One after the other, as a renewal does: in between they don't fit, and the old ones stay.
    fs::rename(&renewed.key, &old.key).unwrap();
    exporter.wait_for_log("a.pem and its key can't be used");
    assert_eq!(ask("bob"), 200);
    fs::rename(&renewed.cert, &old.cert).unwrap();
    // curl trusts the new certificate only.
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask("bob") != 200 {
        assert!(Instant::now() < deadline, "{}", exporter.log());
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_headers_that_are_asked_for_are_on_every_answer() {
    let backups = Backups::with(&[]);
    let text = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
                Strict-Transport-Security: max-age=31536000\n";
    let exporter = start(&backups, &web(&backups, text));
    for path in ["/", "/metrics", "/nothing"] {
        let answer = http::get(exporter.address, path);
        assert_eq!(answer.header("x-frame-options"), Some("deny"), "{path}");
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=31536000"),
            "{path}"
        );
    }
}

#[test]
fn passwords_without_tls_work_and_are_warned_about() {
    let backups = Backups::with(&[]);
    let file = web(
        &backups,
        &format!("basic_auth_users: {{alice: {}}}", hash("secret")),
    );
    let exporter = start(&backups, &file);
    assert_eq!(http::get(exporter.address, "/metrics").status, 401);
    let right = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
    assert_eq!(
        http::request(exporter.address, "GET", "/metrics", right).status,
        200
    );
    assert!(exporter.log().contains("plain HTTP"), "{}", exporter.log());
}

#[test]
fn a_wrong_web_configuration_is_a_usage_error_that_names_file_and_cause() {
    let backups = Backups::with(&[]);
    let folder = backups.path();
    let (a, b) = (pair(backups.outside(), "a"), pair(backups.outside(), "b"));
    let refused = |file: &Path, part: &str| {
        let args = [
            "--backup-dir",
            folder.to_str().unwrap(),
            "--web.config.file",
            file.to_str().unwrap(),
        ];
        let output = run(&[&args[..], &["--web.listen-address", "127.0.0.1:0"]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{part}: {said}");
        assert!(
            said.contains("--web.config.file") && said.contains(part),
            "{part}: {said}"
        );
    };
    refused(&backups.outside().join("missing.yml"), "missing.yml");
    refused(backups.outside(), "regular file");
    for (text, part) in [
        ("tls_server_config: [", "line 1"),
        ("rate_limits: {}", "rate_limits"),
        (
            "tls_server_config: {cert_file: no.pem, key_file: a.key}",
            "no.pem",
        ),
        (
            "tls_server_config: {cert_file: a.key, key_file: a.key}",
            "no certificate",
        ),
        (
            "tls_server_config: {cert_file: a.pem, key_file: a.pem}",
            "no private key",
        ),
        (
            "tls_server_config: {cert_file: a.pem, key_file: b.key}",
            "a.pem and its key",
        ),
        ("basic_auth_users: {alice: secret}", "alice"),
    ] {
        refused(&web(&backups, text), part);
    }
    drop((a, b));
}
