//! What holds after every fault: nothing that was complete is lost, nothing half is listed, and the next run works and
//! cleans up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::copies;
use crate::folders::{IDENTITY, encrypts};
use crate::scene::Stage;
use crate::support::{App, Run, run, tool};

/// What was there before.
pub(crate) struct Known {
    pub(crate) rows: Vec<Value>,
    /// SHA-256 of each complete archive, by the name of its backup.
    archives: BTreeMap<String, String>,
    /// The highest id that was given out.
    pub(crate) highest: u64,
    /// SHA-256 of each copy off the machine, by the name of its backup.
    pub(crate) copies: BTreeMap<String, String>,
    /// Names in the application's folder.
    names: BTreeSet<String>,
}

impl Known {
    pub(crate) fn of(app: &App) -> Self {
        let rows = if app.history_path().exists() {
            app.history()
        } else {
            Vec::new()
        };
        let complete = rows.iter().filter(|row| row["status"] == "completed");
        Self {
            archives: complete
                .map(|row| (name(row).to_owned(), content(app, row).expect("an archive")))
                .collect(),
            highest: rows
                .iter()
                .filter_map(|row| row["id"].as_u64())
                .max()
                .unwrap_or(0),
            rows,
            copies: copies::copies(app),
            names: names(app.root()),
        }
    }

    /// What was complete is as it was, and is listed, apart from what may go.
    fn intact(&self, app: &App, rows: &[Value], may_go: &dyn Fn(u64) -> bool) {
        for before in &self.rows {
            let Some(digest_before) = self.archives.get(name(before)) else {
                continue;
            };
            let id = before["id"].as_u64().unwrap();
            let now = rows.iter().find(|row| row["id"] == id);
            match now {
                None => assert!(may_go(id), "backup {id} is not listed any more: {rows:?}"),
                Some(now) => {
                    for field in ["name", "status", "sha256", "size"] {
                        assert_eq!(now[field], before[field], "`{field}` of backup {id}");
                    }
                }
            }
            let digest_now = content(app, before);
            if now.is_some() || digest_now.is_some() {
                assert!(digest_now.is_some(), "the archive of backup {id} is gone");
                assert_eq!(
                    digest_now.as_ref(),
                    Some(digest_before),
                    "the archive of backup {id}"
                );
            }
        }
    }
}

/// How closely it is looked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Read every archive in the end.
    pub(crate) thorough: bool,
    /// The times of files count too.
    pub(crate) times: bool,
}

/// Looks at everything after a fault, with the command again and the next run. `ended` is the command's own run, where it
/// ended with 0.
pub(crate) fn judge(stage: &Stage, app: &App, known: &Known, ended: Option<&Run>, how: How) {
    let scene = stage.scene;
    let done = ended.is_some();
    stage.whole(app, ended, how.times);
    let mut highest = known.highest;
    if let Some(rows) = listed(app, !done) {
        sound(app, &rows);
        known.intact(app, &rows, &|id| scene.may_go.contains(&id));
        highest = highest.max(
            rows.iter()
                .filter_map(|row| row["id"].as_u64())
                .max()
                .unwrap_or(0),
        );
    } else {
        // Without a list the archives themselves have to be there.
        for row in &known.rows {
            assert!(content(app, row).is_some(), "the archive of {row} is gone");
        }
    }
    copies::intact(app, known, scene.copies_may_go);
    if done {
        (scene.done)(app, known);
    }

    let again = (scene.rerun)(scene, app);
    let code = again.code.unwrap_or(-1);
    assert!(scene.again.contains(&code), "the same command again: {again}");
    stage.whole(app, Some(&again), how.times);
    if code == 0 {
        (scene.done)(app, known);
    }

    let row = next_run(app);
    assert!(
        row["id"].as_u64().unwrap() > highest,
        "the id of {row} was given out before: {highest}"
    );
    let rows = listed(app, false).unwrap();
    sound(app, &rows);
    known.intact(app, &rows, &|id| scene.retention || scene.may_go.contains(&id));
    copies::settle(app, known, scene);
    clean(stage, app, known, &app.history());
    if how.thorough {
        app.cofre(&["verify", "--all"]).exits(0);
    }
}

#[track_caller]
fn next_run(app: &App) -> Value {
    let row = app.json(&["create"]);
    assert_eq!(row["status"], "completed", "{row}");
    row
}

/// What `cofre list` gives; none where the catalog may be in need of a rebuild, which it then says.
fn listed(app: &App, may_be_invalid: bool) -> Option<Vec<Value>> {
    if !app.path("cofre.toml").exists() {
        return None;
    }
    let list = app.cofre(&["--json", "list"]);
    if may_be_invalid && list.code == Some(10) && list.stdout.contains("cofre rebuild") {
        return None;
    }
    Some(list.exits(0).json().as_array().expect("rows").clone())
}

/// The rows make sense by themselves, and what they call complete is.
fn sound(app: &App, rows: &[Value]) {
    let ids: BTreeSet<_> = rows
        .iter()
        .map(|row| row["id"].as_u64().expect("an id"))
        .collect();
    let names: BTreeSet<_> = rows.iter().map(name).collect();
    assert!(
        ids.len() == rows.len() && names.len() == rows.len(),
        "an id or a name twice: {rows:?}"
    );
    let copied = copies::copies(app);
    for row in rows {
        if !matches!(row["status"].as_str(), Some("completed" | "partial")) {
            assert_eq!(row["size"], 0, "{row}");
            continue;
        }
        // What is only at a remote is listed as such.
        if row["archive_present"] == false && copied.contains_key(name(row)) {
            continue;
        }
        let digest = content(app, row).unwrap_or_else(|| panic!("{row} has no archive"));
        assert_eq!(row["sha256"], digest, "half an archive is listed: {row}");
        let sidecar = app.backups().join(format!("{}.zip.sha256", name(row)));
        if let Ok(text) = std::fs::read_to_string(sidecar) {
            assert!(text.starts_with(row["sha256"].as_str().unwrap()), "{row}: {text}");
        }
    }
    let archives = if app.backups().is_dir() {
        app.archives()
    } else {
        Vec::new()
    };
    for archive in archives {
        if !rows.iter().any(|row| app.archive(row) == archive) {
            run(Command::new(tool("unzip")).arg("-tqq").arg(&archive)).exits(0);
        }
    }
}

/// Nothing unfinished is left after the next run.
fn clean(stage: &Stage, app: &App, known: &Known, rows: &[Value]) {
    for row in rows {
        assert_ne!(row["status"], "in_progress", "{row}");
    }
    let mut expected: BTreeSet<String> = ["backup_history.json", ".catalog.json", ".scan.json"]
        .map(str::to_owned)
        .into();
    for row in rows
        .iter()
        .filter(|row| row["status"] == "completed" || row["status"] == "partial")
    {
        let ending = if encrypts(app) { ".age" } else { "" };
        expected.insert(format!("{}.zip{ending}", name(row)));
        expected.insert(format!("{}.zip{ending}.sha256", name(row)));
    }
    let kept = |name: &str| name.contains(".json.broken-") || name.starts_with("restore_backup_");
    for file in app.backup_files() {
        assert!(
            expected.contains(&file) || kept(&file),
            "{file} is left in the backups folder: {:?}",
            app.backup_files()
        );
    }
    let state = app.path(".cofre");
    if state.is_dir() {
        for (path, _) in crate::tree::tree(&state) {
            let unfinished = path.starts_with("staging/")
                || path.contains(".staged.")
                || path.ends_with(".tmp")
                || path.ends_with(".partial");
            assert!(!unfinished, "{path} is left in the state folder");
        }
    }
    let mine = stage.clean.root();
    for file in names(app.root()) {
        let known =
            known.names.contains(&file) || mine.join(&file).exists() || file == "backups" || file == ".cofre";
        assert!(known, "{file} is left in the application's folder");
    }
}

fn name(row: &Value) -> &str {
    row["name"].as_str().unwrap_or_else(|| panic!("no name: {row}"))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// SHA-256 of the archive of a row: of the plain one, or of what age makes of the encrypted one where that is the only one.
fn content(app: &App, row: &Value) -> Option<String> {
    let plain = app.archive(row);
    if plain.exists() {
        return Some(digest(&plain));
    }
    let sealed = app.backups().join(format!("{}.zip.age", name(row)));
    if !sealed.exists() {
        return None;
    }
    let opened = run(Command::new(tool("sh"))
        .args(["-c", "age -d -i \"$0\" \"$1\" | sha256sum"])
        .arg(app.path(IDENTITY))
        .arg(&sealed))
    .exits(0);
    Some(
        opened
            .stdout
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
    )
}

pub(crate) fn digest(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
