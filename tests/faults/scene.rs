//! The commands that change something, each with the folder that it finds.

use crate::folders::{
    application, backups, crashed, four_backups, limited, three_backups, to_be_encrypted, two_backups,
};
use crate::injector::{Action, Call, Injected, inject};
use crate::judge::Known;
use crate::support::{App, Run, run};
use crate::tree::{difference, timeless, tree};

/// One command.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Makes the folder that each point gets a copy of.
    pub(crate) make: fn() -> App,
    /// Brings a copy to where the command finds it: what a copy can't keep, such as the times of inodes.
    pub(crate) prepare: fn(&App),
    /// What happens to it behind cofre's back, after which its rows can't be asked any more.
    pub(crate) spoil: fn(&App),
    pub(crate) args: &'static [&'static str],
    /// Backups that may be gone, whatever becomes of the command.
    pub(crate) may_go: &'static [u64],
    /// Backups whose copies off the machine may be gone.
    pub(crate) copies_may_go: &'static [u64],
    /// Whether retention goes on removing in later runs.
    pub(crate) retention: bool,
    /// What the command makes in the application's folder: complete, or not there.
    pub(crate) makes: &'static [&'static str],
    /// How the command may end when it is called again after it was cut short anywhere.
    pub(crate) again: &'static [i32],
    /// What holds once the command has ended with 0.
    pub(crate) done: fn(&App, &Known),
    /// Runs it once more, undisturbed.
    pub(crate) rerun: fn(&Scene, &App) -> Run,
    /// Runs it with a fault.
    pub(crate) run: fn(&Scene, &App, &Action, &str, usize) -> Injected,
}

pub(crate) const PLAIN: Scene = Scene {
    name: "",
    make: three_backups,
    prepare: |_| (),
    spoil: |_| (),
    args: &[],
    may_go: &[],
    copies_may_go: &[],
    retention: false,
    makes: &[],
    again: &[0],
    done: |_, _| (),
    rerun: |scene, app| run(&mut scene.command(app)),
    run: |scene, app, action, only, at| inject(&scene.command(app), app.root(), action, only, at),
};

/// All but those of copies.
const SCENES: &[Scene] = &[
    Scene {
        name: "create, the first",
        make: application,
        args: &["create"],
        done: created,
        ..PLAIN
    },
    Scene {
        name: "create, the next, with retention",
        make: || limited(two_backups()),
        // A copy has new inodes, so that the cache of unchanged files would not fit.
        prepare: |app| {
            app.create();
            app.write("static/app.js", b"'use strict'; // changed\n");
        },
        args: &["create"],
        may_go: &[1, 2],
        retention: true,
        done: created,
        ..PLAIN
    },
    Scene {
        name: "create, after a crash",
        make: crashed,
        args: &["create"],
        may_go: &[1],
        done: created,
        ..PLAIN
    },
    Scene {
        name: "create, encrypted",
        make: to_be_encrypted,
        args: &["create"],
        done: created,
        ..PLAIN
    },
    Scene {
        name: "prune",
        make: || limited(four_backups()),
        args: &["prune"],
        may_go: &[1, 2],
        retention: true,
        done: |app, _| gone(app, &[1, 2]),
        ..PLAIN
    },
    Scene {
        name: "delete",
        args: &["delete", "2"],
        may_go: &[2],
        again: &[0, 4],
        done: |app, _| gone(app, &[2]),
        ..PLAIN
    },
    Scene {
        name: "pin",
        args: &["pin", "1"],
        done: |app, _| assert_eq!(row(app, 1)["pinned"], true),
        ..PLAIN
    },
    Scene {
        name: "unpin",
        prepare: |app| drop(app.cofre(&["pin", "1"]).exits(0)),
        args: &["unpin", "1"],
        done: |app, _| assert_eq!(row(app, 1)["pinned"], false),
        ..PLAIN
    },
    Scene {
        name: "verify",
        args: &["verify", "--all"],
        ..PLAIN
    },
    Scene {
        name: "drill",
        args: &["drill"],
        ..PLAIN
    },
    Scene {
        name: "restore, a folder",
        args: &["restore", "latest", "--to", "ROOT/restored"],
        makes: &["restored"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "restore, into the backups",
        args: &["restore", "2"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "restore, a database",
        args: &[
            "restore",
            "latest",
            "--database",
            "app",
            "--into",
            "sqlite:ROOT/new.db",
        ],
        makes: &["new.db"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "rebuild, of half a catalog",
        spoil: |app| {
            let text = std::fs::read(app.history_path()).unwrap();
            app.write("backups/backup_history.json", &text[..text.len() / 2]);
        },
        args: &["rebuild"],
        done: all_listed,
        ..PLAIN
    },
    Scene {
        name: "rebuild, without a catalog",
        spoil: |app| {
            std::fs::remove_file(app.history_path()).unwrap();
            std::fs::remove_file(app.path("backups/.catalog.json")).unwrap();
        },
        args: &["rebuild"],
        done: all_listed,
        ..PLAIN
    },
    Scene {
        name: "init",
        make: || {
            let app = application();
            std::fs::remove_file(app.path("cofre.toml")).unwrap();
            app
        },
        args: &["init", "ROOT"],
        makes: &["cofre.toml"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "component",
        args: &["component", "--output", "ROOT/cofre.wasm"],
        makes: &["cofre.wasm"],
        again: &[0, 10],
        ..PLAIN
    },
    Scene {
        name: "serve, a backup through the API",
        make: || backups(1),
        args: &["create"],
        done: created,
        rerun: |_, app| crate::serve::backup(app, &Action::Trace, "all", 0).run,
        run: |_, app, action, only, at| crate::serve::backup(app, action, only, at),
        ..PLAIN
    },
    Scene {
        name: "man",
        args: &["man", "--output", "ROOT/manual"],
        ..PLAIN
    },
];

/// A scene with its folder.
pub(crate) struct Stage {
    pub(crate) scene: &'static Scene,
    template: App,
    /// The folder after an undisturbed run.
    pub(crate) clean: App,
    /// What that run did.
    pub(crate) calls: Vec<Call>,
}

impl Stage {
    /// Every scene, made and run once undisturbed.
    pub(crate) fn all() -> Vec<Self> {
        let scenes = SCENES.iter().chain(crate::copies::SCENES);
        let wanted = scenes.filter(|scene| crate::points::wanted(scene.name));
        wanted.map(Self::new).collect()
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self::new(
            SCENES
                .iter()
                .find(|scene| scene.name == name)
                .expect("a scene of this name"),
        )
    }

    fn new(scene: &'static Scene) -> Self {
        let template = (scene.make)();
        let (clean, known) = Self::set(scene, &template);
        let run = scene.inject(&clean, &Action::Trace, "all", 0);
        let what = format!("{}: {}", scene.name, run.run);
        assert!(run.done, "{what}");
        assert!(!run.calls.is_empty(), "{what}\nchanges nothing");
        (scene.done)(&clean, &known);
        crate::copies::all_there(&clean, scene);
        for made in scene.makes {
            assert!(clean.path(made).exists(), "{what}\nmakes no {made}");
        }
        // A slow moment makes a call or two more; the points are those of the shorter of two runs.
        let (app, _) = Self::set(scene, &template);
        let second = scene.inject(&app, &Action::Trace, "all", 0).calls;
        let calls = if second.len() < run.calls.len() {
            second
        } else {
            run.calls
        };
        Self {
            scene,
            template,
            clean,
            calls,
        }
    }

    /// A folder as the command finds it, and what was known before.
    pub(crate) fn ready(&self) -> (App, Known) {
        Self::set(self.scene, &self.template)
    }

    fn set(scene: &Scene, template: &App) -> (App, Known) {
        let app = template.copy();
        (scene.prepare)(&app);
        let known = Known::of(&app);
        (scene.spoil)(&app);
        (app, known)
    }

    /// Runs the command until a fault meets the call number `at` of those called `only`: how many there are may differ
    /// with the time that things take. `None` where it never comes to that.
    pub(crate) fn meet(
        &self,
        action: &Action,
        only: &str,
        at: usize,
    ) -> Option<(App, Known, Injected, Call)> {
        for _ in 0..3 {
            let (app, known) = self.ready();
            let injected = self.scene.inject(&app, action, only, at);
            if let Some(hit) = injected.hits.first().cloned() {
                return Some((app, known, injected, hit));
            }
            assert!(injected.done, "undisturbed: {}", injected.run);
        }
        None
    }

    /// What the command makes is complete or not there; all of it is there after `run`, which says so.
    pub(crate) fn whole(&self, app: &App, run: Option<&Run>, times: bool) {
        let said = run.map_or_else(String::new, Run::to_string);
        for made in self.scene.makes {
            let path = app.path(made);
            if path.symlink_metadata().is_err() {
                assert!(run.is_none(), "{made} is not there: {said}");
                continue;
            }
            let (mine, clean) = (tree(&path), tree(&self.clean.path(made)));
            let differs = if times {
                difference(&mine, &clean)
            } else {
                difference(&timeless(mine), &timeless(clean))
            };
            assert_eq!(
                differs, None,
                "{made} is not complete, the first difference: {said}"
            );
        }
    }
}

/// How many calls of these names the command makes; with `halved`, of those that can do half of their work.
pub(crate) fn count(stage: &Stage, only: &str, halved: bool) -> usize {
    let counts = |call: &&Call| call.is_one_of(only) && !(halved && call.length < 2);
    stage.calls.iter().filter(counts).count()
}

impl Scene {
    /// Runs the command with a fault at the call number `at` of those called `only`.
    pub(crate) fn inject(&self, app: &App, action: &Action, only: &str, at: usize) -> Injected {
        (self.run)(self, app, action, only, at)
    }

    /// The command on a folder.
    pub(crate) fn command(&self, app: &App) -> std::process::Command {
        let root = app.root().to_str().expect("a temporary path in UTF-8");
        let args: Vec<_> = self.args.iter().map(|arg| arg.replace("ROOT", root)).collect();
        app.command(&args)
    }
}

fn row(app: &App, id: u64) -> serde_json::Value {
    let rows = app.history();
    let row = rows.iter().find(|row| row["id"] == id);
    row.unwrap_or_else(|| panic!("no row {id}: {rows:?}")).clone()
}

pub(crate) fn created(app: &App, known: &Known) {
    let rows = app.history();
    let newest = rows.iter().max_by_key(|row| row["id"].as_u64()).expect("a row");
    assert!(
        newest["id"].as_u64().unwrap() > known.highest,
        "a new row: {rows:?}"
    );
    assert_eq!(newest["status"], "completed", "{newest}");
}

fn gone(app: &App, ids: &[u64]) {
    for row in app.history() {
        assert!(!ids.iter().any(|id| row["id"] == *id), "{row} is still there");
    }
    let (archives, rows) = (app.archives().len(), app.history().len());
    assert_eq!(archives, rows, "the archives of what was removed are gone");
}

pub(crate) fn all_listed(app: &App, known: &Known) {
    let rows = app.history();
    for row in &known.rows {
        assert!(
            rows.iter()
                .any(|now| now["id"] == row["id"] && now["name"] == row["name"]),
            "{row} is not in {rows:?}"
        );
    }
}
