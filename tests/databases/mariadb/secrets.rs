//! The password is nowhere but in a private file while the dump is made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::archive_text;

use super::{PASSWORD, PASSWORD_IN_URL, app, database, server, url};

/// A piece of the password that no encoding changes would be too short to look for: each of these is.
const FORMS: [&str; 3] = [PASSWORD, PASSWORD_IN_URL, r##"Zx@:/#% \"q'\\$(a)é"##];

fn shows(bytes: &[u8]) -> bool {
    FORMS
        .iter()
        .any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
}

/// Looks at the arguments of all processes, and at what is in the folder of the run, until told to stop. Gives how
/// many arguments it saw of the dump program, and the modes of the files that held the password.
fn watch(state: &Path, over: &AtomicBool) -> (usize, Vec<u32>) {
    let (mut seen, mut modes) = (0, Vec::new());
    while !over.load(Ordering::SeqCst) {
        for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
            let arguments = read("cmdline");
            assert!(
                !shows(&arguments),
                "in the arguments: {}",
                String::from_utf8_lossy(&arguments)
            );
            // The environment of what cofre starts; the test itself has the password in no variable either.
            let environment = read("environ");
            assert!(
                !shows(&environment),
                "in the environment of {}",
                String::from_utf8_lossy(&arguments)
            );
            let ours = state.to_string_lossy();
            if String::from_utf8_lossy(&arguments).contains(&format!("--defaults-file={ours}")) {
                seen += 1;
            }
        }
        holders(state, &mut modes);
        std::thread::yield_now();
    }
    (seen, modes)
}

fn holders(folder: &Path, modes: &mut Vec<u32>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            holders(&entry.path(), modes);
        } else if shows(&std::fs::read(entry.path()).unwrap_or_default()) {
            let path = entry.path();
            let folder = path.parent().expect("a folder");
            let mode = |path: &Path| path.metadata().map_or(0, |m| m.permissions().mode() & 0o077);
            modes.push(mode(&path) | mode(folder));
        }
    }
}

#[test]
fn a_password_is_in_no_argument_log_answer_or_leftover() {
    let server = server();
    database(server, "secret");
    server.sql(
        "secret",
        "CREATE TABLE t (id INT PRIMARY KEY, words TEXT); INSERT INTO t SELECT seq, REPEAT(SHA2(seq, 512), 50) FROM seq_1_to_4000",
    );
    let app = app(&url(server, "secret"));
    let state = app.path(".cofre");
    let over = AtomicBool::new(false);
    let (run, (seen, modes)) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&state, &over));
        let run = app.cofre(&["-v", "--json", "create"]);
        over.store(true, Ordering::SeqCst);
        (run, watcher.join().expect("the watcher"))
    });
    assert!(
        seen > 0 && !modes.is_empty(),
        "the watcher saw the programs and their file"
    );
    assert!(
        modes.iter().all(|mode| *mode == 0),
        "others could read the file: {modes:?}"
    );
    let run = run.exits(0);
    assert!(
        !shows(run.stdout.as_bytes()) && !shows(run.stderr.as_bytes()),
        "{run}"
    );
    let record = app.history().pop().expect("a row");
    assert!(!shows(
        archive_text(&app.archive(&record), "backup_info.json").as_bytes()
    ));
    let dump = app.restore("latest", "back").join("database");
    let mut found = Vec::new();
    holders(&dump, &mut found);
    holders(&app.backups(), &mut found);
    holders(&state, &mut found);
    assert_eq!(found, Vec::<u32>::new());
    app.assert_no_leftovers();
}
