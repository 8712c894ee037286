//! What the scheduler does besides starting runs: stale plans, interrupted runs, verification, its loop.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use super::{DAILY, MINUTELY, Machine, settle, verified};
use crate::engine::wit::engine::RunRequest as BeginRequest;
use crate::engine::wit::types::Status;
use crate::serve::scheduler::{recover, run, tick_on};
use crate::state;

#[test]
fn a_stale_plan_is_reported_once_until_its_next_success() {
    let machine = Machine::new(DAILY);
    settle(&mut machine.start());
    // A run that can't succeed.
    fs::rename(machine.dir.path().join("static"), machine.dir.path().join("away")).unwrap();
    machine.set(machine.noon + TimeDelta::hours(14));
    settle(&mut machine.start());
    assert_eq!(
        (machine.rows()[0].status, machine.state().stale_notified),
        (Status::Failed, None)
    );
    machine.set(machine.noon + TimeDelta::hours(30));
    settle(&mut machine.start());
    assert_eq!(
        machine.state().stale_notified,
        None,
        "a day and a quarter and an hour are allowed"
    );
    machine.set(machine.noon + TimeDelta::hours(32));
    settle(&mut machine.start());
    let first = machine.state().stale_notified;
    assert!(first.is_some());
    machine.set(machine.noon + TimeDelta::hours(36));
    settle(&mut machine.start());
    assert_eq!(machine.state().stale_notified, first);
    fs::rename(machine.dir.path().join("away"), machine.dir.path().join("static")).unwrap();
    machine.set(machine.noon + TimeDelta::hours(38));
    settle(&mut machine.start());
    assert_eq!((machine.rows().len(), machine.state().stale_notified), (2, None));
    assert!(machine.state().last_success.is_some());
}

#[test]
fn interrupted_runs_are_closed_at_the_start() {
    let machine = Machine::new(DAILY);
    let context = machine.context();
    recover(&context).unwrap();
    assert!(context.is_fresh(), "nothing is made");
    fs::create_dir(machine.dir.path().join("backups")).unwrap();
    recover(&context).unwrap();
    let exclusive = context.exclusive().unwrap();
    let begin = BeginRequest {
        backup_type: "automated".into(),
        plan: "daily".into(),
        started_at: context.now(),
        zip_path_prefix: String::new(),
    };
    exclusive.writer().unwrap().begin_run(begin).unwrap();
    recover(&context).unwrap();
    assert_eq!(
        machine.rows()[0].status,
        Status::InProgress,
        "somebody else holds the folder"
    );
    drop(exclusive);
    recover(&context).unwrap();
    let row = machine.rows().remove(0);
    assert_eq!(row.status, Status::Failed);
    assert!(row.error.unwrap().starts_with("interrupted"));
    context.exclusive().unwrap();
}

#[test]
fn archives_are_verified_at_their_time_and_the_results_recorded() {
    let machine = Machine::new(&format!("{MINUTELY}[verify]\nat = '04:00'\n"));
    let mut scheduler = machine.start();
    for minute in 1..=2 {
        machine.set(machine.noon + TimeDelta::minutes(minute));
        settle(&mut scheduler);
    }
    drop(scheduler);
    let rows = machine.rows();
    let archive = machine.dir.path().join(format!("backups/{}.zip", rows[0].name));
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&archive, bytes).unwrap();
    // Without the plan, so that no run gets in the way.
    machine.configure("[verify]\nat = '04:00'\n");
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    assert!(machine.rows().iter().all(|row| row.verified_at.is_none()));
    machine.set(machine.noon + TimeDelta::hours(17));
    assert_eq!(verified(&mut scheduler), (1, 1));
    let results: Vec<_> = machine
        .rows()
        .into_iter()
        .map(|row| row.verify_status.unwrap())
        .collect();
    assert_eq!(results, ["failed", "verified"]);
    let state = state::read(&machine.config()).unwrap().unwrap().verify.unwrap();
    assert_eq!(state.next, Some(machine.noon + TimeDelta::hours(40)));
    assert_eq!(state.expected_interval_seconds, 86_400);
    // Caught up once like a plan, and not again.
    scheduler.tick();
    assert!(!scheduler.stop_checks());
}

#[test]
fn a_verification_makes_way_for_a_run() {
    let machine = Machine::new(&format!("{MINUTELY}[verify]\nat = '12:05'\n"));
    let noise: Vec<u8> = (0..24_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(machine.dir.path().join("static/noise.txt"), noise).unwrap();
    let mut scheduler = machine.start();
    machine.set(machine.noon + TimeDelta::minutes(1));
    settle(&mut scheduler);
    // Both are due: the run goes first, and nothing is verified beside it.
    machine.set(machine.noon + TimeDelta::minutes(5));
    scheduler.tick();
    assert!(scheduler.active.is_some() && !scheduler.stop_checks());
    while scheduler.active.is_some() {
        std::thread::sleep(Duration::from_millis(5));
        scheduler.tick();
    }
    // Now it goes on; the next run stops it.
    machine.set(machine.noon + TimeDelta::minutes(6));
    settle(&mut scheduler);
    assert_eq!(scheduler.rows.list().len(), 3);
    assert_eq!(
        scheduler.state.plans["often"].last_due,
        Some(machine.noon + TimeDelta::minutes(6))
    );
    let (sound, failed) = verified(&mut scheduler);
    assert!(sound >= 2 && failed == 0, "{sound} {failed}");
}

/// Ticks until the scheduled drill is through.
fn drilled(scheduler: &mut crate::serve::scheduler::tick::Scheduler) -> (u64, u64, u64) {
    let began = Instant::now();
    loop {
        scheduler.tick();
        let state = scheduler.state.drill.as_ref().unwrap();
        if state.last_finished.is_some() {
            return (state.sound, state.failed, state.given_up);
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{scheduler:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_newest_archive_is_drilled_at_its_time_and_a_recent_drill_is_enough() {
    let toml = |max_age: &str| format!("[drill]\nat = '05:00'\n{max_age}[verify]\nat = '05:00'\n");
    let machine = Machine::new(&format!("{MINUTELY}{}", toml("")));
    let mut scheduler = machine.start();
    for minute in 1..=2 {
        machine.set(machine.noon + TimeDelta::minutes(minute));
        settle(&mut scheduler);
    }
    drop(scheduler);
    machine.configure(&toml(""));
    let mut scheduler = machine.start();
    machine.set(machine.noon + TimeDelta::hours(18));
    assert_eq!(drilled(&mut scheduler), (1, 0, 0));
    assert_eq!(verified(&mut scheduler), (2, 0), "one after the other");
    let results = || {
        let rows = machine.rows();
        rows.iter()
            .map(|row| row.drill_status.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(results(), [None, Some("passed".to_owned())]);
    let state = state::read(&machine.config()).unwrap().unwrap().drill.unwrap();
    assert_eq!(state.next, Some(machine.noon + TimeDelta::hours(41)));
    drop(scheduler);
    // By the clock of the rows that was days ago, so that it is due again unless it may be older.
    machine.configure(&toml("max_age = '60d'\n"));
    machine.set(machine.noon + TimeDelta::hours(42));
    let mut scheduler = machine.start();
    assert_eq!(
        scheduler.state.drill.as_ref().unwrap().expected_interval_seconds,
        60 * 86_400
    );
    scheduler.state.drill.as_mut().unwrap().last_finished = None;
    assert_eq!(drilled(&mut scheduler), (0, 0, 0), "left out");
}

#[test]
fn a_drill_makes_way_for_a_run() {
    let machine = Machine::new(&format!("{MINUTELY}[drill]\nat = '12:05'\n"));
    let noise: Vec<u8> = (0..24_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(machine.dir.path().join("static/noise.txt"), noise).unwrap();
    let mut scheduler = machine.start();
    machine.set(machine.noon + TimeDelta::minutes(1));
    settle(&mut scheduler);
    machine.set(machine.noon + TimeDelta::minutes(5));
    scheduler.tick();
    assert!(scheduler.active.is_some() && !scheduler.stop_checks());
    settle(&mut scheduler);
    machine.set(machine.noon + TimeDelta::minutes(6));
    settle(&mut scheduler);
    assert_eq!(scheduler.rows.list().len(), 3);
    assert_eq!(drilled(&mut scheduler), (1, 0, 0));
}

#[test]
fn plans_that_are_gone_are_remembered_until_they_come_back_and_a_drill_has_its_interval() {
    let machine = Machine::new(&format!("{MINUTELY}[drill]\nat = 'sunday 05:00'\n"));
    let state = |machine: &Machine| {
        settle(&mut machine.start());
        state::read(&machine.config()).unwrap().unwrap()
    };
    let before = state(&machine);
    assert!(before.former.is_empty());
    assert_eq!(before.drill.unwrap().expected_interval_seconds, 7 * 86_400);
    machine.configure("");
    let without = state(&machine);
    assert!(without.plans.is_empty() && without.drill.is_none());
    let left = without.former["often"];
    assert!(left >= machine.noon, "{left}");
    // When it went is no later for a further start.
    machine.set(machine.noon + TimeDelta::hours(1));
    assert_eq!(state(&machine).former["often"], left);
    machine.configure(MINUTELY);
    assert!(state(&machine).former.is_empty());
}

#[test]
fn the_last_tick_is_written_once_a_minute() {
    let machine = Machine::new(DAILY);
    let mut scheduler = machine.start();
    let last = || {
        state::read(&machine.config())
            .unwrap()
            .unwrap()
            .last_tick
            .unwrap()
    };
    scheduler.tick();
    let first = last();
    machine.set(machine.noon + TimeDelta::seconds(30));
    scheduler.tick();
    assert_eq!(last(), first);
    machine.set(machine.noon + TimeDelta::seconds(62));
    scheduler.tick();
    assert!(last() > first);
    machine.set(machine.noon - TimeDelta::hours(1));
    scheduler.tick();
    assert!(last() < first, "a clock that was set back is written at once");
}

#[test]
fn it_ends_with_the_service_and_starts_nothing_afterwards() {
    let machine = Machine::new(DAILY);
    settle(&mut machine.start());
    machine.ending.send_replace(true);
    machine.set(machine.noon + TimeDelta::hours(14));
    let service = machine.service();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let ran = runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), run(Arc::clone(&service))).await });
    assert!(ran.is_ok());
    let mut scheduler = machine.start();
    scheduler.tick();
    assert!(scheduler.active.is_none() && machine.rows().is_empty());
    assert!(service.runner.current().is_none());
}

#[test]
fn the_loop_runs_what_is_due_by_itself() {
    let machine = Machine::new(DAILY);
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::hours(14) - TimeDelta::seconds(2));
    let scheduler = machine.start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let began = Instant::now();
    let ticking = runtime.spawn(tick_on(scheduler));
    while machine
        .rows()
        .first()
        .is_none_or(|row| row.status != Status::Completed)
    {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    ticking.abort();
    runtime.shutdown_timeout(Duration::from_secs(5));
    assert_eq!(machine.rows().len(), 1);
}
