//! One database out of an archive into another one.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::sqlite;
use super::tamper::tamper;
use crate::support::App;

fn app() -> (App, serde_json::Value) {
    let app = App::small();
    sqlite(
        &app.path("app.db"),
        "PRAGMA user_version = 7; CREATE TABLE a(x TEXT); INSERT INTO a VALUES('um'),('dois'); CREATE INDEX i ON a(x);",
    );
    app.config("[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:app.db\"\n");
    let record = app.create();
    (app, record)
}

fn restore<'a>(into: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["restore", "latest", "--database", "app", "--into", into];
    args.extend_from_slice(more);
    args
}

#[test]
fn a_sqlite_database_comes_back_as_a_file() {
    let (app, record) = app();
    let new = app.path("new.db");
    let into = format!("sqlite:{}", new.display());
    let mut args = vec!["--json"];
    args.extend(restore(&into, &[]));
    let restored = app.cofre(&args).exits(0).json();
    assert_eq!(restored["success"], true, "{restored}");
    assert_eq!(restored["backup"]["id"], record["id"], "{restored}");
    assert_eq!(
        (&restored["tables"], &restored["rows"]),
        (&1.into(), &2.into()),
        "{restored}"
    );
    assert_eq!(restored["replaced"], serde_json::json!([]), "{restored}");
    assert_eq!(
        sqlite(&new, "SELECT x FROM a ORDER BY x; PRAGMA user_version;"),
        "dois\num\n7\n"
    );
    assert_eq!(std::fs::metadata(&new).unwrap().mode() & 0o777, 0o600);
    assert!(app.history()[0]["restored_at"].is_string());
    app.assert_no_leftovers();
    // An empty file, and a database without a table, are empty; they keep their mode.
    for content in ["", "PRAGMA user_version = 1; VACUUM;"] {
        std::fs::remove_file(&new).unwrap();
        std::fs::write(&new, "").unwrap();
        if !content.is_empty() {
            sqlite(&new, content);
        }
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o640)).unwrap();
        app.cofre(&restore(&into, &[])).exits(0).says("2 rows");
        assert_eq!(sqlite(&new, "SELECT count(*) FROM a"), "2\n");
        assert_eq!(std::fs::metadata(&new).unwrap().mode() & 0o777, 0o640);
    }
}

#[test]
fn what_is_in_the_target_is_named_and_stays_without_force() {
    let (app, _) = app();
    let old = app.path("old.db");
    sqlite(
        &old,
        "CREATE TABLE velha(x); INSERT INTO velha VALUES(1),(2),(3); CREATE TABLE outra(y);",
    );
    let before = std::fs::read(&old).unwrap();
    let into = format!("sqlite:{}", old.display());
    app.cofre(&restore(&into, &[]))
        .exits(10)
        .says("velha (3 rows)")
        .says("outra (0 rows)")
        .says("--force");
    assert_eq!(std::fs::read(&old).unwrap(), before);
    app.cofre(&restore(&into, &["--force"]))
        .exits(0)
        .says("replaced: velha (3 rows)");
    assert_eq!(sqlite(&old, "SELECT count(*) FROM a"), "2\n");
    assert_eq!(
        sqlite(&old, "SELECT name FROM sqlite_schema WHERE name = 'velha'"),
        ""
    );
}

#[test]
fn a_failure_leaves_the_old_database_also_with_force() {
    let (app, record) = app();
    let old = app.path("old.db");
    sqlite(&old, "CREATE TABLE velha(x); INSERT INTO velha VALUES(1);");
    let before = std::fs::read(&old).unwrap();
    let into = format!("sqlite:{}", old.display());
    tamper(&app, &record, "replace('database/a.sql', \"(1,'um'),\\n\", '')");
    app.cofre(&restore(&into, &["--force"]))
        .exits(5)
        .says("table a")
        .says("nothing was changed");
    assert_eq!(std::fs::read(&old).unwrap(), before);
    app.assert_no_leftovers();
    let left: Vec<_> = std::fs::read_dir(app.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_database_that_is_in_use_is_left_alone() {
    let (app, _) = app();
    for suffix in ["-wal", "-shm", "-journal"] {
        let target = app.path("used.db");
        std::fs::write(app.path(format!("used.db{suffix}")), "x").unwrap();
        let into = format!("sqlite:{}", target.display());
        for more in [&[][..], &["--force"]] {
            app.cofre(&restore(&into, more)).exits(10).says(suffix);
        }
        assert!(!target.exists());
        std::fs::remove_file(app.path(format!("used.db{suffix}"))).unwrap();
    }
}

#[test]
fn wrong_targets_are_refused_with_what_to_write() {
    let (app, _) = app();
    std::os::unix::fs::symlink(app.path("app.db"), app.path("link.db")).unwrap();
    std::fs::write(
        app.path("text.db"),
        "no database, and longer than a header of one hundred bytes ".repeat(4),
    )
    .unwrap();
    for (into, code, words) in [
        ("app.db", 2, "write sqlite:PATH"),
        ("sqlite:", 2, "plain path"),
        ("sqlite:///x.db", 2, "plain path"),
        ("oracle://x/y", 2, "write sqlite:PATH"),
        ("postgres://u@h/d", 2, "was dumped from sqlite"),
        ("postgres://u:segredo@h/d", 2, "--into-file"),
        ("mysql://u@h/d", 2, "was dumped from sqlite"),
    ] {
        app.cofre(&restore(into, &[]))
            .exits(code)
            .says(words)
            .never_says("segredo");
    }
    let at = |name: &str| format!("sqlite:{}", app.path(name).display());
    app.cofre(&restore(&at("none/x.db"), &[]))
        .exits(2)
        .says("make the folder");
    app.cofre(&restore(&at("static"), &[]))
        .exits(2)
        .says("not a regular file");
    app.cofre(&restore(&at("link.db"), &["--force"])).exits(2);
    app.cofre(&restore(&at("text.db"), &["--force"]))
        .exits(10)
        .says("not a SQLite database");
    app.cofre(&["restore", "latest", "--database", "outra", "--into", &at("x.db")])
        .exits(4)
        .says("it has: app");
    app.cofre(&["restore", "9", "--database", "app", "--into", &at("x.db")])
        .exits(4);
    app.cofre(&["restore", "latest", "--database", "app"]).exits(2);
    app.cofre(&["restore", "latest", "--into", &at("x.db")]).exits(2);
    app.cofre(&[
        "restore",
        "latest",
        "--database",
        "app",
        "--into",
        &at("x.db"),
        "--to",
        "y",
    ])
    .exits(2);
    app.cofre(&["restore", "latest", "--force"]).exits(2);
}

#[test]
fn parts_of_the_files_are_restored_by_glob() {
    let (app, _) = app();
    for (globs, there, gone) in [
        (
            &["static/**"][..],
            &["static/css/style.css", "static/app.js"][..],
            &["database"][..],
        ),
        (
            &["static/css/*"],
            &["static/css/style.css"],
            &["static/app.js", "database"],
        ),
        (
            &["**/*.js", "database/a.sql"],
            &["static/app.js", "database/a.sql"],
            &["static/css", "database/schema.sql"],
        ),
    ] {
        let to = app.path("part");
        let mut args = vec!["restore", "latest", "--to", to.to_str().unwrap()];
        globs.iter().for_each(|glob| args.extend(["--only", glob]));
        app.cofre(&args).exits(0);
        for path in there {
            assert!(to.join(path).is_file(), "{path} by {globs:?}");
        }
        for path in gone {
            assert!(!to.join(path).exists(), "{path} by {globs:?}");
        }
        std::fs::remove_dir_all(to).unwrap();
    }
}
