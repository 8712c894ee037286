//! The exporter as a user of its own, who is in cofre's group. The permissions are those that cofre sets.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::backups::{Backups, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::binary;

/// Neither is anybody's on a usual machine.
const USER: u32 = 64_001;
const GROUP: u32 = 64_002;

fn give(path: &Path, mode: u32, group: u32) {
    chown(path, None, Some(group)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a program as that user.
fn as_user(program: &Path, args: &[&Path]) -> Output {
    Command::new("setpriv")
        .arg(format!("--reuid={USER}"))
        .arg(format!("--regid={GROUP}"))
        .args(["--clear-groups", "--no-new-privs", "--"])
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| {
            panic!("setpriv can't be run ({e}); install it with `apt-get install util-linux`")
        })
}

/// Needs root, who alone can be another user.
#[test]
fn a_user_of_its_own_reads_catalog_and_state_and_no_archive() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run a program as another user");
        return;
    }
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[("daily", plan())]));
    // The program and all the way to the folders have to be open to that user.
    let program = backups.outside().join("cofre-exporter");
    fs::copy(binary(), &program).unwrap();
    give(backups.outside(), 0o755, 0);
    give(&program, 0o755, 0);
    let archive = backups.path().join("backup_20260102_020000_automated.zip");
    give(&backups.path(), 0o750, GROUP);
    give(&backups.path().join("backup_history.json"), 0o640, GROUP);
    give(&archive, 0o600, 0);
    give(&backups.state_dir(), 0o750, GROUP);
    give(&backups.state_dir().join("schedule.json"), 0o640, GROUP);

    let args = [
        "--once".as_ref(),
        "--backup-dir".as_ref(),
        &*backups.path(),
        "--state-dir".as_ref(),
        &*backups.state_dir(),
    ];
    let output = as_user(&program, &args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(metrics.statuses("daily"), ["success"]);
    assert_eq!(metrics.daily("cofre_plan_enabled"), 1.0);
    assert_eq!(metrics.repository("cofre_repository_size_bytes"), 1000.0);

    let cat = as_user(Path::new("/bin/cat"), &[&archive]);
    assert!(!cat.status.success(), "an archive could be read");
    assert!(String::from_utf8_lossy(&cat.stderr).contains("Permission denied"));
    let into = as_user(Path::new("/bin/touch"), &[&backups.path().join("x")]);
    assert!(!into.status.success(), "the folder could be written to");

    // Without the group there is nothing, and that is a metric.
    give(&backups.path(), 0o750, 0);
    let output = as_user(&program, &args);
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.repository("cofre_repository_up"), 0.0);
}
