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

    /// The state folder.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Replaces `schedule.json` as the scheduler does, making the folder where there is none.
    pub(crate) fn state(&self, state: &Value) {
        self.raw_state(&serde_json::to_vec(state).unwrap());
    }

    pub(crate) fn raw_state(&self, bytes: &[u8]) {
        self.replace_in_state("schedule.json", bytes);
    }

    /// Replaces `copies.json` as a push does, making the folder where there is none.
    pub(crate) fn copies(&self, copies: &Value) {
        self.raw_copies(&serde_json::to_vec(copies).unwrap());
    }

    pub(crate) fn raw_copies(&self, bytes: &[u8]) {
        self.replace_in_state("copies.json", bytes);
    }

    fn replace_in_state(&self, file: &str, bytes: &[u8]) {
        fs::create_dir_all(self.state_dir()).unwrap();
        let aside = self.state_dir().join(format!(".{file}.partial"));
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, self.state_dir().join(file)).unwrap();
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

/// A plan of the schedule's state: daily, first seen on 2026-01-01, next due on 2026-02-01T02:00Z.
pub(crate) fn plan() -> Value {
    json!({
        "created": "2026-01-01T00:00:00Z", "last_due": "2026-01-31T02:00:00Z", "last_started": null,
        "next": "2026-02-01T02:00:00Z", "missed": 2, "expected_interval_seconds": 86400, "enabled": true,
        "stale_notified": null,
    })
}

/// The totals of copies to these remotes.
pub(crate) fn copies_of(remotes: &[(&str, Value)]) -> Value {
    let remotes: serde_json::Map<_, _> = remotes
        .iter()
        .map(|(n, r)| ((*n).to_owned(), r.clone()))
        .collect();
    json!({"format": 1, "remotes": remotes})
}

/// A whole state with these plans, its last tick at 2026-01-31T03:00Z.
pub(crate) fn state_of(plans: &[(&str, Value)]) -> Value {
    let plans: serde_json::Map<_, _> = plans.iter().map(|(n, p)| ((*n).to_owned(), p.clone())).collect();
    json!({"format": 1, "last_tick": "2026-01-31T03:00:00Z", "plans": plans,
        "verify": {"expected_interval_seconds": 86400}})
}
