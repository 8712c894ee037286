//! kill -9 at random moments: the catalog parses, no half archive is published, every earlier backup is intact,
//! and the next run succeeds and cleans up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{App, Rng, run, spawn, tool};

/// At least this many moments, half of which have to fall into the run.
const KILLS: u32 = 60;
/// No more than this many, when a busy machine makes most runs end before their moment.
const MOST: u32 = 5 * KILLS;

#[test]
fn killed_at_any_moment_of_create_nothing_is_lost_and_the_next_run_cleans_up() {
    let app = App::sample();
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    let config = config.replace("max_backups = 30", "max_backups = 1000");
    app.config(&config.replace("[archive]", "[archive]\nworkers = 3"));
    let mut rng = Rng::new("killed_at_any_moment_of_create");
    for index in 0..300 {
        let length = 200 + rng.below(8_000) as usize;
        let bytes = rng.bytes(length);
        app.write(format!("static/dados/{}/{index}.bin", index % 10), &bytes);
    }
    app.write("static/grande.bin", &rng.bytes(6 << 20));

    let began = Instant::now();
    app.create();
    let mut whole = began.elapsed();
    let mut known = BTreeMap::new();
    remember(&app, &mut known);

    let (mut round, mut interrupted) = (0, 0);
    while round < KILLS || interrupted < KILLS / 2 {
        assert!(
            round < MOST,
            "only {interrupted} of {round} runs were killed before their end"
        );
        round += 1;
        let delay = Duration::from_nanos(rng.below(whole.as_nanos() as u64 * 11 / 10));
        let mut child = spawn(&mut app.command(&["create"]));
        std::thread::sleep(delay);
        let _ = child.kill();
        let killed = !child.wait().unwrap().success();
        interrupted += u32::from(killed);
        let context = format!("round {round}, killed after {delay:?} of {whole:?}");

        app.history();
        intact(&known, &context);
        for archive in app.archives() {
            if !known.contains_key(&archive) {
                run(Command::new(tool("unzip")).arg("-tqq").arg(&archive)).exits(0);
            }
        }
        // A run that copies what is unchanged is shorter than the first, and none is like another on a busy machine.
        let began = Instant::now();
        app.create();
        whole = began.elapsed();
        app.assert_no_leftovers();
        let history = app.history();
        assert!(
            history.iter().all(|row| row["status"] != "in_progress"),
            "{context}: {history:?}"
        );
        intact(&known, &context);
        remember(&app, &mut known);
    }
    let archives = app.archives().len();
    let published = app
        .history()
        .iter()
        .filter(|row| row["status"] == "completed")
        .count();
    assert_eq!(archives, published, "every published archive has its row");
    app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn killed_at_any_moment_of_prune_no_row_outlives_its_archive_unsaid() {
    let app = App::small();
    let mut rng = Rng::new("killed_at_any_moment_of_prune");
    for round in 0..12 {
        app.keys("max_backups = 1000");
        for _ in 0..4 {
            app.create();
        }
        app.keys("max_backups = 2");
        let mut child = spawn(&mut app.command(&["prune"]));
        std::thread::sleep(Duration::from_micros(rng.below(60_000)));
        let _ = child.kill();
        let _ = child.wait();

        // The catalog goes first: an archive may be left without a row, never a row without its archive.
        for row in app.history() {
            assert!(app.archive(&row).exists(), "round {round}: {row}");
        }
        app.cofre(&["prune"]).exits(0);
        assert_eq!(app.history().len(), 2, "round {round}");
        // What a prune leaves aside when it is killed, the next run removes; another prune has no reason to look.
        app.create();
        app.assert_no_leftovers();
    }
    app.cofre(&["verify", "--all"]).exits(0);
}

fn digest(archive: &PathBuf) -> String {
    run(Command::new(tool("sha256sum")).arg("-b").arg(archive))
        .exits(0)
        .stdout
}

fn remember(app: &App, known: &mut BTreeMap<PathBuf, String>) {
    for archive in app.archives() {
        known.entry(archive).or_insert_with_key(digest);
    }
}

fn intact(known: &BTreeMap<PathBuf, String>, context: &str) {
    // The newest few each time; the final `verify --all` reads every one of them.
    for (archive, digest_before) in known.iter().rev().take(3) {
        assert_eq!(&digest(archive), digest_before, "{context}");
    }
    for archive in known.keys() {
        assert!(archive.is_file(), "{context}: {} is gone", archive.display());
    }
}
