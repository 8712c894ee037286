//! SIGTERM: a run that goes on finishes within the grace or is cancelled cleanly, and the exit code says which.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Service, until};
use crate::site::{Extra, HOLD, Site};
use crate::support::Rng;

fn with_grace(grace: &str, tables: &str) -> Site {
    Site::with(Extra {
        top: "",
        api: &format!("grace = \"{grace}\""),
        tables,
    })
}

#[test]
fn an_idle_service_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = with_grace("10m", "[[schedules]]\nname = \"daily\"\nat = \"02:00\"\n");
        let mut service = Service::start(&site);
        site.status();
        // Idle keep-alive connections, half requests and streams of events don't hold it up.
        let idle = crate::http::connect(site.port);
        let mut stream = site.call("GET", "/api/backup/progresso").stream();
        until("the stream", || stream.text().contains("idle").then_some(()));
        let began = Instant::now();
        service.signal(signal);
        let code = service.wait().code();
        assert_eq!(code, Some(0), "{signal:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        stream.ended();
        drop(idle);
    }
}

#[test]
fn within_its_grace_a_run_finishes_and_its_caller_is_answered() {
    let site = with_grace("5m", HOLD.tables);
    site.hold();
    let mut service = Service::start(&site);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| site.call("POST", "/api/backup/criar").json("{}").send());
        site.running();
        service.signal(Signal::TERM);
        until("no new connections", || {
            let call = site
                .call("POST", "/api/backup/criar")
                .json("{}")
                .args(&["--max-time", "10"]);
            match call.try_send() {
                Err(_) => Some(()),
                // Until it has closed its door, it says that it does.
                Ok(reply) if reply.status == 503 => Some(()),
                Ok(reply) if reply.status == 409 => None,
                Ok(reply) => panic!("a run is begun while the service ends: {reply}"),
            }
        });
        assert!(service.runs(), "it waits for its run");
        site.release();
        let body = run.join().unwrap().is(200).json();
        assert_eq!(body["backup"]["status"], "completed", "{body}");
    });
    assert_eq!(service.wait().code(), Some(0));
    let rows = site.app.history();
    assert_eq!((rows.len(), &rows[0]["status"]), (1, &"completed".into()));
    site.app.cofre(&["verify", "--all"]).exits(0);
    site.app.assert_no_leftovers();
}

/// After a run was cancelled: row, folder and the next run.
fn is_consistent(site: &Site) {
    let rows = site.app.history();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[1]["status"], "cancelled", "{rows:?}");
    site.app.assert_no_leftovers();
    assert_eq!(site.app.archives().len(), 1);
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn beyond_its_grace_a_run_is_cancelled_in_whatever_it_does() {
    for grace in ["0s", "1s"] {
        // In a hook.
        let site = with_grace(grace, HOLD.tables);
        let service = Service::start(&site);
        site.create();
        site.hold();
        site.begin();
        let began = Instant::now();
        assert_eq!(service.terminate(), Some(9), "grace {grace}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        is_consistent(&site);
        site.release();
        site.app.create();
        site.app.cofre(&["verify", "--all"]).exits(0);
    }
    // While it packs.
    let site = with_grace("0s", "[archive]\nlevel = 9\n");
    let service = Service::start(&site);
    site.create();
    site.app
        .write("static/grande.bin", &Rng::fixed(5).bytes(400 << 20));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| site.call("POST", "/api/backup/criar").json("{}").try_send());
        until("a half archive", || {
            let names = site.app.backup_files();
            names
                .iter()
                .any(|name| name.ends_with(".zip.partial"))
                .then_some(())
        });
        assert_eq!(service.terminate(), Some(9));
        // The caller is told, if the connection lived that long.
        if let Ok(reply) = run.join().unwrap() {
            let body = reply.fails(500, "cancelled").json();
            assert_eq!(body["backup"]["status"], "cancelled", "{body}");
        }
    });
    is_consistent(&site);
    std::fs::remove_file(site.app.path("static/grande.bin")).unwrap();
    let _service = Service::start(&site);
    site.create();
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn a_second_signal_ends_it_without_waiting() {
    let site = with_grace("10m", HOLD.tables);
    site.hold();
    let mut service = Service::start(&site);
    site.begin();
    service.signal(Signal::TERM);
    service.logs(&["a backup is running", "to finish"]);
    assert!(service.runs());
    let began = Instant::now();
    service.signal(Signal::TERM);
    let status = service.wait();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_ne!(status.code(), Some(0), "the run did not finish");
    site.release();
    let _service = Service::start(&site);
    let row = &site.list()[0];
    assert!(
        ["failed", "cancelled"].contains(&row["status"].as_str().unwrap()),
        "{row}"
    );
}
