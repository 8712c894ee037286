//! What several unit tests of this crate need: running a test without root's powers, and a row of the catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::engine::wit::types::{Backup, Status};

/// User and group of the unprivileged child.
pub(crate) const NOBODY: u32 = 65534;

const FOLDER: &str = "COFRE_TEST_AS_NOBODY";

/// Runs `body` with a scratch folder and as a user to whom permissions apply. Where the tests run as root, the
/// test `name` runs again in a child process of another user, and `body` runs there.
pub(crate) fn as_nobody(name: &str, body: impl FnOnce(&Path)) {
    as_nobody_after(name, |_| (), body);
}

/// The same, with a preparation that runs with the parent's powers (as root where the tests run as root).
pub(crate) fn as_nobody_after(name: &str, prepare: impl FnOnce(&Path), body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        assert!(!rustix::process::geteuid().is_root());
        return body(Path::new(&folder));
    }
    let temp = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let work = temp.path().join("work");
    std::fs::create_dir(&work).unwrap();
    prepare(&work);
    if !rustix::process::geteuid().is_root() {
        return body(&work);
    }
    chown(&work, Some(NOBODY), Some(NOBODY)).unwrap();
    // The test binary may lie where the other user can't reach it.
    let program = temp.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
        .arg(&program)
        .args(["--exact", name, "--nocapture"])
        .env(FOLDER, &work)
        .env("TMPDIR", &work)
        .current_dir("/")
        .output()
        .expect("setpriv runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A row of which nothing is known but this.
pub(crate) fn backup(id: u64, status: Status) -> Backup {
    Backup {
        id,
        name: format!("backup_{id}"),
        backup_type: "automated".to_owned(),
        timestamp: String::new(),
        status,
        size: 0,
        error: None,
        zip_path: None,
        plan: None,
        started_at: None,
        finished_at: None,
        duration_seconds: None,
        file_count: None,
        source_bytes: None,
        skipped: None,
        changed: None,
        sha256: None,
        reused_bytes: None,
        pinned: false,
        verified_at: None,
        verify_status: None,
        drilled_at: None,
        drill_status: None,
        restored_at: None,
        archive_present: true,
        encrypted: false,
    }
}
