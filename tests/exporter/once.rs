//! Printing, the textfile, and options that can't be.

use std::fs;

use crate::backups::{Backups, row};
use crate::metrics::Metrics;
use crate::process::run;

#[test]
fn once_prints_what_a_scrape_would_get() {
    let backups = Backups::with(&[row(1, "completed")]);
    let folder = backups.path();
    let output = run(&["--backup-dir", folder.to_str().unwrap(), "--once"]);
    assert_eq!(output.status.code(), Some(0));
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(metrics.statuses("daily"), ["success"]);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn once_on_a_missing_folder_prints_that_it_is_down() {
    let backups = Backups::empty();
    let missing = backups.outside().join("missing");
    let output = run(&["--backup-dir", missing.to_str().unwrap(), "--once"]);
    assert_eq!(output.status.code(), Some(0));
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.get("cofre_repository_up{repository=\"missing\"}"), 0.0);
}

#[test]
fn the_textfile_has_nothing_that_stands_still_or_clashes_with_node_exporter() {
    let backups = Backups::with(&[row(1, "completed")]);
    let folder = backups.path();
    let file = backups.outside().join("cofre.prom");
    let args = [
        "--backup-dir",
        folder.to_str().unwrap(),
        "--textfile.path",
        file.to_str().unwrap(),
    ];
    for _ in 0..2 {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.is_empty());
    }
    let metrics = Metrics::checked(&fs::read_to_string(&file).unwrap());
    assert_eq!(metrics.statuses("daily"), ["success"]);
    for name in metrics.names() {
        let still =
            name.starts_with("process_") || name.ends_with("_age_seconds") || name == "cofre_time_seconds";
        assert!(!still, "{name}");
    }
    let around = fs::read_dir(backups.outside()).unwrap().count();
    assert_eq!(around, 2, "only the folder and the textfile");
}

#[test]
fn a_textfile_that_can_not_be_written_is_an_error() {
    let backups = Backups::with(&[]);
    let folder = backups.path();
    let file = backups.outside().join("missing/cofre.prom");
    let output = run(&[
        "--backup-dir",
        folder.to_str().unwrap(),
        "--textfile.path",
        file.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(10));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("missing/cofre.prom")
    );
}

#[test]
fn the_repository_label_is_the_alias_or_the_folders_name() {
    let backups = Backups::with(&[]);
    let folder = backups.path();
    let output = run(&[
        "--backup-dir",
        folder.to_str().unwrap(),
        "--once",
        "--repository",
        "app é",
    ]);
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.get("cofre_repository_up{repository=\"app é\"}"), 1.0);
}

#[test]
fn wrong_options_are_usage_errors() {
    let long = "x".repeat(65);
    for (args, part) in [
        (&["--once"][..], "--backup-dir"),
        (&["--once", "--backup-dir", "x", "--config", "y"], "--config"),
        (&["--once", "--state-dir", "x"], "--backup-dir"),
        (&["--once", "--config", "x", "--state-dir", "x"], "--state-dir"),
        (&["--once", "--config", "missing.toml"], "missing.toml"),
        (
            &["--once", "--backup-dir", "x", "--scheduler", "maybe"],
            "--scheduler",
        ),
        (&["--backup-dir", "/", "--once"], "--repository"),
        (
            &["--backup-dir", "x", "--once", "--repository", "a/b"],
            "--repository",
        ),
        (
            &["--backup-dir", "x", "--once", "--repository", "a\nb"],
            "--repository",
        ),
        (
            &["--backup-dir", "x", "--once", "--repository", ""],
            "--repository",
        ),
        (
            &["--backup-dir", "x", "--once", "--repository", &long],
            "--repository",
        ),
        (
            &["--backup-dir", "x", "--web.telemetry-path", "metrics"],
            "--web.telemetry-path",
        ),
        (
            &["--backup-dir", "x", "--web.telemetry-path", "/-/ready"],
            "--web.telemetry-path",
        ),
        (&["--backup-dir", "x", "--probe.timeout", "0"], "--probe.timeout"),
        (&["--backup-dir", "x", "--log.level", "loud"], "--log.level"),
        (&["--nonsense"], "--nonsense"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(part), "{args:?}: {said}");
    }
}
