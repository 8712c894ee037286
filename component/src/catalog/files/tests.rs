//! Encrypted archives in the backups folder: counted, kept and removed like plain ones, and never read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::catalog::{Record, rebuild};
use crate::delete::delete;
use crate::error::ErrorKind;
use crate::import::import_rows;
use crate::prune::prune;
use crate::record_result::record_result;
use crate::testing::{Folder, policy, row, run_request};
use crate::types::Check;
use crate::{diff, entries, restore, status, verify};

const NAME: &str = "backup_20240101_020000_manual";
const NOW: &str = "2024-06-01T00:00:00-03:00";

fn folder(names: &[&str]) -> BTreeMap<String, FileKind> {
    names
        .iter()
        .map(|ending| (format!("{NAME}{ending}"), FileKind::File))
        .collect()
}

/// Puts an encrypted archive beside the plain one of a row, or with `instead` in its place.
fn seal(folder: &Folder, row: &Record, instead: bool) {
    folder.write(&Form::Sealed.file(&row.name), b"age");
    folder.write(&Form::Sealed.sidecar(&row.name), b"sidecar");
    if instead {
        std::fs::remove_file(folder.path(&row.archive_name())).unwrap();
        std::fs::remove_file(folder.path(&row.sidecar_name())).unwrap();
    }
}

fn two() -> [Record; 2] {
    [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")]
}

#[test]
fn the_file_names_of_both_forms_lead_back_to_the_backup_and_no_others_do() {
    for form in [Form::Plain, Form::Sealed] {
        assert_eq!(of_file(&form.file(NAME)), Some((NAME, form)));
        assert_eq!(of_file(&form.sidecar(NAME)), None);
    }
    for other in [
        NAME,
        "backup_20240101_020000_manual.age",
        "backup_20240101_020000_manual.zip.age.age",
        "backup_20240101_020000_manual.zip.zip",
        "backup_20240101_020000_manual.zip.age.partial",
        ".backup_20240101_020000_manual.zip.age",
        ".backup_20240101_020000_manual.zip",
        "backup_20240101_020000_clienteB.zip",
        "backup_financeiro.zip.age",
    ] {
        assert_eq!(of_file(other), None, "{other}");
    }
}

#[test]
fn a_backup_counts_once_and_the_plain_archive_goes_before_the_encrypted_one() {
    let both = folder(&[".zip", ".zip.age", ".zip.sha256", ".zip.age.sha256"]);
    assert_eq!(archives_in(&both).collect::<Vec<_>>(), [NAME]);
    assert_eq!(form_in(&both, NAME), Some(Form::Plain));
    let sealed = folder(&[".zip.age", ".zip.sha256"]);
    assert_eq!(archives_in(&sealed).collect::<Vec<_>>(), [NAME]);
    assert_eq!(form_in(&sealed, NAME), Some(Form::Sealed));
    let mut linked = folder(&[".zip.age"]);
    linked.insert(format!("{NAME}.zip"), FileKind::Symlink);
    assert_eq!(form_in(&linked, NAME), Some(Form::Sealed));
    let neither = folder(&[".zip.age.sha256"]);
    assert_eq!(archives_in(&neither).count(), 0);
    assert_eq!(form_in(&neither, NAME), None);
    assert!(is_placed(&neither, NAME) && !is_placed(&folder(&[]), NAME));
}

#[test]
fn a_plain_file_of_another_size_than_the_row_is_not_the_archive_beside_an_encrypted_one() {
    let rows = two();
    let folder = Folder::with(&rows);
    let encrypted = |folder: &Folder| crate::catalog::list(&folder.roots).unwrap()[0].encrypted;
    seal(&folder, &rows[0], false);
    assert!(!encrypted(&folder), "it has the size");
    folder.write(&rows[0].archive_name(), b"something else");
    assert!(encrypted(&folder));
    let e = entries::entries(&folder.roots, 1, None, 10)
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind, ErrorKind::Unsupported, "it is not read: {e}");
    // Without the encrypted one it is a damaged archive, and not a missing one.
    std::fs::remove_file(folder.path(&Form::Sealed.file(&rows[0].name))).unwrap();
    assert!(!encrypted(&folder) && folder.catalog().archive_present(&rows[0]));
    // A row that does not know the size.
    let unknown = Record {
        size: 0,
        ..rows[0].clone()
    };
    folder.write_history(&[unknown]);
    seal(&folder, &rows[0], false);
    assert!(!encrypted(&folder));
}

#[test]
fn an_encrypted_archive_is_listed_found_and_counted_and_its_name_is_taken() {
    let rows = two();
    let folder = Folder::with(&rows);
    seal(&folder, &rows[0], true);
    seal(&folder, &rows[1], false);
    let listed: Vec<_> = crate::catalog::list(&folder.roots)
        .unwrap()
        .iter()
        .map(|b| (b.archive_present, b.encrypted))
        .collect();
    assert_eq!(
        listed,
        [(true, true), (true, false)],
        "beside the plain one it does not count"
    );
    let found = crate::catalog::find(&folder.roots, &Form::Sealed.file(&rows[0].name)).unwrap();
    assert_eq!(found.record.id, 1);
    let totals = status::status(&folder.roots, NOW).unwrap();
    assert_eq!(
        (totals.total_size_bytes, &*totals.archives_missing),
        (14, &[][..])
    );
    assert_eq!(totals.archives_unknown, Vec::<String>::new());
    folder.write(&Form::Sealed.file(NAME), b"age");
    let totals = status::status(&folder.roots, NOW).unwrap();
    assert_eq!(totals.archives_unknown, [NAME]);
    assert!(folder.catalog().is_taken(NAME));
}

#[test]
fn what_reads_it_says_that_it_is_encrypted_and_what_opens_it() {
    let rows = two();
    let folder = Folder::with(&rows);
    seal(&folder, &rows[0], true);
    let target = tempfile::tempdir().unwrap();
    let roots = folder.roots.clone().with(crate::fs::TARGET, target.path());
    let request = crate::types::RestoreRequest { id: 1, only: vec![] };
    let errors = [
        verify::verify(&folder.roots, 1, false).map(drop).unwrap_err(),
        verify::verify(&folder.roots, 1, true).map(drop).unwrap_err(),
        restore::restore(&roots, &request).map(drop).unwrap_err(),
        entries::entries(&folder.roots, 1, None, 10)
            .map(drop)
            .unwrap_err(),
        entries::details(&folder.roots, 1).map(drop).unwrap_err(),
        diff::diff(&folder.roots, 1, 1).map(drop).unwrap_err(),
    ];
    for e in errors {
        assert_eq!(e.kind, ErrorKind::Unsupported, "{e}");
        let text = e.to_string();
        assert!(
            text.contains("is encrypted") && text.contains("--identity FILE"),
            "{text}"
        );
        assert!(text.contains(&Form::Sealed.file(&rows[0].name)), "{text}");
    }
}

#[test]
fn delete_and_prune_remove_every_file_of_a_backup_and_never_the_last_good_one() {
    for instead in [true, false] {
        let rows = two();
        let folder = Folder::with(&rows);
        rows.iter().for_each(|row| seal(&folder, row, instead));
        let e = delete(&folder.roots, 2, false, NOW).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Refused);
        delete(&folder.roots, 1, false, NOW).unwrap();
        assert!(folder.names().iter().all(|name| !name.contains(&rows[0].name)));
        assert_eq!(folder.catalog().pending().count(), 0);

        let folder = Folder::with(&rows);
        rows.iter().for_each(|row| seal(&folder, row, instead));
        prune(&folder.roots, &policy(1), NOW, false).unwrap();
        assert!(folder.names().iter().all(|name| !name.contains(&rows[0].name)));
        assert!(folder.has(&Form::Sealed.file(&rows[1].name)));
        assert!(folder.has(&Form::Sealed.sidecar(&rows[1].name)));
        assert_eq!(folder.ids(), [2]);
    }
}

#[test]
fn a_full_disk_gives_up_whichever_file_there_is() {
    for instead in [true, false] {
        let rows = two();
        let folder = Folder::with(&rows);
        seal(&folder, &rows[0], instead);
        let names = std::iter::once(rows[0].name.as_str());
        assert!(crate::catalog::going::give_up(&folder.dir(), names).unwrap());
        assert_eq!(folder.ids(), [2], "the mark counts like a tombstone");
        crate::run::begin(&folder.roots, &run_request(NOW)).unwrap();
        assert!(folder.names().iter().all(|name| !name.contains(&rows[0].name)));
    }
}

#[test]
fn the_next_run_removes_what_a_killed_host_left_of_an_encrypted_archive() {
    let rows = two();
    let folder = Folder::with(&rows);
    seal(&folder, &rows[0], true);
    let ours = [
        format!(".{}.partial", Form::Sealed.file(&rows[1].name)),
        format!(".{}.partial", Form::Sealed.sidecar(&rows[1].name)),
        format!(".{}.tmp", Form::Sealed.sidecar(&rows[1].name)),
        format!(".{}.tmp", Form::Plain.sidecar(&rows[1].name)),
    ];
    let others = [
        format!(".{}.tmp", Form::Sealed.file(&rows[1].name)),
        ".notes.tmp".to_owned(),
    ];
    for name in ours.iter().chain(&others) {
        folder.write(name, b"half");
    }
    crate::run::begin(&folder.roots, &run_request(NOW)).unwrap();
    for name in &ours {
        assert!(!folder.has(name), "{name}");
    }
    for name in &others {
        assert!(folder.has(name), "{name}");
    }
    assert!(folder.has(&Form::Sealed.file(&rows[0].name)));
}

#[test]
fn a_rebuild_keeps_rows_of_encrypted_archives_and_names_those_that_have_none() {
    let rows = two();
    let folder = Folder::with(&rows);
    rows.iter().for_each(|row| seal(&folder, row, true));
    let report = rebuild(&folder.roots, NOW, "").unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(folder.ids(), [1, 2]);

    folder.write_history(&rows[1..]);
    let report = rebuild(&folder.roots, NOW, "").unwrap();
    assert_eq!(folder.ids(), [2]);
    let [problem] = &report.problems[..] else {
        panic!("{:?}", report.problems)
    };
    assert!(problem.starts_with(&format!("{}: ", rows[0].name)), "{problem}");
    assert!(problem.contains("cofre rebuild --identity FILE"), "{problem}");
    assert!(folder.has(&Form::Sealed.file(&rows[0].name)), "it is left alone");
}

#[test]
fn rows_of_archives_that_are_there_fill_a_catalog_that_lost_them_and_no_others_do() {
    let digest = Some("0".repeat(64));
    let row = |id, local| Record {
        sha256: digest.clone(),
        ..row(id, local)
    };
    let (lost, other) = (row(4, "2024-01-04T02:00:00"), row(9, "2024-01-09T02:00:00"));
    let folder = Folder::new();
    folder.write_history(&[]);
    folder.write(&Form::Sealed.file(&lost.name), b"age");
    let e = import_rows(&folder.roots, vec![other], "", false).unwrap_err();
    assert_eq!(e.kind, ErrorKind::CatalogInvalid);
    let added = import_rows(&folder.roots, vec![lost], "", false).unwrap();
    assert!(added[0].archive_present && added[0].encrypted);
    assert_eq!(folder.ids(), [4]);
}

#[test]
fn an_archive_that_nobody_opened_is_whole_and_does_not_count_as_verified() {
    let rows = two();
    let folder = Folder::with(&rows);
    seal(&folder, &rows[0], true);
    let noted = record_result(&folder.roots, 1, Check::Verify, "whole (not opened)", NOW).unwrap();
    assert!(noted.record.verified_at.is_some() && noted.encrypted);
    assert!(!crate::retention::is_verified(&noted.record));
    record_result(&folder.roots, 1, Check::Verify, "verified", NOW).unwrap();
    for _ in 0..2 {
        let noted = record_result(&folder.roots, 1, Check::Verify, "whole (not opened)", NOW).unwrap();
        assert_eq!(
            noted.record.verify_status.as_deref(),
            Some("verified (then whole)")
        );
        assert!(crate::retention::is_verified(&noted.record));
    }
    let noted = record_result(&folder.roots, 1, Check::Verify, "failed", NOW).unwrap();
    assert!(!crate::retention::is_verified(&noted.record));
}
