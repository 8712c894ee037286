//! The checksum file beside an archive can be made again, and an archive that can't be opened is one of many: neither
//! keeps anybody from what is good.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{App, run, tool};

/// Two backups; the archive and the checksum file of the first.
fn two() -> (App, PathBuf, PathBuf) {
    let app = App::small();
    let first = app.create();
    app.create();
    let archive = app.archive(&first);
    let sidecar = PathBuf::from(format!("{}.sha256", archive.display()));
    (app, archive, sidecar)
}

type Spoil = fn(&Path);

/// Everything that may lie in the place of a checksum file.
const SPOILS: [(&str, Spoil); 6] = [
    ("a folder", |path| std::fs::create_dir(path).unwrap()),
    ("a FIFO", |path| {
        run(Command::new(tool("mkfifo")).arg(path)).exits(0);
    }),
    ("a link", |path| symlink("elsewhere", path).unwrap()),
    ("nothing in it", |path| std::fs::write(path, "").unwrap()),
    ("something else", |path| {
        std::fs::write(path, "\u{1b}[2J?\n").unwrap()
    }),
    ("too much", |path| {
        std::fs::write(path, "x".repeat(1 << 20)).unwrap()
    }),
];

fn ids_and_statuses(verified: &Value) -> Vec<(u64, &str)> {
    let results = verified["results"].as_array().unwrap();
    results
        .iter()
        .map(|r| (r["backup"]["id"].as_u64().unwrap(), r["status"].as_str().unwrap()))
        .collect()
}

/// What verify calls a problem, and restore and drill do without.
fn is_found_and_does_no_harm(app: &App, what: &str) {
    let all = app.cofre(&["--json", "verify", "--all"]).exits(5);
    assert_eq!(
        ids_and_statuses(&all.json()),
        [(1, "failed"), (2, "verified")],
        "{what}: {all}"
    );
    let problems = all.json()["results"][0]["problems"].to_string();
    assert!(
        problems.contains(".zip.sha256") && problems.contains("sha256sum"),
        "{what}: {problems}"
    );
    let out = app.path("out");
    app.cofre(&["restore", "1", "--to", out.to_str().unwrap()])
        .exits(0)
        .says(".zip.sha256");
    std::fs::remove_dir_all(out).unwrap();
    app.cofre(&["drill", "1"]).exits(0);
}

#[test]
fn a_checksum_file_that_is_none_costs_nothing_but_a_warning() {
    let (app, archive, sidecar) = two();
    let kept = std::fs::read(&sidecar).unwrap();
    for (what, spoil) in SPOILS {
        std::fs::remove_file(&sidecar).unwrap();
        spoil(&sidecar);
        is_found_and_does_no_harm(&app, what);
        app.cofre(&["rebuild"]).exits(0);
        // Taken in anew, by its own bytes.
        let history = std::fs::read(app.history_path()).unwrap();
        std::fs::remove_file(app.history_path()).unwrap();
        app.cofre(&["rebuild"]).exits(0).says("the catalog has 2 backups");
        std::fs::write(app.history_path(), history).unwrap();
        if std::fs::remove_file(&sidecar).is_err() {
            std::fs::remove_dir(&sidecar).unwrap();
        }
        std::fs::write(&sidecar, &kept).unwrap();
    }
    app.cofre(&["verify", "--all"]).exits(0);
    // A wrong digit in it, where the catalog knows better.
    let mut wrong = kept.clone();
    wrong[0] = if wrong[0] == b'0' { b'1' } else { b'0' };
    std::fs::write(&sidecar, wrong).unwrap();
    is_found_and_does_no_harm(&app, "a wrong digit");
    // Where both say the same, it is the archive.
    std::fs::write(&sidecar, kept).unwrap();
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    app.cofre(&["verify", "1"]).exits(5);
    app.cofre(&["restore", "1"]).exits(5);
}

#[test]
fn an_archive_that_can_not_be_opened_is_a_failed_one_and_the_others_are_verified() {
    let (app, archive, _) = two();
    // Nobody listens there, so that what is to be told stays.
    let toml = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!(
        "{toml}\n[[webhooks]]\nurl = \"http://127.0.0.1:9/x\"\nevents = [\"verify_failed\"]\n"
    ));
    std::fs::set_permissions(&archive, std::fs::Permissions::from_mode(0o000)).unwrap();
    let all = app.cofre_unprivileged(&["--json", "verify", "--all"]).exits(5);
    assert_eq!(
        ids_and_statuses(&all.json()),
        [(1, "failed"), (2, "verified")],
        "{all}"
    );
    let row = &app.history()[0];
    assert_eq!(row["verify_status"], "failed", "{row}");
    let told = run(Command::new(tool("grep"))
        .args(["-rl", "verify_failed"])
        .arg(app.path(".cofre/outbox")))
    .exits(0);
    assert!(told.stdout.lines().count() >= 1, "{told}");
    app.cofre_unprivileged(&["verify", "1"])
        .exits(5)
        .says("the archive can't be opened");
}

#[test]
fn what_is_in_the_place_of_an_archive_is_said() {
    let (app, archive, _) = two();
    std::fs::rename(&archive, app.path("kept")).unwrap();
    symlink(app.path("kept"), &archive).unwrap();
    app.cofre(&["restore", "1"])
        .exits(4)
        .says("what is in the archive's place is no regular file");
}
