//! Rebuilding from archives alone, from a broken catalog, and what must not come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::delete::delete;
use crate::testing::{Folder, archive_of, archive_with, legacy_archive, row, row_with};

const NOW: &str = "2026-11-25T10:11:12.000000-03:00";

fn run_it(folder: &Folder) -> RebuildReport {
    let report = rebuild(&folder.roots, NOW, "backups/").unwrap();
    let rows: Vec<Record> = report.backups.iter().map(|b| b.record.clone()).collect();
    assert_eq!(folder.catalog().records(), rows, "the report is the catalog");
    report
}

/// Rows with archives of theirs, as cofre leaves them.
fn complete(rows: &mut [Record]) -> Folder {
    let folder = Folder::new();
    for row in rows.iter_mut() {
        let bytes = archive_of(row);
        folder.write(&row.archive_name(), &bytes);
        row.size = bytes.len() as u64;
        row.sha256 = Some(crate::catalog::sidecar::compute(&folder.dir(), &row.name).unwrap());
        crate::catalog::sidecar::publish(&folder.dir(), &row.name, row.sha256.as_ref().unwrap()).unwrap();
        row.file_count = Some(1);
        row.source_bytes = Some(7);
        row.skipped = Some(0);
        row.changed = Some(0);
    }
    folder.write_history(rows);
    folder
}

fn three() -> [Record; 3] {
    [
        row(2, "2024-01-01T02:00:00"),
        row(5, "2024-01-02T02:00:00"),
        row(6, "2024-01-03T02:00:00"),
    ]
}

#[test]
fn a_living_row_keeps_its_id_though_a_tombstone_of_another_name_has_it() {
    let mut rows = three();
    let folder = complete(&mut rows);
    let state = r#"{"format":1,"next_id":9,"tombstones":[{"id":5,"name":"backup_20231231_020000_manual"}]}"#;
    folder.write(STATE_NAME, state.as_bytes());
    assert_eq!(
        run_it(&folder)
            .backups
            .iter()
            .map(|b| b.record.id)
            .collect::<Vec<_>>(),
        [2, 5, 6]
    );
    let mut catalog = folder.catalog();
    assert_eq!(catalog.append(|id| row(id, "2024-01-04T02:00:00")).unwrap().id, 9);
}

#[test]
fn a_lost_catalog_comes_back_from_the_manifests_as_it_was() {
    let mut rows = three();
    let folder = complete(&mut rows);
    std::fs::remove_file(folder.path(HISTORY_NAME)).unwrap();
    let report = run_it(&folder);
    assert_eq!(folder.catalog().records(), rows);
    assert_eq!(report.kept_aside, None);
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn a_good_catalog_is_left_byte_for_byte() {
    let mut rows = three();
    rows[1].pinned = true;
    rows[0].verify_status = Some("verified".into());
    let folder = complete(&mut rows);
    let before = folder.read(HISTORY_NAME);
    assert_eq!(run_it(&folder).kept_aside, None);
    assert_eq!(folder.read(HISTORY_NAME), before);
}

#[test]
fn what_a_broken_catalog_still_says_is_kept_and_the_file_is_kept_aside() {
    let mut rows = three();
    rows[0].pinned = true;
    rows[0].extra.insert("note".into(), "sim".into());
    let folder = complete(&mut rows);
    let text = folder.read(HISTORY_NAME);
    let cut = &text[..text.rfind("\"id\"").unwrap()];
    folder.write(HISTORY_NAME, cut.as_bytes());
    let report = run_it(&folder);
    assert_eq!(folder.catalog().records(), rows);
    let aside = report.kept_aside.unwrap();
    assert_eq!(aside, "backup_history.json.broken-20261125_101112");
    assert_eq!(folder.read(&aside), cut);
}

#[test]
fn an_earlier_broken_file_is_never_overwritten() {
    let folder = complete(&mut three());
    for n in 1..=3 {
        folder.write(HISTORY_NAME, format!("broken {n}").as_bytes());
        run_it(&folder);
    }
    let base = "backup_history.json.broken-20261125_101112";
    assert_eq!(folder.read(base), "broken 1");
    assert_eq!(folder.read(&format!("{base}-2")), "broken 2");
    assert_eq!(folder.read(&format!("{base}-3")), "broken 3");
}

#[test]
fn every_kind_of_damage_ends_in_a_catalog_of_all_archives() {
    let mut rows = three();
    let good = {
        let folder = complete(&mut rows);
        folder.read(HISTORY_NAME).into_bytes()
    };
    let variants: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("NULs", vec![0; good.len()]),
        ("half", good[..good.len() / 2].to_vec()),
        ("null", b"null".to_vec()),
        ("junk rows", b"[1,null,\"x\",{}]".to_vec()),
        ("byte order mark", [b"\xef\xbb\xbf".as_slice(), &good].concat()),
        ("not UTF-8", [b"[\"\xe1\",".as_slice(), &good[1..]].concat()),
        ("two documents", [good.as_slice(), b"\n", &good].concat()),
        ("deep", vec![b'['; 200_000]),
    ];
    for (name, bytes) in variants {
        let folder = complete(&mut rows);
        folder.write(HISTORY_NAME, &bytes);
        let report = run_it(&folder);
        assert_eq!(folder.catalog().records(), rows, "{name}");
        let aside = folder.path(&report.kept_aside.expect(name));
        assert_eq!(std::fs::read(aside).unwrap(), bytes, "{name}");
    }
}

#[test]
fn a_folder_or_link_in_the_place_of_the_catalog_is_moved_aside() {
    let mut rows = three();
    let folder = complete(&mut rows);
    std::fs::remove_file(folder.path(HISTORY_NAME)).unwrap();
    folder.write("elsewhere", b"[]");
    std::os::unix::fs::symlink("elsewhere", folder.path(HISTORY_NAME)).unwrap();
    let aside = run_it(&folder).kept_aside.unwrap();
    assert!(folder.path(&aside).is_symlink());
    assert_eq!(folder.read("elsewhere"), "[]", "the link was not followed");
    assert_eq!(folder.ids(), [2, 5, 6]);
}

#[test]
fn archives_of_the_original_system_get_rows_from_name_and_size_and_new_ids() {
    let mut rows = three();
    let folder = complete(&mut rows);
    std::fs::remove_file(folder.path(HISTORY_NAME)).unwrap();
    folder.write("backup_20230831_215249_teste_script.zip", &legacy_archive());
    let report = run_it(&folder);
    let legacy = &report.backups[0].record;
    assert_eq!(legacy.id, 7);
    assert_eq!(legacy.timestamp, "2023-08-31T21:52:49.000000");
    assert_eq!(legacy.backup_type, "teste_script");
    assert_eq!(legacy.status, Status::Completed);
    assert_eq!(legacy.size, legacy_archive().len() as u64);
    assert_eq!(
        legacy.zip_path.as_deref(),
        Some("backups/backup_20230831_215249_teste_script.zip")
    );
    assert_eq!(folder.ids(), [7, 2, 5, 6], "oldest first");
}

#[test]
fn deleted_backups_do_not_come_back_and_their_ids_stay_used() {
    let mut rows = three();
    let folder = complete(&mut rows);
    let bytes = std::fs::read(folder.path(&rows[1].archive_name())).unwrap();
    delete(&folder.roots, 5, false, NOW).unwrap();
    folder.write(&rows[1].archive_name(), &bytes);
    folder.write("backup_20230831_215249_manual.zip", &legacy_archive());
    folder.write(HISTORY_NAME, b"broken");
    let report = run_it(&folder);
    assert_eq!(folder.ids(), [7, 2, 6]);
    assert!(
        report.left_out[0].contains("was deleted") && report.problems.is_empty(),
        "{report:?}"
    );
    assert!(
        folder.has(&rows[1].archive_name()),
        "what was put back is left alone"
    );
}

#[test]
fn what_an_interrupted_delete_left_is_told_before_the_next_run_removes_it() {
    let mut rows = three();
    let folder = complete(&mut rows);
    let mut catalog = folder.catalog();
    catalog.remove(5).unwrap();
    catalog.publish(&folder.dir()).unwrap();
    let report = run_it(&folder);
    assert!(report.left_out[0].contains("the next run removes"), "{report:?}");
    assert_eq!(folder.ids(), [2, 6]);
}

#[test]
fn unreadable_archives_are_named_and_a_row_that_could_be_saved_stays() {
    let mut rows = three();
    let folder = complete(&mut rows);
    folder.write(&rows[0].archive_name(), b"PK\x05\x06 not a zip");
    folder.write("backup_20240401_020000_manual.zip", b"");
    let report = run_it(&folder);
    assert_eq!(folder.ids(), [2, 5, 6]);
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(
        report.problems[0].contains(&rows[0].name),
        "{:?}",
        report.problems
    );
    assert!(
        report.problems[1].contains("backup_20240401_020000_manual"),
        "{:?}",
        report.problems
    );
}

#[test]
fn an_id_that_two_rows_or_archives_claim_is_given_once() {
    let mut rows = three();
    let folder = complete(&mut rows);
    let twin = row(5, "2024-02-02T02:00:00");
    folder.write(&twin.archive_name(), &archive_of(&twin));
    folder.write_history(&[
        rows[0].clone(),
        Record {
            id: 2,
            ..rows[1].clone()
        },
        rows[2].clone(),
    ]);
    run_it(&folder);
    // The second row falls back on its manifest's id, the twin gets a new one.
    assert_eq!(folder.ids(), [2, 5, 6, 7]);
}

#[test]
fn an_id_that_leaves_none_for_the_next_run_is_replaced() {
    let huge = row((1 << 53) - 1, "2024-02-02T02:00:00");
    let mut rows = [row(2, "2024-01-01T02:00:00"), huge];
    let folder = complete(&mut rows);
    // Changing something else keeps the catalog readable.
    crate::pin::pin(&folder.roots, 2, true).unwrap();
    assert_eq!(folder.ids(), [2, (1 << 53) - 1]);
    for (history, id) in [(folder.read(HISTORY_NAME), 3), (String::new(), 4)] {
        folder.write(HISTORY_NAME, history.as_bytes());
        run_it(&folder);
        assert_eq!(folder.ids(), [2, id]);
        let next = folder
            .catalog()
            .append(|id| row(id, "2024-03-01T02:00:00"))
            .unwrap()
            .id;
        assert_eq!(next, id + 1);
    }
}

#[test]
fn a_renamed_archive_is_told_and_does_not_take_the_id_of_the_other() {
    let mut rows = three();
    let folder = complete(&mut rows);
    folder.write("backup_20240701_020000_manual.zip", &archive_of(&rows[0]));
    folder.write(HISTORY_NAME, b"[");
    let report = run_it(&folder);
    assert_eq!(folder.ids(), [2, 5, 6, 7]);
    assert!(
        report.problems[0].contains("copied or renamed"),
        "{:?}",
        report.problems
    );
    assert_eq!(report.backups[3].record.timestamp, "2024-07-01T02:00:00.000000");
}

#[test]
fn rows_without_an_archive_are_kept_and_open_ones_closed() {
    let failed = row_with(1, "2024-01-01T02:00:00", Status::Failed);
    let lost = row(2, "2024-01-02T02:00:00");
    let open = row_with(3, "2024-01-03T02:00:00", Status::InProgress);
    let published = row_with(4, "2024-01-04T02:00:00", Status::InProgress);
    let folder = Folder::new();
    folder.write_history(&[failed.clone(), lost.clone(), open, published.clone()]);
    folder.write(&published.archive_name(), &archive_of(&published));
    run_it(&folder);
    let catalog = folder.catalog();
    assert_eq!(catalog.get(1).unwrap(), &failed);
    assert_eq!(catalog.get(2).unwrap(), &lost);
    assert_eq!(catalog.get(3).unwrap().status, Status::Failed);
    assert_eq!(catalog.get(4).unwrap().status, Status::Completed);
    assert!(catalog.get(4).unwrap().sha256.is_some());
}

#[test]
fn hostile_rows_and_manifests_lead_nowhere() {
    let folder = Folder::new();
    folder.write("vitima.txt", b"INTACTO");
    let good = row(1, "2024-01-01T02:00:00");
    let hostile = archive_with(&good, |m| {
        m["id"] = u64::MAX.into();
        m["timestamp"] = "ontem".into();
        m["started_at"] = "amanha".into();
        m["plan"] = "\u{1b}[31m".into();
    });
    folder.write(&good.archive_name(), &hostile);
    let evil = |name: &str| Record {
        name: name.into(),
        ..row(9, "2024-01-09T02:00:00")
    };
    folder.write_history(&[evil("../vitima.txt"), evil("vitima.txt"), evil("")]);
    let report = run_it(&folder);
    let made = &report.backups[0].record;
    assert_eq!((report.backups.len(), made.id), (1, 1));
    assert_eq!(made.timestamp, "2024-01-01T02:00:00.000000");
    assert_eq!((&made.started_at, &made.plan), (&None, &None));
    assert_eq!(folder.read("vitima.txt"), "INTACTO");
}

#[test]
fn a_partial_archive_says_again_what_is_missing() {
    let row = row(1, "2024-01-01T02:00:00");
    let folder = Folder::new();
    let bytes = archive_with(&row, |m| {
        m["status"] = "partial".into();
        m["skipped"] = serde_json::json!([
            {"path": "logs/fifo", "reason": "a FIFO", "missing": false},
            {"path": "logs/a", "reason": "denied", "missing": true},
        ]);
        m["entries"][0]["changed"] = true.into();
    });
    folder.write(&row.archive_name(), &bytes);
    let made = &run_it(&folder).backups[0].record;
    assert_eq!(made.status, Status::Partial);
    assert_eq!(made.error.as_deref(), Some("could not be read: logs/a: denied"));
    assert_eq!((made.skipped, made.changed), (Some(2), Some(1)));
}

#[test]
fn a_broken_state_file_is_kept_aside_and_said() {
    let mut rows = three();
    let folder = complete(&mut rows);
    folder.write(STATE_NAME, b"{");
    let report = run_it(&folder);
    assert!(report.problems[0].contains(STATE_NAME), "{:?}", report.problems);
    assert_eq!(folder.read(".catalog.json.broken-20261125_101112"), "{");
    assert_eq!(
        folder
            .catalog()
            .append(|id| row(id, "2025-01-01T02:00:00"))
            .unwrap()
            .id,
        7
    );
}

#[test]
fn look_alikes_are_left_alone() {
    let folder = Folder::new();
    for name in [
        "backup_20240301_020000_clienteB.zip",
        "backup_financeiro.zip",
        "xbackup_20240301_020000_diario.zip",
    ] {
        folder.write(name, &legacy_archive());
    }
    let report = run_it(&folder);
    assert!(
        report.backups.is_empty() && report.problems.is_empty(),
        "{report:?}"
    );
}

#[test]
fn archives_that_a_rebuild_refused_do_not_keep_the_next_backup_from_being_made() {
    let mut rows = three();
    let folder = complete(&mut rows[..1]);
    let bytes = std::fs::read(folder.path(&rows[0].archive_name())).unwrap();
    folder.write(&rows[0].archive_name(), &bytes[..bytes.len() - 1]);
    folder.write(HISTORY_NAME, b"");
    let report = run_it(&folder);
    assert_eq!((report.backups.len(), report.problems.len()), (0, 1));
    assert!(folder.has(&rows[0].archive_name()), "it is left alone");
    crate::run::begin(&folder.roots, &crate::testing::run_request(NOW)).unwrap();

    // One that came later was not looked at.
    folder.write_history(&[]);
    folder.write(&rows[1].archive_name(), &bytes);
    let e = crate::run::begin(&folder.roots, &crate::testing::run_request(NOW)).unwrap_err();
    assert_eq!(e.kind, ErrorKind::CatalogInvalid);
    assert!(e.to_string().contains("has 1 archives"), "{e}");
}
