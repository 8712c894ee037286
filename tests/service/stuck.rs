//! A host call that hangs, as on a dead network file system: strace delays the engine's reads of one file for
//! longer than anybody waits.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Service, until};
use crate::site::{Extra, Site};
use crate::support::tool;

/// strace on a service: every read of one file takes a minute and a half.
struct Hanging {
    strace: Child,
}

impl Hanging {
    fn on(service: &Service, file: &Path, said: &Path) -> Self {
        let reads = "read,pread64,readv,preadv,preadv2";
        let strace = Command::new(tool("strace"))
            .args(["-f", "-p", &service.pid().to_string(), "-P"])
            .arg(file)
            .args(["-e", &format!("trace={reads}")])
            .args(["-e", &format!("inject={reads}:delay_enter=90000000")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(said).unwrap())
            .spawn()
            .unwrap();
        let hanging = Self { strace };
        until("strace is attached", || {
            let said = std::fs::read_to_string(said).unwrap();
            assert!(!said.contains("not permitted"), "strace may not attach: {said}");
            said.contains("attached").then_some(())
        });
        hanging
    }

    /// Waits until a thread of the service stands still in strace's hands.
    fn has_caught(&self, service: &Service) {
        let mut still = 0;
        until("a read that hangs", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
            let stopped = tasks.flatten().any(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state follows the name in parentheses; `t` is a tracer's stop.
                stat.rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.starts_with('t'))
            });
            // Calls of other files are stopped for a moment too.
            still = if stopped { still + 1 } else { 0 };
            (still > 40).then_some(())
        });
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

fn site() -> Site {
    let site = Site::with(Extra {
        top: "",
        api: "grace = \"2s\"",
        tables: "[limits]\nstall = \"2s\"\n[archive]\nworkers = 4\n",
    });
    site.app
        .write("static/morto.bin", &crate::support::Rng::fixed(3).bytes(300_000));
    site
}

#[test]
fn a_run_that_hangs_ends_as_failed_while_the_api_goes_on() {
    let site = site();
    let service = Service::start(&site);
    site.create();
    // Changed, so that it has to be read again.
    site.app
        .write("static/morto.bin", &crate::support::Rng::fixed(4).bytes(300_000));
    let hanging = Hanging::on(
        &service,
        &site.app.path("static/morto.bin"),
        &site.app.path("strace.txt"),
    );
    let began = Instant::now();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| site.call("POST", "/api/backup/criar").json("{}").send());
        site.running();
        while !run.is_finished() {
            // The API answers, every route that only reads.
            assert_eq!(site.status()["total_backups"], 2);
            site.get("/api/backup/info/1");
            site.call("GET", "/metrics").send().is(200);
            assert!(
                began.elapsed() < Duration::from_secs(80),
                "it waits for the hanging call"
            );
        }
        let body = run.join().unwrap().fails(500, "stuck").json();
        assert_eq!(body["backup"]["status"], "failed", "{body}");
        assert!(
            body["backup"]["error"].as_str().unwrap().contains("no progress"),
            "{body}"
        );
    });
    let row = &site.list()[1];
    assert_eq!(row["status"], "failed", "{row}");
    assert!(site.status()["running"].is_null());
    drop(hanging);
    // The thread that hung is let go, and the next run is a good one.
    site.create();
    site.app.assert_no_leftovers();
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn a_run_that_hangs_does_not_keep_the_service_from_ending() {
    let site = Site::with(Extra {
        top: "",
        api: "grace = \"1s\"",
        tables: "[limits]\nstall = \"10m\"\n[archive]\nworkers = 4\n",
    });
    site.app
        .write("static/morto.bin", &crate::support::Rng::fixed(3).bytes(300_000));
    let mut service = Service::start(&site);
    let hanging = Hanging::on(
        &service,
        &site.app.path("static/morto.bin"),
        &site.app.path("strace.txt"),
    );
    site.begin();
    hanging.has_caught(&service);
    let began = Instant::now();
    service.signal(rustix::process::Signal::TERM);
    service.logs(&["the service has ended"]);
    assert!(
        began.elapsed() < Duration::from_secs(80),
        "it waits for the hanging call"
    );
    // A thread in a tracer's hands is not even killed by the end of its process.
    drop(hanging);
    assert_eq!(service.wait().code(), Some(9));
    // What it could not record, the next start does.
    let _service = Service::start(&site);
    let row = &site.list()[0];
    assert!(
        ["failed", "cancelled"].contains(&row["status"].as_str().unwrap()),
        "{row}"
    );
    site.create();
    site.app.assert_no_leftovers();
}
