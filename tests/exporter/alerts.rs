//! The rules, the dashboard and the README beside what is exported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cofre_exporter::names::{self, Metric};
use serde_json::Value;

pub(crate) fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    let path = shipped(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Everything in `text` that is named like a metric of ours; of a histogram's buckets, the histogram.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("cofre_"));
    ours.map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .collect()
}

/// All `key: value` lines of the rules with this key.
fn values<'a>(rules: &'a str, key: &str) -> Vec<&'a str> {
    let found = rules.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("- ").unwrap_or(line);
        line.strip_prefix(key)?.strip_prefix(": ")
    });
    found.collect()
}

/// Each expression of the dashboard's panels, with its panel's title.
pub(crate) fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("dashboard/cofre.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().unwrap() {
            queries.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool")
        .args(args)
        .current_dir(shipped("alerts"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "cofre.rules.yml"]);
}

#[test]
fn every_rule_fires_and_is_silent_as_its_test_says() {
    promtool(&["test", "rules", "cofre.rules.test.yml"]);
    let (rules, tests) = (
        text("alerts/cofre.rules.yml"),
        text("alerts/cofre.rules.test.yml"),
    );
    let alerts = values(&rules, "alert");
    assert_eq!(alerts.len(), 24, "{alerts:?}");
    for alert in alerts {
        // What is tested of it: silence at one time, and at another an alert.
        let cases: Vec<_> = tests
            .split(&format!("alertname: {alert}\n"))
            .skip(1)
            .map(|rest| rest.trim_start().starts_with("exp_alerts: []"))
            .collect();
        assert!(cases.contains(&true), "{alert} is never tested to be silent");
        assert!(cases.contains(&false), "{alert} is never tested to fire");
    }
}

#[test]
fn every_metric_that_rules_and_dashboard_name_is_exported() {
    let rules = text("alerts/cofre.rules.yml");
    let dashboard = text("dashboard/cofre.json");
    let known: BTreeSet<_> = names::ALL.iter().chain(names::SERVE).map(|m| m.name).collect();
    for (file, text) in [("rules", &rules), ("dashboard", &dashboard)] {
        let named = metrics_in(text);
        assert!(named.len() > 10, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{file} name {unknown:?}, which nobody exports"
        );
    }
}

#[test]
fn every_alert_has_a_severity_and_a_runbook_that_is_there() {
    let rules = text("alerts/cofre.rules.yml");
    let readme = text("README.md");
    let alerts = values(&rules, "alert");
    for key in ["summary", "description", "severity", "for"] {
        assert_eq!(values(&rules, key).len(), alerts.len(), "{key}");
    }
    let links = values(&rules, "runbook_url");
    let expected: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let anchor = alert.to_lowercase();
            format!("\"https://cofre.example.org/exporter/README.md#alert-{anchor}\"")
        })
        .collect();
    assert_eq!(links, expected);
    // GitHub's and GitLab's anchor of a heading: lower case, spaces as hyphens.
    let sections: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("### Alert "))
        .collect();
    assert_eq!(sections, alerts.into_iter().collect());
}

/// The README's table of these metrics.
fn table(metrics: &[Metric]) -> String {
    let mut table = "| metric | labels | meaning |\n|---|---|---|\n".to_owned();
    for metric in metrics {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        table += &format!(
            "| `{}` | {} | {} |\n",
            metric.name,
            labels.join(", "),
            metric.help
        );
    }
    table
}

#[test]
fn the_readme_has_every_metric_as_the_code_has_it() {
    let readme = text("README.md");
    for (name, metrics) in [("metrics", names::ALL), ("metrics of serve", names::SERVE)] {
        let begin = format!("<!-- {name}: begin -->\n");
        let (_, rest) = readme.split_once(&begin).unwrap();
        let (found, _) = rest.split_once(&format!("<!-- {name}: end -->")).unwrap();
        let expected = table(metrics);
        assert!(
            found == expected,
            "exporter/README.md: between the marks of {name} has to be:\n{expected}"
        );
    }
}

#[test]
fn the_readme_has_every_option() {
    let help = String::from_utf8(crate::process::run(&["--help"]).stdout).unwrap();
    let readme = text("README.md");
    let options = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 2);
    let mut count = 0;
    for option in options {
        let option = option.trim_end_matches(|c: char| !c.is_ascii_lowercase());
        if ["--help", "--version"].contains(&option) {
            continue;
        }
        count += 1;
        assert!(
            readme.contains(&format!("`{option}")),
            "{option} is not in the README"
        );
    }
    assert!(count >= 12, "{help}");
}
