//! Sources that are not what the configuration says: each a clear error, or a counted and named skip.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::support::{App, archive_names, readers_accept, run, tool};

/// The run failed with a code and a message, and the catalog says so too; no archive was made.
fn fails(app: &App, code: i32, fragment: &str) {
    app.cofre_unprivileged(&["create"]).exits(code).says(fragment);
    assert!(app.archives().is_empty(), "{:?}", app.backup_files());
    let history = app.history();
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(history[0]["status"], "failed");
    assert!(
        history[0]["error"]
            .as_str()
            .is_some_and(|error| error.contains(fragment)),
        "{}",
        history[0]
    );
    app.assert_no_leftovers();
}

#[test]
fn a_missing_source_fails_the_run() {
    let app = App::new();
    std::fs::remove_dir(app.path("static")).unwrap();
    fails(&app, 10, "static");
}

#[test]
fn an_empty_source_fails_the_run() {
    fails(&App::new(), 10, "static");
}

#[test]
fn a_source_of_empty_folders_fails_the_run() {
    let app = App::new();
    std::fs::create_dir_all(app.path("static/2025/08")).unwrap();
    fails(&app, 10, "static");
}

#[test]
fn an_empty_source_is_fine_where_the_configuration_says_so() {
    let app = App::new();
    app.config("[sources.static]\npath = \"static\"\nallow_empty = true\n");
    app.create();
}

#[test]
fn an_unmounted_source_never_pushes_out_the_last_full_backup() {
    let app = App::small();
    app.keys("max_backups = 2");
    let good = app.archive(&app.create());
    std::fs::remove_dir_all(app.path("static")).unwrap();
    std::fs::create_dir(app.path("static")).unwrap();
    for _ in 0..4 {
        app.cofre(&["create"]).exits(10);
        app.cofre(&["prune"]).exits(0);
    }
    readers_accept(&good);
}

#[test]
fn an_unreadable_source_fails_the_run() {
    let app = App::small();
    std::fs::set_permissions(app.path("static"), std::fs::Permissions::from_mode(0o000)).unwrap();
    fails(&app, 8, "static");
    std::fs::set_permissions(app.path("static"), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_file_in_place_of_a_source_folder_fails_the_run() {
    let app = App::new();
    std::fs::remove_dir(app.path("static")).unwrap();
    app.write("static", b"a file");
    fails(&app, 10, "static");
}

#[test]
fn a_link_in_place_of_a_source_folder_is_refused() {
    let app = App::small();
    std::fs::rename(app.path("static"), app.path("verdadeira")).unwrap();
    symlink("verdadeira", app.path("static")).unwrap();
    fails(&app, 8, "static");
}

#[test]
fn a_missing_single_file_fails_the_run() {
    let app = App::small();
    app.config("[sources.config]\nfiles = [\"requirements.txt\"]\n");
    fails(&app, 10, "requirements.txt");
}

#[test]
fn a_missing_database_fails_the_run() {
    let app = App::small();
    app.config("[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:app.db\"\n");
    fails(&app, 10, "app.db");
    assert!(!app.path("app.db").exists(), "opening it must not make it");
}

#[test]
fn a_database_that_is_none_fails_the_run() {
    let app = App::small();
    app.write(
        "app.db",
        b"this is not a database, but long enough to have a header if it were one. "
            .repeat(20)
            .as_slice(),
    );
    app.config("[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:app.db\"\n");
    fails(&app, 10, "app.db");
}

#[test]
fn an_unreadable_file_or_folder_makes_the_run_partial_and_is_named() {
    let app = App::small();
    app.write("static/secreto.txt", b"unreadable");
    app.write("static/trancada/dentro.txt", b"unreachable");
    let lock = |path: &str, mode| {
        std::fs::set_permissions(app.path(path), std::fs::Permissions::from_mode(mode)).unwrap()
    };
    lock("static/secreto.txt", 0o000);
    lock("static/trancada", 0o000);
    app.cofre_unprivileged(&["create"]).exits(3).says("secreto.txt");
    lock("static/trancada", 0o755);
    let row = &app.history()[0];
    assert_eq!(row["status"], "partial");
    assert_eq!(row["skipped"], 2, "{row}");
    assert!(
        row["error"]
            .as_str()
            .is_some_and(|error| error.contains("static/secreto.txt")),
        "{row}"
    );
    readers_accept(&app.archives()[0]);
    let names = archive_names(&app.archives()[0]);
    assert!(names.contains(&"static/css/style.css".to_owned()), "{names:?}");
    let skipped = app.manifest(row)["skipped"].to_string();
    assert!(
        skipped.contains("static/secreto.txt") && skipped.contains("static/trancada"),
        "{skipped}"
    );
    // It never counts as the last success.
    assert!(app.json(&["status"])["last_success"].is_null());
}

#[test]
fn a_fifo_without_a_writer_a_socket_and_a_device_are_skipped_and_counted() {
    let app = App::small();
    run(Command::new(tool("mkfifo")).arg(app.path("static/fila"))).exits(0);
    let _socket = std::os::unix::net::UnixListener::bind(app.path("static/tomada")).unwrap();
    app.cofre(&["create"]).exits(0);
    let row = &app.history()[0];
    assert_eq!(
        (row["status"].as_str(), row["skipped"].as_u64()),
        (Some("completed"), Some(2)),
        "{row}"
    );
    let skipped = app.manifest(row)["skipped"].to_string();
    assert!(
        skipped.contains("static/fila") && skipped.contains("static/tomada"),
        "{skipped}"
    );
}

#[test]
fn a_fifo_in_place_of_a_single_file_does_not_hang_the_run() {
    let app = App::small();
    run(Command::new(tool("mkfifo")).arg(app.path("requirements.txt"))).exits(0);
    app.config("[sources.config]\nfiles = [\"requirements.txt\"]\n");
    fails(&app, 10, "requirements.txt");
}

#[test]
fn names_that_are_not_utf8_cost_nothing_but_themselves() {
    let app = App::small();
    let bad = |bytes: &[u8]| app.path("static").join(OsStr::from_bytes(bytes));
    crate::support::write(&bad(b"m_relat\xf3rio.txt"), b"latin-1");
    crate::support::write(&bad(b"sub/\xff\xfe.bin"), b"not text");
    crate::support::write(&bad(b"pasta_\xe7/dentro.txt"), b"below one");
    app.write("static/sub/depois.txt", b"a good sibling");
    app.write("static/zz.txt", b"sorted after");
    app.cofre(&["create"]).exits(3).says("m_relat\\xf3rio.txt");
    let row = &app.history()[0];
    assert_eq!(
        (row["status"].as_str(), row["skipped"].as_u64()),
        (Some("partial"), Some(3)),
        "{row}"
    );
    readers_accept(&app.archives()[0]);
    let names = archive_names(&app.archives()[0]);
    for good in [
        "static/css/style.css",
        "static/app.js",
        "static/sub/depois.txt",
        "static/zz.txt",
    ] {
        assert!(names.contains(&good.to_owned()), "{good} is not in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains('\u{fffd}')), "{names:?}");
    app.cofre(&["show", "latest"]).exits(0).says("pasta_\\xe7");
    // Whoever restores it hears of it too.
    let target = app.path("restored");
    app.cofre(&["restore", "latest", "--to", target.to_str().unwrap()])
        .exits(0)
        .says("is partial")
        .says("m_relat\\xf3rio.txt")
        .says("`cofre show 1`");
}

#[test]
fn a_backups_folder_inside_a_source_is_left_out_and_said() {
    let app = App::small();
    app.keys("backup_dir = \"static/backups\"");
    app.write("static/entregas.zip", b"PK, but not ours");
    let mut sizes = Vec::new();
    for _ in 0..3 {
        app.cofre(&["create"]).exits(0).says("static/backups");
        let list = app.json(&["list"]);
        sizes.push(list.as_array().unwrap().last().unwrap()["file_count"].clone());
    }
    assert_eq!(sizes, [3, 3, 3], "entregas.zip, style.css and app.js, each time");
    // By identity: links don't lead there, and the user's own copy of an archive elsewhere is a file like any other.
    symlink("backups", app.path("static/atalho")).unwrap();
    symlink(app.path("static/backups"), app.path("static/atalho_abs")).unwrap();
    let backups = app.path("static/backups");
    let archive = |id: usize| {
        let row = app.json(&["list"])[id - 1].clone();
        backups.join(format!("{}.zip", row["name"].as_str().unwrap()))
    };
    app.write("static/dados/ler.txt", b"beside a hard link");
    std::fs::hard_link(archive(1), app.path("static/dados/copia.zip")).unwrap();
    app.cofre(&["create"]).exits(0).says("static/backups");
    let mut names = archive_names(&archive(4));
    names.retain(|name| !name.ends_with('/'));
    assert_eq!(
        names,
        [
            "static/app.js",
            "static/atalho",
            "static/css/style.css",
            "static/dados/copia.zip",
            "static/dados/ler.txt",
            "static/entregas.zip",
            "backup_info.json"
        ]
    );
}

#[test]
fn a_source_inside_the_backups_folder_is_refused() {
    let app = App::small();
    app.config("backup_dir = \"cofre\"\n[sources.static]\npath = \"cofre/static\"\n");
    app.write("cofre/static/a.txt", b"a");
    app.cofre(&["create"]).exits(2).says("cofre/static");
}

#[test]
fn a_live_database_inside_a_source_is_left_out_and_said() {
    let app = App::small();
    run(Command::new(tool("sqlite3"))
        .arg(app.path("static/app.db"))
        .arg("CREATE TABLE t(a); INSERT INTO t VALUES(1)"))
    .exits(0);
    app.config("[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:static/app.db\"\n");
    app.create();
    let names = archive_names(&app.archives()[0]);
    assert!(names.contains(&"database/t.sql".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with(".db")), "{names:?}");
    assert!(
        app.manifest(&app.history()[0])["skipped"]
            .to_string()
            .contains("static/app.db")
    );
}

#[test]
fn dry_run_lists_what_would_be_in_it_and_writes_nothing() {
    let app = App::sample();
    app.cofre(&["create", "--dry-run"])
        .exits(0)
        .says("static/css/style.css")
        .says("config/requirements.txt");
    assert!(!app.backups().exists() || app.archives().is_empty());
    assert!(!app.history_path().exists());
}

#[test]
fn a_link_in_place_of_the_backups_folder_is_refused() {
    let app = App::small();
    std::fs::create_dir(app.path("verdadeira")).unwrap();
    symlink("verdadeira", app.backups()).unwrap();
    for command in ["create", "list", "prune", "rebuild"] {
        app.cofre(&[command])
            .exits(8)
            .says("symbolic link")
            .says("verdadeira");
    }
    assert!(
        std::fs::read_dir(app.path("verdadeira"))
            .unwrap()
            .next()
            .is_none()
    );
}
