//! Tests of `verify`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;

use super::*;
use crate::archive::BLOCK;
use crate::archive::testing::{Item, build, item, with_manifest};
use crate::catalog::{Record, sidecar};
use crate::testing::{Folder, row};

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
    assert!(problems[1].contains("the file beside it"));
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

/// Text that is different everywhere, so that no block can stand for another.
fn long_text(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 20);
    let mut line = 0u32;
    while text.len() < bytes {
        text.extend_from_slice(format!("{:08x}\n", line.wrapping_mul(0x9e37_79b9)).as_bytes());
        line += 1;
    }
    text.truncate(bytes);
    text
}

/// An archive with a large file in each way to store one, in blocks where it is compressed.
fn large() -> (Vec<Item>, Vec<u8>) {
    let content = long_text(BLOCK as usize * 5 / 2);
    let items = vec![
        item("static/", ""),
        item("static/a.bin", content.clone()).in_blocks(8),
        item("static/b.txt", "between"),
        item("static/c.bin", content.clone()).in_blocks(93),
        item("static/d.bin", content),
    ];
    let bytes = with_manifest(&name(), &items, |_| {});
    (items, bytes)
}

#[test]
fn large_entries_are_read_in_parts_that_come_to_the_whole() {
    let (_, bytes) = large();
    let good = report(&bytes);
    assert_eq!(good.problems, Vec::<String>::new());
    assert_eq!(good.entries, 6);
    let (folder, _) = folder(&bytes);
    // Three parts of each, the folder and the small one.
    assert_eq!(spread(&folder, u64::MAX, 2).1, 11);
}

#[test]
fn a_damaged_part_is_a_problem_of_its_entry_and_of_no_other() {
    let (items, good) = large();
    let packed = |item: &Item| item.packed();
    let mut bad = good.clone();
    for (at, item) in items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.content.len() > 100)
    {
        let (bytes, from) = (packed(item), at);
        let start = good.windows(64).position(|w| w == &bytes[..64]).unwrap();
        // In the first, in the second and in the last part.
        let place = [0, 1, 0, 2, 2][from] * (bytes.len() / 3) + bytes.len() / 6;
        bad[start + place] ^= 0x20;
    }
    let report = report(&bad);
    assert_eq!(report.entries, 3, "the manifest, the folder and the small file");
    let found = report.problems;
    let of = |path: &str| {
        found
            .iter()
            .filter(|p| p.starts_with(&format!("entry {path}: ")))
            .count()
    };
    assert_eq!(
        [of("static/a.bin"), of("static/c.bin"), of("static/d.bin")],
        [1, 1, 1],
        "{found:?}"
    );
    // And nothing else, in the order of the entries.
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.is_sorted(), "{found:?}");
    assert!(found[2].contains("its content has the CRC"), "{found:?}");
}

#[test]
fn a_list_of_blocks_that_does_not_fit_is_a_problem_and_the_entry_is_read_whole() {
    let (_, good) = large();
    let count = |m: &serde_json::Value| m["entries"][1]["blocks"].as_array().unwrap().len();
    type Tweak = fn(&mut serde_json::Value);
    let cases: [(&str, Tweak); 5] = [
        ("one more", |m| {
            m["entries"][1]["blocks"].as_array_mut().unwrap().push(0.into())
        }),
        ("one less", |m| {
            drop(m["entries"][1]["blocks"].as_array_mut().unwrap().pop())
        }),
        ("another sum", |m| m["entries"][1]["blocks"][0] = 1.into()),
        ("too much", |m| m["entries"][1]["blocks"][0] = u64::MAX.into()),
        ("of a stored one", |m| {
            m["entries"][4]["blocks"] = m["entries"][1]["blocks"].clone()
        }),
    ];
    for (what, tweak) in cases {
        let (items, _) = large();
        let bytes = with_manifest(&name(), &items, |m| {
            assert_eq!(count(m), 3);
            tweak(m);
        });
        let found = problems(&bytes);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(
            found[0].contains("has blocks in the manifest that"),
            "{what}: {found:?}"
        );
    }
    // The sum is right, the cut is not: what other programs read is good, but a part is not.
    let (items, _) = large();
    let shifted = with_manifest(&name(), &items, |m| {
        let blocks = m["entries"][1]["blocks"].as_array_mut().unwrap();
        blocks[0] = (blocks[0].as_u64().unwrap() + 1).into();
        blocks[1] = (blocks[1].as_u64().unwrap() - 1).into();
    });
    let found = problems(&shifted);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("static/a.bin"), "{found:?}");
    assert!(good.len() > 100);
}

#[test]
fn without_a_list_of_blocks_the_entry_is_one_task() {
    let (items, _) = large();
    let bytes = with_manifest(&name(), &items, |m| {
        for row in m["entries"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("blocks");
        }
    });
    assert_eq!(report(&bytes).problems, Vec::<String>::new());
    let (folder, _) = folder(&bytes);
    // Three parts of the stored one; the folder and `a`, `b`, `c` each by itself.
    assert_eq!(spread(&folder, u64::MAX, 2).1, 7);
}

#[test]
fn a_flipped_byte_anywhere_is_found_and_the_same_with_any_spread() {
    let items = [
        item("a/", ""),
        item("a/deflated", "content ".repeat(40)).deflated(),
        item("a/described", "described ".repeat(30))
            .deflated()
            .described(),
        item("a/link", "deflated").mode(0o120_777),
        item("a/stored", "stored"),
        item("a/zstd", "zstandard ".repeat(40)).zstd(),
    ];
    let good = with_manifest(&name(), &items, |_| {});
    let (folder, mut record) = folder(&good);
    // By the checksum, then by what the archive says of itself.
    for known in [true, false] {
        if !known {
            record.sha256 = None;
            folder.write_history(&[record.clone()]);
        }
        for at in (0..good.len()).step_by(if known { 7 } else { 1 }) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            folder.write(&record.archive_name(), &bad);
            let (alone, together) = (spread(&folder, 1, 1).0, spread(&folder, u64::MAX, 2).0);
            assert_eq!(alone, together, "byte {at}");
            assert!(!known || !alone.problems.is_empty(), "byte {at}");
        }
    }
}

#[test]
fn results_that_were_not_asked_for_are_refused() {
    let (folder, _) = folder(&with_manifest(&name(), &items(), |_| {}));
    let refused = |job: &mut VerifyJob, piece: &Piece| {
        let e = job.take(piece).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput, "{e}");
    };
    let begun = || {
        let mut job = VerifyJob::new(7, false);
        refused(&mut job, &Piece::default());
        let mut tasks = Vec::new();
        while tasks.len() < 2 {
            if let Turn::Task(task) = job.next(&folder.roots, 1).unwrap() {
                tasks.push(task);
            }
        }
        (job, tasks)
    };
    let (mut job, tasks) = begun();
    let mut worker = VerifyWorker::default();
    let pieces: Vec<_> = tasks
        .iter()
        .map(|task| worker.work(&folder.roots, task).unwrap())
        .collect();
    refused(&mut job, &pieces[1]);
    refused(&mut begun().0, &Piece::default());
    let more = Piece {
        data: vec![1],
        ..pieces[0].clone()
    };
    refused(&mut begun().0, &more);
    let (mut job, _) = begun();
    job.take(&pieces[0]).unwrap();
    job.take(&pieces[1]).unwrap();
    refused(&mut job, &pieces[1]);
    for task in [&b""[..], b"\xff\xff\xff\xff\xff", &tasks[0][..tasks[0].len() / 2]] {
        assert_eq!(
            worker.work(&folder.roots, task).unwrap_err().kind,
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn an_archive_that_is_exchanged_meanwhile_ends_the_verification() {
    let (folder, record) = folder(&with_manifest(&name(), &items(), |_| {}));
    let mut job = VerifyJob::new(7, false);
    let task = loop {
        if let Turn::Task(task) = job.next(&folder.roots, u64::MAX).unwrap() {
            break task;
        }
    };
    folder.write(&record.archive_name(), b"another");
    let e = VerifyWorker::default().work(&folder.roots, &task).unwrap_err();
    assert!(e.to_string().contains("when it was opened first"), "{e}");
}
