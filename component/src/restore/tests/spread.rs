//! Restores by several workers, and large files in parts.

use super::*;
use crate::shards::{Coordinator, Worker};

/// Runs the job with three workers that have two tasks each in hand and do them last first.
fn spread(place: &Place, budget: u64) -> Result<(RestoreReport, usize)> {
    let mut job = RestoreJob::new(RestoreRequest { id: 7, only: vec![] });
    let mut workers: [RestoreWorker; 3] = Default::default();
    let (mut out, mut tasks) = (Vec::new(), 0);
    let mut done = 0;
    loop {
        let turn = if out.len() < 6 {
            job.next(&place.roots, budget)?
        } else {
            Turn::Waiting
        };
        match turn {
            Turn::Task(task) => {
                out.push(task);
                tasks += 1;
            }
            Turn::Working => {}
            Turn::Waiting => {
                let mut pieces = Vec::new();
                for (n, task) in out.drain(..).enumerate().rev() {
                    pieces.push(workers[n % 3].work(&place.roots, &task)?);
                }
                while let Some(piece) = pieces.pop() {
                    job.take(&piece)?;
                    let now = job.progress().bytes_done;
                    assert!(now >= done);
                    done = now;
                }
            }
            Turn::Ended(outcome) => {
                let Outcome::Restored(report) = *outcome else {
                    panic!()
                };
                assert_eq!(job.progress().bytes_done, job.progress().bytes_total);
                return Ok((report, tasks));
            }
        }
    }
}

#[test]
fn small_tasks_and_several_workers_write_the_same_tree() {
    let bytes = with_manifest(&name(), &items(), |_| {});
    let (whole, spread_out) = (place(&bytes), place(&bytes));
    let expected = whole.restore(&[]).unwrap();
    let (report, tasks) = spread(&spread_out, 1).unwrap();
    assert_eq!((report, tasks), (expected, 4));
    assert_eq!(spread_out.tree(), whole.tree());
}

/// A file of several blocks in each way to store one.
fn large() -> Vec<Item> {
    let content: Vec<u8> = (0..)
        .flat_map(|n: u32| format!("{:08x}\n", n.wrapping_mul(0x9e37_79b9)).into_bytes())
        .take(crate::archive::BLOCK as usize * 5 / 2)
        .collect();
    vec![
        item("a.bin", content.clone()).in_blocks(8),
        item("b.bin", content.clone()).in_blocks(93),
        item("c.bin", content.clone()),
        item("d.bin", content).deflated(),
    ]
}

#[test]
fn large_files_are_written_in_parts_in_any_order() {
    let bytes = with_manifest(&name(), &large(), |_| {});
    let (whole, spread_out) = (place(&bytes), place(&bytes));
    let expected = whole.restore(&[]).unwrap();
    let (report, tasks) = spread(&spread_out, u64::MAX).unwrap();
    // Three parts of three files; one that is not in blocks, and the manifest.
    assert_eq!((report, tasks), (expected, 11));
    for place in [&whole, &spread_out] {
        for item in large() {
            let written = std::fs::read(place.target.path().join(&item.name)).unwrap();
            assert!(written == item.content, "{}", item.name);
        }
    }
}

#[test]
fn a_damaged_part_is_corrupt() {
    let items = large();
    let good = with_manifest(&name(), &items, |_| {});
    for (at, part) in [(0, 0), (0, 2), (1, 1), (2, 2), (3, 1)] {
        let packed = items[at].packed();
        let start = good.windows(64).position(|w| w == &packed[..64]).unwrap();
        let mut bad = good.clone();
        bad[start + part * (packed.len() / 3) + packed.len() / 6] ^= 4;
        let place = place(&bad);
        for result in [
            place.restore(&[]).map(drop),
            spread(&self::place(&bad), 1).map(drop),
        ] {
            let e = result.unwrap_err();
            assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
            assert!(e.message.contains(&items[at].name), "{e}");
        }
    }
}

#[test]
fn blocks_that_do_not_fit_the_archive_are_refused_before_anything_is_written() {
    let bytes = with_manifest(&name(), &large(), |m| m["entries"][1]["blocks"][0] = 1.into());
    let place = place(&bytes);
    let e = place.restore(&[]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Corrupt);
    assert!(e.message.contains("b.bin") && place.tree().is_empty(), "{e}");
}

#[test]
fn parts_are_written_into_what_the_coordinator_created_and_through_no_link() {
    let victim = tempfile::NamedTempFile::new().unwrap();
    let place = place(&with_manifest(&name(), &large(), |_| {}));
    let mut job = RestoreJob::new(RestoreRequest { id: 7, only: vec![] });
    let task = loop {
        if let Turn::Task(task) = job.next(&place.roots, u64::MAX).unwrap() {
            break task;
        }
    };
    let created = place.target.path().join("a.bin");
    std::fs::remove_file(&created).unwrap();
    let e = RestoreWorker::default().work(&place.roots, &task).unwrap_err();
    assert_eq!(e.kind, ErrorKind::NotFound, "{e}");
    std::os::unix::fs::symlink(victim.path(), &created).unwrap();
    RestoreWorker::default().work(&place.roots, &task).unwrap_err();
    assert_eq!(std::fs::metadata(victim.path()).unwrap().len(), 0);
}

#[test]
fn results_that_were_not_asked_for_are_refused() {
    let place = place(&with_manifest(&name(), &items(), |_| {}));
    let request = Request::Restore(RestoreRequest { id: 7, only: vec![] });
    let taken = Coordinator::new(request.clone()).take(&place.roots, Piece::default(), None);
    assert_eq!(taken.unwrap_err().kind, ErrorKind::InvalidInput);
    let mut coordinator = Coordinator::new(request.clone());
    let mut tasks = Vec::new();
    while tasks.len() < 2 {
        if let Turn::Task(task) = coordinator.next(&place.roots, 1, None).unwrap() {
            tasks.push(task);
        }
    }
    let mut worker = Worker::new(&request);
    let second = worker.work(&place.roots, &tasks[1]).unwrap();
    let taken = coordinator.take(&place.roots, second, None);
    assert_eq!(taken.unwrap_err().kind, ErrorKind::InvalidInput);
    // A task that is done twice finds its file there already.
    let again = worker.work(&place.roots, &tasks[1]).unwrap_err();
    assert_eq!(again.kind, ErrorKind::AlreadyExists);
}

#[test]
fn a_structure_that_is_damaged_is_told_by_the_checksum_where_there_is_one() {
    let good = with_manifest(&name(), &items(), |_| {});
    let mut place = place(&good);
    place.record.sha256 = Some(sidecar::compute(&place.backups.dir(), &place.record.name).unwrap());
    place.backups.write_history(&[place.record.clone()]);
    let mut bad = good.clone();
    let end = bad.len() - 22;
    bad[end + 16] ^= 1;
    place.backups.write(&place.record.archive_name(), &bad);
    let e = place.restore(&[]).unwrap_err();
    assert!(
        e.kind == ErrorKind::Corrupt && e.message.contains("SHA-256"),
        "{e}"
    );
    assert!(place.tree().is_empty());
}
