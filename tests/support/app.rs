//! A throw-away application folder with its own `cofre.toml`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::command::{Run, cofre_binary, cofre_command, run, without_capabilities};
use super::fixture::{copy_tree, write};

/// One source, no database: what most tests need.
const STATIC_ONLY: &str = "[sources.static]\npath = \"static\"\n";

/// An application folder that goes when the test ends.
pub(crate) struct App {
    dir: TempDir,
}

impl App {
    /// An empty folder whose configuration backs up `static/`.
    pub(crate) fn new() -> Self {
        let app = Self {
            dir: tempfile::Builder::new()
                .prefix("cofre-e2e-")
                .tempdir()
                .expect("a temporary folder"),
        };
        std::fs::create_dir(app.path("static")).expect("static/");
        app.config(STATIC_ONLY);
        app
    }

    /// The same with two files in it.
    pub(crate) fn small() -> Self {
        let app = Self::new();
        app.write("static/css/style.css", b"body { margin: 0 }\n");
        app.write("static/app.js", b"'use strict';\n");
        app
    }

    /// A copy of the sample application.
    pub(crate) fn sample() -> Self {
        let app = Self::new();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sample");
        std::fs::remove_dir(app.path("static")).expect("the empty static/");
        copy_tree(&sample, app.root());
        // Left by someone who ran the README's first command.
        for made in ["backups", ".cofre"] {
            if app.path(made).exists() {
                std::fs::remove_dir_all(app.path(made)).expect("remove what a run by hand left");
            }
        }
        app
    }

    /// A copy of the whole folder, in memory if possible: what waits for a disk is slow.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::blank();
        copy_tree(self.root(), copy.root());
        copy
    }

    /// A folder with nothing in it, in memory where the machine has a place for that.
    pub(crate) fn blank() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = tempfile::Builder::new().prefix("cofre-e2e-").tempdir_in(place);
        Self {
            dir: dir.expect("a temporary folder"),
        }
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Something in it.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, relative: impl AsRef<Path>, bytes: &[u8]) {
        write(&self.path(relative), bytes);
    }

    /// Replaces the configuration.
    pub(crate) fn config(&self, toml: &str) {
        self.write("cofre.toml", toml.as_bytes());
    }

    /// Puts top-level keys in front of the configuration for `static/`.
    pub(crate) fn keys(&self, toml: &str) {
        self.config(&format!("{toml}\n{STATIC_ONLY}"));
    }

    /// `cofre --config … ARGS`, not started yet.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        cofre_command(Command::new(cofre_binary()), &self.path("cofre.toml"), args)
    }

    /// `cofre --config … ARGS`, run to its end.
    #[track_caller]
    pub(crate) fn cofre<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        run(&mut self.command(args))
    }

    /// The same for a user whom permission bits bind.
    #[track_caller]
    pub(crate) fn cofre_unprivileged<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        run(&mut self.command_unprivileged(args))
    }

    /// [`Self::command`] for a user whom permission bits bind.
    pub(crate) fn command_unprivileged<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let command = without_capabilities(cofre_binary());
        cofre_command(command, &self.path("cofre.toml"), args)
    }

    /// `cofre --json ARGS`, which has to succeed.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend_from_slice(args);
        self.cofre(&all).exits(0).json()
    }

    /// A backup that has to be complete; its record.
    #[track_caller]
    pub(crate) fn create(&self) -> Value {
        let record = self.json(&["create"]);
        assert_eq!(record["status"], "completed", "{record}");
        record
    }

    /// Restores into a new folder; its path.
    #[track_caller]
    pub(crate) fn restore(&self, selector: &str, to: &str) -> PathBuf {
        let target = self.path(to);
        let path = target.to_str().expect("a temporary path in UTF-8");
        self.cofre(&["restore", selector, "--to", path]).exits(0);
        target
    }

    /// The backups folder.
    pub(crate) fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    /// The archive of a record.
    #[track_caller]
    pub(crate) fn archive(&self, record: &Value) -> PathBuf {
        let name = record["name"]
            .as_str()
            .unwrap_or_else(|| panic!("a record with a name: {record}"));
        self.backups().join(format!("{name}.zip"))
    }

    /// The published archives, by name.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        let mut archives: Vec<_> = self
            .backup_files()
            .into_iter()
            .filter(|name| name.starts_with("backup_") && name.ends_with(".zip"))
            .map(|name| self.backups().join(name))
            .collect();
        archives.sort();
        archives
    }

    /// Every name in the backups folder, hidden ones too.
    pub(crate) fn backup_files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.backups())
            .expect("the backups folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// The catalog's rows, read from the file as any other program would.
    #[track_caller]
    pub(crate) fn history(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.history_path()).expect("backup_history.json");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("backup_history.json: {error}\n{text}"))
    }

    /// The catalog's file.
    pub(crate) fn history_path(&self) -> PathBuf {
        self.backups().join("backup_history.json")
    }

    /// The manifest of a record's archive.
    #[track_caller]
    pub(crate) fn manifest(&self, record: &Value) -> Value {
        let text = super::archive_text(&self.archive(record), "backup_info.json");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("backup_info.json: {error}\n{text}"))
    }

    /// Asserts that no run left anything unfinished, in the backups folder or in staging.
    #[track_caller]
    pub(crate) fn assert_no_leftovers(&self) {
        let unfinished: Vec<_> = self
            .backup_files()
            .into_iter()
            .filter(|name| name.contains(".partial"))
            .collect();
        assert!(
            unfinished.is_empty(),
            "left in the backups folder: {unfinished:?}"
        );
        let staging = self.path(".cofre/staging");
        if staging.is_dir() {
            let left = super::listing(&staging);
            assert!(left.lines().count() <= 1, "left in staging:\n{left}");
        }
    }
}
