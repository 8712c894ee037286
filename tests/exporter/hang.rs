//! A folder on a mount that hangs. strace makes it one: it holds every look at the folder back in the kernel.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::backups::{Backups, began, row};
use crate::http;
use crate::process::Exporter;

/// While it lives, `exporter` hangs whenever it looks at `folder`.
struct Hang(Child);

impl Hang {
    fn begin(exporter: &Exporter, folder: &Backups) -> Self {
        let child = Command::new("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-p",
                &exporter.pid().to_string(),
                "-P",
            ])
            .arg(folder.path())
            .args(["-e", "trace=statx", "-e", "inject=statx:delay_enter=600000000"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("strace can't be run ({e}); install it with `apt-get install strace`")
            });
        let status = format!("/proc/{}/status", exporter.pid());
        wait_for("strace to attach (is ptrace allowed here?)", || {
            fs::read_to_string(&status)
                .unwrap()
                .lines()
                .any(|line| line == format!("TracerPid:\t{}", child.id()))
        });
        Self(child)
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn probes(exporter: &Exporter) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", exporter.pid())).unwrap();
    let names = tasks.filter_map(|t| fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "probe").count()
}

#[test]
fn a_hung_mount_is_down_in_time_with_one_probe_outstanding_and_recovers() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start_with(&backups, &["--probe.timeout", "1"]);
    assert_eq!(exporter.scrape().repository("cofre_repository_up"), 1.0);

    let hang = Hang::begin(&exporter, &backups);
    for _ in 0..3 {
        let asked = Instant::now();
        let metrics = exporter.scrape();
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        assert_eq!(metrics.repository("cofre_repository_up"), 0.0);
        assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
        assert_eq!(
            metrics.daily("cofre_backup_last_success_timestamp_seconds"),
            began(1) + 5.0
        );
        assert_eq!(probes(&exporter), 1);
    }
    assert!(
        exporter.log().contains("did not answer in time"),
        "{}",
        exporter.log()
    );
    assert_eq!(http::get(exporter.address, "/-/healthy").status, 200);

    hang.end();
    wait_for("the folder to be up again", || {
        exporter.scrape().repository("cofre_repository_up") == 1.0
    });
}

#[test]
fn a_shorter_timeout_of_prometheus_is_kept() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start_with(&backups, &["--probe.timeout", "60"]);
    let hang = Hang::begin(&exporter, &backups);
    let asked = Instant::now();
    let header = "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n";
    let reply = http::request(exporter.address, "GET", "/metrics", header);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(
        reply
            .text()
            .contains("cofre_repository_up{repository=\"relatorios\"} 0\n")
    );
    hang.end();
}
