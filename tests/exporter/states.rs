//! What the metrics say in every state of a repository.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofre_exporter::names;
use serde_json::json;

use crate::backups::{Backups, began, copies_of, plan, row, state_of};
use crate::process::Exporter;

#[test]
fn a_folder_without_a_catalog_has_the_plan_manual_that_never_ran() {
    let backups = Backups::empty();
    let metrics = Exporter::start(&backups).scrape();
    assert_eq!(metrics.repository("cofre_repository_up"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
    assert_eq!(metrics.get("cofre_up"), 0.0);
    assert_eq!(metrics.statuses("manual"), ["never"]);
}

#[test]
fn an_empty_catalog_is_valid_and_nothing_in_it_ever_ran() {
    let metrics = Exporter::start(&Backups::with(&[])).scrape();
    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 1.0);
    assert_eq!(metrics.statuses("manual"), ["never"]);
    let manual = "{repository=\"relatorios\",plan=\"manual\"}";
    assert_eq!(
        metrics.get(&format!("cofre_backup_last_success_timestamp_seconds{manual}")),
        0.0
    );
    let age = metrics.get(&format!("cofre_backup_last_success_age_seconds{manual}"));
    assert!(age > 1.7e9, "a limit on the age has to fire: {age}");
    assert_eq!(
        metrics.repository("cofre_verify_last_success_timestamp_seconds"),
        0.0
    );
}

#[test]
fn a_completed_backup_gives_every_documented_metric() {
    let mut done = row(1, "completed");
    done["verified_at"] = json!("2026-01-03T00:00:00.000000+00:00");
    done["verify_status"] = json!("verified");
    done["drilled_at"] = json!("2026-01-04T00:00:00.000000+00:00");
    done["drill_status"] = json!("passed");
    let backups = Backups::with(&[done]);
    backups.state(&state_of(&[("daily", plan())]));
    backups.copies(&copies_of(&[("offsite", json!({"copies": 1}))]));
    let metrics = Exporter::start_with_state(&backups).scrape();

    let exported = metrics.names();
    let absent: Vec<_> = names::ALL.iter().filter(|m| !exported.contains(m.name)).collect();
    assert!(absent.is_empty(), "not exported: {absent:?}");

    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(metrics.statuses("daily"), ["success"]);
    assert_eq!(
        metrics.daily("cofre_backup_last_success_timestamp_seconds"),
        began(1) + 5.0
    );
    assert_eq!(
        metrics.daily("cofre_backup_last_attempt_timestamp_seconds"),
        began(1)
    );
    assert_eq!(metrics.daily("cofre_backup_start_timestamp_seconds"), 0.0);
    assert_eq!(metrics.daily("cofre_backup_last_size_bytes"), 1000.0);
    assert_eq!(metrics.daily("cofre_backup_last_source_bytes"), 3000.0);
    assert_eq!(metrics.daily("cofre_backup_last_files"), 12.0);
    assert_eq!(metrics.daily("cofre_backup_last_skipped_files"), 2.0);
    assert_eq!(metrics.daily("cofre_backup_last_duration_seconds"), 5.0);
    assert_eq!(metrics.repository("cofre_repository_size_bytes"), 1000.0);
    assert_eq!(metrics.repository("cofre_repository_backups"), 1.0);
    assert_eq!(
        metrics.repository("cofre_verify_last_success_timestamp_seconds"),
        1_767_398_400.0
    );
    assert_eq!(
        metrics.repository("cofre_drill_last_success_timestamp_seconds"),
        1_767_484_800.0
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let age = metrics.daily("cofre_backup_last_success_age_seconds");
    assert!((now - began(1) - 5.0 - age).abs() < 30.0, "{age}");
    assert!((metrics.get("cofre_time_seconds") - now).abs() < 30.0);
    let free = metrics.repository("cofre_repository_free_bytes");
    assert!(free > 0.0 && free <= metrics.repository("cofre_repository_capacity_bytes"));
}

#[test]
fn a_new_row_shows_at_the_very_next_scrape() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape();
    let rows: Vec<_> = (2..8).map(|id| row(id, "completed")).collect();
    for id in 1..rows.len() {
        backups.history(&rows[..id]);
        let last = exporter
            .scrape()
            .daily("cofre_backup_last_attempt_timestamp_seconds");
        assert_eq!(last, began(u32::try_from(id).unwrap() + 1));
    }
}

#[test]
fn a_change_after_a_long_rest_shows_as_well() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    // Long enough for the folder's state to be remembered instead of read again.
    std::thread::sleep(Duration::from_secs(5));
    for _ in 0..2 {
        let metrics = exporter.scrape();
        assert_eq!(
            metrics.daily("cofre_backup_last_attempt_timestamp_seconds"),
            began(1)
        );
        assert_eq!(metrics.repository("cofre_repository_size_bytes"), 1000.0);
    }
    fs::remove_file(backups.path().join("backup_20260102_020000_automated.zip")).unwrap();
    assert_eq!(
        exporter.scrape().repository("cofre_repository_archives_missing"),
        1.0
    );
    backups.history(&[row(2, "failed")]);
    assert_eq!(exporter.scrape().statuses("daily"), ["failed"]);
}

#[test]
fn partial_failed_cancelled_and_running_are_told_apart() {
    let backups = Backups::with(&[row(1, "completed"), row(2, "partial")]);
    let exporter = Exporter::start(&backups);
    let partial = exporter.scrape();
    assert_eq!(partial.statuses("daily"), ["partial"]);
    assert_eq!(
        partial.daily("cofre_backup_last_success_timestamp_seconds"),
        began(1) + 5.0
    );

    backups.history(&[row(1, "completed"), row(2, "failed"), row(3, "failed")]);
    let failed = exporter.scrape();
    assert_eq!(failed.statuses("daily"), ["failed"]);
    assert_eq!(failed.daily("cofre_backup_consecutive_failures"), 2.0);
    assert_eq!(failed.daily("cofre_backup_last_size_bytes"), 1000.0);

    backups.history(&[row(1, "completed"), row(2, "cancelled")]);
    assert_eq!(exporter.scrape().statuses("daily"), ["cancelled"]);

    backups.history(&[row(1, "completed"), row(2, "in_progress")]);
    let running = exporter.scrape();
    assert_eq!(running.statuses("daily"), ["success"]);
    assert_eq!(running.daily("cofre_backup_start_timestamp_seconds"), began(2));
}

#[test]
fn a_corrupt_catalog_is_reported_and_what_was_known_stays() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape();
    for bad in [&b"[{\"id\": 1,"[..], b"", b"{}", b"\xff\xfe", &[b'['; 100_000]] {
        backups.raw_history(bad);
        let metrics = exporter.scrape();
        assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
        assert_eq!(metrics.repository("cofre_repository_up"), 1.0);
        assert_eq!(metrics.get("cofre_up"), 0.0);
        assert_eq!(
            metrics.daily("cofre_backup_last_success_timestamp_seconds"),
            began(1) + 5.0
        );
        let catalog = "{repository=\"relatorios\",collector=\"catalog\"}";
        assert_eq!(
            metrics.get(&format!("cofre_exporter_collector_success{catalog}")),
            0.0
        );
    }
    assert!(
        exporter.log().contains("backup_history.json"),
        "{}",
        exporter.log()
    );
    backups.history(&[row(1, "completed"), row(2, "completed")]);
    let mended = exporter.scrape();
    assert_eq!(mended.repository("cofre_repository_catalog_valid"), 1.0);
    assert_eq!(
        mended.daily("cofre_backup_last_success_timestamp_seconds"),
        began(2) + 5.0
    );
}

#[test]
fn a_catalog_that_never_was_valid_gives_no_plan_rather_than_a_made_up_one() {
    let backups = Backups::with(&[]);
    backups.raw_history(b"broken");
    let metrics = Exporter::start(&backups).scrape();
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
    assert!(!metrics.names().contains("cofre_plan_info"));
}

#[test]
fn archives_without_their_catalog_make_it_invalid() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape();
    fs::remove_file(backups.path().join("backup_history.json")).unwrap();
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
    assert_eq!(metrics.repository("cofre_repository_size_bytes"), 1000.0);
}

#[test]
fn missing_and_unknown_archives_are_counted() {
    let backups = Backups::with(&[row(1, "completed"), row(2, "completed"), row(3, "failed")]);
    fs::remove_file(backups.path().join("backup_20260102_020000_automated.zip")).unwrap();
    backups.archive("backup_20250101_000000_manual");
    fs::write(backups.path().join("notes.zip"), "not ours").unwrap();
    let metrics = Exporter::start(&backups).scrape();
    assert_eq!(metrics.repository("cofre_repository_archives_missing"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_archives_unknown"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_backups"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_size_bytes"), 2000.0);
}

#[test]
fn an_encrypted_archive_counts_like_any_other() {
    let backups = Backups::with(&[row(1, "completed"), row(2, "completed")]);
    let file = |name: &str| backups.path().join(name);
    fs::rename(
        file("backup_20260102_020000_automated.zip"),
        file("backup_20260102_020000_automated.zip.age"),
    )
    .unwrap();
    backups.archive("backup_20250101_000000_manual");
    fs::rename(
        file("backup_20250101_000000_manual.zip"),
        file("backup_20250101_000000_manual.zip.age"),
    )
    .unwrap();
    let metrics = Exporter::start(&backups).scrape();
    assert_eq!(metrics.repository("cofre_repository_archives_missing"), 0.0);
    assert_eq!(metrics.repository("cofre_repository_archives_unknown"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_backups"), 2.0);
    assert_eq!(metrics.repository("cofre_repository_size_bytes"), 3000.0);
}

#[test]
fn a_folder_that_goes_away_is_down_until_it_comes_back() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape();
    let away = backups.outside().join("away");
    fs::rename(backups.path(), &away).unwrap();
    let down = exporter.scrape();
    assert_eq!(down.repository("cofre_repository_up"), 0.0);
    assert_eq!(
        down.daily("cofre_backup_last_success_timestamp_seconds"),
        began(1) + 5.0
    );
    assert_eq!(
        down.find("cofre_repository_free_bytes{repository=\"relatorios\"}"),
        None
    );
    fs::write(backups.path(), "a file").unwrap();
    assert_eq!(exporter.scrape().repository("cofre_repository_up"), 0.0);
    fs::remove_file(backups.path()).unwrap();
    fs::rename(&away, backups.path()).unwrap();
    assert_eq!(exporter.scrape().repository("cofre_repository_up"), 1.0);
}

#[test]
fn an_unmounted_disk_that_leaves_an_empty_folder_is_not_valid() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape();
    fs::rename(backups.path(), backups.outside().join("away")).unwrap();
    fs::create_dir(backups.path()).unwrap();
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_catalog_valid"), 0.0);
    assert_eq!(
        metrics.daily("cofre_backup_last_success_timestamp_seconds"),
        began(1) + 5.0
    );
}

#[test]
fn a_history_of_the_original_system_counts_as_manual() {
    let backups = Backups::empty();
    backups.archive("backup_20250831_215249_manual");
    backups.raw_history(
        br#"[{"id": 3, "name": "backup_20250831_215249_manual", "type": "teste_script",
            "timestamp": "2025-08-31T21:52:49.123456", "status": "completed",
            "files": ["database\\relatorios.sql"], "size": 51234, "error": null,
            "zip_path": "backups\\backup_20250831_215249_manual.zip"}]"#,
    );
    let metrics = Exporter::start(&backups).scrape();
    assert_eq!(metrics.statuses("manual"), ["success"]);
    let series = "cofre_backup_last_size_bytes{repository=\"relatorios\",plan=\"manual\"}";
    assert_eq!(metrics.get(series), 51234.0);
}

#[test]
fn odd_plan_names_and_times_stay_clean_metrics() {
    let mut odd = row(1, "completed");
    odd["plan"] = json!("a\"b\\c\nd é {x=\"y\"} #");
    odd["duration_seconds"] = json!(1e300);
    let mut future = row(2, "completed");
    future["finished_at"] = json!("2999-01-01T00:00:00+00:00");
    let metrics = Exporter::start(&Backups::with(&[odd, future])).scrape();
    assert_eq!(
        metrics.daily("cofre_backup_last_success_timestamp_seconds"),
        32_472_144_000.0
    );
    assert!(metrics.daily("cofre_backup_last_success_age_seconds") < 0.0);
}

#[test]
fn a_plan_without_rows_disappears() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    exporter.scrape().daily("cofre_plan_info");
    let mut other = row(1, "completed");
    other["plan"] = json!("weekly");
    backups.history(&[other]);
    let series = "cofre_plan_info{repository=\"relatorios\",plan=\"daily\"}";
    assert_eq!(exporter.scrape().find(series), None);
}

#[test]
fn the_lock_is_seen_without_being_taken() {
    let backups = Backups::with(&[]);
    let exporter = Exporter::start(&backups);
    assert_eq!(exporter.scrape().repository("cofre_repository_lock_held"), 0.0);
    let folder = fs::File::open(backups.path()).unwrap();
    // A scrape that would have to wait for the kernel's list has the answer of the one before.
    let shows = |expected: f64| {
        exporter.scrape();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(
            exporter.scrape().repository("cofre_repository_lock_held"),
            expected
        );
    };
    folder.lock().unwrap();
    shows(1.0);
    folder.unlock().unwrap();
    shows(0.0);
}

#[test]
fn a_catalog_that_is_being_replaced_is_never_seen_half() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let long: Vec<_> = (1..30).map(|id| row(id, "failed")).collect();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                backups.history(&long);
                backups.history(&long[..1]);
            }
        });
        let valid: Vec<_> = (0..50)
            .map(|_| exporter.scrape().repository("cofre_repository_catalog_valid"))
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(valid, [1.0; 50]);
    });
}
