//! Plans and their schedules: from the scheduler's state, from the configuration, and from both.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::backups::{Backups, began, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::{Exporter, run};

/// Every metric that has a plan.
fn metrics_of_plans() -> impl Iterator<Item = &'static str> {
    let all = cofre_exporter::names::ALL.iter();
    all.filter(|m| m.labels == ["repository", "plan"]).map(|m| m.name)
}

fn of_plan(metrics: &Metrics, name: &str, plan: &str) -> Option<f64> {
    metrics.find(&format!("{name}{{repository=\"relatorios\",plan=\"{plan}\"}}"))
}

/// Metrics that `--once` prints.
fn once(args: &[&str]) -> Metrics {
    let output = run(&[args, &["--once"]].concat());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Metrics::checked(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_plan_of_the_state_has_every_series_before_its_first_run() {
    let backups = Backups::with(&[]);
    backups.state(&state_of(&[("daily", plan()), ("weekly", plan())]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    for name in metrics_of_plans() {
        for plan in ["daily", "weekly", "manual"] {
            assert!(of_plan(&metrics, name, plan).is_some(), "{name} of {plan}");
        }
    }
    assert_eq!(metrics.statuses("weekly"), ["never"]);
    assert_eq!(metrics.daily("cofre_backup_last_success_timestamp_seconds"), 0.0);
    assert_eq!(metrics.daily("cofre_plan_enabled"), 1.0);
    assert_eq!(
        metrics.daily("cofre_plan_created_timestamp_seconds"),
        1_767_225_600.0
    );
    assert_eq!(metrics.daily("cofre_plan_expected_interval_seconds"), 86_400.0);
    assert_eq!(
        metrics.daily("cofre_plan_next_run_timestamp_seconds"),
        1_769_911_200.0
    );
    assert_eq!(metrics.daily("cofre_backup_missed_total"), 2.0);
    assert_eq!(of_plan(&metrics, "cofre_plan_enabled", "manual"), Some(0.0));
    assert_eq!(
        metrics.repository("cofre_scheduler_last_tick_timestamp_seconds"),
        1_769_828_400.0
    );
    assert_eq!(metrics.repository("cofre_scheduler_expected"), 1.0);
    assert_eq!(
        metrics.repository("cofre_verify_expected_interval_seconds"),
        86_400.0
    );
    assert_eq!(metrics.repository("cofre_drill_expected_interval_seconds"), 0.0);
    assert_eq!(metrics.get("cofre_up"), 1.0);
}

#[test]
fn a_plan_that_leaves_the_state_disappears_although_its_rows_stay() {
    let mut weekly = row(2, "failed");
    weekly["plan"] = json!("weekly");
    let backups = Backups::with(&[row(1, "completed"), weekly]);
    backups.state(&state_of(&[("daily", plan()), ("weekly", plan())]));
    let exporter = Exporter::start_with_state(&backups);
    assert_eq!(exporter.scrape().statuses("weekly"), ["failed"]);
    backups.state(&state_of(&[("daily", plan())]));
    let metrics = exporter.scrape();
    for name in metrics_of_plans() {
        assert_eq!(of_plan(&metrics, name, "weekly"), None, "{name}");
    }
    assert_eq!(metrics.statuses("daily"), ["success"]);
}

#[test]
fn where_nothing_is_scheduled_the_plans_of_the_catalog_are_all_there() {
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    assert_eq!(metrics.statuses("daily"), ["success"]);
}

#[test]
fn without_a_state_nothing_is_said_of_schedules() {
    let backups = Backups::with(&[row(1, "completed")]);
    let exporter = Exporter::start(&backups);
    let metrics = exporter.scrape();
    assert_eq!(of_plan(&metrics, "cofre_plan_enabled", "daily"), None);
    assert!(!metrics.names().contains("cofre_scheduler_expected"));
    thread::sleep(Duration::from_millis(200));
    assert!(exporter.log().contains("--state-dir"), "{}", exporter.log());
}

#[test]
fn a_state_folder_before_its_first_schedule_is_fine_and_nothing_ticked() {
    let backups = Backups::with(&[row(1, "completed")]);
    fs::create_dir(backups.state_dir()).unwrap();
    let metrics = Exporter::start_with_state(&backups).scrape();
    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(
        metrics.repository("cofre_scheduler_last_tick_timestamp_seconds"),
        0.0
    );
    assert_eq!(metrics.repository("cofre_scheduler_expected"), 0.0);
    let folder = backups.path();
    let state = backups.state_dir();
    let args = [
        "--backup-dir",
        folder.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
        "--scheduler",
        "expected",
    ];
    assert_eq!(once(&args).repository("cofre_scheduler_expected"), 1.0);
}

#[test]
fn a_broken_or_missing_state_is_reported_and_what_was_known_stays() {
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[("daily", plan())]));
    let exporter = Exporter::start_with_state(&backups);
    exporter.scrape();
    let read = |metrics: &Metrics| {
        metrics.get("cofre_exporter_collector_success{repository=\"relatorios\",collector=\"schedule\"}")
    };
    for bad in [&b"{\"format\": 1,"[..], b"", b"[]", b"{\"format\": 99}", b"\xff"] {
        backups.raw_state(bad);
        let metrics = exporter.scrape();
        assert_eq!((metrics.get("cofre_up"), read(&metrics)), (0.0, 0.0));
        assert_eq!(metrics.repository("cofre_repository_up"), 1.0);
        assert_eq!(metrics.daily("cofre_plan_expected_interval_seconds"), 86_400.0);
        assert_eq!(
            metrics.repository("cofre_scheduler_last_tick_timestamp_seconds"),
            1_769_828_400.0
        );
    }
    assert!(exporter.log().contains("schedule.json"), "{}", exporter.log());
    fs::remove_dir_all(backups.state_dir()).unwrap();
    let metrics = exporter.scrape();
    assert_eq!((metrics.get("cofre_up"), read(&metrics)), (0.0, 0.0));
    backups.state(&state_of(&[("daily", plan())]));
    assert_eq!(exporter.scrape().get("cofre_up"), 1.0);
}

#[test]
fn a_state_without_a_valid_catalog_gives_schedules_but_no_made_up_runs() {
    let backups = Backups::with(&[]);
    backups.raw_history(b"broken");
    backups.state(&state_of(&[("daily", plan())]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    assert_eq!(metrics.daily("cofre_plan_info"), 1.0);
    assert_eq!(
        of_plan(&metrics, "cofre_backup_last_success_timestamp_seconds", "daily"),
        None
    );
}

const CONFIG: &str = "backup_dir = \"relatorios\"\nstate_dir = \"state\"\nrepository = \"relatorios\"\n\
    unknown_to_the_exporter = { x = 1 }\n\
    [[schedules]]\nname = \"daily\"\nat = \"02:00\"\n[verify]\nat = \"04:00\"\nmax_age = \"30d\"\n";

#[test]
fn a_configuration_says_where_things_are_and_which_plans_there_are() {
    let backups = Backups::with(&[row(1, "completed")]);
    let file = backups.outside().join("cofre.toml");
    fs::write(&file, CONFIG).unwrap();
    fs::create_dir(backups.state_dir()).unwrap();
    let metrics = once(&["--config", file.to_str().unwrap()]);
    assert_eq!(metrics.get("cofre_up"), 1.0);
    assert_eq!(
        metrics.daily("cofre_backup_last_success_timestamp_seconds"),
        began(1) + 5.0
    );
    // No scheduler has taken it up yet.
    assert_eq!(metrics.daily("cofre_plan_enabled"), 1.0);
    assert_eq!(metrics.daily("cofre_plan_expected_interval_seconds"), 86_400.0);
    assert_eq!(metrics.repository("cofre_scheduler_expected"), 1.0);
    assert_eq!(
        metrics.repository("cofre_verify_expected_interval_seconds"),
        86_400.0
    );
    let by_cron = once(&["--config", file.to_str().unwrap(), "--scheduler", "none"]);
    assert_eq!(by_cron.repository("cofre_scheduler_expected"), 0.0);
}

#[test]
fn a_change_of_the_configuration_shows_without_a_restart_and_a_broken_one_changes_nothing() {
    let backups = Backups::with(&[row(1, "completed")]);
    let file = backups.outside().join("cofre.toml");
    fs::write(&file, CONFIG).unwrap();
    backups.state(&state_of(&[("daily", plan()), ("weekly", plan())]));
    let exporter = Exporter::start_args(&["--config", file.to_str().unwrap()]);
    let before = exporter.scrape();
    assert_eq!(before.daily("cofre_backup_missed_total"), 2.0);
    assert_eq!(of_plan(&before, "cofre_plan_info", "weekly"), None);
    fs::write(&file, CONFIG.replace("\"daily\"", "\"weekly\"")).unwrap();
    let after = exporter.scrape();
    assert_eq!(of_plan(&after, "cofre_plan_info", "daily"), None);
    assert_eq!(of_plan(&after, "cofre_plan_info", "weekly"), Some(1.0));
    fs::write(&file, "[[schedules]\nname = \"hunter2\"").unwrap();
    let broken = exporter.scrape();
    assert_eq!(of_plan(&broken, "cofre_plan_info", "weekly"), Some(1.0));
    assert_eq!(broken.get("cofre_up"), 0.0);
    thread::sleep(Duration::from_millis(200));
    let log = exporter.log();
    assert!(
        log.contains("read config: line 1") && !log.contains("hunter2"),
        "{log}"
    );
}

#[test]
fn several_configurations_are_several_repositories_whose_aliases_must_differ() {
    let (one, two) = (Backups::with(&[row(1, "completed")]), Backups::with(&[]));
    let file = |backups: &Backups, alias: &str| {
        fs::create_dir_all(backups.state_dir()).unwrap();
        let file = backups.outside().join("cofre.toml");
        fs::write(
            &file,
            CONFIG.replace(
                "repository = \"relatorios\"",
                &format!("repository = \"{alias}\""),
            ),
        )
        .unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (a, b) = (file(&one, "a"), file(&two, "b"));
    let metrics = once(&["--config", &a, "--config", &b]);
    for (alias, last) in [("a", began(1) + 5.0), ("b", 0.0)] {
        let series =
            format!("cofre_backup_last_success_timestamp_seconds{{repository=\"{alias}\",plan=\"daily\"}}");
        assert_eq!(metrics.get(&series), last);
    }
    let same = file(&two, "a");
    let output = run(&["--config", &a, "--config", &same, "--once"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&a) && said.contains(&same) && said.contains("alias"),
        "{said}"
    );
}

#[test]
fn a_configuration_that_can_not_be_used_is_a_usage_error_that_names_it() {
    let backups = Backups::with(&[]);
    let file = backups.outside().join("cofre.toml");
    for (text, part) in [
        ("backup_dir = ", "line 1"),
        ("\nrepository = 3", "line 2"),
        ("repository = \"a/b\"", "alias"),
        ("[[schedules]]\nat = \"02:00\"", "name"),
        ("[[remotes]]\nurl = \"s3://b\"", "name"),
        ("remotes = 3", "line 1"),
    ] {
        fs::write(&file, text).unwrap();
        let output = run(&["--config", file.to_str().unwrap(), "--once"]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("--config") && said.contains(part), "{text}: {said}");
    }
}
