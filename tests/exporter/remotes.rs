//! Copies off the machine: which remotes are shown, and how they stand.

use std::fs;

use cofre_exporter::{Exporter as Library, Repository, names};
use serde_json::{Value, json};

use crate::backups::{Backups, copies_of, plan, row, state_of};
use crate::metrics::Metrics;
use crate::process::Exporter;
use crate::serve::scrape;

/// Unix time of the last copy of the plan `daily` in [`remote`].
const COPIED: u32 = 1_764_370_000;

/// A remote as cofre writes it.
fn remote() -> Value {
    json!({"copies": 12, "size_bytes": 12_345, "pending": 1, "failures": 7, "failing_since_success": 2,
        "last_success": {"daily": COPIED}})
}

/// Value of a metric of this remote of the repository `relatorios`.
fn of(metrics: &Metrics, name: &str, remote: &str) -> Option<f64> {
    metrics.find(&format!(
        "{name}{{repository=\"relatorios\",remote=\"{remote}\"}}"
    ))
}

/// Every metric that has a remote and no plan.
fn metrics_of_remotes() -> Vec<&'static str> {
    let all = names::ALL.iter();
    let found: Vec<_> = all
        .filter(|m| m.labels == ["repository", "remote"])
        .map(|m| m.name)
        .collect();
    assert_eq!(found.len(), 5);
    found
}

/// All values of a remote, in the order of the table.
fn values(metrics: &Metrics, remote: &str) -> Option<Vec<f64>> {
    let found = metrics_of_remotes()
        .into_iter()
        .map(|name| of(metrics, name, remote));
    let found: Vec<_> = found.collect();
    let known = found.iter().flatten().count();
    assert!(
        [0, found.len()].contains(&known),
        "only some of {remote}: {found:?}"
    );
    found.into_iter().collect()
}

fn last_success(metrics: &Metrics, plan: &str, remote: &str) -> Option<f64> {
    let labels = format!("repository=\"relatorios\",plan=\"{plan}\",remote=\"{remote}\"");
    metrics.find(&format!(
        "cofre_remote_last_success_timestamp_seconds{{{labels}}}"
    ))
}

/// The remotes of a scrape, in order.
fn shown(metrics: &Metrics) -> Vec<String> {
    let remotes = metrics.labels("cofre_remote_copies", "remote");
    let with_plans = metrics.labels("cofre_remote_last_success_timestamp_seconds", "remote");
    assert_eq!(with_plans, remotes);
    remotes
}

/// Whether the copies could be read.
fn read(metrics: &Metrics) -> f64 {
    metrics.get("cofre_exporter_collector_success{repository=\"relatorios\",collector=\"copies\"}")
}

fn backups() -> Backups {
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[("daily", plan()), ("weekly", plan())]));
    backups
}

/// Writes a configuration with these remotes.
fn configure(backups: &Backups, remotes: &[&str]) -> String {
    let file = backups.outside().join("cofre.toml");
    let mut text = "backup_dir = \"relatorios\"\nstate_dir = \"state\"\nrepository = \"relatorios\"\n\
        [[schedules]]\nname = \"daily\"\nat = \"02:00\"\n"
        .to_owned();
    for name in remotes {
        text += &format!("[[remotes]]\nname = \"{name}\"\nurl = \"s3://bucket/x\"\nlater = {{ x = 1 }}\n");
    }
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

const NEVER: [f64; 5] = [0.0; 5];

#[test]
fn a_remote_of_the_state_has_all_that_the_state_says_and_every_plan() {
    let backups = backups();
    let exporter = Exporter::start_with_state(&backups);
    // Before the first copy there is no file, and no remote that anybody knows of.
    let before = exporter.scrape();
    assert_eq!((read(&before), before.get("cofre_up")), (1.0, 1.0));
    assert!(shown(&before).is_empty());

    backups.copies(&copies_of(&[("offsite", remote()), ("disk", json!({}))]));
    let metrics = exporter.scrape();
    assert_eq!(shown(&metrics), ["disk", "offsite"]);
    assert_eq!(
        values(&metrics, "offsite").unwrap(),
        [1.0, 12.0, 12_345.0, 7.0, 2.0]
    );
    assert_eq!(values(&metrics, "disk").unwrap(), NEVER);
    assert_eq!(
        last_success(&metrics, "daily", "offsite"),
        Some(f64::from(COPIED))
    );
    for (plan, remote) in [("weekly", "offsite"), ("manual", "offsite"), ("daily", "disk")] {
        assert_eq!(
            last_success(&metrics, plan, remote),
            Some(0.0),
            "{plan} at {remote}"
        );
    }
    assert_eq!(metrics.get("cofre_up"), 1.0);
    // What cofre is, not the exporter, counts: a new one says the same.
    let again = Exporter::start_with_state(&backups).scrape();
    assert_eq!(values(&again, "offsite"), values(&metrics, "offsite"));
}

#[test]
fn a_configured_remote_shows_before_its_first_copy_and_one_that_left_the_configuration_is_gone() {
    let backups = backups();
    let file = configure(&backups, &["offsite", "disk", "disk"]);
    let exporter = Exporter::start_args(&["--config", &file]);
    let before = exporter.scrape();
    assert_eq!(shown(&before), ["disk", "offsite"]);
    assert_eq!(values(&before, "offsite").unwrap(), NEVER);
    assert_eq!(last_success(&before, "daily", "offsite"), Some(0.0));

    backups.copies(&copies_of(&[("offsite", remote()), ("former", remote())]));
    let metrics = exporter.scrape();
    assert_eq!(shown(&metrics), ["disk", "offsite"]);
    assert_eq!(of(&metrics, "cofre_remote_failures_total", "offsite"), Some(7.0));
    assert_eq!(
        last_success(&metrics, "daily", "offsite"),
        Some(f64::from(COPIED))
    );
    // The plan that the configuration dropped is gone here, too.
    assert_eq!(last_success(&metrics, "weekly", "offsite"), None);

    configure(&backups, &["disk"]);
    assert_eq!(shown(&exporter.scrape()), ["disk"]);
    configure(&backups, &[]);
    let none = exporter.scrape();
    assert!(shown(&none).is_empty());
    assert_eq!(none.get("cofre_up"), 1.0);
}

#[test]
fn a_remote_that_left_the_state_is_gone_where_no_configuration_is_known() {
    let backups = backups();
    backups.copies(&copies_of(&[("offsite", remote()), ("disk", remote())]));
    let exporter = Exporter::start_with_state(&backups);
    assert_eq!(shown(&exporter.scrape()), ["disk", "offsite"]);
    backups.copies(&copies_of(&[("disk", remote())]));
    assert_eq!(shown(&exporter.scrape()), ["disk"]);
    fs::remove_file(backups.state_dir().join("copies.json")).unwrap();
    let metrics = exporter.scrape();
    assert!(shown(&metrics).is_empty());
    assert_eq!(metrics.get("cofre_up"), 1.0);
}

#[test]
fn what_can_not_be_read_is_said_and_not_guessed_and_what_was_known_stays() {
    let backups = backups();
    let file = configure(&backups, &["offsite"]);
    backups.copies(&copies_of(&[("offsite", remote())]));
    let exporter = Exporter::start_args(&["--config", &file]);
    let before = exporter.scrape();
    for bad in [
        &b"{\"format\": 1,"[..],
        b"",
        b"[]",
        b"{}",
        b"{\"format\": 99}",
        b"{\"format\": 1, \"remotes\": {\"offsite\": {\"copies\": -1}}}",
        b"\xff",
    ] {
        backups.raw_copies(bad);
        let metrics = exporter.scrape();
        assert_eq!((read(&metrics), metrics.get("cofre_up")), (0.0, 0.0));
        assert_eq!(metrics.repository("cofre_repository_up"), 1.0);
        assert_eq!(values(&metrics, "offsite"), values(&before, "offsite"));
        assert_eq!(
            last_success(&metrics, "daily", "offsite"),
            Some(f64::from(COPIED))
        );
        // Nobody who has just come says that nothing was ever copied.
        let fresh = Exporter::start_args(&["--config", &file]).scrape();
        assert!(shown(&fresh).is_empty());
    }
    exporter.wait_for_log("copies.json");
    // Which remotes there are is known all the same.
    configure(&backups, &["offsite", "disk"]);
    assert_eq!(shown(&exporter.scrape()), ["disk", "offsite"]);
    backups.copies(&copies_of(&[("offsite", remote())]));
    let mended = exporter.scrape();
    assert_eq!((read(&mended), mended.get("cofre_up")), (1.0, 1.0));
}

#[test]
fn a_catalog_that_is_away_takes_nothing_from_the_copies() {
    let backups = backups();
    backups.copies(&copies_of(&[("offsite", remote())]));
    let exporter = Exporter::start_with_state(&backups);
    fs::rename(backups.path(), backups.outside().join("away")).unwrap();
    let metrics = exporter.scrape();
    assert_eq!(metrics.repository("cofre_repository_up"), 0.0);
    assert_eq!(of(&metrics, "cofre_remote_copies", "offsite"), Some(12.0));
    assert_eq!(
        last_success(&metrics, "daily", "offsite"),
        Some(f64::from(COPIED))
    );
}

#[test]
fn two_repositories_may_have_a_remote_of_the_same_name() {
    let (one, two) = (backups(), backups());
    one.copies(&copies_of(&[("offsite", remote())]));
    let file = |backups: &Backups, alias: &str| {
        let file = configure(backups, &["offsite"]);
        let text = fs::read_to_string(&file).unwrap();
        let renamed = text.replace(
            "repository = \"relatorios\"",
            &format!("repository = \"{alias}\""),
        );
        fs::write(&file, renamed).unwrap();
        file
    };
    let (a, b) = (file(&one, "a"), file(&two, "b"));
    let metrics = Exporter::start_args(&["--config", &a, "--config", &b]).scrape();
    for (alias, copies, at) in [("a", 12.0, f64::from(COPIED)), ("b", 0.0, 0.0)] {
        let labels = format!("{{repository=\"{alias}\",remote=\"offsite\"}}");
        assert_eq!(metrics.get(&format!("cofre_remote_copies{labels}")), copies);
        let labels = format!("{{repository=\"{alias}\",plan=\"daily\",remote=\"offsite\"}}");
        let series = format!("cofre_remote_last_success_timestamp_seconds{labels}");
        assert_eq!(metrics.get(&series), at);
    }
}

#[test]
fn odd_names_and_numbers_stay_clean_metrics() {
    let odd = "a\"b\\c\nd é {x=\"y\"} #";
    let mut huge = remote();
    huge["size_bytes"] = json!(u64::MAX);
    huge["last_success"] = json!({"daily": -5, "weekly": 1e300, (odd): 1});
    let backups = backups();
    backups.copies(&copies_of(&[(odd, huge), ("", remote())]));
    let metrics = Exporter::start_with_state(&backups).scrape();
    // The end of a line is escaped twice: for people, and for the format.
    let escaped = "a\\\"b\\\\c\\\\nd é {x=\\\"y\\\"} #";
    assert_eq!(
        of(&metrics, "cofre_remote_size_bytes", escaped),
        Some(18_446_744_073_709_551_615.0)
    );
    assert_eq!(last_success(&metrics, "daily", escaped), Some(0.0));
    assert_eq!(last_success(&metrics, "weekly", escaped), Some(1e300));
}

#[test]
fn without_a_state_folder_nothing_is_said_of_remotes() {
    let backups = backups();
    backups.copies(&copies_of(&[("offsite", remote())]));
    let metrics = Exporter::start(&backups).scrape();
    assert!(
        metrics
            .names()
            .into_iter()
            .all(|name| !name.starts_with("cofre_remote_"))
    );
}

#[test]
fn the_library_is_told_which_remotes_are_configured() {
    let backups = backups();
    backups.copies(&copies_of(&[("offsite", remote()), ("former", remote())]));
    let repository = Repository {
        alias: "relatorios".to_owned(),
        path: backups.path(),
    };
    let watched = repository.with_state(backups.state_dir());
    let remotes = ["offsite", "new"].map(str::to_owned);
    let metrics = scrape(&Library::watching([watched.with_remotes(remotes)]));
    assert_eq!(shown(&metrics), ["new", "offsite"]);
    assert_eq!(values(&metrics, "new").unwrap(), NEVER);
    assert_eq!(of(&metrics, "cofre_remote_copies", "offsite"), Some(12.0));
}
