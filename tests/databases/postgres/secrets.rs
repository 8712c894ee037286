//! The password is in one private file, for as long as the dump takes, and nowhere else.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{app, features, set_url};

const PASSWORD: &str = "hunter2correcthorse";

/// Every file below a folder.
fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_password_is_in_no_argument_environment_log_answer_archive_or_leftover() {
    let cluster = features();
    cluster.sql(
        "shop",
        &format!("CREATE ROLE dumper SUPERUSER LOGIN PASSWORD '{PASSWORD}'"),
    );
    let site = app(
        &cluster.url("dumper", PASSWORD, "shop"),
        "[log]\nlevel = \"debug\"\nfile = \"cofre.log\"",
    );
    let done = AtomicBool::new(false);
    let (record, seen) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&site.path(".cofre/staging"), &done));
        let run = site.cofre(&["-v", "--json", "create"]);
        done.store(true, Ordering::SeqCst);
        let seen = watcher.join().unwrap();
        let run = run.exits(0).never_says(PASSWORD);
        (run.json(), seen)
    });
    // The watcher has seen what it had to see.
    assert!(seen.iter().any(|what| what == "file 600 in 700"), "{seen:?}");
    for program in ["psql", "pg_dump"] {
        assert!(
            seen.contains(&format!("program {program}")),
            "{program}: {seen:?}"
        );
    }
    assert!(!seen.iter().any(|what| what.contains("password")), "{seen:?}");
    assert_eq!(record["status"], "completed");
    site.restore("latest", "out");

    // And when it fails.
    set_url(&site, &cluster.url("dumper", PASSWORD, "nowhere"));
    site.cofre(&["-v", "--json", "create"])
        .exits(10)
        .never_says(PASSWORD);
    set_url(
        &site,
        &cluster.url("dumper", &format!("{PASSWORD}%20wrong"), "shop"),
    );
    site.cofre(&["-v", "create"]).exits(10).never_says(PASSWORD);
    site.cofre(&["doctor"]).never_says(PASSWORD);
    site.cofre(&["config", "check"]).never_says(PASSWORD);
    site.cofre(&["show", "latest"]).never_says(PASSWORD);

    let mut found = Vec::new();
    files(site.root(), &mut found);
    assert!(found.len() > 30, "{found:?}");
    for file in found.iter().filter(|file| !file.ends_with("db.url")) {
        let bytes = std::fs::read(file).unwrap_or_default();
        assert!(!holds(&bytes, PASSWORD), "the password is in {}", file.display());
    }
}

/// Looks at every process and at staging until it is told to stop; says what it saw.
fn watch(staging: &Path, done: &AtomicBool) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while !done.load(Ordering::SeqCst) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if holds(&environment, "PGAPPNAME=cofre") {
                let program = arguments.split(|b| *b == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(program);
                seen.insert(format!("program {}", name.rsplit('/').next().unwrap_or_default()));
            }
            // The test itself has it in its memory, not in its arguments.
            if holds(&arguments, PASSWORD) {
                seen.insert(format!(
                    "the password in the arguments of {:?}",
                    String::from_utf8_lossy(&arguments)
                ));
            }
            if holds(&environment, PASSWORD) {
                seen.insert(format!(
                    "the password in the environment of {:?}",
                    String::from_utf8_lossy(&arguments)
                ));
            }
        }
        let mut found = Vec::new();
        files(staging, &mut found);
        for file in found {
            let Ok(bytes) = std::fs::read(&file) else { continue };
            if holds(&bytes, PASSWORD) {
                let mode =
                    |path: &Path| std::fs::metadata(path).map_or(0, |m| m.permissions().mode() & 0o777);
                if mode(&file) != 0 {
                    seen.insert(format!(
                        "file {:o} in {:o}",
                        mode(&file),
                        mode(file.parent().unwrap())
                    ));
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    seen
}
