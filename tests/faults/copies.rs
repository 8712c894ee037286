//! The commands that make, fetch and remove copies off the machine, and what holds for the copies after a fault. They are
//! in a folder of "another disk", where each step is a call that can be cut short; a server's faults are in `tests/remote`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::folders::{application, backups, encrypting};
use crate::judge::{Known, digest};
use crate::scene::{PLAIN, Scene, all_listed, created};
use crate::support::{App, Rng, copy_tree};

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
    // Of several writes, of which the first are on their way before the last is made.
    Scene {
        name: "remote push, a larger archive",
        make: || {
            let app = application();
            app.write("static/video.mp4", &Rng::fixed(11).bytes(2_200_000));
            app.create();
            with_remote(app, "")
        },
        args: &["remote", "push", REMOTE],
        done: |app, _| assert_eq!(copies(app).len(), 1),
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
    let app = with_remote(backups(all), of_remote);
    if first > 0 {
        let ids: Vec<_> = (1..=first).map(|id| id.to_string()).collect();
        let ids = ids.iter().map(String::as_str);
        let args: Vec<_> = ["remote", "push", REMOTE].into_iter().chain(ids).collect();
        app.cofre(&args).exits(0);
    }
    app
}

fn with_remote(app: App, of_remote: &str) -> App {
    let app = encrypting(app, "");
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!(
        "{config}signing_key_file = \"keys/cofre-signing.key\"\nidentity_file = \"keys/cofre-identity.txt\"\n\
         [[remotes]]\nname = \"{REMOTE}\"\nurl = \"{REMOTE}\"\n{of_remote}\n"
    ));
    std::fs::create_dir(app.path(REMOTE)).unwrap();
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
    let archive = |name: &str| app.path(REMOTE).join(format!("archives/{name}.zip.age"));
    let names = rows(app).into_keys().filter(|name| archive(name).exists());
    names
        .map(|name| {
            let digest = digest(&archive(&name));
            (name, digest)
        })
        .collect()
}

/// SHA-256 of the archive as each row at the remote says it, by the name of its backup.
fn rows(app: &App) -> BTreeMap<String, String> {
    let Ok(list) = std::fs::read_dir(app.path(REMOTE).join("rows")) else {
        return BTreeMap::new();
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    list.map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .map(|path| {
            let signed = json(&std::fs::read_to_string(path).unwrap());
            let row = json(&text(&signed["payload"]));
            (text(&row["backup"]["name"]), text(&row["object"]["sha256"]))
        })
        .collect()
}

/// Each row at the remote has the archive that it says, and copies that were whole are as they were, apart from what may go.
pub(crate) fn intact(app: &App, known: &Known, may_go: &[u64]) {
    let now = copies(app);
    assert_eq!(now, rows(app), "what the rows say is not there");
    for (name, digest) in &known.copies {
        let id = known.rows.iter().find(|row| row["name"] == **name);
        let id = id.map_or(0, |row| row["id"].as_u64().unwrap());
        match now.get(name) {
            None => assert!(may_go.contains(&id), "the copy {name} is gone: {now:?}"),
            Some(now) => assert_eq!(now, digest, "the copy {name} is another"),
        }
    }
}

/// Each complete backup has a copy; where the remote has a retention of its own, as many have as that keeps.
pub(crate) fn all_there(app: &App, scene: &Scene) {
    if !app.path(REMOTE).is_dir() {
        return;
    }
    let copies = copies(app);
    if !scene.copies_may_go.is_empty() {
        assert_eq!(copies.len(), KEPT, "{copies:?}");
        return;
    }
    for row in app.history().iter().filter(|row| row["status"] == "completed") {
        let name = row["name"].as_str().unwrap();
        assert!(copies.contains_key(name), "{row} has no copy: {copies:?}");
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
    all_there(app, scene);
    // The next run made one more, and a retention took the oldest of those that were to stay.
    if scene.copies_may_go.is_empty() {
        intact(app, known, &[]);
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
