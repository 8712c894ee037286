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

/// Time of the fastest of so many scrapes.
fn fastest(exporter: &Exporter, scrapes: u32) -> Duration {
    let scrape = |_| {
        let began = Instant::now();
        let reply = http::get(exporter.address, "/metrics");
        assert!(reply.text().contains("cofre_up 1\n"), "{}", reply.text());
        began.elapsed()
    };
    (0..scrapes).map(scrape).min().unwrap()
}

#[test]
#[ignore = "a measurement on a quiet machine: cargo test --release -p cofre-exporter --test exporter -- --ignored --nocapture speed"]
fn a_thousand_backups_take_less_than_ten_milliseconds_and_twenty_mebibytes() {
    let rows: Vec<_> = (0..1000).map(row).collect();
    let backups = Backups::with(&rows);
    let exporter = Exporter::start(&backups);
    // First with a folder that has just changed, so that all is read; then with one that rests.
    for pause in [0, 5] {
        std::thread::sleep(Duration::from_secs(pause));
        let took = fastest(&exporter, 30);
        println!("1,000 backups, {pause} s after a change: {took:?}");
        assert!(took < Duration::from_millis(10), "{took:?} after {pause} s");
    }
    let peak = peak(&exporter);
    println!("1,000 backups: {peak} KiB at most");
    assert!(peak < 20 * 1024, "{peak} KiB");
}

#[test]
#[ignore = "a measurement on a quiet machine: cargo test --release -p cofre-exporter --test exporter -- --ignored --nocapture speed"]
fn a_hundred_thousand_records_are_answered_within_a_second() {
    let rows: Vec<_> = (0..100_000).map(row).collect();
    let backups = Backups::empty();
    backups.history(&rows);
    let exporter = Exporter::start(&backups);
    for pause in [0, 5] {
        std::thread::sleep(Duration::from_secs(pause));
        let took = fastest(&exporter, 10);
        println!("100,000 records, {pause} s after a change: {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    println!("100,000 records: {} KiB at most", peak(&exporter));
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_archives_missing"), 100_000.0);
    assert_eq!(metrics.daily("cofre_backup_runs_total"), 100_000.0);
}
