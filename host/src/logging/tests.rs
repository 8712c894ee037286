//! Lines of the log: one for each event, whatever is in it; levels; the file and its rotation.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::audit::{self, Grade, Who};
use crate::error::Code;

/// What a log has written so far.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn config(dir: &Path, log: &str) -> Config {
    let text = format!("time_zone = \"America/Sao_Paulo\"\n[sources.s]\npath = \"s\"\n[log]\n{log}\n");
    Config::parse(&text, dir).unwrap()
}

/// Runs `body` under a log of its own and gives what it wrote to the terminal.
fn logged(asked: Asked, setup: impl FnOnce(&Log), body: impl FnOnce(&Log)) -> String {
    let screen = Screen::default();
    let (log, subscriber) = Log::new(asked, Box::new(screen.clone()));
    tracing::subscriber::with_default(subscriber, || {
        setup(&log);
        body(&log);
    });
    screen.text()
}

fn record(object: &str, grade: Grade) {
    audit::record(&audit::Entry {
        operation: "delete",
        who: &Who::User("ana".to_owned()),
        from: None,
        target: object,
        status: "done",
        took: std::time::Duration::ZERO,
        grade,
        error: None,
    });
}

const FORGED: &str =
    "backup\n2026-11-25T02:00:00.000-03:00  INFO cofre::audit: forged\r\u{1b}[2J\u{202e}\u{85}";

#[test]
fn a_name_with_line_ends_and_escape_sequences_stays_on_its_line_as_text() {
    let text = logged(
        Asked::default(),
        |_| (),
        |_| {
            tracing::warn!(name = %FORGED, debug = ?FORGED, plain = FORGED, "{FORGED}");
        },
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        !text
            .trim_end()
            .contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{text:?}"
    );
    assert!(text.contains("backup\\n2026"), "{text}");
}

#[test]
fn a_name_with_line_ends_and_escape_sequences_stays_on_its_line_as_json() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), "format = \"json\"");
    let text = logged(
        Asked::default(),
        |log| log.configure(&config, Purpose::Service).unwrap(),
        |_| {
            tracing::warn!(name = %FORGED, plain = FORGED, "{FORGED}");
        },
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        !text
            .trim_end()
            .contains(|c: char| c.is_control() || c == '\u{202e}'),
        "{text:?}"
    );
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["plain"], FORGED, "JSON keeps the value");
    assert_eq!(line["level"], "WARN");
}

#[test]
fn an_audit_line_in_json_has_each_key_once_and_the_zones_offset() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), "format = \"json\"");
    let text = logged(
        Asked::default(),
        |log| log.configure(&config, Purpose::Service).unwrap(),
        |_| record("3 backup_x", Grade::Normal),
    );
    let line: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    for key in line.keys() {
        assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key}: {text}");
    }
    assert_eq!(line["target"], AUDIT);
    assert_eq!(line["object"], "3 backup_x");
    assert_eq!(line["who"], "user:ana");
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with("-03:00"), "{time}");
    chrono::DateTime::parse_from_rfc3339(time).unwrap();
}

#[test]
fn an_audit_line_quotes_its_error_and_has_no_key_for_none() {
    let text = logged(
        Asked {
            verbose: 1,
            ..Asked::default()
        },
        |_| (),
        |_| {
            record("1", Grade::Normal);
            audit::record(&audit::Entry {
                operation: "GET /x",
                who: &Who::Anonymous,
                from: Some([127, 0, 0, 1].into()),
                target: "",
                status: "401",
                took: std::time::Duration::ZERO,
                grade: Grade::Refused,
                error: Some("a \"b\"\nstatus=200"),
            });
        },
    );
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        !lines[0].contains("error=") && !lines[0].contains("from="),
        "{text}"
    );
    assert!(lines[1].contains(r#"error="a \"b\"\nstatus=200""#), "{text}");
    assert!(lines[1].contains(r#"from="127.0.0.1""#), "{text}");
}

#[test]
fn the_file_gets_audit_lines_that_a_command_does_not_show() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), "file = \"cofre.log\"\nlevel = \"error\"");
    let text = logged(
        Asked::default(),
        |log| log.configure(&config, Purpose::Changing).unwrap(),
        |_| {
            record("1", Grade::Normal);
            record("2", Grade::Problem);
            tracing::info!("chatter");
        },
    );
    assert_eq!(text, "");
    let file = temp.path().join("cofre.log");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
    assert!(written.contains("operation=delete who=user:ana"), "{written}");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_command_that_only_reads_does_not_touch_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), "file = \"none/cofre.log\"");
    logged(
        Asked::default(),
        |log| log.configure(&config, Purpose::Reading).unwrap(),
        |_| tracing::error!("x"),
    );
    let error = Log::new(Asked::default(), Box::new(Screen::default()))
        .0
        .configure(&config, Purpose::Changing)
        .unwrap_err();
    assert!(error.message.contains("none/cofre.log"), "{error}");
}

#[test]
fn a_log_file_that_is_a_link_or_a_folder_or_a_fifo_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", temp.path().join("link")).unwrap();
    std::fs::create_dir(temp.path().join("folder")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(temp.path().join("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    for name in ["link", "folder", "fifo"] {
        let error = LogFile::open(&temp.path().join(name)).unwrap_err();
        assert!(error.message.contains(name), "{error}");
    }
}

#[test]
fn a_rotated_file_is_opened_anew() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), "file = \"cofre.log\"");
    let (file, old) = (temp.path().join("cofre.log"), temp.path().join("cofre.log.1"));
    logged(
        Asked::default(),
        |log| log.configure(&config, Purpose::Service).unwrap(),
        |_| {
            tracing::info!("one");
            std::fs::rename(&file, &old).unwrap();
            tracing::info!("two");
            std::fs::remove_file(&file).unwrap();
            tracing::info!("three");
        },
    );
    let old = std::fs::read_to_string(old).unwrap();
    assert!(old.contains("one") && !old.contains("two"), "{old}");
    let new = std::fs::read_to_string(file).unwrap();
    assert!(new.contains("three") && !new.contains("one"), "{new}");
}

#[test]
fn the_levels_of_command_line_configuration_and_variable_have_their_order() {
    let temp = tempfile::tempdir().unwrap();
    let debug = config(temp.path(), "level = \"debug\"");
    let none = config(temp.path(), "");
    let lines = |asked: Asked, config: &Config, purpose| {
        let text = logged(
            asked,
            |log| log.configure(config, purpose).unwrap(),
            |_| {
                tracing::error!("e");
                tracing::warn!("w");
                tracing::info!("i");
                tracing::debug!("d");
                tracing::warn!(target: "hyper", "w");
                tracing::info!(target: "hyper", "i");
            },
        );
        text.lines().count()
    };
    let quiet = Asked {
        quiet: true,
        ..Asked::default()
    };
    let variable = Asked {
        variable: Some("off,cofre=info".to_owned()),
        ..quiet.clone()
    };
    assert_eq!(lines(Asked::default(), &none, Purpose::Changing), 3);
    assert_eq!(lines(Asked::default(), &none, Purpose::Service), 4);
    assert_eq!(lines(Asked::default(), &debug, Purpose::Changing), 5);
    assert_eq!(lines(quiet, &debug, Purpose::Service), 1);
    assert_eq!(lines(variable, &debug, Purpose::Service), 3);
}

#[test]
fn urls_that_a_library_would_log_are_never_in_the_log() {
    let asked = Asked {
        variable: Some("trace".to_owned()),
        ..Asked::default()
    };
    let text = logged(
        asked,
        |_| (),
        |_| tracing::debug!(target: "ureq::run", "POST https://hooks.example/secret"),
    );
    assert_eq!(text, "");
}

#[test]
fn a_link_in_place_of_a_rotated_file_is_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let (path, victim) = (temp.path().join("log"), temp.path().join("victim"));
    let mut file = LogFile::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&victim, "").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    file.write(b"x\n");
    assert_eq!(std::fs::read(&victim).unwrap(), b"");
    assert_ne!(LogFile::open(&path).unwrap_err().code, Code::Internal);
}

#[test]
fn nothing_that_is_asked_for_lets_the_http_client_log() {
    let filter = without_urls(asked("trace, ureq::run=trace,ureq=debug,cofre=info").unwrap()).to_string();
    let parts: std::collections::BTreeSet<&str> = filter.split(',').collect();
    assert_eq!(
        parts,
        ["cofre=info", "trace", "ureq=off", "ureq_proto=off"].into()
    );
}

#[test]
fn what_a_library_says_of_certificates_is_asked_for() {
    let says = |variable: Option<&str>| {
        let asked = Asked {
            variable: variable.map(str::to_owned),
            ..Asked::default()
        };
        logged(
            asked,
            |_| (),
            |_| {
                tracing::error!(target: "rustls_platform_verifier::verification", "failed to verify");
                tracing::error!(target: "another_library", "of another");
            },
        )
    };
    let text = says(None);
    assert!(
        text.contains("of another") && !text.contains("failed to verify"),
        "{text}"
    );
    assert!(says(Some("rustls_platform_verifier=error")).contains("failed to verify"));
}
