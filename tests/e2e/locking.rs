//! One writer at a time; readers never wait and never clean up.

use std::fs::File;
use std::sync::Barrier;

use crate::support::App;

#[test]
fn a_second_writer_is_refused_while_readers_go_on() {
    let app = App::small();
    app.create();
    let held = File::open(app.backups()).unwrap();
    held.lock().unwrap();
    for args in [
        vec!["create"],
        vec!["prune"],
        vec!["delete", "1"],
        vec!["rebuild"],
        vec!["pin", "1"],
        vec!["unpin", "1"],
    ] {
        // Who it is and since when: this process.
        let holder = format!("another run (process {}, ", std::process::id());
        app.cofre(&args)
            .exits(6)
            .says(&holder)
            .says(" ago) holds ")
            .says("backups");
    }
    app.cofre(&["list"]).exits(0);
    app.cofre(&["show", "1"]).exits(0);
    app.cofre(&["status"]).exits(0);
    app.cofre(&["diff", "1", "1"]).exits(0);
    drop(held);
    app.create();
    assert_eq!(app.history().len(), 2, "a refused run leaves no row");
}

#[test]
fn of_runs_that_start_together_each_ends_well_or_is_refused() {
    let app = App::small();
    app.create();
    let start = Barrier::new(4);
    let codes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    app.cofre(&["create"]).code
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 6))), "{codes:?}");
    let done = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(done >= 1);
    assert_eq!(app.history().len(), 1 + done);
    app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn a_file_that_looks_like_a_lock_stops_nobody() {
    let app = App::small();
    app.create();
    for (name, content) in [(".lock", "1"), ("cofre.lock", ""), ("backup.lock", "2147483647")] {
        app.write(format!("backups/{name}"), content.as_bytes());
    }
    app.create();
    assert_eq!(app.history().len(), 2);
}

#[test]
fn reading_does_not_touch_what_a_crashed_run_left() {
    let app = App::small();
    app.create();
    let leftover = app.backups().join(".backup_20250831_215249_manual.zip.partial");
    std::fs::write(&leftover, b"half").unwrap();
    let before = crate::support::listing(&app.backups());
    for args in [
        vec!["list"],
        vec!["status"],
        vec!["show", "1"],
        vec!["prune", "--dry-run"],
    ] {
        app.cofre(&args).exits(0);
    }
    assert_eq!(crate::support::listing(&app.backups()), before);
    app.create();
    assert!(!leftover.exists(), "a writing run cleans up");
}
