//! The schedule, by the real process: only the clock that decides what is due is moved. It always runs ahead of
//! the real one, since rows of the catalog bear real times.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::process::{Service, until};
use crate::receiver::Receiver;
use crate::site::{Extra, HOLD, Site};

const HOUR: u64 = 3_600;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

/// A site whose scheduler takes its time from a file.
pub(crate) struct Moved {
    pub(crate) site: Site,
    /// A full UTC hour some way ahead.
    base: u64,
}

impl Moved {
    pub(crate) fn new(extra: Extra<'_>) -> Self {
        let top = format!("time_zone = \"UTC\"\n{}", extra.top);
        let site = Site::with(Extra { top: &top, ..extra });
        let moved = Self {
            site,
            base: (now() / HOUR + 3) * HOUR,
        };
        moved.at(0, 300);
        moved
    }

    /// It is so many hours and seconds after the base now, for the scheduler.
    pub(crate) fn at(&self, hours: u64, seconds: u64) {
        let offset = self.base + hours * HOUR + seconds - now();
        // Never half a number.
        self.site.app.write("clock.new", offset.to_string().as_bytes());
        std::fs::rename(self.site.app.path("clock.new"), self.site.app.path("clock")).unwrap();
    }

    pub(crate) fn start(&self) -> Service {
        let clock = self.site.app.path("clock");
        let service = Service::start_with(&self.site, |command| {
            command.env("COFRE_TEST_SCHEDULE_CLOCK", &clock);
        });
        service.logs(&["WARN", "COFRE_TEST_SCHEDULE_CLOCK"]);
        until("schedule.json", || self.state_path().exists().then_some(()));
        service
    }

    fn state_path(&self) -> std::path::PathBuf {
        self.site.app.path(".cofre/schedule.json")
    }

    pub(crate) fn state(&self) -> Value {
        let text = std::fs::read_to_string(self.state_path()).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The rows of a plan.
    fn rows(&self, plan: &str) -> Vec<Value> {
        let rows = self.site.list();
        rows.into_iter().filter(|row| row["plan"] == plan).collect()
    }

    /// Waits until a plan has that many runs that have ended; asserts that it has no more.
    #[track_caller]
    fn ended(&self, plan: &str, count: usize) -> Vec<Value> {
        let rows = until(&format!("{count} runs of {plan}"), || {
            let rows = self.rows(plan);
            let ended = rows.iter().filter(|row| row["status"] != "in_progress").count();
            (ended >= count).then_some(rows)
        });
        assert_eq!(rows.len(), count, "{rows:?}");
        // The row is closed a little before the runner is free for what is due next.
        until("no run in the status", || {
            self.site.status()["running"].is_null().then_some(())
        });
        rows
    }

    /// Nothing can be polled for what does not happen: some ten ticks of the scheduler.
    fn settle(&self) {
        std::thread::sleep(std::time::Duration::from_secs(2));
    }

    /// How many runs of a plan were missed, as the API says it.
    #[track_caller]
    fn missed(&self, plan: &str) -> u64 {
        let schedules = self.site.status()["schedules"].clone();
        let of = schedules.as_array().unwrap().iter();
        let of = of.clone().find(|schedule| schedule["plan"] == plan);
        let of = of.unwrap_or_else(|| panic!("{plan} in {schedules}"));
        of["missed"].as_u64().unwrap()
    }
}

const HOURLY: &str = "[[schedules]]\nname = \"hora\"\ntype = \"automated\"\ncron = \"0 * * * *\"\n";

pub(crate) fn tables(tables: &str) -> Extra<'_> {
    Extra {
        tables,
        ..Extra::default()
    }
}

#[test]
fn a_plan_that_is_due_each_minute_runs_each_minute() {
    let plan = "[[schedules]]\nname = \"minuto\"\ntype = \"teste\"\ncron = \"* * * * *\"\n";
    let moved = Moved::new(tables(plan));
    let service = moved.start();
    for minute in 1..=3 {
        moved.at(0, 300 + minute * 60 + 5);
        moved.ended("minuto", usize::try_from(minute).unwrap());
    }
    let rows = moved.rows("minuto");
    for row in &rows {
        assert_eq!(row["status"], "completed", "{row}");
        assert_eq!(row["type"], "teste", "{row}");
        assert!(row["name"].as_str().unwrap().ends_with("_teste"), "{row}");
    }
    assert_eq!(moved.missed("minuto"), 0);
    let state = moved.state();
    let plan = &state["plans"]["minuto"];
    assert_eq!(plan["expected_interval_seconds"], 60, "{state}");
    assert!(
        plan["last_due"].is_string() && plan["next"].is_string(),
        "{state}"
    );
    let audited = |log: &str| {
        let lines = log.lines();
        let lines = lines.filter(|line| line.contains("cofre::audit") && line.contains("schedule:minuto"));
        lines.filter(|line| line.contains("completed")).count()
    };
    until("an audit line for each run", || {
        (audited(&service.log()) == 3).then_some(())
    });
}

#[test]
fn runs_that_were_missed_while_the_machine_was_off_are_caught_up_by_one() {
    let moved = Moved::new(tables(HOURLY));
    let service = moved.start();
    assert_eq!(service.terminate(), Some(0));
    assert!(!moved.site.app.backups().exists(), "nothing was due yet");
    moved.at(5, 600);
    let service = moved.start();
    moved.ended("hora", 1);
    moved.settle();
    moved.ended("hora", 1);
    assert_eq!(moved.missed("hora"), 5);
    service.logs(&["hora", "missed"]);
    // A restart does not make up for it again.
    assert_eq!(service.terminate(), Some(0));
    let _service = moved.start();
    moved.settle();
    moved.ended("hora", 1);
    moved.at(6, 5);
    moved.ended("hora", 2);
    moved.settle();
    moved.ended("hora", 2);
    assert_eq!(moved.missed("hora"), 5);
    assert_eq!(moved.state()["plans"]["hora"]["missed"], 5);
}

#[test]
fn a_service_that_slept_catches_up_by_one_run_when_it_wakes() {
    let moved = Moved::new(tables(HOURLY));
    let service = moved.start();
    service.signal(rustix::process::Signal::STOP);
    moved.at(7, 600);
    service.signal(rustix::process::Signal::CONT);
    moved.ended("hora", 1);
    moved.settle();
    moved.ended("hora", 1);
    assert_eq!(moved.missed("hora"), 7);
    moved.at(8, 5);
    moved.ended("hora", 2);
    moved.settle();
    moved.ended("hora", 2);
}

#[test]
fn without_catch_up_a_missed_run_is_only_counted() {
    let moved = Moved::new(tables(&format!("{HOURLY}catch_up = false\n")));
    let service = moved.start();
    assert_eq!(service.terminate(), Some(0));
    moved.at(3, 600);
    let _service = moved.start();
    until("the count", || (moved.missed("hora") == 3).then_some(()));
    moved.settle();
    assert_eq!(moved.rows("hora").len(), 0);
    moved.at(4, 5);
    moved.ended("hora", 1);
}

#[test]
fn a_plan_that_the_command_line_ran_meanwhile_is_not_caught_up() {
    let moved = Moved::new(tables("[[schedules]]\nname = \"dia\"\nat = \"02:00\"\n"));
    let service = moved.start();
    assert_eq!(service.terminate(), Some(0));
    // A day later it is due; a run by hand, a moment ago by the clock of the catalog, does not count for it, but
    // one of the same time does.
    moved.at(24, 0);
    let offset = std::fs::read_to_string(moved.site.app.path("clock")).unwrap();
    let create = moved.site.app.command(&["create", "--plan", "dia"]);
    let mut later = std::process::Command::new(crate::support::tool("faketime"));
    later
        .args(["-f", &format!("+{offset}s")])
        .arg(create.get_program())
        .args(create.get_args());
    crate::support::run(later.env_remove("COFRE_CONFIG")).exits(0);
    let _service = moved.start();
    moved.settle();
    moved.ended("dia", 1);
}

#[test]
fn a_clock_that_jumps_back_repeats_no_run() {
    let moved = Moved::new(tables(HOURLY));
    let _service = moved.start();
    moved.at(3, 5);
    moved.ended("hora", 1);
    for (hours, seconds) in [(1, 5), (2, 5), (2, 3_595), (3, 5), (3, 1_800)] {
        moved.at(hours, seconds);
        moved.settle();
        moved.ended("hora", 1);
    }
    moved.at(4, 5);
    moved.ended("hora", 2);
}

#[test]
fn a_clock_that_was_far_in_the_future_does_not_stop_the_plan() {
    let moved = Moved::new(tables(HOURLY));
    let service = moved.start();
    moved.at(24 * 400, 5);
    moved.ended("hora", 1);
    moved.at(1, 5);
    moved.ended("hora", 2);
    service.logs(&["WARN", "hora"]);
}

const TWO: &str = "[[schedules]]\nname = \"lenta\"\ncron = \"0 * * * *\"\n\
                   [[schedules]]\nname = \"outra\"\ncron = \"30 * * * *\"\n";

#[test]
fn runs_that_are_due_while_another_goes_on_become_one_and_are_counted_as_missed() {
    let moved = Moved::new(tables(&format!("{}{TWO}", HOLD.tables)));
    moved.at(0, 2_100);
    let service = moved.start();
    moved.site.hold();
    moved.at(1, 5);
    assert_eq!(moved.site.running()["plan"], "lenta");
    moved.at(1, 1_805);
    service.logs(&["outra", "missed"]);
    until("the count", || (moved.missed("outra") == 1).then_some(()));
    moved.at(2, 5);
    service.logs(&["lenta", "missed"]);
    until("the count", || (moved.missed("lenta") == 1).then_some(()));
    moved.at(2, 1_805);
    until("the count", || (moved.missed("outra") == 2).then_some(()));
    moved.site.release();
    moved.ended("lenta", 1);
    moved.ended("outra", 1);
    moved.settle();
    moved.ended("lenta", 1);
    moved.ended("outra", 1);
    moved.at(3, 5);
    moved.ended("lenta", 2);
    assert_eq!((moved.missed("lenta"), moved.missed("outra")), (1, 2));
    for row in moved.site.list() {
        assert_eq!(row["status"], "completed", "{row}");
    }
}

#[test]
fn a_run_by_hand_and_another_process_are_in_the_way_too() {
    let moved = Moved::new(tables(&format!("{}{HOURLY}", HOLD.tables)));
    let service = moved.start();
    moved.site.hold();
    moved.site.begin();
    moved.at(1, 5);
    service.logs(&["hora", "missed"]);
    until("the count", || (moved.missed("hora") == 1).then_some(()));
    assert_eq!(moved.rows("hora").len(), 0);
    moved.site.release();
    moved.ended("hora", 1);

    let held = std::fs::File::open(moved.site.app.backups()).unwrap();
    held.lock().unwrap();
    moved.at(2, 5);
    until("the count", || (moved.missed("hora") == 2).then_some(()));
    moved.ended("hora", 1);
    drop(held);
    moved.ended("hora", 2);
    moved.settle();
    moved.ended("hora", 2);
}

#[test]
fn a_plan_that_is_off_never_runs_and_a_new_one_starts_from_its_creation() {
    let off = format!("{HOURLY}enabled = false\n");
    let mut moved = Moved::new(tables(&off));
    let service = moved.start();
    moved.at(2, 5);
    moved.settle();
    assert_eq!(moved.site.list().len(), 0);
    let shown = moved.site.status()["schedules"][0].clone();
    assert!(shown["next_run"].is_null(), "{shown}");
    assert_eq!(shown["enabled"], false, "{shown}");
    assert_eq!(service.terminate(), Some(0));

    moved.site.configure(Extra {
        top: "time_zone = \"UTC\"",
        tables: "[[schedules]]\nname = \"nova\"\ncron = \"0 * * * *\"\n",
        ..Extra::default()
    });
    let _service = moved.start();
    moved.settle();
    assert_eq!(
        moved.site.list().len(),
        0,
        "nothing is caught up from before it was there"
    );
    moved.at(3, 5);
    moved.ended("nova", 1);
}

#[test]
fn the_state_is_for_the_owner_alone_and_a_broken_one_is_kept_aside() {
    use std::os::unix::fs::PermissionsExt as _;
    let moved = Moved::new(tables(HOURLY));
    let service = moved.start();
    moved.at(1, 5);
    moved.ended("hora", 1);
    let mode = std::fs::metadata(moved.state_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let state = moved.state();
    assert_eq!(state["format"], 1, "{state}");
    let plan = state["plans"]["hora"].clone();
    for time in ["created", "last_due", "last_started", "next"] {
        assert!(
            plan[time].as_str().is_some_and(|text| text.ends_with('Z')),
            "{time}: {state}"
        );
    }
    assert_eq!(plan["expected_interval_seconds"], 3_600, "{state}");
    assert_eq!(service.terminate(), Some(0));
    for broken in ["", "{", "[]", "{\"format\":99}"] {
        std::fs::write(moved.state_path(), broken).unwrap();
        let service = moved.start();
        service.logs(&["ERROR", "schedule.json"]);
        until("a new state", || (moved.state()["format"] == 1).then_some(()));
        assert_eq!(service.terminate(), Some(0));
    }
    let aside: Vec<_> = std::fs::read_dir(moved.site.app.path(".cofre"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("broken"))
        .collect();
    assert_eq!(aside.len(), 4, "{aside:?}");
}

#[test]
fn archives_are_verified_as_planned_and_damage_is_told() {
    let receiver = Receiver::start();
    let hook = format!(
        "[verify]\nat = \"04:00\"\nmax_age = \"1d\"\n[[webhooks]]\nurl = \"{}\"\nevents = [\"verify_failed\"]\n",
        receiver.url("/danos")
    );
    let moved = Moved::new(tables(&hook));
    let service = moved.start();
    moved.site.create();
    let bad = moved.site.create();
    let archive = moved.site.app.archive(&bad);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    moved.at(24, 0);
    let told = receiver.wait_for(1);
    assert_eq!(told[0].event(), "verify_failed");
    assert_eq!(told[0].json()["backup_id"], bad["id"]);
    let rows = until("both results in the catalog", || {
        let rows = moved.site.list();
        rows.iter()
            .all(|row| row["verified_at"].is_string())
            .then_some(rows)
    });
    assert_eq!(rows[0]["verify_status"], "verified", "{rows:?}");
    assert_ne!(rows[1]["verify_status"], "verified", "{rows:?}");
    service.logs(&["ERROR", bad["name"].as_str().unwrap()]);
    assert_eq!(receiver.received().len(), 1, "once");
}

#[test]
fn a_restore_is_practised_as_planned_and_a_failure_is_told() {
    let receiver = Receiver::start();
    let hook = format!(
        "[drill]\nat = \"05:00\"\n[[webhooks]]\nurl = \"{}\"\nevents = [\"drill_failed\"]\n",
        receiver.url("/treino")
    );
    let moved = Moved::new(tables(&hook));
    let service = moved.start();
    let good = moved.site.create();
    moved.at(24, 0);
    let drilled = |record: &Value| {
        until("the drill in the catalog", || {
            let rows = moved.site.list();
            let row = rows.into_iter().find(|row| row["id"] == record["id"])?;
            row["drilled_at"].is_string().then_some(row)
        })
    };
    assert_eq!(drilled(&good)["drill_status"], "passed");
    until("the state", || {
        (moved.state()["drill"]["sound"] == 1).then_some(())
    });
    let state = moved.state()["drill"].clone();
    assert_eq!(state["expected_interval_seconds"], 86_400, "{state}");
    assert!(
        state["next"].is_string() && state["last_finished"].is_string(),
        "{state}"
    );
    let bad = moved.site.create();
    let archive = moved.site.app.archive(&bad);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    moved.at(48, 0);
    let told = receiver.wait_for(1);
    assert_eq!(told[0].event(), "drill_failed");
    let told = told[0].json();
    assert_eq!(told["backup_id"], bad["id"], "{told}");
    assert!(told["problems"][0].is_string(), "{told}");
    let status = drilled(&bad)["drill_status"].clone();
    assert!(
        status.as_str().unwrap().starts_with("archive_damaged: "),
        "{status}"
    );
    service.logs(&["ERROR", "drill", bad["name"].as_str().unwrap()]);
    let metrics = moved
        .site
        .anonymous("GET", "/metrics")
        .bearer(crate::site::viewer());
    let metrics = metrics.send().is(200).text();
    for line in [
        "cofre_drill_last_result{repository=\"relatorios\",result=\"archive_damaged\"} 1",
        "cofre_drill_last_result{repository=\"relatorios\",result=\"passed\"} 0",
        "cofre_drill_failures_total{repository=\"relatorios\",plan=\"manual\"} 1",
        "cofre_drill_expected_interval_seconds{repository=\"relatorios\"} 86400",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    // Neither is held again before the next time.
    assert_eq!(service.terminate(), Some(0));
    let _service = moved.start();
    moved.settle();
    assert_eq!(receiver.received().len(), 1, "once");
}

#[test]
fn a_plan_without_success_for_too_long_is_told_once() {
    let receiver = Receiver::start();
    let hook = format!(
        "{HOURLY}[[webhooks]]\nurl = \"{}\"\nevents = [\"backup_stale\", \"backup_completed\"]\n",
        receiver.url("/velho")
    );
    let moved = Moved::new(tables(&hook));
    let _service = moved.start();
    moved.at(1, 5);
    moved.ended("hora", 1);
    assert_eq!(receiver.wait_for(1)[0].event(), "backup_completed");
    std::fs::rename(moved.site.app.path("static"), moved.site.app.path("longe")).unwrap();
    for hour in 2..=8 {
        moved.at(hour, 5);
        moved.ended("hora", usize::try_from(hour).unwrap());
    }
    let told = receiver.wait_for(2);
    assert_eq!(told[1].event(), "backup_stale");
    let stale = told[1].json();
    assert_eq!(stale["plan"], "hora", "{stale}");
    moved.settle();
    assert_eq!(receiver.received().len(), 2, "once");
    std::fs::rename(moved.site.app.path("longe"), moved.site.app.path("static")).unwrap();
    moved.at(9, 5);
    moved.ended("hora", 9);
    assert_eq!(receiver.wait_for(3)[2].event(), "backup_completed");
}
