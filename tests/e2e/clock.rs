//! When plans run next, as `cofre status` says it at a moment of our choice: changes of clocks and the dialect of cron.

use std::process::Command;

use crate::support::{App, Run, cofre_binary, run, tool};

/// An application with one plan in a zone.
fn planned(zone: &str, cron: &str) -> App {
    let app = App::small();
    app.config(&format!(
        "time_zone = \"{zone}\"\n[sources.static]\npath = \"static\"\n\
         [[schedules]]\nname = \"plano\"\ncron = \"{cron}\"\n"
    ));
    app
}

/// `cofre status` at a moment of UTC.
fn status_at(app: &App, moment: &str) -> Run {
    at(app, moment, &["status"])
}

/// A command at a moment of UTC.
fn at(app: &App, moment: &str, args: &[&str]) -> Run {
    let mut command = Command::new(tool("faketime"));
    command
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env("TZ", "UTC")
        .env_remove("COFRE_CONFIG")
        .args(["-f", moment])
        .arg(cofre_binary())
        .arg("--config")
        .arg(app.path("cofre.toml"))
        .args(args);
    run(&mut command)
}

/// Asserts the run that comes next after a moment of UTC, in local time.
#[track_caller]
fn next(zone: &str, cron: &str, after: &str, expected: &str) {
    let app = planned(zone, cron);
    let said = format!("next run    plano, {expected}\n");
    status_at(&app, after).exits(0).says(&said);
}

#[test]
fn a_time_that_the_clock_skips_is_the_end_of_the_gap_once() {
    // In São Paulo the gap began at midnight, so that the day before has no such hour either.
    let (brazil, rule) = ("America/Sao_Paulo", "0 0 * * *");
    next(brazil, rule, "2018-11-03 02:59:59", "2018-11-03 00:00:00-03:00");
    next(brazil, rule, "2018-11-03 03:00:00", "2018-11-04 01:00:00-02:00");
    next(brazil, rule, "2018-11-04 03:00:00", "2018-11-05 00:00:00-02:00");
    let rule = "30 0 * * *";
    next(brazil, rule, "2018-11-03 03:30:00", "2018-11-04 01:00:00-02:00");
    next(brazil, rule, "2018-11-04 03:00:00", "2018-11-05 00:30:00-02:00");
    // What does not lie in the gap does not move, also where its search crosses it.
    next(
        brazil,
        "0 2 * * *",
        "2018-11-03 05:00:00",
        "2018-11-04 02:00:00-02:00",
    );
    next(
        brazil,
        "0 1 4 11 *",
        "2018-11-04 02:00:00",
        "2018-11-04 01:00:00-02:00",
    );
    let (portugal, rule) = ("Europe/Lisbon", "30 1 * * *");
    next(portugal, rule, "2027-03-27 01:30:00", "2027-03-28 02:00:00+01:00");
    next(portugal, rule, "2027-03-28 01:00:00", "2027-03-29 01:30:00+01:00");
    next(
        portugal,
        "0 2 * * *",
        "2027-03-27 02:00:00",
        "2027-03-28 02:00:00+01:00",
    );
    let (america, rule) = ("America/New_York", "0 2 * * *");
    next(america, rule, "2027-03-13 07:00:00", "2027-03-14 03:00:00-04:00");
    next(america, rule, "2027-03-14 07:00:00", "2027-03-15 02:00:00-04:00");
    let (lebanon, rule) = ("Asia/Beirut", "0 0 * * *");
    next(lebanon, rule, "2027-03-26 22:00:00", "2027-03-28 01:00:00+03:00");
    next(lebanon, rule, "2027-03-27 22:00:00", "2027-03-29 00:00:00+03:00");
}

#[test]
fn cron_means_what_the_manual_says() {
    // A Saturday.
    let after = "2026-11-28 20:00:00";
    for (cron, expected) in [
        // Day of month or day of week, also with a step.
        ("0 2 13 * 5", "2026-12-04 02:00:00+00:00"),
        ("0 2 */2 * 1", "2026-11-29 02:00:00+00:00"),
        ("0 2 31 2 1-5", "2027-02-01 02:00:00+00:00"),
        ("0 2 29 2 *", "2028-02-29 02:00:00+00:00"),
        ("0 2 31 * *", "2026-12-31 02:00:00+00:00"),
        ("0 3 * * 7", "2026-11-29 03:00:00+00:00"),
        ("0 3 * * 0", "2026-11-29 03:00:00+00:00"),
        ("0 3 * * sun", "2026-11-29 03:00:00+00:00"),
        ("*/7 * * * *", "2026-11-28 20:07:00+00:00"),
        ("@daily", "2026-11-29 00:00:00+00:00"),
        ("0 2 1,15 * *", "2026-12-01 02:00:00+00:00"),
        ("0 2 L * *", "2026-11-30 02:00:00+00:00"),
        ("0 2 * * FRI#2", "2026-12-11 02:00:00+00:00"),
        ("0 2 * * FRI#L", "2026-12-25 02:00:00+00:00"),
        ("  0   2  *  * * ", "2026-11-29 02:00:00+00:00"),
        // A step beyond the range leaves its first value.
        ("0-59/61 2 * * *", "2026-11-29 02:00:00+00:00"),
    ] {
        next("UTC", cron, after, expected);
    }
    // After the last minute of the step comes the next hour; a century without its leap day is gone over.
    next(
        "UTC",
        "*/7 * * * *",
        "2026-11-28 20:56:00",
        "2026-11-28 21:00:00+00:00",
    );
    next(
        "UTC",
        "0 2 29 2 *",
        "2096-03-01 00:00:00",
        "2104-02-29 02:00:00+00:00",
    );
}

#[test]
fn what_cron_can_not_mean_is_refused_at_the_start_with_its_key() {
    for cron in [
        "0 2 30 2 *",
        "0 2 31 4,6,9,11 *",
        "0 3 * * 5-1",
        "*/0 * * * *",
        "60 2 * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * 13 *",
        "0 2 * *",
        "0 0 2 * * *",
        "@reboot",
        "5/15 * * * *",
        "0 2 * * * # x",
        "１ 2 * * *",
        "99999999999999999999 2 * * *",
        "",
    ] {
        let app = planned("UTC", cron);
        for command in ["status", "serve"] {
            let refused = app.cofre(&[command]).exits(2).says("schedules[0].cron");
            assert!(refused.stderr.contains("line 6"), "{cron}: {refused}");
        }
    }
}

#[test]
fn a_plan_that_did_not_run_is_late_since_the_first_time_that_it_missed() {
    let app = planned("America/Sao_Paulo", "0 2 * * *");
    at(&app, "2026-11-25 05:00:10", &["create", "--plan", "plano"]).exits(0);
    status_at(&app, "2026-11-26 04:59:00").exits(0).never_says("late");
    status_at(&app, "2026-11-28 12:00:00")
        .exits(0)
        .says("next run    plano, 2026-11-29 02:00:00-03:00, late since 2026-11-26 02:00:00-03:00\n");
    at(&app, "2026-11-28 12:00:10", &["create", "--plan", "plano"]).exits(0);
    status_at(&app, "2026-11-28 12:05:00").exits(0).never_says("late");
}
