//! From the backups folder to the web server that Alertmanager calls, by way of the shipped examples and rules.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use cofre_exporter::Requests;
use cofre_exporter::server::{Site, Web, bind, serve};
use serde_json::{Value, json};

use crate::alerts::queries;
use crate::backups::{Backups, copies_of};
use crate::process::Exporter;
use crate::stack::{Stack, examples, wait_for};

/// A row of the plan `daily` that began this long ago and took five seconds.
fn row(id: u32, status: &str, age: Duration) -> Value {
    let began = DateTime::<Utc>::from(SystemTime::now() - age);
    let ended = began + Duration::from_secs(5);
    let text = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S.000000+00:00").to_string();
    json!({
        "id": id, "name": format!("backup_{}_automated", began.format("%Y%m%d_%H%M%S")),
        "type": "automated", "timestamp": began.format("%Y-%m-%dT%H:%M:%S.000000").to_string(), "status": status,
        "size": 1000, "error": null, "zip_path": null, "plan": "daily", "started_at": text(began),
        "finished_at": text(ended), "duration_seconds": 5.0, "file_count": 12, "source_bytes": 3000, "skipped": 0,
        "verified_at": text(ended), "verify_status": "verified", "drilled_at": text(ended), "drill_status": "passed",
    })
}

/// A scheduler that is alive, with the plan `daily` for a month.
fn state() -> Value {
    let now = DateTime::<Utc>::from(SystemTime::now());
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    json!({
        "format": 1, "last_tick": time(now + Duration::from_secs(60)),
        "plans": {"daily": {
            "created": time(now - Duration::from_secs(30 * 86_400)), "next": time(now + Duration::from_secs(3600)),
            "missed": 0, "expected_interval_seconds": 86_400, "enabled": true,
        }},
        "verify": {"expected_interval_seconds": 604_800}, "drill": {"expected_interval_seconds": 604_800},
    })
}

const HOUR: Duration = Duration::from_secs(3600);
const THREE_DAYS: Duration = Duration::from_secs(3 * 86_400);

/// A remote to which everything was copied an hour ago, after so many tries in a row failed.
fn remote(failures: u32) -> Value {
    let ago = SystemTime::now() - HOUR;
    let ago = ago.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let remote = json!({"copies": 1, "size_bytes": 1200, "pending": 0, "failures": 3,
        "failing_since_success": failures, "last_success": {"daily": ago.as_secs()}});
    copies_of(&[("offsite", remote)])
}

/// Writes rows, each published one with its archive.
fn write(backups: &Backups, rows: &[Value]) {
    for row in rows {
        if row["status"] == "completed" {
            backups.archive(row["name"].as_str().unwrap());
        }
    }
    backups.history(rows);
}

fn exporter(backups: &Backups, examples: &Path, more: &[&str]) -> Exporter {
    let state = backups.state_dir();
    let web = examples.join("web.yml");
    let args = [
        "--state-dir",
        state.to_str().unwrap(),
        "--web.config.file",
        web.to_str().unwrap(),
    ];
    Exporter::start_with(backups, &[&args[..], more].concat())
}

/// Serves what `cofre serve` adds: the requests to its API.
fn api() -> SocketAddr {
    let requests = Requests::new().unwrap();
    requests.count("POST", 200, Duration::from_secs(3));
    let exporter = cofre_exporter::Exporter::new([]).with_requests(requests);
    let site = Site::new(Arc::new(exporter), "/metrics", Duration::from_secs(5)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(async { bind("127.0.0.1:0") }).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || runtime.block_on(serve(vec![listener], site, Web::default())));
    address
}

#[test]
fn the_examples_are_what_prometheus_and_alertmanager_take() {
    let dir = tempfile::tempdir().unwrap();
    let examples = examples(dir.path());
    for (tool, args) in [
        ("promtool", &["check", "config", "prometheus.yml"][..]),
        ("promtool", &["check", "web-config", "web.yml"]),
        ("amtool", &["check-config", "alertmanager.yml"]),
    ] {
        let output = Command::new(tool).args(args).current_dir(&examples).output();
        let output = output.unwrap_or_else(|e| {
            panic!("{tool} can't be run ({e}); install the packages prometheus and prometheus-alertmanager")
        });
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{tool} {args:?}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[test]
fn what_happens_to_backups_reaches_whoever_has_to_know() {
    let backups = Backups::empty();
    let good = row(1, "completed", HOUR);
    write(&backups, std::slice::from_ref(&good));
    backups.state(&state());
    backups.copies(&remote(0));
    let examples = examples(backups.outside());
    let exporter = exporter(&backups, &examples, &[]);
    let address = exporter.address;
    let stack = Stack::start(backups.outside(), &examples, address, api());

    // What Prometheus has of it is what the catalog says.
    let expected = DateTime::parse_from_rfc3339(good["finished_at"].as_str().unwrap()).unwrap();
    let of_daily = "{job=\"cofre\",repository=\"relatorios\",plan=\"daily\"}";
    let last = stack.value(&format!("cofre_backup_last_success_timestamp_seconds{of_daily}"));
    assert_eq!(
        DateTime::from_timestamp_millis((last * 1000.0) as i64).unwrap(),
        expected
    );
    assert_eq!(
        stack.value(&format!("cofre_backup_last_size_bytes{of_daily}")),
        1000.0
    );
    assert_eq!(stack.value("count(cofre_plan_info)"), 2.0);

    // Every panel of the dashboard has data; rates and forecasts need a few scrapes.
    for (title, query) in queries() {
        let query = query.replace("$repository", ".*").replace("$plan", ".*");
        assert!(!query.contains('$'), "{title}: {query}");
        wait_for(&format!("data for {title}: {query}"), || {
            (!stack.query(&query).is_empty()).then_some(())
        });
    }
    // Nothing is wrong, except perhaps with the disk of this machine.
    let firing: Vec<_> = stack
        .firing()
        .into_iter()
        .filter(|name| !["SpaceLow", "FillingUp"].contains(&name.as_str()))
        .collect();
    assert!(firing.is_empty(), "{firing:?}");

    // Stale, until there is a new one.
    write(&backups, &[row(1, "completed", THREE_DAYS)]);
    let told = stack.wait_for_delivery("BackupStale", "firing");
    assert_eq!(
        (told.repository.as_deref(), told.plan.as_deref()),
        (Some("relatorios"), Some("daily"))
    );
    assert!(stack.in_alertmanager().contains(&"BackupStale".to_owned()));
    write(
        &backups,
        &[row(1, "completed", THREE_DAYS), row(2, "completed", HOUR)],
    );
    stack.wait_for_delivery("BackupStale", "resolved");

    // Failed, until it succeeds.
    let rows = [row(2, "completed", 2 * HOUR), row(3, "failed", HOUR)];
    write(&backups, &rows);
    let told = stack.wait_for_delivery("BackupFailed", "firing");
    assert_eq!(told.plan.as_deref(), Some("daily"));
    let mended = [&rows[..], &[row(4, "completed", HOUR / 2)]].concat();
    write(&backups, &mended);
    stack.wait_for_delivery("BackupFailed", "resolved");

    // Not copied, until a try succeeds.
    backups.copies(&remote(3));
    let told = stack.wait_for_delivery("RemoteFailing", "firing");
    assert_eq!(
        (told.repository.as_deref(), told.remote.as_deref()),
        (Some("relatorios"), Some("offsite"))
    );
    backups.copies(&remote(0));
    stack.wait_for_delivery("RemoteFailing", "resolved");

    // Broken, until it is made anew.
    backups.raw_history(b"[{\"id\": 1,");
    let told = stack.wait_for_delivery("CatalogInvalid", "firing");
    assert_eq!(told.repository.as_deref(), Some("relatorios"));
    write(&backups, &mended);
    stack.wait_for_delivery("CatalogInvalid", "resolved");

    // Killed, until it is back.
    exporter.end_by(rustix::process::Signal::KILL);
    stack.wait_for_delivery("ExporterDown", "firing");
    let _again = self::exporter(
        &backups,
        &examples,
        &["--web.listen-address", &address.to_string()],
    );
    stack.wait_for_delivery("ExporterDown", "resolved");
}
