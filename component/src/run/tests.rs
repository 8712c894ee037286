//! Opening and closing rows, and cleaning up after what was interrupted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod property;

use super::*;
use crate::catalog::HISTORY_NAME;
use crate::testing::{Folder, archive_of, archive_with, row, row_with, run_request as request};

const START: &str = "2026-11-25T02:00:00.123456-03:00";

#[test]
fn a_run_in_an_empty_folder_gets_id_1_and_a_durable_open_row() {
    let folder = Folder::new();
    let row = begin(&folder.roots, &request(START)).unwrap();
    assert_eq!(row.id, 1);
    assert_eq!(row.name, "backup_20261125_020000_manual");
    assert_eq!(row.timestamp, "2026-11-25T02:00:00.123456");
    assert_eq!(row.started_at.as_deref(), Some(START));
    assert_eq!(
        row.zip_path.as_deref(),
        Some("backups/backup_20261125_020000_manual.zip")
    );
    assert_eq!(row.status, Status::InProgress);
    assert_eq!(folder.catalog().records(), [row]);
    let names: Vec<String> = folder.names().into_iter().collect();
    assert_eq!(names, [".catalog.json", "backup_history.json"]);
}

#[test]
fn bad_requests_are_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let long = "p".repeat(65);
    let bad: Vec<RunRequest> = vec![
        RunRequest {
            backup_type: "a/b".into(),
            ..request(START)
        },
        RunRequest {
            backup_type: String::new(),
            ..request(START)
        },
        RunRequest {
            plan: String::new(),
            ..request(START)
        },
        RunRequest {
            plan: "a\nb".into(),
            ..request(START)
        },
        RunRequest {
            plan: long,
            ..request(START)
        },
        RunRequest {
            zip_path_prefix: "a\0".into(),
            ..request(START)
        },
        request("ontem"),
        request("2026-11-25T02:00:00"),
        request("2026-02-30T02:00:00-03:00"),
        request("0000-01-01T00:00:00Z"),
    ];
    for request in bad {
        let e = begin(&folder.roots, &request).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput, "{request:?}");
        assert!(!e.to_string().contains(char::is_control), "{e}");
    }
    assert!(folder.names().is_empty());
}

#[test]
fn the_end_of_time_and_leap_seconds_do_not_break_names() {
    let folder = Folder::new();
    let row = begin(&folder.roots, &request("2016-12-31T23:59:60.5Z")).unwrap();
    assert_eq!(row.timestamp, "2016-12-31T23:59:59.500000");
    let last = request("9999-12-31T23:59:59Z");
    begin(&folder.roots, &last).unwrap();
    assert_eq!(
        begin(&folder.roots, &last).unwrap_err().kind,
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_taken_second_is_skipped_whatever_takes_it() {
    let folder = Folder::with(&[Record {
        name: "backup_20261125_020000_manual".into(),
        ..row_with(1, "2026-11-25T02:00:00", Status::Failed)
    }]);
    folder.write("backup_20261125_020001_manual.zip", b"unknown");
    folder.write("backup_20261125_020002_manual.zip.sha256", b"left over");
    folder.write(
        ".catalog.json",
        br#"{"format":1,"next_id":9,"tombstones":[{"id":8,"name":"backup_20261125_020003_manual"}]}"#,
    );
    folder.write("backup_20261125_020004_weekly.zip", b"another type");
    let row = begin(&folder.roots, &request(START)).unwrap();
    assert_eq!(row.name, "backup_20261125_020004_manual");
    assert_eq!(row.id, 9);
}

#[test]
fn two_runs_in_the_hour_that_comes_twice_get_two_names() {
    let folder = Folder::new();
    let first = begin(&folder.roots, &request("2026-11-01T01:30:00-02:00")).unwrap();
    fail(&folder.roots, first.id, "x", false, None).unwrap();
    let second = begin(&folder.roots, &request("2026-11-01T01:30:00-03:00")).unwrap();
    assert_eq!(second.name, "backup_20261101_013001_manual");
}

#[test]
fn finish_closes_the_open_row_and_only_that_once() {
    let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
    let open = begin(&folder.roots, &request(START)).unwrap();
    let done = Record {
        status: Status::Completed,
        size: 9,
        ..open.clone()
    };
    let other = Record {
        name: "backup_20240101_020000_weekly".into(),
        ..done.clone()
    };
    assert_eq!(
        finish(&folder.roots, other).unwrap_err().kind,
        ErrorKind::InvalidInput
    );
    assert_eq!(finish(&folder.roots, done.clone()).unwrap(), done);
    assert_eq!(folder.catalog().get(open.id).unwrap(), &done);
    assert_eq!(
        finish(&folder.roots, done.clone()).unwrap_err().kind,
        ErrorKind::InvalidInput
    );
    let unknown = Record { id: 77, ..done };
    assert_eq!(
        finish(&folder.roots, unknown).unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[test]
fn a_failed_run_says_why_when_and_how_long_and_leaves_no_half_archive() {
    let folder = Folder::new();
    let open = begin(&folder.roots, &request(START)).unwrap();
    folder.write(&format!(".{}.partial", open.archive_name()), b"half");
    let end = "2026-11-25T02:00:02.623456-03:00";
    let row = fail(&folder.roots, open.id, "no space", false, Some(end)).unwrap();
    assert_eq!(row.status, Status::Failed);
    assert_eq!(row.error.as_deref(), Some("no space"));
    assert_eq!(row.finished_at.as_deref(), Some(end));
    assert_eq!(row.duration_seconds, Some(2.5));
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
    // Saying it again, otherwise, changes nothing.
    let again = fail(&folder.roots, open.id, "other", true, None).unwrap();
    assert_eq!(again, row);
    assert_eq!(folder.catalog().records(), [row]);
}

#[test]
fn a_cancelled_run_is_not_a_failed_one_and_unknown_ids_are_not_found() {
    let folder = Folder::new();
    let open = begin(&folder.roots, &request(START)).unwrap();
    let e = fail(&folder.roots, 99, "x", true, None).unwrap_err();
    assert_eq!(e.kind, ErrorKind::NotFound);
    let row = fail(&folder.roots, open.id, "cancelled", true, None).unwrap();
    assert_eq!((row.status, row.finished_at), (Status::Cancelled, None));
    let early = begin(&folder.roots, &request(START)).unwrap();
    let row = fail(&folder.roots, early.id, "x", false, Some("2020-01-01T00:00:00Z")).unwrap();
    assert_eq!(row.duration_seconds, Some(0.0), "a clock that was set back");
}

#[test]
fn the_next_run_removes_leftovers_of_ours_and_nothing_else() {
    let folder = Folder::new();
    let ours = [
        ".backup_20240101_020000_manual.zip.partial",
        ".backup_20240101_020000_manual.zip.sha256.partial",
        ".backup_history.json.partial",
        "..catalog.json.partial",
        "..scan.json.partial",
    ];
    let others = [
        ".backup_financeiro.zip.partial",
        ".restore_x.partial",
        ".partial",
        "backup_20240101_020000_manual.zip.partial",
        ".backup_history.json",
        ".nfs.partial",
    ];
    for name in ours.iter().chain(&others) {
        folder.write(name, b"x");
    }
    std::fs::create_dir(folder.path(".backup_20240102_020000_manual.zip.partial")).unwrap();
    begin(&folder.roots, &request(START)).unwrap();
    for name in ours {
        assert!(!folder.has(name), "{name}");
    }
    for name in others {
        assert!(folder.has(name), "{name}");
    }
}

#[test]
fn reading_removes_no_leftovers() {
    let folder = Folder::with(&[row_with(1, "2024-01-01T02:00:00", Status::InProgress)]);
    folder.write(".backup_20240101_020000_automated.zip.partial", b"x");
    let before = folder.names();
    crate::catalog::list(&folder.roots).unwrap();
    crate::status::status(&folder.roots, START).unwrap();
    assert_eq!(folder.names(), before);
    assert_eq!(folder.catalog().get(1).unwrap().status, Status::InProgress);
}

#[test]
fn an_interrupted_run_is_failed_by_the_next_one() {
    let folder = Folder::with(&[row_with(4, "2024-01-01T02:00:00", Status::InProgress)]);
    folder.write(".backup_20240101_020000_automated.zip.partial", b"half");
    let row = begin(&folder.roots, &request(START)).unwrap();
    assert_eq!(row.id, 5);
    let old = folder.catalog().get(4).unwrap().clone();
    assert_eq!(old.status, Status::Failed);
    assert!(old.error.unwrap().starts_with("interrupted"));
    assert!(!folder.has(".backup_20240101_020000_automated.zip.partial"));
}

#[test]
fn a_run_stopped_after_publishing_is_adopted_and_gets_its_sidecar() {
    for partial in [false, true] {
        let open = row_with(4, "2024-01-01T02:00:00", Status::InProgress);
        let folder = Folder::with(std::slice::from_ref(&open));
        let bytes = archive_with(&open, |m| {
            if partial {
                m["status"] = "partial".into();
                m["skipped"] = serde_json::json!([{"path": "logs/a", "reason": "denied", "missing": true}]);
            }
        });
        folder.write(&open.archive_name(), &bytes);
        begin(&folder.roots, &request(START)).unwrap();
        let row = folder.catalog().get(4).unwrap().clone();
        assert_eq!(
            row.status,
            if partial {
                Status::Partial
            } else {
                Status::Completed
            }
        );
        assert_eq!(row.error.is_some(), partial);
        assert_eq!(row.size, bytes.len() as u64);
        assert_eq!((row.file_count, row.source_bytes), (Some(1), Some(7)));
        let sidecar = crate::catalog::sidecar::read(&folder.dir(), &row.name).sum();
        assert_eq!(sidecar, row.sha256);
        assert_eq!(
            sidecar.unwrap(),
            crate::catalog::sidecar::compute(&folder.dir(), &row.name).unwrap()
        );
    }
}

#[test]
fn fail_after_publishing_records_a_completed_run() {
    let folder = Folder::new();
    let open = begin(&folder.roots, &request(START)).unwrap();
    folder.write(&open.archive_name(), &archive_of(&open));
    let row = fail(&folder.roots, open.id, "killed", false, Some(START)).unwrap();
    assert_eq!((row.status, row.error), (Status::Completed, None));
}

#[test]
fn an_archive_that_is_not_the_runs_is_not_adopted() {
    let open = row_with(4, "2024-01-01T02:00:00", Status::InProgress);
    let other_id = archive_with(&open, |m| m["id"] = 5.into());
    let other_name = archive_with(&open, |m| m["name"] = "backup_20240101_020001_manual".into());
    let no_archive = archive_with(&open, |m| m["status"] = "failed".into());
    let half = archive_of(&open)[..100].to_vec();
    for bytes in [
        other_id,
        other_name,
        no_archive,
        half,
        Vec::new(),
        crate::testing::legacy_archive(),
    ] {
        let folder = Folder::with(std::slice::from_ref(&open));
        folder.write(&open.archive_name(), &bytes);
        begin(&folder.roots, &request(START)).unwrap();
        assert_eq!(folder.catalog().get(4).unwrap().status, Status::Failed);
        assert!(folder.has(&open.archive_name()), "nothing is lost");
    }
}

#[test]
fn an_interrupted_delete_is_finished_but_a_file_put_back_later_is_left_alone() {
    let folder = Folder::with(&[row(5, "2024-02-01T02:00:00")]);
    let names = ["backup_20240101_020000_manual", "backup_20240102_020000_manual"];
    folder.write(
        ".catalog.json",
        format!(
            r#"{{"format":1,"next_id":6,"tombstones":[{{"id":1,"name":"{}","pending":true}},{{"id":2,"name":"{}"}}]}}"#,
            names[0], names[1]
        )
        .as_bytes(),
    );
    for name in names {
        folder.write(&format!("{name}.zip"), b"x");
        folder.write(&format!("{name}.zip.sha256"), b"x");
    }
    begin(&folder.roots, &request(START)).unwrap();
    assert!(!folder.has("backup_20240101_020000_manual.zip"));
    assert!(!folder.has("backup_20240101_020000_manual.zip.sha256"));
    assert!(folder.has("backup_20240102_020000_manual.zip"));
    assert_eq!(folder.catalog().pending().count(), 0);
}

#[test]
fn a_broken_catalog_stops_a_run_and_stays_as_it_is() {
    let folder = Folder::new();
    folder.write(HISTORY_NAME, b"[{");
    folder.write(".backup_20240101_020000_manual.zip.partial", b"evidence");
    let before = folder.names();
    let e = begin(&folder.roots, &request(START)).unwrap_err();
    assert_eq!(e.kind, ErrorKind::CatalogInvalid);
    assert_eq!(folder.names(), before);
    assert_eq!(folder.read(HISTORY_NAME), "[{");
}

#[test]
fn the_partial_text_counts_what_is_missing_and_names_the_first() {
    let skip = |path: &str, missing| Skip {
        path: path.into(),
        reason: "denied".into(),
        missing,
    };
    assert_eq!(partial_text(&[skip("a", false)]), None);
    assert_eq!(
        partial_text(&[skip("a", false), skip("b\n", true)]).unwrap(),
        "could not be read: b\\n: denied"
    );
    let many = [skip("b", true), skip("c", false), skip("d", true)];
    assert_eq!(
        partial_text(&many).unwrap(),
        "2 could not be read, the first: b: denied"
    );
}
