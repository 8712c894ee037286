//! State and configuration in, schedules out.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

use super::*;
use crate::config::Configured;

const STATE: &str = r#"{"format": 1, "last_tick": "2026-01-02T03:00:00Z", "later": {"x": 1},
    "plans": {"daily": {"created": "2026-01-01T00:00:00Z", "last_due": null, "last_started": null,
        "next": "2026-01-03T02:00:00Z", "missed": 3, "expected_interval_seconds": 86400, "enabled": true,
        "stale_notified": null}, "old": {"enabled": false}},
    "verify": {"expected_interval_seconds": 86400, "next": "2026-01-03T04:00:00Z"}}"#;

fn state(text: &str) -> io::Result<Option<State>> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), text).unwrap();
    State::read(dir.path())
}

fn configured(text: &str) -> Configured {
    Configured::parse(text).unwrap()
}

#[test]
fn a_plan_of_the_state_has_all_that_the_state_says() {
    let facts = ScheduleFacts::of(None, state(STATE).unwrap().as_ref(), None);
    assert_eq!(facts.last_tick, 1_767_322_800.0);
    assert!(facts.expected);
    let daily = PlanSchedule {
        enabled: true,
        created: 1_767_225_600.0,
        interval: 86_400.0,
        next_run: 1_767_405_600.0,
        missed: 3,
    };
    assert_eq!(facts.plans["daily"], daily);
    assert_eq!(facts.plans["old"], PlanSchedule::default());
    assert_eq!((facts.verify_interval, facts.drill_interval), (86_400.0, 0.0));
}

#[test]
fn the_configuration_says_which_plans_there_are_and_the_state_how_they_stand() {
    let file = "[[schedules]]\nname = \"daily\"\nat = \"02:00\"\nenabled = false\n\
                [[schedules]]\nname = \"new\"\nat = \"sunday 02:00\"\n[drill]\nat = \"sunday 05:00\"\n";
    let facts = ScheduleFacts::of(Some(&configured(file)), state(STATE).unwrap().as_ref(), None);
    let names: Vec<_> = facts.plans.keys().collect();
    assert_eq!(names, ["daily", "new"]);
    assert!(facts.plans["daily"].enabled);
    assert_eq!(facts.plans["new"].interval, 604_800.0);
    assert_eq!(
        (facts.verify_interval, facts.drill_interval),
        (86_400.0, 604_800.0)
    );
}

#[test]
fn a_scheduler_is_expected_where_one_ran_or_a_plan_asks_for_it_or_by_order() {
    let file = configured("[[schedules]]\nname = \"daily\"\nat = \"02:00\"\n");
    assert!(ScheduleFacts::of(Some(&file), None, None).expected);
    assert!(!ScheduleFacts::of(Some(&file), None, Some(false)).expected);
    assert!(!ScheduleFacts::of(Some(&configured("")), None, None).expected);
    assert!(ScheduleFacts::of(None, None, Some(true)).expected);
    assert!(!ScheduleFacts::of(None, None, None).expected);
}

#[test]
fn a_folder_without_the_file_is_no_error_and_a_missing_folder_is() {
    let dir = tempfile::tempdir().unwrap();
    assert!(State::read(dir.path()).unwrap().is_none());
    assert!(State::read(&dir.path().join("missing")).is_err());
}

#[test]
fn what_is_no_state_of_this_format_is_an_error_that_names_the_file() {
    for bad in [
        "",
        "[]",
        "{}",
        "{\"format\": 2}",
        "{\"format\": 1, \"plans\": 3}",
        "{\"format\": 1",
    ] {
        let said = state(bad).unwrap_err().to_string();
        assert!(said.contains(FILE), "{bad}: {said}");
    }
}

#[test]
fn nonsense_in_single_values_stays_harmless() {
    let text = r#"{"format": 1, "last_tick": "soon", "plans": {"a": {"created": "x", "next": null,
        "expected_interval_seconds": -5}}, "verify": {"expected_interval_seconds": null}}"#;
    let facts = ScheduleFacts::of(None, state(text).unwrap().as_ref(), None);
    let a = PlanSchedule {
        enabled: true,
        ..PlanSchedule::default()
    };
    assert_eq!(facts.plans["a"], a);
    assert_eq!((facts.last_tick, facts.verify_interval), (0.0, 0.0));
}
