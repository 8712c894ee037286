//! Which runs are told, and to whom: with rows as they may be, and with real runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::backup::{self, CreateOptions, CreateOutcome};
use crate::engine::{Control, wit};
use crate::notify::tests::{Receiver, config, hook, plan, row};

fn entries(dir: &Path) -> Vec<Entry> {
    if !Outbox::exists(&dir.join(".cofre")) {
        return Vec::new();
    }
    let outbox = Outbox::open(&dir.join(".cofre")).unwrap();
    let names = outbox.names().unwrap();
    names
        .iter()
        .map(|name| outbox.read(name).unwrap().unwrap())
        .collect()
}

/// Receiver and event or signal of each entry.
fn told(dir: &Path) -> Vec<String> {
    let mut told: Vec<String> = entries(dir)
        .into_iter()
        .map(|entry| match entry.message {
            Message::Webhook { name, payload } => {
                format!(
                    "{name} {} {:?}",
                    payload.event,
                    payload.backup_id.unwrap_or_default()
                )
            }
            Message::Ping {
                plan, run, signal, ..
            } => format!("{plan} {signal:?} {run}"),
        })
        .collect();
    told.sort();
    told
}

const URL: &str = "https://example.org/secret-path";

#[test]
fn each_ended_run_is_told_once_to_those_who_want_to_know() {
    let temp = tempfile::tempdir().unwrap();
    let text =
        hook("all", URL) + &hook("bad", URL) + "events = ['backup_failed', 'backup_partial']\n" + &plan(URL);
    let config = config(temp.path(), &text);
    let mut rows = vec![
        row(3, Status::Completed),
        row(4, Status::Failed),
        row(5, Status::Cancelled),
        row(6, Status::Partial),
        row(7, Status::Completed),
        row(8, Status::InProgress),
    ];
    rows[4].plan = Some("manual".to_owned());
    assert_eq!(advance(&config, &rows, Some(3)).unwrap(), 7);
    assert_eq!(
        told(temp.path()),
        [
            "all backup_completed 7",
            "all backup_failed 4",
            "all backup_failed 5",
            "all backup_partial 6",
            "bad backup_failed 4",
            "bad backup_failed 5",
            "bad backup_partial 6",
            "daily Fail 4",
            "daily Fail 5",
            "daily Fail 6",
        ]
    );
    // A crash before the watermark was written: nothing is there twice.
    assert_eq!(advance(&config, &rows, Some(3)).unwrap(), 7);
    assert_eq!(entries(temp.path()).len(), 10);
    assert_eq!(advance(&config, &rows, Some(7)).unwrap(), 7);
    let text = std::fs::read_dir(temp.path().join(".cofre/outbox"))
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect::<String>();
    assert!(
        !text.contains("secret-path") && !text.contains("example.org"),
        "{text}"
    );
    assert!(text.contains("failed backup_4: no\\\\nspace left"), "{text}");
}

#[test]
fn old_history_is_not_told_and_neither_is_what_came_before_the_first_webhook() {
    let temp = tempfile::tempdir().unwrap();
    let rows = [
        row(1, Status::Completed),
        row(2, Status::Failed),
        row(3, Status::InProgress),
    ];
    let with = config(temp.path(), &hook("ops", URL));
    assert_eq!(advance(&with, &rows, None).unwrap(), 2);
    assert_eq!(advance(&config(temp.path(), ""), &rows, Some(0)).unwrap(), 2);
    assert!(entries(temp.path()).is_empty());
    assert_eq!(advance(&with, &[row(1, Status::InProgress)], None).unwrap(), 0);
}

#[test]
fn a_new_catalog_in_place_of_an_old_one_is_told_from_its_first_run() {
    let temp = tempfile::tempdir().unwrap();
    let config = config(temp.path(), &hook("ops", URL));
    assert_eq!(
        advance(&config, &[row(1, Status::InProgress)], Some(30)).unwrap(),
        0
    );
    assert_eq!(
        advance(&config, &[row(1, Status::Completed)], Some(0)).unwrap(),
        1
    );
    assert_eq!(told(temp.path()), ["ops backup_completed 1"]);
}

fn context(dir: &Path, text: &str) -> Context {
    std::fs::create_dir_all(dir.join("static")).unwrap();
    std::fs::write(dir.join("static/a.txt"), "a").unwrap();
    Context::new(config(dir, text)).unwrap()
}

fn options(plan: &str) -> CreateOptions {
    CreateOptions {
        backup_type: "automated".to_owned(),
        plan: plan.to_owned(),
        full: false,
        dry_run: false,
        new_history: false,
    }
}

fn create(context: &Context, plan: &str) -> crate::Result<CreateOutcome> {
    backup::create(context, &options(plan), &mut Control::default(), &mut |_| ())
}

/// What is left of a run whose process was killed.
fn killed(context: &Context, plan: &str) {
    let run = wit::engine::RunRequest {
        backup_type: "automated".to_owned(),
        plan: plan.to_owned(),
        started_at: context.now(),
        zip_path_prefix: context.config.zip_path_prefix.clone(),
    };
    let exclusive = context.exclusive().unwrap();
    exclusive.writer().unwrap().begin_run(run).unwrap();
    tell(context, &exclusive).unwrap();
}

#[test]
fn a_run_that_was_killed_is_told_by_the_next_one_also_when_it_was_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let context = context(temp.path(), &(hook("ops", URL) + &plan(URL)));
    std::fs::create_dir(temp.path().join("backups")).unwrap();
    killed(&context, "daily");
    assert!(told(temp.path()).is_empty());
    create(&context, "daily").unwrap();
    assert_eq!(
        told(temp.path()),
        [
            "daily Fail 1",
            "daily Start 2",
            "daily Success 2",
            "ops backup_completed 2",
            "ops backup_failed 1",
        ]
    );
    let entries = entries(temp.path());
    let failed = entries.iter().find_map(|entry| match &entry.message {
        Message::Webhook { payload, .. } if payload.event == "backup_failed" => payload.error.clone(),
        _ => None,
    });
    assert!(failed.unwrap().contains("interrupted"));
}

#[test]
fn a_failed_run_is_told_with_its_reason_and_nothing_of_it_fails_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let context = context(temp.path(), &hook("ops", URL));
    create(&context, "manual").unwrap();
    std::fs::rename(temp.path().join("static"), temp.path().join("gone")).unwrap();
    create(&context, "manual").unwrap_err();
    assert_eq!(
        told(temp.path()),
        ["ops backup_completed 1", "ops backup_failed 2"]
    );
    // A state file that can't be read is reported and kept aside, and the backup is made.
    let file = temp.path().join(".cofre/notified.json");
    std::fs::write(&file, "{").unwrap();
    std::fs::rename(temp.path().join("gone"), temp.path().join("static")).unwrap();
    create(&context, "manual").unwrap();
    assert!(temp.path().join(".cofre/notified.json.corrupt").exists());
    assert_eq!(entries(temp.path()).len(), 3);
}

#[test]
fn without_anybody_to_tell_nothing_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let quiet = context(temp.path(), "");
    create(&quiet, "manual").unwrap();
    assert!(
        !temp.path().join(".cofre/notified.json").exists() && !temp.path().join(".cofre/outbox").exists()
    );
    // Somebody, then nobody, then somebody again: what happened in between is not told.
    let context = context(temp.path(), &hook("ops", URL));
    create(&context, "manual").unwrap();
    create(&quiet, "manual").unwrap();
    create(&context, "manual").unwrap();
    assert_eq!(
        told(temp.path()),
        ["ops backup_completed 2", "ops backup_completed 4"]
    );
}

#[test]
fn verification_and_staleness_are_told_to_those_who_take_them() {
    let temp = tempfile::tempdir().unwrap();
    let text = hook("all", URL) + &hook("stale", URL) + "events = ['backup_stale']\n";
    let context = context(temp.path(), &text);
    let backup = row(7, Status::Completed);
    crate::notify::check_failed(
        &context,
        crate::notify::Event::VerifyFailed,
        &backup,
        &["crc".to_owned()],
    );
    let last = crate::notify::now() - chrono::TimeDelta::hours(2);
    crate::notify::stale(
        &context,
        "daily",
        Some(last),
        std::time::Duration::from_secs(3600),
    );
    assert_eq!(
        told(temp.path()),
        [
            "all backup_stale 0",
            "all verify_failed 7",
            "stale backup_stale 0"
        ]
    );
    let stale = entries(temp.path())
        .into_iter()
        .find_map(|entry| match entry.message {
            Message::Webhook { name, payload } if name == "stale" => payload.stale,
            _ => None,
        });
    let age = stale.unwrap().age_seconds.unwrap();
    assert!((7_200..7_300).contains(&age), "{age}");
}

#[test]
fn a_real_run_is_seen_by_a_real_server_field_by_field() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    let text = hook("ops", &receiver.url("/hook")) + &plan(&receiver.url("/ping"));
    let context = context(temp.path(), &text);
    let deliverer = crate::notify::deliverer(&context).unwrap();
    let watched = receiver.clone();
    let mut control = Control {
        // The run goes on when its start has been reported, which it would not wait for otherwise.
        on_progress: Box::new(move |_| drop(watched.wait(1))),
        ..Control::default()
    };
    let created = backup::create(&context, &options("daily"), &mut control, &mut |_| ());
    let CreateOutcome::Created { report, .. } = created.unwrap() else {
        panic!("created")
    };
    crate::notify::finish(deliverer);
    let received = receiver.received();
    let webhook = received.iter().find(|r| r.line == "POST /hook").unwrap().json();
    let backup = report.backup;
    assert_eq!(webhook["event"], "backup_completed");
    assert_eq!(webhook["backup_id"], backup.id);
    assert_eq!(webhook["backup_name"], backup.name);
    assert_eq!(webhook["timestamp"], backup.timestamp);
    assert_eq!(webhook["size_bytes"], backup.size);
    let size = webhook["size_mb"].as_f64().unwrap() * 1_048_576.0;
    assert!((size - f64::from(u32::try_from(backup.size).unwrap())).abs() < 0.001);
    assert_eq!(webhook["plan"], "daily");
    assert_eq!(webhook["file_count"], 1);
    let mut pings: Vec<_> = receiver.lines();
    pings.retain(|line| line.starts_with("POST /ping"));
    assert_eq!(pings, ["POST /ping/start", "POST /ping"]);
    assert!(entries(temp.path()).is_empty());
}

#[test]
fn a_run_that_never_got_a_row_is_told_and_a_busy_one_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let context = context(temp.path(), &(hook("ops", URL) + &plan(URL)));
    let create = || backup::create(&context, &options("daily"), &mut Control::default(), &mut |_| ());
    std::fs::create_dir(&context.config.backup_dir).unwrap();
    let held = context.exclusive().unwrap();
    assert_eq!(create().unwrap_err().code, Code::Busy);
    drop(held);
    assert!(told(temp.path()).is_empty());
    std::fs::write(
        context.config.backup_dir.join("backup_history.json"),
        "no catalog",
    )
    .unwrap();
    assert_eq!(create().unwrap_err().code, Code::CatalogInvalid);
    assert_eq!(told(temp.path()), ["daily Fail 0", "ops backup_failed 0"]);
    let webhook = entries(temp.path())
        .into_iter()
        .find_map(|entry| match entry.message {
            Message::Webhook { payload, .. } => Some(payload),
            Message::Ping { .. } => None,
        });
    let webhook = webhook.unwrap();
    assert_eq!(webhook.backup_id, None);
    assert_eq!(webhook.plan.as_deref(), Some("daily"));
    assert!(webhook.error.unwrap().contains("backup_history.json"));
}
