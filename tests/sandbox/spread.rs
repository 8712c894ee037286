//! An operation over several instances: what a coordinator or a worker that breaks the rules gets, and what workers
//! can reach.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cofre::backup::{self, CreateOptions};
use cofre::engine::wit::engine::RestoreRequest;
use cofre::engine::wit::jobs::{Outcome, Request};
use cofre::engine::{Access, Control, Limits, Mounts};
use cofre::restore::{self, RestoreOptions};
use cofre::{Code, Config, Context, Error, Result, verify};

use crate::guest::{Tree, hostile, impatient};

/// A behaviour of the hostile guest.
fn request(behaviour: &str) -> Request {
    Request::Restore(RestoreRequest {
        id: 1,
        only: vec![behaviour.to_owned()],
    })
}

/// Runs a behaviour of the hostile guest over `workers`, who may read `/sources/s`.
fn spread(behaviour: &str, workers: usize, limits: Limits, control: &mut Control) -> Result<Outcome> {
    let tree = Tree::new();
    let worker = || Ok(Mounts::new().source("s", tree.handle("source")).limits(limits));
    let coordinator = Mounts::new()
        .backups(tree.handle("backups"), Access::ReadWrite)
        .limits(limits);
    hostile().spread(request(behaviour), coordinator, &worker, workers, control)
}

fn fails(behaviour: &str, limits: Limits) -> Error {
    spread(behaviour, 2, limits, &mut Control::default()).unwrap_err()
}

#[test]
fn results_come_back_in_the_order_of_the_tasks_and_at_most_two_for_each_worker_are_out() {
    for workers in [2, 3, 8] {
        let limits = Limits::default();
        let outcome = spread("count 60", workers, limits, &mut Control::default()).unwrap();
        let Outcome::Restored(report) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            (2..=2 * workers as u64).contains(&report.files),
            "{} were out",
            report.files
        );
    }
}

#[test]
fn workers_are_started_when_there_is_work_for_them_and_not_before() {
    let count = |behaviour: &str| {
        let started = AtomicUsize::new(0);
        let worker = || {
            started.fetch_add(1, Ordering::SeqCst);
            Ok(Mounts::new())
        };
        hostile()
            .spread(
                request(behaviour),
                Mounts::new(),
                &worker,
                8,
                &mut Control::default(),
            )
            .unwrap();
        started.into_inner()
    };
    assert_eq!(count("end"), 0);
    assert_eq!(count("count 1"), 1);
    assert_eq!(count("count 60"), 8);
}

#[test]
fn one_worker_is_the_job_in_one_instance() {
    let error = spread("lie", 1, impatient(), &mut Control::default()).unwrap();
    assert!(matches!(error, Outcome::Verified(_)), "{error:?}");
}

#[test]
fn a_coordinator_that_breaks_the_rules_is_told_which() {
    for (behaviour, code, text) in [
        ("wait", Code::Internal, "no task is out"),
        ("end-early", Code::Internal, "ended before"),
        ("huge-task", Code::Sandbox, "a task of 32 MiB"),
        ("huge", Code::Sandbox, "a result of 32 MiB"),
    ] {
        let error = fails(behaviour, Limits::default());
        assert_eq!(error.code, code, "{behaviour}: {error}");
        assert!(error.message.contains(text), "{behaviour}: {error}");
    }
}

#[test]
fn an_operation_that_gets_nothing_done_is_stopped_however_busy_it_is() {
    // Without a task, with tasks that never end, with tasks without end, with a host call that does not come back.
    for behaviour in ["dawdle", "loop", "echo busy", "sleep"] {
        let begin = Instant::now();
        let error = fails(behaviour, impatient());
        assert_eq!(error.code, Code::Stuck, "{behaviour}: {error}");
        assert!(error.message.contains("no progress"), "{behaviour}: {error}");
        assert!(begin.elapsed() >= impatient().stall, "{behaviour}");
        assert!(begin.elapsed() < Duration::from_secs(8), "{behaviour}");
    }
}

#[test]
fn what_a_worker_fails_with_ends_the_operation() {
    let small = Limits {
        memory_bytes: 24 << 20,
        ..Limits::default()
    };
    for (behaviour, code, text) in [
        ("panic", Code::Internal, "evil \\u{1b}[31mwords"),
        ("exit", Code::Internal, ""),
        ("eat", Code::Sandbox, "24 MiB"),
        ("read /nothing", Code::Refused, "try: "),
    ] {
        let error = fails(behaviour, small);
        assert_eq!(error.code, code, "{behaviour}: {error}");
        assert!(error.message.contains(text), "{behaviour}: {error}");
    }
}

#[test]
fn a_failed_operation_leaves_other_sessions_alone_and_no_instance_behind() {
    let (calm_tree, tree) = (Tree::new(), Tree::new());
    let mut calm = calm_tree.session();
    let open = || {
        let folder = fs::canonicalize(tree.path("")).unwrap();
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
            .filter(|path| path.starts_with(&folder))
            .count()
    };
    let mounted = AtomicUsize::new(0);
    let worker = || {
        let mounts = Mounts::new()
            .source("s", tree.handle("source"))
            .limits(impatient());
        mounted.fetch_max(open(), Ordering::SeqCst);
        Ok(mounts)
    };
    let coordinator = Mounts::new().limits(impatient());
    let error = hostile()
        .spread(request("loop"), coordinator, &worker, 2, &mut Control::default())
        .unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
    assert!(mounted.into_inner() >= 2);
    assert_eq!(open(), 0);
    assert_eq!(calm.list().unwrap().len(), 1);
}

#[test]
fn an_operation_is_cancelled_whatever_its_workers_do() {
    for behaviour in ["dawdle", "loop", "echo busy", "count 1000000"] {
        let cancel = Arc::new(AtomicBool::new(false));
        let mut control = Control {
            cancel: Arc::clone(&cancel),
            ..Control::default()
        };
        std::thread::scope(|scope| {
            let run = scope.spawn(|| spread(behaviour, 2, Limits::default(), &mut control).unwrap_err());
            std::thread::sleep(Duration::from_millis(200));
            assert!(!run.is_finished(), "{behaviour}");
            cancel.store(true, Ordering::SeqCst);
            let error = run.join().unwrap();
            assert_eq!(error.code, Code::Cancelled, "{behaviour}: {error}");
        });
    }
}

/// A configuration with one source and one staged file, and the hostile component in place of the real one.
fn hostile_context(tree: &Tree) -> Context {
    let text = "[sources.s]\npath = \"source\"\n[sources.config]\nfiles = [\"source/file.txt\"]\n\
                [archive]\nworkers = 3\n";
    Context {
        config: Config::parse(text, &tree.path("")).unwrap(),
        engine: hostile(),
    }
}

#[test]
fn workers_of_create_reach_sources_and_staging_for_reading_and_no_backups() {
    let tree = Tree::new();
    let options = CreateOptions {
        backup_type: "manual".to_owned(),
        plan: "manual".to_owned(),
        full: true,
        dry_run: false,
        new_history: false,
    };
    let context = hostile_context(&tree);
    let error = backup::create(&context, &options, &mut Control::default(), &mut |_| ()).unwrap_err();
    assert_eq!(error.message, "try: /sources/s ro, /staging ro");
    assert!(!tree.path("source/evil").exists() && !tree.path("backups/evil").exists());
}

#[test]
fn workers_of_verify_reach_the_backups_for_reading_and_nothing_else() {
    let tree = Tree::new();
    let context = hostile_context(&tree);
    let backup = context.reader().unwrap().list().unwrap().remove(0);
    let error = verify::verify(&context, backup, false, &mut Control::default()).unwrap_err();
    assert_eq!(error.message, "try: /backups ro");
    assert!(!tree.path("backups/evil").exists());
}

#[test]
fn workers_of_restore_reach_the_backups_for_reading_and_the_target() {
    let tree = Tree::new();
    let options = RestoreOptions {
        selector: "echo x".to_owned(),
        to: Some(tree.path("restored")),
        only: vec!["tell reach".to_owned()],
        absolute_links: false,
    };
    let context = hostile_context(&tree);
    let error = restore::restore(&context, &options, &mut Control::default()).unwrap_err();
    assert_eq!(error.message, "try: /backups ro, /target rw");
    assert!(!tree.path("backups/evil").exists() && !tree.path("restored").exists());
}
