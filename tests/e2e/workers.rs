//! Several sandboxes for one operation: how many there are, that the result is that of one, and that nothing is left
//! when the operation is stopped.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{App, Rng, cofre_binary, registry_tree, run, same_tree, spawn, tiny_files, tool};

/// Work for some workers, large and small.
fn busy() -> App {
    let app = App::new();
    registry_tree(&app.path("static/fontes"), 1_500);
    tiny_files(&app.path("static/muitos"), 1_500);
    app.write("static/grande.bin", &Rng::fixed(5).bytes(30 << 20));
    app.write("static/zeros.raw", &vec![0; 30 << 20]);
    app
}

/// Threads of workers that a command starts.
fn workers_of(app: &App, args: &[&str]) -> usize {
    let said = app.path("strace.txt");
    run(Command::new(tool("strace"))
        .args(["-f", "-e", "trace=prctl", "-o"])
        .arg(&said)
        .arg(cofre_binary())
        .arg("--config")
        .arg(app.path("cofre.toml"))
        .args(args))
    .exits(0);
    let said = std::fs::read_to_string(said).unwrap();
    said.matches("\"cofre-worker-").count()
}

#[test]
fn the_option_comes_before_the_configuration_and_a_tiny_backup_starts_one_worker_at_most() {
    let app = busy();
    let to = app.path("volta");
    let configured = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!("{configured}[archive]\nworkers = 3\n"));
    assert_eq!(workers_of(&app, &["create"]), 3);
    assert_eq!(workers_of(&app, &["create", "--full", "--workers", "5"]), 5);
    assert_eq!(workers_of(&app, &["create", "--full", "--workers", "1"]), 0);
    assert_eq!(workers_of(&app, &["verify"]), 3);
    assert_eq!(workers_of(&app, &["verify", "--workers", "1"]), 0);
    let restore = ["restore", "latest", "--to", to.to_str().unwrap(), "--workers"];
    assert_eq!(workers_of(&app, &[&restore[..], &["4"]].concat()), 4);
    app.cofre(&["create", "--workers", "257"])
        .exits(2)
        .says("--workers");
    let tiny = App::small();
    assert!(workers_of(&tiny, &["create", "--workers", "8"]) <= 1);
}

/// The answer of `verify`, without the times of its record.
fn verified(app: &App, id: &str, workers: &str, code: i32) -> Value {
    let run = app
        .cofre(&["--json", "verify", id, "--workers", workers])
        .exits(code);
    let mut answer = run.json();
    let backup = answer["results"][0]["backup"].as_object_mut().unwrap();
    backup.remove("verified_at");
    answer
}

#[test]
fn verify_and_restore_say_and_do_the_same_with_one_and_with_four_workers() {
    let app = busy();
    let good = app.create()["id"].to_string();
    let bad = app.json(&["create", "--full"]);
    let archive = app.archive(&bad);
    let bad = bad["id"].to_string();
    let mut bytes = std::fs::read(&archive).unwrap();
    for part in 1..8 {
        let at = bytes.len() / 8 * part;
        bytes[at] ^= 0x40;
    }
    std::fs::write(&archive, bytes).unwrap();
    assert_eq!(verified(&app, &good, "1", 0), verified(&app, &good, "4", 0));
    let damage = verified(&app, &bad, "1", 5);
    assert_eq!(damage, verified(&app, &bad, "4", 5));
    assert!(
        damage["results"][0]["problems"].as_array().unwrap().len() > 1,
        "{damage}"
    );

    for workers in ["1", "4"] {
        let to = app.path(workers);
        let to = to.to_str().unwrap();
        let restore = |id| app.cofre(&["restore", id, "--to", to, "--workers", workers]);
        restore(&bad).exits(5);
        assert!(!Path::new(to).exists());
        restore(&good).exits(0);
        same_tree(&app.path("static"), &app.path(workers).join("static"));
    }
    app.assert_no_leftovers();
}

/// Waits until something of a started command is there.
fn until_there(child: &mut Child, there: impl Fn() -> bool) {
    while !there() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it could be stopped"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn interrupt(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// Whether a name in a folder ends like this, with at least so many bytes in the file.
fn has(folder: &Path, ending: &str, bytes: u64) -> bool {
    std::fs::read_dir(folder).is_ok_and(|names| {
        names.flatten().any(|entry| {
            entry.file_name().to_string_lossy().ends_with(ending)
                && entry.metadata().is_ok_and(|meta| meta.len() >= bytes)
        })
    })
}

#[test]
fn an_operation_of_several_workers_that_is_cancelled_in_the_middle_leaves_nothing() {
    let app = busy();
    app.write("static/enorme.bin", &Rng::fixed(6).bytes(300 << 20));
    let mut child = spawn(&mut app.command(&["create", "--workers", "4"]));
    until_there(&mut child, || has(&app.backups(), ".zip.partial", 8 << 20));
    interrupt(&mut child);
    app.assert_no_leftovers();
    assert_eq!(app.history()[0]["status"], "cancelled");
    assert!(app.archives().is_empty());

    app.create();
    let to = app.path("volta/aqui");
    std::fs::create_dir(app.path("volta")).unwrap();
    let mut child = spawn(&mut app.command(&[
        "restore",
        "latest",
        "--workers",
        "4",
        "--to",
        to.to_str().unwrap(),
    ]));
    until_there(&mut child, || has(&app.path("volta/.aqui.partial"), "static", 0));
    interrupt(&mut child);
    assert_eq!(std::fs::read_dir(app.path("volta")).unwrap().count(), 0);

    let mut child = spawn(&mut app.command(&["verify", "--workers", "4"]));
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&mut child);
    app.cofre(&["verify", "--workers", "4"]).exits(0);
}
