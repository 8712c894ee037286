//! The folders that the commands find.

use std::process::Command;

use crate::injector::{Action, inject};
use crate::support::{App, Rng, run, tool};

/// Two databases would be two dumps; one of three rows is enough, and few calls.
const SQL: &str = "CREATE TABLE setores(id INTEGER PRIMARY KEY, nome TEXT);\n\
                   INSERT INTO setores(nome) VALUES ('obras'), ('saúde'), ('trânsito');\n";

/// A folder with a bit of everything and no backup.
pub(crate) fn application() -> App {
    let app = App::new();
    app.write("static/css/style.css", b"body { margin: 0 }\n");
    app.write("static/app.js", b"'use strict';\n");
    app.write("static/foto.jpg", &Rng::fixed(7).bytes(3_000));
    std::os::unix::fs::symlink("app.js", app.path("static/link.js")).unwrap();
    app.write("requirements.txt", b"flask\n");
    let db = app.path("app.db");
    run(Command::new(tool("sqlite3")).arg(db).arg(SQL)).exits(0);
    configure(&app, 30);
    app
}

pub(crate) fn configure(app: &App, max_backups: u32) {
    app.config(&format!(
        "max_backups = {max_backups}\n[sources.static]\npath = \"static\"\n[sources.config]\nfiles = [\"requirements.txt\"]\n\
         [databases.app]\nurl = \"sqlite:app.db\"\n"
    ));
}

pub(crate) fn backups(count: u32) -> App {
    let app = application();
    for _ in 0..count {
        app.create();
    }
    app
}

pub(crate) fn two_backups() -> App {
    backups(2)
}

pub(crate) fn three_backups() -> App {
    backups(3)
}

pub(crate) fn four_backups() -> App {
    backups(4)
}

/// Two plain backups, and from now on all are encrypted.
pub(crate) fn to_be_encrypted() -> App {
    encrypting(two_backups(), "encrypt_local = true\n")
}

/// Whether the archives in the backups folder are encrypted.
pub(crate) fn encrypts(app: &App) -> bool {
    let config = std::fs::read_to_string(app.path("cofre.toml"));
    config.is_ok_and(|text| text.contains("encrypt_local"))
}

/// With keys, and a configuration that ends in its table of them.
pub(crate) fn encrypting(app: App, more: &str) -> App {
    app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
        .exits(0);
    let identity = std::fs::read_to_string(app.path(IDENTITY)).unwrap();
    let recipient = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("the public key");
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!(
        "{config}[encryption]\nrecipients = [\"{recipient}\"]\n{more}"
    ));
    app
}

/// What opens the archives of [`encrypting`], in the application's folder.
pub(crate) const IDENTITY: &str = "keys/cofre-identity.txt";

/// Retention keeps two from now on.
pub(crate) fn limited(app: App) -> App {
    configure(&app, 2);
    app
}

/// A create that was killed when the archive was to get its name, then a delete that was killed when the first file was to
/// go. A run cleans up after both; a delete does not.
pub(crate) fn crashed() -> App {
    let app = three_backups();
    for (args, call, at) in [
        (["create"].as_slice(), "rename", 3),
        (&["delete", "1"], "unlink", 3),
    ] {
        let killed = inject(&app.command(args), app.root(), &Action::Kill, call, at);
        assert!(killed.killed, "{}", killed.run);
    }
    let left = app.backup_files();
    assert!(
        left.iter().any(|name| name.ends_with("_manual.zip.partial")),
        "{left:?}"
    );
    assert_eq!(app.archives().len(), 3, "{left:?}");
    app
}
