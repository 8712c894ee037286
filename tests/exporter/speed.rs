//! What a scrape costs with a long history. Times are of the fastest of several, since others use this machine too.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backups::Backups;
use crate::http;
use crate::process::Exporter;

/// Row `n` of a history with a backup each 70 minutes since 2010, with every field that cofre writes.
fn row(n: u32) -> Value {
    let began = chrono::DateTime::from_timestamp(1_262_304_000 + i64::from(n) * 4200, 0).unwrap();
    let name = began.format("backup_%Y%m%d_%H%M%S_automated").to_string();
    let began = began.format("%Y-%m-%dT%H:%M:%S.123456").to_string();
    let instant = format!("{began}-03:00");
    json!({
        "id": n + 1, "name": name, "type": "automated", "timestamp": began, "status": "completed",
        "size": 123_456_789, "error": null, "zip_path": format!("/srv/app/backups/{name}.zip"), "plan": "daily",
        "started_at": instant, "finished_at": instant, "duration_seconds": 12.345, "file_count": 1234,
        "source_bytes": 987_654_321, "skipped": 0, "changed": 0, "sha256": "ab".repeat(32), "reused_bytes": 0,
        "pinned": false, "verified_at": instant, "verify_status": "verified", "drilled_at": instant,
        "drill_status": "passed", "restored_at": null,
    })
}

/// Kilobytes that the process has had at most.
fn peak(exporter: &Exporter) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Time of the fastest of so many scrapes, each after `prepare`.
fn fastest(exporter: &Exporter, scrapes: u32, prepare: impl Fn()) -> Duration {
    let scrape = |_| {
        prepare();
        let began = Instant::now();
        let reply = http::get(exporter.address, "/metrics");
        let took = began.elapsed();
        assert!(reply.text().contains("cofre_up 1\n"), "{}", reply.text());
        took
    };
    (0..scrapes).map(scrape).min().unwrap()
}

/// Times of the fastest scrape of a catalog that has just been written, so that all is read, and of one that rests.
/// Said with the most memory that the process ever had, in kilobytes, which comes last.
fn measure(rows: u32, scrapes: u32) -> (Duration, Duration, u64) {
    let rows: Vec<_> = (0..rows).map(row).collect();
    let backups = Backups::with(&rows);
    let catalog = serde_json::to_vec_pretty(&rows).unwrap();
    let exporter = Exporter::start(&backups);
    let changed = fastest(&exporter, scrapes, || backups.raw_history(&catalog));
    std::thread::sleep(Duration::from_secs(5));
    let resting = fastest(&exporter, scrapes, || ());
    let peak = peak(&exporter);
    println!(
        "{} rows: {changed:?} after a change, {resting:?} at rest, {peak} KiB",
        rows.len()
    );
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_backups"), rows.len() as f64);
    assert_eq!(metrics.daily("cofre_backup_runs_total"), rows.len() as f64);
    (changed, resting, peak)
}

#[test]
#[ignore = "a measurement on a quiet machine: cargo test --release -p cofre-exporter --test exporter -- --ignored --nocapture speed"]
fn a_thousand_backups_take_less_than_ten_milliseconds_and_twenty_mebibytes() {
    let (changed, resting, peak) = measure(1000, 30);
    for took in [changed, resting] {
        assert!(took < Duration::from_millis(10), "{took:?}");
    }
    assert!(peak < 20 * 1024, "{peak} KiB");
}

#[test]
#[ignore = "a measurement on a quiet machine: cargo test --release -p cofre-exporter --test exporter -- --ignored --nocapture speed"]
fn a_hundred_thousand_records_are_answered_within_a_second() {
    let (changed, resting, _) = measure(100_000, 10);
    for took in [changed, resting] {
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
