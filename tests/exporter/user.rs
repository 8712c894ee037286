//! The exporter as a user of its own, who is in cofre's group. The permissions are those that cofre sets.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::backups::{Backups, copies_of, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::binary;

/// Neither is anybody's on a usual machine.
const USER: u32 = 64_001;
const GROUP: u32 = 64_002;

/// Runs a program as root.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

fn give(path: &Path, mode: u32, group: u32) {
    for (program, argument) in [("chgrp", group.to_string()), ("chmod", format!("{mode:o}"))] {
        let output = as_root(program).arg(argument).arg(path).output();
        let ended = output.map(|output| (output.status.success(), output));
        assert!(
            matches!(ended, Ok((true, _))),
            "this test runs a program as another user: run it as root, or as a user whose sudo asks for no \
             password ({program}: {ended:?})"
        );
    }
}

/// Runs a program as that user.
fn as_user(program: &Path, args: &[&Path]) -> Output {
    as_root("setpriv")
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

#[test]
fn a_user_of_its_own_reads_catalog_and_state_and_no_archive() {
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
    let deliveries = backups.state_dir().join("deliveries.json");
    let counts = r#"{"format": 1, "webhooks": {"ops": {"failures": 3}}, "pings": {}}"#;
    fs::write(&deliveries, counts).unwrap();
    give(&deliveries, 0o640, GROUP);
    backups.copies(&copies_of(&[("offsite", json!({"copies": 4}))]));
    let copies = backups.state_dir().join("copies.json");
    give(&copies, 0o640, GROUP);

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
    assert_eq!(metrics.repository("cofre_webhook_failures_total"), 3.0);
    let at_remote = "cofre_remote_copies{repository=\"relatorios\",remote=\"offsite\"}";
    assert_eq!(metrics.get(at_remote), 4.0);

    let cat = as_user(Path::new("/bin/cat"), &[&archive]);
    assert!(!cat.status.success(), "an archive could be read");
    assert!(String::from_utf8_lossy(&cat.stderr).contains("Permission denied"));
    let into = as_user(Path::new("/bin/touch"), &[&backups.path().join("x")]);
    assert!(!into.status.success(), "the folder could be written to");

    // Counters that cofre did not open to the group are no zeroes.
    give(&deliveries, 0o600, 0);
    give(&copies, 0o600, 0);
    let output = as_user(&program, &args);
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    let series = "cofre_webhook_failures_total{repository=\"relatorios\"}";
    assert_eq!((metrics.find(series), metrics.get("cofre_up")), (None, 0.0));
    assert_eq!(metrics.find(at_remote), None);

    // Without the group there is nothing, and that is a metric.
    give(&backups.path(), 0o750, 0);
    let output = as_user(&program, &args);
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.repository("cofre_repository_up"), 0.0);
}
