//! Large entries in parts, and what does not go as the coordinator asked.

use super::*;
use crate::archive::BLOCK;
use crate::shards::Coordinator;

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
    let request = Request::Verify { id: 7, quick: false };
    let refused = |mut coordinator: Coordinator, piece: &Piece| {
        let taken = coordinator.take(&folder.roots, piece.clone(), None);
        let e = taken.unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput, "{e}");
        coordinator.next(&folder.roots, 1, None).unwrap_err();
    };
    let begun = || {
        let mut coordinator = Coordinator::new(request.clone());
        let mut tasks = Vec::new();
        while tasks.len() < 2 {
            if let Turn::Task(task) = coordinator.next(&folder.roots, 1, None).unwrap() {
                tasks.push(task);
            }
        }
        (coordinator, tasks)
    };
    let (coordinator, tasks) = begun();
    let mut worker = crate::shards::Worker::new(&request);
    let pieces: Vec<_> = tasks
        .iter()
        .map(|task| worker.work(&folder.roots, task).unwrap())
        .collect();
    refused(coordinator, &pieces[1]);
    refused(Coordinator::new(request.clone()), &Piece::default());
    refused(begun().0, &Piece::default());
    let more = Piece {
        data: vec![1],
        ..pieces[0].clone()
    };
    refused(begun().0, &more);
    let (mut coordinator, _) = begun();
    for piece in &pieces {
        coordinator.take(&folder.roots, piece.clone(), None).unwrap();
    }
    refused(coordinator, &pieces[1]);
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
