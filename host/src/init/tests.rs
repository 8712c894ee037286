//! What `init` finds and writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::init;
use crate::config::{DatabaseEngine, Origin};
use crate::error::Code;

fn database(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch("CREATE TABLE t (a)").unwrap();
}

fn names(init: &super::Initialised) -> Vec<&str> {
    init.config.sources.iter().map(|s| s.folder.as_str()).collect()
}

#[test]
fn finds_databases_by_header_usual_folders_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for folder in ["static", "logs", "instance", "node_modules"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("static/a.css"), "x").unwrap();
    database(&root.join("instance/relatórios.data"));
    database(&root.join("node_modules/cache.db"));
    fs::write(root.join("not_a_database.db"), "SQLite format 2").unwrap();
    fs::write(root.join("requirements.txt"), "flask").unwrap();
    fs::write(
        root.join(".env"),
        "SECRET=1\nexport DATABASE_URL='postgres://u:hunter2@h/db'\n",
    )
    .unwrap();
    let done = init(root).unwrap();
    assert_eq!(names(&done), ["config", "logs", "static"]);
    assert_eq!(done.config.databases.len(), 1);
    assert_eq!(
        done.config.databases[0].engine,
        DatabaseEngine::Sqlite(root.join("instance/relatórios.data"))
    );
    assert!(
        done.config.check_sources().is_empty(),
        "{:?}",
        done.config.check_sources()
    );
    let text = fs::read_to_string(root.join("cofre.toml")).unwrap();
    assert!(
        text.contains("DATABASE_URL") && !text.contains("hunter2"),
        "{text}"
    );
    assert_eq!(
        fs::metadata(root.join("cofre.toml"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn never_replaces_a_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cofre.toml"), "mine").unwrap();
    fs::write(dir.path().join("x"), "x").unwrap();
    assert_eq!(init(dir.path()).unwrap_err().code, Code::AlreadyExists);
    assert_eq!(fs::read_to_string(dir.path().join("cofre.toml")).unwrap(), "mine");
}

#[test]
fn never_writes_through_a_dangling_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), "x").unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("cofre.toml")).unwrap();
    assert_eq!(init(dir.path()).unwrap_err().code, Code::AlreadyExists);
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn takes_the_whole_folder_where_nothing_is_usual() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes.md"), "x").unwrap();
    let done = init(dir.path()).unwrap();
    assert_eq!(names(&done), ["files"]);
    assert_eq!(
        done.config.sources[0].origin,
        Origin::Folder(dir.path().to_path_buf())
    );
}

#[test]
fn an_empty_folder_is_an_error_and_gets_no_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(init(dir.path()).unwrap_err().code, Code::SourceMissing);
    assert!(!dir.path().join("cofre.toml").exists());
}

#[test]
fn a_missing_folder_is_an_error() {
    assert_eq!(init(Path::new("/nonexistent/app")).unwrap_err().code, Code::Io);
}

#[test]
fn a_linked_folder_is_named_and_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("requirements.txt"), "x").unwrap();
    fs::create_dir(dir.path().join("media")).unwrap();
    std::os::unix::fs::symlink("media", dir.path().join("static")).unwrap();
    let done = init(dir.path()).unwrap();
    assert_eq!(names(&done), ["config", "media"]);
    assert!(
        done.notes[0].contains("static is a symbolic link"),
        "{:?}",
        done.notes
    );
}

#[test]
fn a_config_folder_and_single_files_get_different_names_and_one_switch() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(dir.path().join("config/app.ini"), "x").unwrap();
    fs::write(dir.path().join("package.json"), "{}").unwrap();
    let done = init(dir.path()).unwrap();
    assert_eq!(names(&done), ["config", "config_2"]);
    assert!(
        done.config
            .sources
            .iter()
            .all(|s| s.switch == crate::config::Switch::Config)
    );
}

#[test]
fn databases_of_one_name_and_odd_names_give_a_file_that_is_good() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["a", "b"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        database(&dir.path().join(folder).join("app.db"));
    }
    database(&dir.path().join("o \"quoted\\ [x].sqlite"));
    database(&dir.path().join("new\nline.db"));
    let done = init(dir.path()).unwrap();
    assert_eq!(done.config.databases.len(), 4);
    assert!(
        done.config.check_sources().is_empty(),
        "{:?}",
        done.config.check_sources()
    );
}
