//! What happens in the middle: tables that go, locks that stay, a server that dies, a run that is stopped or killed.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::bad::Other;
use super::{app, backed_up, features};
use crate::support::App;
use crate::support::postgres::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a query gives `t`.
#[track_caller]
fn wait_for(cluster: &Cluster, database: &str, query: &str) {
    let end = Instant::now() + PATIENCE;
    while cluster.sql(database, query) != "t\n" {
        assert!(Instant::now() < end, "never true: {query}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run of `cofre create` in the background.
struct Running {
    child: Child,
    pid: Pid,
}

impl Running {
    fn start(app: &App) -> Self {
        let mut command: Command = app.command(&["create"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("start cofre");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        Self { child, pid }
    }

    /// Stops it once it holds the moment and has `pg_dump` run; so what happens next is in the middle.
    fn stopped_in_the_middle(app: &App, cluster: &Cluster) -> Self {
        let running = Self::start(app);
        wait_for(
            cluster,
            "postgres",
            "SELECT count(*) >= 2 FROM pg_stat_activity WHERE application_name = 'cofre'",
        );
        running.signal(Signal::STOP);
        running
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("signal cofre");
    }

    /// Exit code and standard error.
    fn end(self) -> (Option<i32>, String) {
        let output = self.child.wait_with_output().expect("wait for cofre");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

/// Nobody of cofre's is connected any more.
fn assert_gone(cluster: &Cluster) {
    wait_for(
        cluster,
        "postgres",
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name IN ('cofre', 'pg_dump')",
    );
}

const LOCK_WAITS: &str = "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                          WHERE NOT granted AND application_name = 'cofre'";

#[test]
fn a_table_that_is_dropped_while_the_dump_begins_is_not_in_it() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let mut other = Other::begin(&cluster, "shop");
    other.tell("BEGIN; DROP TABLE texts; CREATE TABLE newer AS SELECT 1 AS x;\n");
    wait_for(
        &cluster,
        "shop",
        "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'texts'::regclass AND mode = 'AccessExclusiveLock'",
    );
    let running = Running::start(&site);
    wait_for(&cluster, "shop", LOCK_WAITS);
    other.tell("COMMIT;\n");
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    let record = site.history().pop().unwrap();
    let manifest = site.manifest(&record);
    let tables = manifest["databases"][0]["tables"].as_array().unwrap();
    let has = |name: &str| tables.iter().any(|table| table["name"] == name);
    assert!(!has("texts") && has("newer") && has("bulk"), "{manifest}");
    site.assert_no_leftovers();
}

#[test]
fn a_table_can_not_be_dropped_in_the_middle() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let running = Running::stopped_in_the_middle(&site, &cluster);
    let mut psql = cluster.command("psql");
    psql.args([
        "-X",
        "-d",
        "shop",
        "-c",
        "SET lock_timeout = '300ms'",
        "-c",
        "DROP TABLE texts",
    ]);
    crate::support::run(&mut psql).exits(1).says("lock timeout");
    // Writing goes on.
    cluster.sql(
        "shop",
        "SET lock_timeout = '300ms'; INSERT INTO texts VALUES (100, 'later'); UPDATE bulk SET n = -7",
    );
    running.signal(Signal::CONT);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    let folder = site.restore("latest", "out").join("database");
    super::loaded(&cluster, &folder, "copy");
    assert_eq!(cluster.sql("copy", "SELECT count(*) FROM texts"), "11\n");
    assert_eq!(
        cluster.sql("copy", "SELECT count(*) FROM bulk WHERE n = 0"),
        "0\n"
    );
}

#[test]
fn a_lock_that_stays_ends_the_run_with_the_reason() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "[limits]\nstall = \"2s\"");
    let mut other = Other::begin(&cluster, "shop");
    other.tell("BEGIN; LOCK TABLE bulk IN ACCESS EXCLUSIVE MODE;\n");
    wait_for(
        &cluster,
        "shop",
        "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'bulk'::regclass AND mode = 'AccessExclusiveLock'",
    );
    site.cofre(&["create"])
        .exits(10)
        .says("database `shop`")
        .says("lock timeout: bulk is locked by process ")
        .says("end that session");
    assert_gone(&cluster);
    site.assert_no_leftovers();
}

#[test]
fn a_server_that_dies_in_the_middle_fails_the_run_and_the_next_one_is_good() {
    let mut cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let running = Running::stopped_in_the_middle(&site, &cluster);
    cluster.crash_and_restart();
    running.signal(Signal::CONT);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(10), "{stderr}");
    assert!(
        stderr.contains("database `shop`") && stderr.contains("failed ("),
        "{stderr}"
    );
    assert_eq!(site.history()[0]["status"], "failed");
    assert!(site.archives().is_empty());
    site.assert_no_leftovers();
    backed_up(&site, "out");
}

#[test]
fn a_run_that_is_stopped_ends_its_programs_and_leaves_nothing() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let running = Running::stopped_in_the_middle(&site, &cluster);
    running.signal(Signal::TERM);
    running.signal(Signal::CONT);
    let (code, stderr) = running.end();
    assert_eq!(code, Some(9), "{stderr}");
    assert_eq!(site.history()[0]["status"], "cancelled");
    assert_gone(&cluster);
    site.assert_no_leftovers();
}

#[test]
fn a_run_that_is_killed_leaves_no_program_and_the_next_one_sweeps_its_password() {
    let cluster = features();
    cluster.sql("shop", "ALTER ROLE app SUPERUSER");
    let site = app(&cluster.url("app", "app", "shop"), "");
    let running = Running::stopped_in_the_middle(&site, &cluster);
    running.signal(Signal::KILL);
    running.end();
    // Its programs notice that nobody listens.
    assert_gone(&cluster);
    let left = crate::support::listing(&site.path(".cofre/staging"));
    assert!(
        left.contains("login-"),
        "the password's file is still there:\n{left}"
    );
    backed_up(&site, "out");
}
