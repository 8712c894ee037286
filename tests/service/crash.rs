//! kill -9 of the service: what was going on is marked failed by the next start, and told of once.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{Service, until};
use crate::receiver::{Answer, Received, Receiver};
use crate::site::{Extra, HOLD, Site, free_port};
use crate::support::{Rng, run, tool};

fn hook(receiver: &Receiver) -> String {
    format!(
        "[[webhooks]]\nname = \"painel\"\nurl = \"{}\"\n",
        receiver.url("/cofre")
    )
}

fn of(all: &[Received], event: &str) -> usize {
    all.iter().filter(|one| one.event() == event).count()
}

/// Starts the service again; the row of the run that was interrupted.
fn restarted(site: &Site, id: &Value) -> (Service, Value) {
    let service = Service::start(site);
    let rows = site.list();
    let row = rows.iter().find(|row| row["id"] == *id);
    let row = row.unwrap_or_else(|| panic!("{id} in {rows:?}")).clone();
    assert_eq!(row["status"], "failed", "{row}");
    let error = row["error"].as_str().unwrap_or_default();
    assert!(error.contains("interrupted"), "{row}");
    assert!(row["finished_at"].is_string(), "{row}");
    (service, row)
}

#[test]
fn a_run_that_was_killed_is_failed_after_the_restart_and_told_of_once() {
    let receiver = Receiver::start();
    let site = Site::with(Extra {
        tables: &format!("{}{}", HOLD.tables, hook(&receiver)),
        ..Extra::default()
    });
    site.hold();
    let service = Service::start(&site);
    let record = site.begin();
    assert_eq!(site.app.history()[0]["status"], "in_progress");
    service.kill();
    site.release();
    assert_eq!(site.app.history()[0]["status"], "in_progress");
    assert_eq!(receiver.received().len(), 0);

    let (service, row) = restarted(&site, &record["id"]);
    let told = receiver.wait_for(1);
    assert_eq!(told[0].event(), "backup_failed");
    let payload = told[0].json();
    assert_eq!(payload["backup_id"], record["id"]);
    assert_eq!(payload["backup_name"], record["name"]);
    assert_eq!(payload["error"], row["error"], "{payload}");
    // Neither a restart nor a kill tells it again. What comes behind it in the outbox shows that it is empty.
    assert_eq!(service.terminate(), Some(0));
    Service::start(&site).kill();
    let _service = Service::start(&site);
    site.create();
    let told = receiver.wait_for(2);
    assert_eq!((told.len(), of(&told, "backup_failed")), (2, 1));
    site.app.assert_no_leftovers();
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn a_run_that_was_killed_while_it_wrote_leaves_nothing_half() {
    let receiver = Receiver::start();
    let site = Site::with(Extra {
        tables: &format!("[archive]\nlevel = 9\n{}", hook(&receiver)),
        ..Extra::default()
    });
    let service = Service::start(&site);
    let good = site.create();
    site.app
        .write("static/grande.bin", &Rng::fixed(5).bytes(200 << 20));
    let record = site.begin();
    let name = format!(".{}.zip.partial", record["name"].as_str().unwrap());
    until("a half archive", || {
        let partial = std::fs::metadata(site.app.backups().join(&name));
        partial.is_ok_and(|partial| partial.len() > 1 << 20).then_some(())
    });
    service.kill();
    assert!(site.app.backups().join(&name).exists());
    std::fs::remove_file(site.app.path("static/grande.bin")).unwrap();
    let (_service, _) = restarted(&site, &record["id"]);
    let told = receiver.wait_for(2);
    assert_eq!(of(&told, "backup_failed"), 1);
    site.create();
    site.app.assert_no_leftovers();
    assert_eq!(site.app.archives().len(), 2);
    assert!(site.app.archive(&good).exists());
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn killed_at_any_moment_every_run_is_told_of_and_no_two_events_of_it_differ() {
    let receiver = Receiver::start();
    let site = Site::with(Extra {
        top: "max_backups = 100",
        tables: &hook(&receiver),
        ..Extra::default()
    });
    let mut rng = Rng::new("killed_at_any_moment_of_the_service");
    for index in 0..100 {
        site.app
            .write(format!("static/dados/{index}.bin"), &rng.bytes(5_000));
    }
    for _ in 0..12 {
        let service = Service::start(&site);
        site.begin();
        std::thread::sleep(std::time::Duration::from_micros(rng.below(250_000)));
        service.kill();
    }
    let _service = Service::start(&site);
    site.create();
    let rows = site.list();
    assert_eq!(rows.len(), 13, "{rows:?}");
    let events = until("an event of each run", || {
        let mut events: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
        for one in receiver.received() {
            let id = one.json()["backup_id"].as_u64().unwrap();
            let told = (one.event(), one.header("webhook-id").unwrap().to_owned());
            events.entry(id).or_default().push(told);
        }
        (events.len() == rows.len()).then_some(events)
    });
    for row in &rows {
        let mut told = events[&row["id"].as_u64().unwrap()].clone();
        // A kill between the answer and its note makes a repetition, which bears the same id.
        told.dedup();
        assert_eq!(told.len(), 1, "{row}: {told:?}");
        let status = row["status"].as_str().unwrap();
        assert_eq!(told[0].0, format!("backup_{status}"), "{row}");
    }
    for archive in site.app.archives() {
        run(std::process::Command::new(tool("unzip")).arg("-tqq").arg(archive)).exits(0);
    }
    let completed = rows.iter().filter(|row| row["status"] == "completed").count();
    assert_eq!(site.app.archives().len(), completed);
    site.app.assert_no_leftovers();
}

#[test]
fn what_could_not_be_delivered_is_after_a_restart() {
    let port = free_port();
    let site = Site::with(Extra {
        tables: &format!("[[webhooks]]\nname = \"painel\"\nurl = \"http://127.0.0.1:{port}/cofre\"\n"),
        ..Extra::default()
    });
    let mut rows = Vec::new();
    let service = Service::start(&site);
    rows.push(site.create());
    service.logs(&["WARN", "painel"]);
    assert_eq!(service.terminate(), Some(0));
    let service = Service::start(&site);
    rows.push(site.create());
    service.kill();
    let receiver = Receiver::on(port, |_, _| Answer::Status(204));
    let service = Service::start(&site);
    let told = receiver.wait_for(2);
    let mut ids: Vec<_> = told.iter().map(|one| one.json()["backup_id"].as_u64()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [Some(1), Some(2)]);
    until("both deliveries in the log", || {
        (service.log().matches("delivered").count() >= 2).then_some(())
    });
    assert_eq!(service.terminate(), Some(0));
    // Delivered once: nothing is left for the next start.
    let _service = Service::start(&site);
    rows.push(site.create());
    assert_eq!(receiver.wait_for(3).len(), 3);
}
