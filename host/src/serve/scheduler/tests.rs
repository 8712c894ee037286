//! The scheduler with the real engine and real runs; only its clock is moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use cofre_exporter::Exporter;
use tokio::sync::watch;

use super::clock::Clock;
use super::recover;
use super::tick::{Active, Scheduler};
use crate::audit::Who;
use crate::config::Config;
use crate::context::Context;
use crate::engine::wit::engine::RunRequest as BeginRequest;
use crate::engine::wit::types::{Backup, Status};
use crate::lock::BackupsLock;
use crate::serve::Service;
use crate::serve::runner::{RunRequest, Runner};
use crate::state::{self, PlanState};

const DAILY: &str = "[[schedules]]\nname = 'daily'\nat = '02:00'\n";
const MINUTELY: &str = "[[schedules]]\nname = 'often'\ncron = '* * * * *'\n";

/// An application folder, and the time that its scheduler takes for now.
struct Machine {
    dir: tempfile::TempDir,
    /// Noon, some days ahead: rows have the true time and lie in the past.
    noon: DateTime<Utc>,
    ending: watch::Sender<bool>,
}

impl Machine {
    fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("static")).unwrap();
        fs::write(dir.path().join("static/a.css"), "body {}").unwrap();
        let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
        let machine = Self {
            noon: today.and_hms_opt(12, 0, 0).unwrap().and_utc() + TimeDelta::days(10),
            dir,
            ending: watch::Sender::new(false),
        };
        machine.configure(toml);
        machine.set(machine.noon);
        machine
    }

    fn configure(&self, toml: &str) {
        let text = format!("time_zone = 'UTC'\n{toml}\n[sources.static]\npath = 'static'\n");
        fs::write(self.dir.path().join("cofre.toml"), text).unwrap();
    }

    fn clock(&self) -> PathBuf {
        self.dir.path().join("clock")
    }

    /// Moves the scheduler's clock.
    fn set(&self, to: DateTime<Utc>) {
        let moved = to - DateTime::<Utc>::from(SystemTime::now());
        // Rounded up, so that it is not yet the second before.
        fs::write(self.clock(), format!("{}\n", moved.num_seconds() + 1)).unwrap();
    }

    fn config(&self) -> Config {
        Config::load(&self.dir.path().join("cofre.toml")).unwrap()
    }

    fn context(&self) -> Context {
        Context::new(self.config()).unwrap()
    }

    fn service(&self) -> Arc<Service> {
        let context = Arc::new(self.context());
        Arc::new(Service {
            runner: Runner::new(Arc::clone(&context)),
            context,
            exporter: Arc::new(Exporter::new([])),
            ending: self.ending.subscribe(),
        })
    }

    fn start(&self) -> Scheduler {
        Scheduler::with_clock(self.service(), Clock::moved(self.clock())).unwrap()
    }

    fn rows(&self) -> Vec<Backup> {
        let context = self.context();
        match context.is_fresh() {
            true => Vec::new(),
            false => context.reader().unwrap().list().unwrap(),
        }
    }

    fn state(&self) -> PlanState {
        let state = state::read(&self.config()).unwrap().unwrap();
        state.plans.into_values().next().unwrap()
    }
}

/// Ticks until nothing goes on any more.
fn settle(scheduler: &mut Scheduler) {
    let began = Instant::now();
    loop {
        scheduler.tick();
        let quiet = scheduler.active.is_none() && scheduler.service.runner.current().is_none();
        if quiet && !scheduler.wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{scheduler:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ticks until the scheduled verification is through.
fn verified(scheduler: &mut Scheduler) -> (u64, u64) {
    let began = Instant::now();
    loop {
        scheduler.tick();
        let state = scheduler.state.verify.as_ref().unwrap();
        if state.last_finished.is_some() {
            return (state.sound, state.failed);
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{scheduler:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_plan_of_minutes_runs_each_minute_and_only_once() {
    let machine = Machine::new(MINUTELY);
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    assert_eq!(machine.rows(), [], "a new plan waits for its first time");
    for minute in 1..=3 {
        machine.set(machine.noon + TimeDelta::minutes(minute));
        settle(&mut scheduler);
        settle(&mut scheduler);
        assert_eq!(machine.rows().len(), usize::try_from(minute).unwrap());
    }
    let rows = machine.rows();
    let row = rows.last().unwrap();
    assert_eq!(
        (row.status, row.plan.as_deref()),
        (Status::Completed, Some("often"))
    );
    let state = machine.state();
    assert_eq!(
        (state.missed, state.last_due),
        (0, Some(machine.noon + TimeDelta::minutes(3)))
    );
    assert_eq!(state.next, Some(machine.noon + TimeDelta::minutes(4)));
    assert_eq!((state.expected_interval_seconds, state.enabled), (60, true));
}

#[test]
fn missed_runs_are_made_up_for_by_one_after_a_restart() {
    let machine = Machine::new(DAILY);
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::days(4));
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    assert_eq!(machine.rows().len(), 1);
    assert_eq!(machine.state().missed, 4);
    drop(scheduler);
    settle(&mut machine.start());
    assert_eq!(machine.rows().len(), 1, "another restart catches up nothing");
    // Back by a day: nothing is repeated, also by a new process.
    machine.set(machine.noon + TimeDelta::days(3));
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::days(3) + TimeDelta::hours(20));
    settle(&mut machine.start());
    assert_eq!(machine.rows().len(), 1);
    machine.set(machine.noon + TimeDelta::days(4) + TimeDelta::hours(14));
    settle(&mut machine.start());
    assert_eq!((machine.rows().len(), machine.state().missed), (2, 4));
}

#[test]
fn without_catch_up_missed_runs_are_only_counted() {
    let machine = Machine::new(&format!("{DAILY}catch_up = false\n"));
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::days(2));
    settle(&mut machine.start());
    assert_eq!((machine.rows().len(), machine.state().missed), (0, 2));
    machine.set(machine.noon + TimeDelta::days(2) + TimeDelta::hours(14));
    settle(&mut machine.start());
    assert_eq!((machine.rows().len(), machine.state().missed), (1, 2));
}

#[test]
fn of_two_plans_at_one_time_the_second_waits_and_counts_as_missed() {
    let machine = Machine::new(&format!("{DAILY}[[schedules]]\nname = 'other'\nat = '02:00'\n"));
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    machine.set(machine.noon + TimeDelta::hours(14));
    settle(&mut scheduler);
    let plans: Vec<_> = machine.rows().into_iter().map(|row| row.plan.unwrap()).collect();
    assert_eq!(plans, ["daily", "other"]);
    let missed = |plan: &str| scheduler.state.plans[plan].missed;
    assert_eq!((missed("daily"), missed("other")), (0, 1));
}

#[test]
fn a_run_of_another_process_is_waited_for() {
    let machine = Machine::new(DAILY);
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    fs::create_dir(machine.dir.path().join("backups")).unwrap();
    let folder = fs::File::open(machine.dir.path().join("backups")).unwrap();
    let held = BackupsLock::acquire(&folder).unwrap();
    machine.set(machine.noon + TimeDelta::hours(14));
    for _ in 0..3 {
        settle(&mut scheduler);
    }
    assert_eq!((machine.rows().len(), machine.state().missed), (0, 1));
    assert_eq!(machine.state().last_due, None, "a restart would not forget it");
    drop(held);
    settle(&mut scheduler);
    assert_eq!((machine.rows().len(), machine.state().missed), (1, 1));
}

#[test]
fn a_run_that_met_a_lock_nobody_saw_is_tried_again() {
    let machine = Machine::new(DAILY);
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    fs::create_dir(machine.dir.path().join("backups")).unwrap();
    let folder = fs::File::open(machine.dir.path().join("backups")).unwrap();
    let held = BackupsLock::acquire(&folder).unwrap();
    let due = machine.noon + TimeDelta::hours(14);
    machine.set(due);
    // As if the lock were another container's.
    let run = scheduler.service.runner.start(RunRequest {
        backup_type: "automated".into(),
        plan: "daily".into(),
        full: false,
        who: Who::Schedule("daily".into()),
    });
    scheduler.active = Some(Active {
        plan: "daily".into(),
        occurrence: due,
        on_time: true,
        started: due,
        run: run.unwrap(),
    });
    scheduler.state.plans.get_mut("daily").unwrap().counted = Some(due);
    settle(&mut scheduler);
    assert!(scheduler.held.is_some());
    assert_eq!(
        (
            machine.rows().len(),
            machine.state().missed,
            machine.state().last_due
        ),
        (0, 1, None)
    );
    drop(held);
    let began = Instant::now();
    while machine.rows().is_empty() {
        settle(&mut scheduler);
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((machine.state().missed, machine.state().last_due), (1, Some(due)));
}

#[test]
fn what_comes_due_during_the_plans_own_run_is_missed_without_another() {
    let machine = Machine::new(MINUTELY);
    let mut noise = vec![0_u8; 64 << 20];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in noise.chunks_mut(8) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        chunk.copy_from_slice(&seed.to_le_bytes());
    }
    fs::write(machine.dir.path().join("static/noise.txt"), noise).unwrap();
    let mut scheduler = machine.start();
    settle(&mut scheduler);
    machine.set(machine.noon + TimeDelta::minutes(1));
    scheduler.tick();
    machine.set(machine.noon + TimeDelta::minutes(3));
    scheduler.tick();
    assert!(scheduler.active.is_some(), "the run was too short for this test");
    assert_eq!(scheduler.state.plans["often"].missed, 2);
    settle(&mut scheduler);
    assert_eq!(machine.rows().len(), 1);
    assert_eq!(
        machine.state().last_due,
        Some(machine.noon + TimeDelta::minutes(3))
    );
}

#[test]
fn a_changed_or_enabled_plan_counts_from_its_change() {
    let machine = Machine::new(&format!("{DAILY}enabled = false\n"));
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::days(2));
    settle(&mut machine.start());
    assert_eq!((machine.state().next, machine.state().missed), (None, 0));
    machine.configure(DAILY);
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::days(2) + TimeDelta::hours(2));
    machine.configure("[[schedules]]\nname = 'daily'\nat = '13:00'\n");
    settle(&mut machine.start());
    assert_eq!((machine.rows().len(), machine.state().missed), (0, 0));
    assert_eq!(
        machine.state().next,
        Some(machine.noon + TimeDelta::days(3) + TimeDelta::hours(1))
    );
    machine.configure("");
    settle(&mut machine.start());
    assert!(state::read(&machine.config()).unwrap().unwrap().plans.is_empty());
}

#[test]
fn a_broken_state_is_rebuilt_from_the_catalog() {
    let machine = Machine::new(DAILY);
    settle(&mut machine.start());
    machine.set(machine.noon + TimeDelta::hours(14));
    settle(&mut machine.start());
    assert_eq!(machine.rows().len(), 1);
    let began = machine.rows()[0].started_at.clone().unwrap();
    fs::write(machine.dir.path().join(".cofre/schedule.json"), "{\"format\":1,").unwrap();
    // The row has the true time, ten days before the scheduler's: ten nights are missed since.
    settle(&mut machine.start());
    assert_eq!(machine.rows().len(), 2);
    let state = machine.state();
    let began: DateTime<Utc> = began.parse().unwrap();
    assert!((state.created - began).abs() < TimeDelta::seconds(1), "{state:?}");
    assert!((9..=11).contains(&state.missed), "{state:?}");
    let kept = fs::read_dir(machine.dir.path().join(".cofre")).unwrap();
    let kept = kept.filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("broken")
    });
    assert_eq!(kept.count(), 1);
}

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
    // Caught up once like a plan, and not again.
    scheduler.tick();
    assert!(scheduler.verification.as_ref().is_some_and(|v| !v.stop()));
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
    assert!(scheduler.active.is_some() && scheduler.verification.as_ref().is_some_and(|v| !v.stop()));
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
    let ran = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), super::run(Arc::clone(&service))).await
    });
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
    let ticking = runtime.spawn(super::tick_on(scheduler));
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
