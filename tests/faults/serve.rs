//! `cofre serve` under the injector: it starts, makes a backup through the API, and is ended.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Call;
use crate::injector::{Action, Injected, read, under};
use crate::process::until;
use crate::site::{admin, admin_toml, free_port};
use crate::support::{App, Run};

/// One life of the service in `app`. It counts as done when the backup was answered with 200, whatever came later.
pub(crate) fn backup(app: &App, action: &Action, only: &str, at: usize) -> Injected {
    let port = free_port();
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    let service = format!(
        "{config}\n[[schedules]]\nname = \"daily\"\ntype = \"automated\"\nat = \"02:00\"\n\
         [api]\nlisten = \"127.0.0.1:{port}\"\n{}",
        admin_toml()
    );
    app.config(&service);
    let (log, said) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::NamedTempFile::new().unwrap(),
    );
    let mut child = under(&app.command(&["serve"]), log.path(), app.root(), action, only, at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.reopen().unwrap())
        .spawn()
        .expect("start the injector");
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let answers = until("the service answers or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let health = Call::new("GET", &url("/healthz")).try_send();
        health.is_ok_and(|reply| reply.status == 200).then_some(true)
    });
    let create = || {
        Call::new("POST", &url("/api/backup/criar"))
            .bearer(admin())
            .json("{}")
            .try_send()
    };
    let reply = answers.then(create).and_then(Result::ok);
    let status = reply.as_ref().map_or(0, |reply| reply.status);
    if child.try_wait().unwrap().is_none() {
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    }
    let code = until("the service ends", || child.try_wait().unwrap()).code();
    let stderr = String::from_utf8_lossy(&std::fs::read(said.path()).unwrap()).into_owned();
    for word in ["panicked", "wasm trap", "wasm backtrace", admin()] {
        assert!(!stderr.contains(word), "`{word}` in the log:\n{stderr}");
    }
    let body = reply.map_or_else(String::new, |reply| reply.text());
    let mut injected = read(
        Run::of(format!("serve, answered {status}"), code, body, stderr),
        log.path(),
    );
    injected.done = status == 200;
    app.config(&config);
    injected
}
