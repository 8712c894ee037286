//! The counters: from the catalog's state, its rows, and what became of deliveries.

use std::fs;

use cofre_exporter::component::catalog::Catalog;
use cofre_exporter::component::fs::{BACKUPS, Roots};
use cofre_exporter::component::record_result::record_result;
use cofre_exporter::component::types::Check;
use serde_json::json;

use crate::backups::{Backups, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::Exporter;

/// The five counters of the plan `daily`: runs, failures, partial, failed verifications, failed drills.
fn totals(metrics: &Metrics) -> [f64; 5] {
    [
        "cofre_backup_runs_total",
        "cofre_backup_failures_total",
        "cofre_backup_partial_total",
        "cofre_verify_failures_total",
        "cofre_drill_failures_total",
    ]
    .map(|name| metrics.daily(name))
}

fn roots(backups: &Backups) -> Roots {
    Roots::new().with(BACKUPS, backups.path())
}

/// Removes a row as `cofre delete` and `cofre prune` do.
fn remove(backups: &Backups, id: u64) {
    let dir = roots(backups).open(BACKUPS).unwrap();
    let mut catalog = Catalog::load(&dir).unwrap();
    catalog.remove(id).unwrap();
    catalog.publish(&dir).unwrap();
}

#[test]
fn a_catalog_without_counters_is_counted_by_its_rows() {
    let rows = [
        row(1, "completed"),
        row(2, "failed"),
        row(3, "cancelled"),
        row(4, "partial"),
        row(5, "in_progress"),
    ];
    let backups = Backups::with(&rows);
    assert!(!backups.path().join(".catalog.json").exists());
    let exporter = Exporter::start(&backups);
    assert_eq!(totals(&exporter.scrape()), [4.0, 2.0, 1.0, 0.0, 0.0]);
    // And by an older version's state, which has an id to give and no counters.
    let state = br#"{"format": 1, "repository": null, "next_id": 6, "tombstones": []}"#;
    fs::write(backups.path().join(".catalog.json"), state).unwrap();
    assert_eq!(totals(&exporter.scrape()), [4.0, 2.0, 1.0, 0.0, 0.0]);
}

#[test]
fn neither_a_prune_nor_a_restart_takes_anything_back_or_counts_it_twice() {
    let backups = Backups::with(&[row(1, "failed"), row(2, "completed"), row(3, "partial")]);
    backups.state(&state_of(&[("daily", plan())]));
    let exporter = Exporter::start_with_state(&backups);
    let before = [3.0, 1.0, 1.0, 0.0, 0.0];
    assert_eq!(totals(&exporter.scrape()), before);
    remove(&backups, 1);
    remove(&backups, 3);
    assert_eq!(totals(&exporter.scrape()), before);
    assert_eq!(totals(&Exporter::start_with_state(&backups).scrape()), before);
    // The last row of the plan goes; its schedule still has it.
    remove(&backups, 2);
    let metrics = exporter.scrape();
    assert_eq!(
        (totals(&metrics), metrics.statuses("daily")),
        (before, vec!["never"])
    );
}

#[test]
fn checks_that_fail_are_counted_with_the_plan_of_their_archive() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    for (check, result) in [
        (Check::Verify, "failed"),
        (Check::Verify, "verified"),
        (Check::Drill, "a table is missing"),
        (Check::Drill, "a table is missing"),
        (Check::Drill, "passed"),
    ] {
        record_result(&roots(&backups), 1, check, result, "2026-02-01T00:00:00+00:00").unwrap();
    }
    assert_eq!(totals(&exporter.scrape()), [1.0, 0.0, 0.0, 1.0, 2.0]);
}

#[test]
fn a_deleted_plan_takes_its_counters_along() {
    let backups = Backups::with(&[row(1, "failed")]);
    backups.state(&state_of(&[("weekly", plan())]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    let series = "cofre_backup_failures_total{repository=\"relatorios\",plan=\"daily\"}";
    assert_eq!(metrics.find(series), None);
}

#[test]
fn a_broken_state_of_the_catalog_is_an_error_and_no_count_begins_again() {
    let backups = Backups::with(&[row(1, "failed"), row(2, "failed")]);
    let exporter = Exporter::start(&backups);
    remove(&backups, 1);
    assert_eq!(exporter.scrape().daily("cofre_backup_failures_total"), 2.0);
    fs::write(backups.path().join(".catalog.json"), "broken").unwrap();
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
    let read = "cofre_exporter_collector_success{repository=\"relatorios\",collector=\"catalog\"}";
    assert_eq!(metrics.get(read), 0.0);
    assert_eq!(metrics.daily("cofre_backup_failures_total"), 2.0);
}

const WEBHOOKS: &str = "cofre_webhook_failures_total";

/// Whether the counters of deliveries could be read.
fn deliveries(metrics: &Metrics) -> f64 {
    metrics.get("cofre_exporter_collector_success{repository=\"relatorios\",collector=\"deliveries\"}")
}

#[test]
fn failed_deliveries_of_all_webhooks_are_counted_together_and_pings_are_not() {
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[("daily", plan())]));
    let exporter = Exporter::start_with_state(&backups);
    let before = exporter.scrape();
    assert_eq!((before.repository(WEBHOOKS), deliveries(&before)), (0.0, 1.0));
    let counts = |failures: u32| {
        json!({"delivered": 7, "failures": failures, "given_up": 1, "last_delivered_at": null,
            "last_failure_at": "2026-01-02T00:00:00Z", "last_error": "answered 500"})
    };
    let state = json!({"format": 1, "webhooks": {"ops": counts(3), "painel": counts(2)},
        "pings": {"daily": counts(50)}});
    let file = backups.state_dir().join("deliveries.json");
    fs::write(&file, state.to_string()).unwrap();
    assert_eq!(exporter.scrape().repository(WEBHOOKS), 5.0);
    assert_eq!(
        Exporter::start_with_state(&backups).scrape().repository(WEBHOOKS),
        5.0
    );

    // What can't be read is said, and not guessed.
    for bad in [&b"{\"format\": 1,"[..], b"", b"[]", b"{\"format\": 99}", b"\xff"] {
        fs::write(&file, bad).unwrap();
        let metrics = exporter.scrape();
        assert_eq!((metrics.repository(WEBHOOKS), deliveries(&metrics)), (5.0, 0.0));
        assert_eq!(metrics.get("cofre_up"), 0.0);
        let fresh = Exporter::start_with_state(&backups).scrape();
        assert_eq!(
            fresh.find("cofre_webhook_failures_total{repository=\"relatorios\"}"),
            None
        );
    }
    exporter.wait_for_log("deliveries.json");
    fs::remove_file(&file).unwrap();
    let metrics = exporter.scrape();
    assert_eq!(
        (metrics.repository(WEBHOOKS), metrics.get("cofre_up")),
        (0.0, 1.0)
    );
}
