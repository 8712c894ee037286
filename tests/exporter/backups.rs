//! A backups folder made by hand: what a test wants the exporter to find.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Backups {
    dir: TempDir,
}

impl Backups {
    /// An empty folder, not even a catalog.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("relatorios")).unwrap();
        Self { dir }
    }

    /// A folder with these rows, and an archive of 1000 bytes for each published one.
    pub(crate) fn with(rows: &[Value]) -> Self {
        let backups = Self::empty();
        for row in rows {
            if matches!(row["status"].as_str(), Some("completed" | "partial")) {
                backups.archive(row["name"].as_str().unwrap());
            }
        }
        backups.history(rows);
        backups
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("relatorios")
    }

    /// A place outside the backups folder.
    pub(crate) fn outside(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn archive(&self, name: &str) {
        fs::write(self.path().join(format!("{name}.zip")), vec![0; 1000]).unwrap();
    }

    /// Replaces the catalog as every writer does: written aside, renamed over.
    pub(crate) fn history(&self, rows: &[Value]) {
        self.raw_history(&serde_json::to_vec_pretty(rows).unwrap());
    }

    pub(crate) fn raw_history(&self, bytes: &[u8]) {
        let aside = self.path().join(".backup_history.json.partial");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, self.path().join("backup_history.json")).unwrap();
    }
}

/// Row `id` of the plan `daily`, begun `id` days after 2026-01-01T02:00Z and ended five seconds later.
pub(crate) fn row(id: u32, status: &str) -> Value {
    let day = 1 + id;
    assert!(day <= 31, "the month has 31 days");
    json!({
        "id": id, "name": format!("backup_202601{day:02}_020000_automated"), "type": "automated",
        "timestamp": format!("2026-01-{day:02}T02:00:00.000000"), "status": status, "size": 1000,
        "error": null, "zip_path": "/elsewhere/x.zip", "plan": "daily",
        "started_at": format!("2026-01-{day:02}T02:00:00.000000+00:00"),
        "finished_at": format!("2026-01-{day:02}T02:00:05.000000+00:00"),
        "duration_seconds": 5.0, "file_count": 12, "source_bytes": 3000, "skipped": 2, "changed": 0,
    })
}

/// Unix time at which [`row`] `id` began.
pub(crate) fn began(id: u32) -> f64 {
    f64::from(1_767_232_800 + id * 86_400)
}
