//! The exporter's process, started on a free port and killed at the end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::backups::Backups;
use crate::http;
use crate::metrics::Metrics;

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cofre-exporter"))
}

pub(crate) fn command() -> Command {
    Command::new(binary())
}

/// Runs to its end, for calls that don't serve.
pub(crate) fn run(args: &[&str]) -> Output {
    command().args(args).output().unwrap()
}

pub(crate) struct Exporter {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Exporter {
    pub(crate) fn start(backups: &Backups) -> Self {
        Self::start_with(backups, &[])
    }

    pub(crate) fn start_with(backups: &Backups, args: &[&str]) -> Self {
        let folder = backups.path();
        Self::start_args(&[&["--backup-dir", folder.to_str().unwrap()], args].concat())
    }

    /// With the schedule's state too.
    pub(crate) fn start_with_state(backups: &Backups) -> Self {
        Self::start_with(backups, &["--state-dir", backups.state_dir().to_str().unwrap()])
    }

    pub(crate) fn start_args(args: &[&str]) -> Self {
        let mut child = command()
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once("listening on http") {
                let rest = rest.split_once("://").unwrap().1;
                address = rest.split('/').next().unwrap().parse().ok();
                break;
            }
        }
        let copy = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *copy.lock().unwrap() += &format!("{line}\n");
            }
        });
        let address = address.unwrap_or_else(|| panic!("it never listened: {}", log.lock().unwrap()));
        Self { child, address, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// One scrape, its answer checked by Prometheus's own tool.
    pub(crate) fn scrape(&self) -> Metrics {
        let reply = http::get(self.address, "/metrics");
        assert_eq!(reply.status, 200, "{}", reply.text());
        Metrics::checked(reply.text())
    }

    /// Waits for a line of the log that has this in it.
    pub(crate) fn wait_for_log(&self, part: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(part) {
            assert!(
                Instant::now() < deadline,
                "no {part:?} in the log: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(mut self, signal: rustix::process::Signal) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it didn't end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
