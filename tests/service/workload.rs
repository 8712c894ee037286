//! Everything at once: a seeded random workload by many clients, commands beside the service that want the same
//! lock, sources that change, and a checker that looks all the time whether what cofre promises still holds.
//!
//! Half a minute by default; `COFRE_WORKLOAD_SECONDS=600` makes it ten minutes.

mod actors;
mod checker;
mod commands;
mod judge;
mod memory;
mod shared;
mod sources;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::metrics::Exporter;
use crate::process::{Service, until};
use crate::site::{Extra, Site};
use crate::support::Rng;
use checker::Checker;
use memory::Memory;
use shared::Shared;

/// How many completed backups stay.
const KEPT: usize = 6;
/// The plans of the configuration, beside `manual`.
const PLANS: [&str; 2] = ["diario", "semanal"];

fn site() -> Site {
    let tables = format!(
        "[log]\nfile = \"cofre.log\"\nformat = \"json\"\n\
         [[schedules]]\nname = \"{}\"\ntype = \"automated\"\nat = \"02:00\"\n\
         [[schedules]]\nname = \"{}\"\ntype = \"weekly\"\nat = \"sunday 03:00\"\nfull = true\n",
        PLANS[0], PLANS[1]
    );
    let site = Site::with(Extra {
        top: &format!("max_backups = {KEPT}\nkeep_partial = 2"),
        api: "restore_dir = \"restaurados\"",
        tables: &tables,
    });
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    site
}

fn seconds() -> u64 {
    std::env::var("COFRE_WORKLOAD_SECONDS").map_or(25, |text| {
        text.parse().expect("COFRE_WORKLOAD_SECONDS is a number")
    })
}

#[test]
fn whatever_happens_at_once_no_promise_is_broken() {
    let mut seeds = Rng::new("workload");
    let site = site();
    sources::fill(&site, &mut Rng::fixed(seeds.next()));
    let service = Service::start(&site);
    let exporter = Exporter::start(&site);
    let duration = Duration::from_secs(seconds());
    let shared = Shared::new(&site, Instant::now() + duration);
    let mut memory = Memory::new(service.pid(), duration);
    let mut checker = Checker::new(&shared);
    thread::scope(|scope| {
        for actor in actors::ALL.into_iter().chain(commands::ALL) {
            let (shared, mut rng) = (&shared, Rng::fixed(seeds.next()));
            scope.spawn(move || {
                while shared.goes_on() {
                    actor(shared, &mut rng);
                }
            });
        }
        let mut rng = Rng::fixed(seeds.next());
        scope.spawn(|| {
            while shared.goes_on() {
                exporter.scrape();
                shared.count("scrape of the exporter");
                shared.pause(200);
            }
        });
        while shared.goes_on() {
            checker.look(&mut rng);
            memory.sample();
            shared.pause(100);
        }
    });
    at_the_end(&shared, &mut checker);
    drop(exporter);
    assert_eq!(service.terminate(), Some(0));
    println!(
        "{}\n{}\n{}",
        shared.report(duration),
        checker.report(),
        memory.report()
    );
    shared.assert_no_violation();
    memory.assert_flat();
}

/// What has to hold when all have gone.
fn at_the_end(shared: &Shared<'_>, checker: &mut Checker<'_, '_>) {
    let site = shared.site;
    // The last run may still be under way: its client went with a 202.
    until("the end of the last run", || {
        let answer = shared.call("GET", "/api/backup/status", "", &[(200, "")])?;
        answer.json()["status"]["running"].is_null().then_some(())
    });
    checker.look_at_all();
    let rows = site.app.history();
    for row in &rows {
        if !["completed", "partial"].contains(&row["status"].as_str().unwrap_or_default()) {
            shared.violation(format!("a run did not end well: {row}"));
        }
    }
    shared.cofre(&["verify", "--all"], &[0]);
    site.app.assert_no_leftovers();
    let restored = crate::support::listing(&site.app.path("restaurados"));
    assert!(!restored.contains(".partial"), "{restored}");
    audit(shared);
}

/// Each call and each command is one line of the audit log, and there are no others.
fn audit(shared: &Shared<'_>) {
    let log = || std::fs::read_to_string(shared.site.app.path("cofre.log")).unwrap();
    let calls = |log: &str| -> Vec<(String, String)> {
        log.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .filter(|line| line["target"] == "cofre::audit" && line["from"].is_string())
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                (text("operation"), text("status"))
            })
            .collect()
    };
    shared.compare_audit(&calls(&log()), "calls");
    let commands: Vec<_> = log()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| {
            line["target"] == "cofre::audit"
                && line["who"].as_str().is_some_and(|who| who.starts_with("user:"))
        })
        .map(|line| {
            (
                line["operation"].as_str().unwrap_or_default().to_owned(),
                String::new(),
            )
        })
        .collect();
    shared.compare_audit(&commands, "commands");
}
