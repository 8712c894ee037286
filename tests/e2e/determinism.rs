//! The same input at the same time gives the same bytes.

use std::process::Command;

use crate::support::{App, cofre_binary, copy_tree, run, tool};

/// A backup made while the clock stands still.
fn archive_at(app: &App, moment: &str) -> (String, Vec<u8>) {
    let mut command = Command::new(tool("faketime"));
    command
        // Only the wall clock: deadlines run on, and files keep their own times.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env_remove("COFRE_CONFIG")
        .env("TZ", "America/Sao_Paulo")
        .args(["-f", moment])
        .arg(cofre_binary())
        .arg("--config")
        .arg(app.path("cofre.toml"))
        .args(["create", "--type", "manual"]);
    run(&mut command).exits(0);
    let archives = app.archives();
    let name = archives[0].file_name().unwrap().to_str().unwrap().to_owned();
    (name, std::fs::read(&archives[0]).unwrap())
}

#[test]
fn two_runs_in_fresh_folders_give_identical_archives() {
    let first = App::sample();
    let second = App::new();
    std::fs::remove_dir(second.path("static")).unwrap();
    copy_tree(first.root(), second.root());
    let (name, one) = archive_at(&first, "2025-08-31 21:52:49");
    let (other_name, two) = archive_at(&second, "2025-08-31 21:52:49");
    assert_eq!(
        (name.as_str(), &name),
        ("backup_20250831_215249_manual.zip", &other_name)
    );
    assert!(one == two, "{} and {} bytes, not the same", one.len(), two.len());
}

#[test]
fn the_number_of_workers_does_not_change_a_byte() {
    let first = App::sample();
    let second = App::new();
    std::fs::remove_dir(second.path("static")).unwrap();
    copy_tree(first.root(), second.root());
    let config = std::fs::read_to_string(first.path("cofre.toml")).unwrap();
    first.config(&config.replace("[archive]", "[archive]\nworkers = 1"));
    second.config(&config.replace("[archive]", "[archive]\nworkers = 4"));
    let (_, one) = archive_at(&first, "2025-08-31 21:52:49");
    let (_, two) = archive_at(&second, "2025-08-31 21:52:49");
    assert!(one == two);
}
