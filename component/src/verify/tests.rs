//! Tests of `verify`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;

use super::*;
use crate::archive::testing::{Item, build, item, with_manifest};
use crate::catalog::{Record, sidecar};
use crate::testing::{Folder, row};

mod spread;

fn items() -> Vec<Item> {
    vec![
        item("static/", ""),
        item("static/a.txt", "content ".repeat(50_000)).deflated(),
        item("static/b.txt", "stored"),
        item("static/link", "a.txt").mode(0o120_777),
    ]
}

/// A folder with the archive `bytes` under the row 7, whose fields say what `bytes` has.
fn folder(bytes: &[u8]) -> (Folder, Record) {
    let mut record = row(7, "2026-11-25T02:00:00");
    record.size = bytes.len() as u64;
    let folder = Folder::new();
    folder.write(&record.archive_name(), bytes);
    record.sha256 = Some(sidecar::compute(&folder.dir(), &record.name).unwrap());
    folder.write_history(std::slice::from_ref(&record));
    (folder, record)
}

fn name() -> String {
    row(7, "2026-11-25T02:00:00").name
}

fn problems(bytes: &[u8]) -> Vec<String> {
    report(bytes).problems
}

#[test]
fn a_good_archive_has_no_problems_and_is_counted() {
    let (folder, record) = folder(&with_manifest(&name(), &items(), |_| {}));
    let report = verify(&folder.roots, 7, false).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.manifest && report.checksum);
    assert_eq!(report.entries, 5);
    assert!(report.bytes > 400_000);
    assert_eq!(report.backup.record.name, record.name);
    let quick = verify(&folder.roots, 7, true).unwrap();
    assert_eq!((quick.entries, quick.bytes, quick.problems.len()), (5, 0, 0));
}

#[test]
fn a_link_that_no_system_can_have_is_a_problem_with_and_without_a_manifest() {
    for (target, part) in [
        (String::new(), "empty"),
        ("a\0b".to_owned(), "NUL"),
        ("x".repeat(4096), "longer"),
    ] {
        let items = [item("static/link", target).mode(0o120_777)];
        for bytes in [with_manifest(&name(), &items, |_| {}), build(&items).bytes] {
            let problems = problems(&bytes);
            // The manifest's comparison may have a word about it as well.
            assert!(
                problems.iter().all(|p| p.contains("static/link"))
                    && problems.iter().any(|p| p.contains(part)),
                "{problems:?}"
            );
        }
    }
    let fits = [item("static/link", "x".repeat(4095)).mode(0o120_777)];
    assert_eq!(problems(&build(&fits).bytes), Vec::<String>::new());
}

/// Runs the job as a host with `workers` workers does, each with two tasks in hand, which are done last first;
/// gives the report and the number of tasks.
fn spread(folder: &Folder, budget: u64, workers: usize) -> (VerifyReport, usize) {
    let mut job = VerifyJob::new(7, false);
    let mut hands: Vec<_> = (0..workers).map(|_| VerifyWorker::default()).collect();
    let (mut out, mut tasks) = (VecDeque::new(), 0);
    let mut done = 0;
    loop {
        let turn = if out.len() < 2 * workers {
            job.next(&folder.roots, budget).unwrap()
        } else {
            Turn::Waiting
        };
        match turn {
            Turn::Task(task) => {
                out.push_back(task);
                tasks += 1;
            }
            Turn::Working => {}
            Turn::Waiting => {
                let mut pieces: Vec<_> = out
                    .drain(..)
                    .rev()
                    .zip((0..workers).cycle())
                    .map(|(task, n)| hands[n].work(&folder.roots, &task).unwrap())
                    .collect();
                while let Some(piece) = pieces.pop() {
                    job.take(&piece).unwrap();
                    let progress = job.progress();
                    assert!(progress.bytes_done >= done && progress.current.is_some());
                    done = progress.bytes_done;
                }
            }
            Turn::Ended(outcome) => {
                let Outcome::Verified(report) = *outcome else {
                    panic!()
                };
                let last = job.progress();
                if report.problems.is_empty() {
                    assert_eq!(last.bytes_done, last.bytes_total);
                }
                assert_eq!(last.files_done, last.files_total);
                assert!(job.next(&folder.roots, 1).is_err());
                return (report, tasks);
            }
        }
    }
}

/// The report, which has to be the same however the work is spread.
fn report(bytes: &[u8]) -> VerifyReport {
    let (folder, _) = folder(bytes);
    let whole = verify(&folder.roots, 7, false).unwrap();
    for (budget, workers) in [(1, 1), (u64::MAX, 1), (1, 3), (100_000, 2)] {
        let (report, _) = spread(&folder, budget, workers);
        assert_eq!(report, whole, "budget {budget}, {workers} workers");
    }
    whole
}

#[test]
fn small_tasks_and_several_workers_come_to_the_same_and_report_growing_progress() {
    let bytes = with_manifest(&name(), &items(), |_| {});
    assert_eq!(report(&bytes).problems, Vec::<String>::new());
    let (folder, _) = folder(&bytes);
    assert_eq!(
        spread(&folder, 1, 2).1,
        4,
        "one task an entry, the manifest is read by the coordinator"
    );
    assert_eq!(spread(&folder, u64::MAX, 2).1, 1);
}

#[test]
fn a_replaced_archive_is_caught_by_its_checksum_even_when_it_is_good_in_itself() {
    let (folder, record) = folder(&with_manifest(&name(), &items(), |_| {}));
    let mut other = items();
    other[2].content = b"STORED".to_vec();
    folder.write(&record.archive_name(), &with_manifest(&name(), &other, |_| {}));
    for quick in [true, false] {
        let problems = verify(&folder.roots, 7, quick).unwrap().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("SHA-256") && problems[0].contains("the catalog"));
    }
}

#[test]
fn a_sidecar_that_disagrees_and_a_wrong_size_are_reported() {
    let (folder, mut record) = folder(&with_manifest(&name(), &items(), |_| {}));
    folder.write(
        &record.sidecar_name(),
        sidecar::render(&"0".repeat(64), &record.name).as_bytes(),
    );
    record.size += 1;
    folder.write_history(&[record]);
    let problems = verify(&folder.roots, 7, false).unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("bytes, the catalog says"));
    assert!(problems[1].contains(".zip.sha256 says"));
}

#[test]
fn archives_of_the_original_system_verify_by_their_own_crcs() {
    let old = [
        item("database/relatorios.sql", "INSERT"),
        item("backup_info.json", r#"{"id": 3}"#),
    ];
    let mut built = build(&old);
    let (folder, mut record) = folder(&built.bytes);
    record.sha256 = None;
    folder.write_history(&[record.clone()]);
    let report = verify(&folder.roots, 7, false).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(!report.manifest && !report.checksum);
    built.bytes[built.local[0] + 30 + "database/relatorios.sql".len()] ^= 1;
    folder.write(&record.archive_name(), &built.bytes);
    let problems = verify(&folder.roots, 7, false).unwrap().problems;
    assert!(
        problems[0].contains("relatorios.sql") && problems[0].contains("CRC"),
        "{problems:?}"
    );
}

#[test]
fn every_damaged_entry_is_named_not_only_the_first() {
    let mut items = items();
    items.push(item("static/c.txt", "another"));
    let good = with_manifest(&name(), &items, |_| {});
    let mut bad = good.clone();
    for text in [&b"stored"[..], b"another"] {
        let at = bad.windows(text.len()).position(|w| w == text).unwrap();
        bad[at] ^= 0x20;
    }
    let problems = problems(&bad);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("b.txt") && problems[1].contains("c.txt"));
}

#[test]
fn a_manifest_that_says_otherwise_is_reported_row_by_row() {
    type Tweak = fn(&mut serde_json::Value);
    let cases: [(&str, Tweak, &str); 10] = [
        (
            "size",
            |m| m["entries"][2]["size"] = 5.into(),
            "size 5 in the manifest and 6",
        ),
        (
            "crc",
            |m| m["entries"][2]["crc32"] = "00000000".into(),
            "CRC 00000000",
        ),
        (
            "no crc",
            |m| m["entries"][2]["crc32"] = serde_json::Value::Null,
            "CRC none",
        ),
        (
            "mode",
            |m| m["entries"][2]["mode"] = "0600".into(),
            "mode 0600 in the manifest and 0644",
        ),
        (
            "kind",
            |m| m["entries"][2]["kind"] = "symlink".into(),
            "kind symlink",
        ),
        (
            "target",
            |m| m["entries"][3]["target"] = "b.txt".into(),
            "target b.txt",
        ),
        (
            "missing",
            |m| m["entries"][2]["path"] = "static/z".into(),
            "static/z is in the manifest, but not",
        ),
        (
            "extra",
            |m| drop(m["entries"].as_array_mut().unwrap().remove(2)),
            "b.txt is in the archive, but not",
        ),
        (
            "count",
            |m| m["file_count"] = 9.into(),
            "counts 9 files and lists 2",
        ),
        (
            "name",
            |m| m["name"] = "backup_20200101_000000_manual".into(),
            "the manifest is that of backup_2020",
        ),
    ];
    for (what, tweak, expected) in cases {
        let problems = problems(&with_manifest(&name(), &items(), tweak));
        assert!(
            problems.iter().any(|p| p.contains(expected)),
            "{what}: {problems:?}"
        );
    }
    let twice = problems(&with_manifest(&name(), &items(), |m| {
        let first = m["entries"][2].clone();
        m["entries"].as_array_mut().unwrap().push(first);
    }));
    assert!(twice[0].contains("in the manifest twice"), "{twice:?}");
}

#[test]
fn an_archive_that_is_none_is_a_problem_and_not_an_error() {
    for bytes in [
        &b""[..],
        b"<html>",
        &build(&items()).bytes[..100],
        &build(&[]).bytes,
    ] {
        assert!(!problems(bytes).is_empty());
    }
}

#[test]
fn what_cannot_be_looked_at_is_an_error_that_says_why() {
    let (folder, mut record) = folder(&with_manifest(&name(), &items(), |_| {}));
    assert_eq!(
        verify(&folder.roots, 8, false).unwrap_err().kind,
        ErrorKind::NotFound
    );
    std::fs::remove_file(folder.path(&record.archive_name())).unwrap();
    let gone = verify(&folder.roots, 7, false).unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert!(gone.to_string().contains("not in the backups folder"), "{gone}");
    record.status = crate::catalog::Status::Failed;
    folder.write_history(&[record]);
    let failed = verify(&folder.roots, 7, false).unwrap_err();
    assert!(failed.to_string().contains("the run failed"), "{failed}");
}
