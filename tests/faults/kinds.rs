//! What the matrices have found, each at the one call where it showed: these run every time.

use crate::injector::Action;
use crate::judge::{How, judge};
use crate::scene::Stage;

const HOW: How = How {
    thorough: true,
    times: true,
};

/// Kills the command at the call number `at` of those called `only`, and judges.
#[track_caller]
fn killed(scene: &str, only: &str, at: usize) {
    let stage = Stage::named(scene);
    let (app, known, injected, hit) = stage.meet(&Action::Kill, only, at).expect("the call");
    assert!(injected.killed, "{hit}");
    judge(&stage, &app, &known, None, HOW);
}

/// Lets a call fail; the exit code, what was said, and what was called.
#[track_caller]
fn failed(scene: &str, action: &Action, only: &str, at: usize) -> (i32, String, String) {
    let stage = Stage::named(scene);
    let (app, known, injected, hit) = stage.meet(action, only, at).expect("the call");
    let ended = injected.done.then_some(&injected.run);
    judge(&stage, &app, &known, ended, HOW);
    let said = format!("{}{}", injected.run.stderr, injected.run.stdout);
    (injected.run.code.unwrap_or(-1), said, hit.path)
}

/// Its folder had lost the mark that it is cofre's, and the next restore refused to remove it.
#[test]
fn a_restore_killed_at_its_rename_is_not_in_the_way_of_the_next() {
    killed("restore, a folder", "rename", 1);
}

/// The next prune found nothing to do, and the space stayed taken until the next backup.
#[test]
fn a_prune_killed_before_it_removes_is_finished_by_the_next_prune() {
    let stage = Stage::named("prune");
    let unlinks: Vec<_> = stage.calls.iter().filter(|call| call.name == "unlink").collect();
    let first = unlinks
        .iter()
        .position(|call| call.path.ends_with("_manual.zip"))
        .expect("an archive goes");
    killed("prune", "unlink", first + 1);
}

/// Half a configuration stayed, which the next init refused to replace.
#[test]
fn an_init_killed_while_it_writes_leaves_no_half_configuration() {
    let stage = Stage::named("init");
    let (app, known, ..) = stage.meet(&Action::Torn, "write", 1).expect("the call");
    judge(&stage, &app, &known, None, HOW);
}

/// A signal that comes in the middle of a call was an error.
#[test]
fn an_interrupted_call_is_made_again() {
    for (scene, only) in [
        ("create, the first", "write"),
        ("create, the first", "copy"),
        ("restore, a folder", "chmod"),
    ] {
        let (code, said, path) = failed(scene, &Action::Fail(4), only, 1);
        assert_eq!(code, 0, "{path}: {said}");
    }
}

/// wasmtime-wasi has no word for it, and it was "I/O error", exit code 10.
#[test]
fn a_read_only_disk_and_a_quota_are_called_so() {
    for (errno, code, words) in [(30, 8, "Read-only file system"), (122, 7, "quota")] {
        let (ended, said, path) = failed("pin", &Action::FailFromHere(errno), "open,write,rename", 1);
        assert_eq!(ended, code, "{path}: {said}");
        assert!(
            said.to_lowercase().contains(&words.to_lowercase()),
            "{path}: {said}"
        );
    }
}

/// A scratch disk with errors was taken for an archive that does not load, and recorded against the backup.
#[test]
fn an_error_of_the_disk_that_a_dump_is_loaded_on_is_not_one_of_the_archive() {
    let stage = Stage::named("restore, a database");
    let loads = |call: &&crate::injector::Call| call.path.ends_with("/loaded/new.db");
    let writes: Vec<_> = stage.calls.iter().filter(|call| call.name == "write").collect();
    let first = writes.iter().position(loads).expect("it is written");
    for (errno, code) in [(5, 10), (28, 7)] {
        let (ended, said, path) = failed(
            "restore, a database",
            &Action::FailFromHere(errno),
            "write",
            first + 1,
        );
        assert_eq!(ended, code, "{path}: {said}");
    }
}
