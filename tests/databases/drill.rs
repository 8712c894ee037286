//! Restores that are practised: what a drill proves, what it finds, and what hostile archives don't achieve. Databases
//! that are restored into others.

mod mariadb;
mod postgres;
mod restore;
mod sqlite;
mod tamper;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::postgres::free_port;
use crate::support::{App, run, tool};

/// What a scrape of `cofre serve` says.
struct Scrape(String);

impl Scrape {
    /// Starts the service for one scrape. The configuration must have no `[api]` of its own.
    #[track_caller]
    fn of(app: &App) -> Self {
        let token = app.json(&["token", "new", "prometheus", "--role", "viewer"]);
        let text = |key: &str| token[key].as_str().expect(key).to_owned();
        let port = free_port();
        let plain = std::fs::read_to_string(app.path("cofre.toml")).expect("cofre.toml");
        app.config(&format!(
            "{plain}\n[api]\nlisten = \"127.0.0.1:{port}\"\n[[api.tokens]]\nname = \"p\"\nrole = \"viewer\"\nsha256 = \"{}\"\n",
            text("sha256")
        ));
        let service = Service(
            app.command(&["serve"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("cofre serve"),
        );
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut curl = Command::new(tool("curl"));
        curl.args(["-sS", "-f", "-H"])
            .arg(format!("Authorization: Bearer {}", text("token")))
            .arg(format!("http://127.0.0.1:{port}/metrics"));
        let answer = loop {
            let answer = run(&mut curl);
            if answer.code == Some(0) {
                break answer.stdout;
            }
            assert!(Instant::now() < deadline, "no answer: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        };
        drop(service);
        app.config(&plain);
        Self(answer)
    }

    /// The result of the newest drill, which is the only one that is 1.
    #[track_caller]
    fn last_result(&self) -> &str {
        let set: Vec<&str> = self
            .0
            .lines()
            .filter_map(|line| line.strip_prefix("cofre_drill_last_result{"))
            .filter(|rest| rest.ends_with("} 1"))
            .filter_map(|rest| rest.split("result=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(set.len(), 1, "{set:?} in\n{}", self.0);
        set[0]
    }

    /// Drills that did not pass.
    #[track_caller]
    fn failures(&self) -> f64 {
        let line = self
            .0
            .lines()
            .find(|line| line.starts_with("cofre_drill_failures_total{") && line.contains("plan=\"manual\""));
        let line = line.unwrap_or_else(|| panic!("cofre_drill_failures_total in\n{}", self.0));
        line.rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number")
    }
}

/// A service that ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A drill that has to find something wrong with the backup: the report, and the reason of its first problem.
#[track_caller]
fn fails(app: &App, reason: &str, words: &[&str]) -> Value {
    let report = app.cofre(&["--json", "drill"]).exits(5).json();
    assert_eq!(report["status"], "failed", "{report}");
    assert_eq!(report["success"], false, "{report}");
    let first = report["problems"][0].clone();
    assert_eq!(first["reason"], reason, "{report}");
    let message = first["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "`{word}` in {message}");
    }
    let row = app.history().pop().expect("a row");
    let status = row["drill_status"].as_str().expect("a result");
    assert!(status.starts_with(&format!("{reason}: ")), "{status}");
    assert!(row["drilled_at"].is_string(), "{row}");
    app.assert_no_leftovers();
    report
}

/// A drill that has to prove the backup.
#[track_caller]
fn passes(app: &App) -> Value {
    let report = app.cofre(&["--json", "drill"]).exits(0).json();
    assert_eq!(report["status"], "passed", "{report}");
    assert_eq!(report["problems"], serde_json::json!([]), "{report}");
    let row = app.history().pop().expect("a row");
    assert_eq!(row["drill_status"], "passed", "{row}");
    app.assert_no_leftovers();
    report
}

/// A drill that can't be held, which says nothing about the backup.
#[track_caller]
fn is_not_held(app: &App, code: i32, reason: &str, words: &[&str]) -> Value {
    let before = app.history();
    let run = app.cofre(&["--json", "drill"]).exits(code);
    let report = run.json();
    assert_eq!(report["status"], "not drilled", "{report}");
    assert_eq!(report["problems"][0]["reason"], reason, "{report}");
    let message = report["problems"][0]["message"].as_str().expect("a message");
    for word in words {
        assert!(message.contains(word), "`{word}` in {message}");
    }
    assert_eq!(app.history(), before, "nothing is recorded");
    app.assert_no_leftovers();
    report
}

/// Runs SQL in a SQLite file.
#[track_caller]
fn sqlite(file: &Path, sql: &str) -> String {
    run(Command::new(tool("sqlite3"))
        .args(["-batch", "-bail"])
        .arg(file)
        .arg(sql))
    .exits(0)
    .stdout
}

/// A place for files that must never come to be.
fn nowhere(app: &App, name: &str) -> PathBuf {
    app.path("evil").join(name)
}
