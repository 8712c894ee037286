//! Which plans are shown: the listed ones, those that run without being listed, and no deleted one.

use std::fs;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::backups::{Backups, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::{Exporter, run};

const DAY: u64 = 86_400;

fn ago(days: u64) -> String {
    let time = DateTime::<Utc>::from(SystemTime::now() - Duration::from_secs(days * DAY));
    time.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// A failed run of a plan, begun so many days ago.
fn failed(id: u32, plan: &str, days: u64) -> Value {
    let mut row = row(id, "failed");
    row["plan"] = json!(plan);
    row["started_at"] = json!(ago(days));
    row["finished_at"] = json!(ago(days));
    row
}

/// The plans of a scrape, in order.
fn shown(metrics: &Metrics) -> Vec<String> {
    let plans = metrics.labels("cofre_plan_info", "plan");
    for name in ["cofre_backup_failures_total", "cofre_plan_enabled"] {
        assert_eq!(metrics.labels(name, "plan"), plans, "{name}");
    }
    plans
}

fn failures(metrics: &Metrics, plan: &str) -> f64 {
    metrics.get(&format!(
        "cofre_backup_consecutive_failures{{repository=\"relatorios\",plan=\"{plan}\"}}"
    ))
}

#[test]
fn a_plan_of_cron_or_of_another_host_is_shown_beside_the_listed_ones_while_it_runs() {
    let rows = [
        failed(1, "hourly", 2),
        failed(2, "monthly", 31),
        failed(3, "old", 40),
    ];
    let backups = Backups::with(&rows);
    backups.state(&state_of(&[("daily", plan())]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    assert_eq!(shown(&metrics), ["daily", "hourly", "manual", "monthly"]);
    assert_eq!(failures(&metrics, "hourly"), 1.0);
    // No schedule says when it is due.
    for name in [
        "cofre_plan_enabled",
        "cofre_plan_expected_interval_seconds",
        "cofre_plan_created_timestamp_seconds",
    ] {
        let series = format!("{name}{{repository=\"relatorios\",plan=\"hourly\"}}");
        assert_eq!(metrics.get(&series), 0.0, "{name}");
    }
}

#[test]
fn a_plan_that_left_the_schedule_is_gone_until_something_else_runs_it() {
    let backups = Backups::with(&[failed(1, "hourly", 2)]);
    let mut state = state_of(&[("daily", plan())]);
    state["former"] = json!({"hourly": ago(1)});
    backups.state(&state);
    let exporter = Exporter::start_with_state(&backups);
    assert_eq!(shown(&exporter.scrape()), ["daily", "manual"]);
}

#[test]
fn what_runs_a_plan_after_it_left_the_schedule_brings_it_back() {
    let backups = Backups::with(&[failed(1, "hourly", 2)]);
    let mut state = state_of(&[]);
    state["former"] = json!({"hourly": ago(1)});
    backups.state(&state);
    let exporter = Exporter::start_with_state(&backups);
    assert_eq!(shown(&exporter.scrape()), ["manual"], "the last plan was deleted");
    backups.history(&[failed(1, "hourly", 2), failed(2, "hourly", 0)]);
    let metrics = exporter.scrape();
    assert_eq!(shown(&metrics), ["hourly", "manual"]);
    assert_eq!(failures(&metrics, "hourly"), 2.0);
}

#[test]
fn a_plan_that_the_configuration_dropped_is_gone_although_the_scheduler_still_has_it() {
    let backups = Backups::with(&[failed(1, "hourly", 2), failed(2, "cron", 2)]);
    backups.state(&state_of(&[("daily", plan()), ("hourly", plan())]));
    let file = backups.outside().join("cofre.toml");
    let text = "backup_dir = \"relatorios\"\nstate_dir = \"state\"\nrepository = \"relatorios\"\n\
        [[schedules]]\nname = \"daily\"\nat = \"02:00\"\n";
    fs::write(&file, text).unwrap();
    let exporter = Exporter::start_args(&["--config", file.to_str().unwrap()]);
    assert_eq!(shown(&exporter.scrape()), ["cron", "daily", "manual"]);
}

/// When a plan of a configuration that no scheduler has taken up was made.
fn created(backups: &Backups, changed: SystemTime) -> f64 {
    let file = backups.outside().join("cofre.toml");
    let text = "backup_dir = \"relatorios\"\nstate_dir = \"state\"\nrepository = \"relatorios\"\n\
        [[schedules]]\nname = \"daily\"\nat = \"02:00\"\n";
    fs::write(&file, text).unwrap();
    fs::create_dir_all(backups.state_dir()).unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(changed)
        .unwrap();
    let output = run(&[
        "--config",
        file.to_str().unwrap(),
        "--scheduler",
        "none",
        "--once",
    ]);
    let metrics = Metrics::checked(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(metrics.daily("cofre_plan_expected_interval_seconds"), DAY as f64);
    metrics.daily("cofre_plan_created_timestamp_seconds")
}

#[test]
fn a_plan_of_cron_is_as_old_as_the_configuration_or_its_first_run() {
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    assert_eq!(created(&Backups::with(&[]), changed), 1_790_000_000.0);
    let backups = Backups::with(&[row(1, "failed"), row(2, "failed")]);
    assert_eq!(created(&backups, changed), crate::backups::began(1));
}

#[test]
fn a_plan_that_somebody_forged_clears_no_terminal() {
    let rows = [failed(1, "\u{1b}[2Jx\u{202e}", 1)];
    let metrics = Exporter::start(&Backups::with(&rows)).scrape();
    let plans = metrics.labels("cofre_plan_info", "plan");
    let odd = plans.iter().find(|plan| plan.contains("u{1b}[2Jx"));
    assert!(odd.is_some_and(|plan| plan.contains("u{202e}")), "{plans:?}");
    assert!(
        !plans.concat().contains(['\u{1b}', '\u{202e}']),
        "not escaped: {plans:?}"
    );
}
