//! What the unit tests of the catalog's operations share: a backups folder and rows to put in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::archive::testing as archive;
use crate::catalog::{Catalog, Record, Status, time};
use crate::fs::{BACKUPS, Dir, Roots};
use crate::run::blank;
use crate::types::{RetentionPolicy, RunRequest};

/// A backups folder of its own.
pub(crate) struct Folder {
    temp: tempfile::TempDir,
    pub(crate) roots: Roots,
}

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// An empty one where writing durably costs nothing, for tests that write thousands of times.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::of(tempfile::tempdir_in(memory).unwrap())
        } else {
            Self::new()
        }
    }

    fn of(temp: tempfile::TempDir) -> Self {
        let roots = Roots::new().with(BACKUPS, temp.path());
        Self { temp, roots }
    }

    /// One with these rows, and an archive for each completed and partial one.
    pub(crate) fn with(rows: &[Record]) -> Self {
        let folder = Self::new();
        folder.write_history(rows);
        for row in rows {
            if matches!(row.status, Status::Completed | Status::Partial) {
                folder.write(&row.archive_name(), b"archive");
                folder.write(&row.sidecar_name(), b"sidecar");
            }
        }
        folder
    }

    pub(crate) fn dir(&self) -> Dir {
        self.roots.open(BACKUPS).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn write_history(&self, rows: &[Record]) {
        self.write("backup_history.json", &serde_json::to_vec_pretty(rows).unwrap());
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The names in the folder, hidden ones too.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let names = fs::read_dir(self.root()).unwrap();
        names
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn catalog(&self) -> Catalog {
        Catalog::load(&self.dir()).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.catalog().records().iter().map(|r| r.id).collect()
    }
}

/// A completed row of plan `daily` that started at `local` (`YYYY-MM-DDTHH:MM:SS`) three hours west of UTC.
pub(crate) fn row(id: u64, local: &str) -> Record {
    let at = time::parse_timestamp(local).unwrap();
    let name = format!("backup_{}_automated", at.format("%Y%m%d_%H%M%S"));
    Record {
        id,
        zip_path: Some(format!("backups/{name}.zip")),
        name,
        backup_type: "automated".to_owned(),
        timestamp: time::format_timestamp(at),
        started_at: Some(format!("{local}.000000-03:00")),
        status: Status::Completed,
        plan: Some("daily".to_owned()),
        size: 7,
        ..blank()
    }
}

/// [`row`] with another status.
pub(crate) fn row_with(id: u64, local: &str, status: Status) -> Record {
    Record {
        status,
        ..row(id, local)
    }
}

/// Bytes of an archive with one file and a manifest that fits `row`.
pub(crate) fn archive_of(row: &Record) -> Vec<u8> {
    archive_with(row, |_| {})
}

/// [`archive_of`], its manifest changed by `tweak`.
pub(crate) fn archive_with(row: &Record, tweak: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let items = [archive::item("static/a.css", "body {}")];
    archive::with_manifest(&row.name, &items, |manifest| {
        manifest["id"] = row.id.into();
        manifest["type"] = row.backup_type.clone().into();
        manifest["plan"] = row.plan.clone().into();
        manifest["timestamp"] = row.timestamp.clone().into();
        manifest["started_at"] = row.started_at.clone().into();
        manifest["source_bytes"] = 7.into();
        tweak(manifest);
    })
}

/// Bytes of an archive as the original system made it: a `backup_info.json` without rows.
pub(crate) fn legacy_archive() -> Vec<u8> {
    let info = r#"{"id": 3, "name": "x", "timestamp": "2025-08-31T21:52:49.123456"}"#;
    let items = [
        archive::item("database/a.sql", "SELECT 1;"),
        archive::item("backup_info.json", info),
    ];
    archive::build(&items).bytes
}

/// A run of plan `manual`.
pub(crate) fn run_request(started_at: &str) -> RunRequest {
    RunRequest {
        backup_type: "manual".into(),
        plan: "manual".into(),
        started_at: started_at.into(),
        zip_path_prefix: "backups/".into(),
    }
}

/// Retention by number alone.
pub(crate) fn policy(max_backups: u32) -> RetentionPolicy {
    RetentionPolicy {
        max_backups,
        keep_daily: 0,
        keep_weekly: 0,
        keep_monthly: 0,
        keep_yearly: 0,
        keep_within_seconds: 0,
        keep_partial: 3,
        keep_failed_seconds: 0,
    }
}
