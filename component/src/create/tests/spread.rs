//! One backup by several workers: the same bytes as by one, whatever the order in which they get done.

use std::collections::VecDeque;

use super::*;
use crate::shards::{Coordinator, Worker};

/// Runs a backup by [`spread_out`].
fn spread(place: &Place, request: CreateRequest, workers: usize, out: usize) -> Record {
    let outcome = spread_out(&place.roots, Request::Create(request), workers, out);
    let Outcome::Created(report) = outcome else {
        panic!("{outcome:?}")
    };
    report.backup.record
}

/// Does what is requested with `workers`, up to `out` tasks at a time, of which the youngest is done first.
pub(super) fn spread_out(roots: &Roots, request: Request, workers: usize, out: usize) -> Outcome {
    let mut workers: Vec<Worker> = (0..workers).map(|_| Worker::new(&request)).collect();
    let mut coordinator = Coordinator::new(request);
    let mut waiting: VecDeque<(Vec<u8>, Option<Piece>)> = VecDeque::new();
    let mut turns = 0;
    loop {
        if waiting.len() < out {
            match coordinator.next(roots, 1 << 20, Some(END)).unwrap() {
                Turn::Task(task) => {
                    waiting.push_back((task, None));
                    continue;
                }
                Turn::Working => continue,
                Turn::Waiting => assert!(!waiting.is_empty(), "nothing is out"),
                Turn::Ended(outcome) => {
                    assert!(waiting.is_empty());
                    return *outcome;
                }
            }
        }
        for (task, piece) in waiting.iter_mut().rev().filter(|(_, piece)| piece.is_none()) {
            turns += 1;
            let worker = turns % workers.len();
            let done = workers[worker].work(roots, task).unwrap();
            assert!(done.data.len() < 9 << 20, "no host takes a result of any size");
            *piece = Some(done);
        }
        let (_, piece) = waiting.pop_front().unwrap();
        coordinator.take(roots, piece.unwrap(), Some(END)).unwrap();
    }
}

#[test]
fn any_number_of_workers_gives_the_same_bytes() {
    for (compression, level) in [
        (Compression::Deflate, 6),
        (Compression::Zstd, 3),
        (Compression::Store, 0),
    ] {
        let place = Place::new();
        tree(&place);
        let request = CreateRequest {
            compression,
            level,
            ..request()
        };
        let alone = create(&place.roots, request.clone()).unwrap().backup.record;
        if compression != Compression::Zstd {
            accept(&place.zip(&alone));
        }
        for (workers, out) in [(1, 1), (2, 4), (3, 7), (8, 16)] {
            let folder = place.path(&format!("b{workers}"));
            disk::create_dir(&folder).unwrap();
            let other = Place {
                temp: tempfile::tempdir().unwrap(),
                roots: Roots::new()
                    .with("/sources/s", place.path("s"))
                    .with(BACKUPS, folder),
            };
            let row = spread(&other, request.clone(), workers, out);
            assert_eq!(row.sha256, alone.sha256, "{compression:?} {workers}");
        }
    }
}

#[test]
fn results_that_are_mixed_up_are_refused_and_the_run_is_recorded_as_failed() {
    let place = Place::new();
    tree(&place);
    let request = Request::Create(request());
    let mut worker = Worker::new(&request);
    let mut coordinator = Coordinator::new(request);
    let mut tasks = Vec::new();
    while tasks.len() < 2 {
        if let Turn::Task(task) = coordinator.next(&place.roots, 10_000, Some(END)).unwrap() {
            tasks.push(task);
        }
    }
    let second = worker.work(&place.roots, &tasks[1]).unwrap();
    let e = coordinator.take(&place.roots, second, Some(END)).unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert!(e.to_string().contains("another task"), "{e}");
    assert_eq!(place.rows()[0].status, Status::Failed);
    assert_eq!(place.backups(), ["backup_history.json"]);
    for task in [&b""[..], b"nonsense", &tasks[0][..tasks[0].len() / 2]] {
        assert_eq!(
            worker.work(&place.roots, task).unwrap_err().kind,
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn a_result_nobody_asked_for_is_refused() {
    let place = Place::new();
    sample(&place);
    let mut coordinator = Coordinator::new(Request::Create(request()));
    let e = coordinator
        .take(&place.roots, Piece::default(), Some(END))
        .unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert!(
        coordinator.next(&place.roots, 1, Some(END)).is_err(),
        "it is spent"
    );
}

#[test]
fn files_that_all_grew_since_they_were_seen_are_no_result_that_fits_no_memory() {
    let place = Place::new();
    let names: Vec<String> = (0..8).map(|i| format!("f{i}")).collect();
    for name in &names {
        place.write(name, &noise(3 << 20));
    }
    let mut request = observed(
        names
            .iter()
            .map(|name| (name.as_str(), Kind::File, None))
            .collect(),
    );
    if let Inventory::Observed(list) = &mut request.sources[0].inventory {
        list.iter_mut().for_each(|seen| seen.size = 1);
    }
    let row = spread(&place, request, 2, 4);
    let zip = place.zip(&row);
    accept(&zip);
    for name in &names {
        assert!(unzip(&zip, &format!("s/{name}")) == noise(3 << 20), "{name}");
    }
    assert_eq!((row.file_count, row.changed), (Some(8), Some(0)));
}

#[test]
fn what_waits_for_a_copy_is_bounded_however_many_workers_there_are() {
    let place = Place::new();
    place.write("a", &noise(9 << 20));
    let file = File::options().write(true).open(place.path("s/a")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    let seen = |names: &[String]| {
        let mut list = vec![Observation {
            size: 9 << 20,
            ctime_ns: Some(7),
            inode: Some(7),
            ..observation("a")
        }];
        list.extend(names.iter().map(|name| observation(name)));
        let mut request = request();
        request.sources[0].inventory = Inventory::Observed(list);
        request
    };
    create(&place.roots, seen(&[])).unwrap();
    let names: Vec<String> = (0..60).map(|i| format!("b{i}")).collect();
    for name in &names {
        place.write(name, b"new");
    }
    let mut coordinator = Coordinator::new(Request::Create(seen(&names)));
    let mut tasks = 0;
    for _ in 0..100 {
        let turn = coordinator.next(&place.roots, 1, Some(END)).unwrap();
        tasks += usize::from(matches!(turn, Turn::Task(_)));
    }
    assert_eq!(coordinator.progress().current.as_deref(), Some("s/a"));
    assert_eq!(tasks, 16);
}

fn observation(path: &str) -> Observation {
    Observation {
        size: 3,
        mtime_ns: Some(1_000_000_000),
        ..Observation::new(path.into(), Kind::File)
    }
}
