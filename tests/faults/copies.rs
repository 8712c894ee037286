//! The commands that make, fetch and remove copies off the machine, and what holds for the copies after a fault. They are
//! in a folder of "another disk", where each step is a call that can be cut short; a server's faults are in `tests/remote`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::folders::{backups, encrypting};
use crate::judge::{Known, digest};
use crate::scene::{PLAIN, Scene, all_listed, created};
use crate::support::{App, copy_tree};

/// The folder of the other disk, in the application's.
const REMOTE: &str = "offsite";

/// Copies that the remote's retention keeps, where it has one.
const KEPT: usize = 2;

pub(crate) const SCENES: &[Scene] = &[
    Scene {
        name: "remote push",
        make: || copied(0, 2, ""),
        args: &["remote", "push", REMOTE],
        done: |app, _| assert_eq!(copies(app).len(), 2),
        ..PLAIN
    },
    Scene {
        name: "create, with copies",
        make: || copied(1, 1, ""),
        args: &["create"],
        done: created,
        ..PLAIN
    },
    Scene {
        name: "remote pull",
        make: || {
            let app = copied(3, 3, "");
            app.cofre(&["delete", "1"]).exits(0);
            app
        },
        args: &["remote", "pull", REMOTE, "--all"],
        done: |app, _| assert_eq!(app.archives().len(), 3),
        ..PLAIN
    },
    Scene {
        name: "remote prune",
        make: || copied(4, 4, &format!("max_backups = {KEPT}")),
        args: &["remote", "prune", REMOTE],
        copies_may_go: &[1, 2],
        done: |app, _| assert_eq!(copies(app).len(), KEPT),
        ..PLAIN
    },
    Scene {
        name: "restore, from a remote",
        make: fresh,
        args: &["restore", "latest", "--from", REMOTE, "--to", "ROOT/restored"],
        makes: &["restored"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "rebuild, from a remote",
        make: fresh,
        args: &["rebuild", "--from", REMOTE],
        done: |app, known| {
            all_listed(app, known);
            assert_eq!(app.history().len(), 2);
        },
        ..PLAIN
    },
];

/// So many backups, the first `first` of them with a copy.
fn copied(first: u32, all: u32, of_remote: &str) -> App {
    let app = encrypting(backups(all), "");
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!(
        "{config}signing_key_file = \"keys/cofre-signing.key\"\nidentity_file = \"keys/cofre-identity.txt\"\n\
         [[remotes]]\nname = \"{REMOTE}\"\nurl = \"{REMOTE}\"\n{of_remote}\n"
    ));
    std::fs::create_dir(app.path(REMOTE)).unwrap();
    if first > 0 {
        let ids: Vec<_> = (1..=first).map(|id| id.to_string()).collect();
        let ids = ids.iter().map(String::as_str);
        let args: Vec<_> = ["remote", "push", REMOTE].into_iter().chain(ids).collect();
        app.cofre(&args).exits(0);
    }
    app
}

/// Another machine, with the configuration, the keys, and two copies at the remote.
fn fresh() -> App {
    let lost = copied(2, 2, "");
    // The second one has the name of the next second, which a backup made here in that second would get, too.
    std::thread::sleep(Duration::from_secs(2));
    let app = App::blank();
    for folder in [REMOTE, "keys", "static"] {
        copy_tree(&lost.path(folder), &app.path(folder));
    }
    for file in ["cofre.toml", "app.db", "requirements.txt"] {
        std::fs::copy(lost.path(file), app.path(file)).unwrap();
    }
    app
}

/// SHA-256 of each archive at the remote that a row there lists, by the name of its backup.
pub(crate) fn copies(app: &App) -> BTreeMap<String, String> {
    let names = |folder: &str| -> Vec<String> {
        let Ok(list) = std::fs::read_dir(app.path(REMOTE).join(folder)) else {
            return Vec::new();
        };
        list.map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let archives = names("archives");
    let rows = names("rows");
    let listed = rows
        .iter()
        .filter_map(|row| row.strip_suffix(".json")?.split_once('-'));
    listed
        .filter(|(_, name)| archives.contains(&format!("{name}.zip.age")))
        .map(|(_, name)| {
            let path = app.path(REMOTE).join(format!("archives/{name}.zip.age"));
            (name.to_owned(), digest(&path))
        })
        .collect()
}

/// Copies that were whole are as they were, apart from what may go.
pub(crate) fn intact(app: &App, known: &Known, may_go: &[u64]) {
    let now = copies(app);
    for (name, digest) in &known.copies {
        let id = known.rows.iter().find(|row| row["name"] == **name);
        let id = id.map_or(0, |row| row["id"].as_u64().unwrap());
        match now.get(name) {
            None => assert!(may_go.contains(&id), "the copy {name} is gone: {now:?}"),
            Some(now) => assert_eq!(now, digest, "the copy {name} is another"),
        }
    }
}

/// After the next run, and `remote push` for what waits longer before it is tried again: each backup has one copy, which is
/// proved and can be fetched, and nothing unfinished lies there.
pub(crate) fn settle(app: &App, known: &Known, scene: &Scene) {
    if !app.path(REMOTE).is_dir() {
        return;
    }
    app.cofre(&["remote", "push", REMOTE]).exits(0);
    app.cofre(&["remote", "verify", REMOTE]).exits(0);
    nothing_unfinished(&app.path(REMOTE));
    let copies = copies(app);
    if scene.copies_may_go.is_empty() {
        intact(app, known, &[]);
        for row in app.history().iter().filter(|row| row["status"] == "completed") {
            let name = row["name"].as_str().unwrap();
            assert!(copies.contains_key(name), "{row} has no copy: {copies:?}");
        }
    } else {
        // The next run made one more, and its retention took the oldest of those that were to stay.
        assert_eq!(copies.len(), KEPT, "{copies:?}");
    }
    app.cofre(&["remote", "pull", REMOTE, "--all"]).exits(0);
}

fn nothing_unfinished(folder: &Path) {
    for (path, _) in crate::tree::tree(folder) {
        let name = path.rsplit('/').next().unwrap_or_default();
        assert!(
            !name.ends_with(".part") && !name.ends_with(".tmp"),
            "{path} is left at the remote"
        );
    }
}
