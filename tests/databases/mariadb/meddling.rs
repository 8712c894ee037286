//! What happens to the database while it is dumped. A lock holds the dump where a test meddles, so that no test depends
//! on how fast anything is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::mariadb::MariaDb;
use crate::support::{App, Run, run, spawn};

use super::bad::{failed, large};
use super::{app, files, server, url};

/// A client that keeps the last table for itself, so that a dump stops before its rows.
struct Lock {
    client: Child,
    input: Option<ChildStdin>,
}

impl Lock {
    fn take(server: &MariaDb, database: &str) -> Self {
        let mut client = server
            .command("mariadb")
            .args(["--batch", "--unbuffered", "--skip-column-names", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start mariadb");
        let mut lock = Self {
            input: client.stdin.take(),
            client,
        };
        lock.say("LOCK TABLES z_last WRITE; SELECT 'locked';");
        let mut answer = String::new();
        let out = lock.client.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "locked\n");
        lock
    }

    fn say(&mut self, statements: &str) {
        let input = self.input.as_mut().expect("the client's input");
        writeln!(input, "{statements}")
            .and_then(|()| input.flush())
            .expect("talk to the client");
    }

    /// Executes a last statement and gives the table back.
    fn release(mut self, statement: &str) {
        self.say(&format!("{statement}; UNLOCK TABLES;"));
        drop(self.input.take());
        assert!(
            self.client.wait().expect("the client's end").success(),
            "{statement}"
        );
    }
}

/// `cofre create`, with `meddle` once the dump program has read the large table and waits for the last one.
#[track_caller]
fn meddled(app: &App, server: &MariaDb, database: &str, meddle: impl FnOnce(Lock)) -> Run {
    let lock = Lock::take(server, database);
    let mut command = app.command(&["create"]);
    let child = std::thread::spawn(move || run(&mut command));
    wait_for_dump(server, database, || !child.is_finished());
    meddle(lock);
    child.join().expect("the run")
}

/// Waits until a dump waits for the lock.
#[track_caller]
fn wait_for_dump(server: &MariaDb, database: &str, mut is_running: impl FnMut() -> bool) {
    let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                   WHERE DB = DATABASE() AND STATE LIKE 'Waiting for table metadata lock%'";
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.sql(database, waiting).trim() == "0" {
        assert!(
            is_running() && Instant::now() < deadline,
            "the dump does not wait for the lock"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_table_that_is_dropped_in_the_middle() {
    let server = server();
    large(server, "dropping", 1);
    let app = app(&url(server, "dropping"));
    let run = meddled(&app, server, "dropping", |lock| lock.release("DROP TABLE z_last"));
    // The second attempt finds a database that stands still.
    run.exits(0).says("the dump is made once more").says("z_last");
    let dump = app.restore("latest", "back").join("database");
    assert!(dump.join("large.sql").is_file() && !dump.join("z_last.sql").exists());
    assert_eq!(files(&dump).len(), 5);
}

#[test]
fn a_table_that_is_altered_in_the_middle() {
    let server = server();
    large(server, "altering", 1);
    // The first change is instant, the others make the table anew.
    for (i, change) in [
        "ADD COLUMN more INT DEFAULT 7",
        "ENGINE = InnoDB, FORCE",
        "MODIFY id BIGINT",
    ]
    .iter()
    .enumerate()
    {
        let app = app(&url(server, "altering"));
        let run = meddled(&app, server, "altering", |lock| {
            lock.release(&format!(
                "ALTER TABLE z_last {change}; INSERT INTO z_last (id) VALUES (100 + {i})"
            ));
        });
        run.exits(0).says("the dump is made once more").says("z_last");
        let dump = app.restore("latest", "back").join("database");
        assert!(
            files(&dump)["z_last.sql"].contains(&format!("({},7)", 100 + i)),
            "{change}"
        );
    }
}

/// As tools for schema changes without downtime do it: the table is filled under another name, then takes the place of
/// the old one, which the dump has not read yet.
#[test]
fn a_table_that_is_swapped_for_another_in_the_middle() {
    let server = server();
    large(server, "swapping", 1);
    server.sql(
        "swapping",
        "CREATE TABLE zz (id INT); INSERT INTO zz VALUES (1), (2); CREATE TABLE _zz_new (id INT); INSERT INTO _zz_new VALUES (1)",
    );
    let app = app(&url(server, "swapping"));
    let run = meddled(&app, server, "swapping", |lock| {
        server.sql(
            "swapping",
            "INSERT INTO _zz_new VALUES (2); RENAME TABLE zz TO _zz_old, _zz_new TO zz",
        );
        lock.release("SELECT 1");
    });
    run.exits(0).says("the dump is made once more").says("_zz_new");
    let dump = app.restore("latest", "back").join("database");
    assert!(files(&dump)["zz.sql"].contains("(2)"));
    assert!(dump.join("_zz_old.sql").is_file() && !dump.join("_zz_new.sql").exists());
}

#[test]
fn a_table_that_is_altered_again_and_again() {
    let server = server();
    large(server, "restless", 40);
    let app = app(&url(server, "restless"));
    let over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                server.sql(
                    "restless",
                    &format!("ALTER TABLE z_last ALTER COLUMN id SET DEFAULT {i}"),
                );
            }
        });
        let run = app.cofre(&["create"]);
        over.store(true, Ordering::SeqCst);
        run
    });
    failed(&app, run, 10)
        .says("z_last")
        .says("don't alter or drop tables");
}

#[test]
fn a_server_that_dies_in_the_middle() {
    let mut server = MariaDb::start();
    server.sql(
        "mysql",
        "CREATE USER backup@'%' IDENTIFIED BY 'p'; GRANT ALL ON *.* TO backup@'%'",
    );
    large(&server, "dying", 1);
    let app = app(&format!("mysql://backup:p@127.0.0.1:{}/dying", server.port));
    let pid = server.pid();
    let run = meddled(&app, &server, "dying", |mut lock| {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("end the server");
        drop(lock.input.take());
        let _ = lock.client.wait();
    });
    failed(&app, run, 10)
        .says("Lost connection")
        .says("the server's log");
    server.kill();
}

#[test]
fn a_run_that_is_cancelled_ends_the_dump_program() {
    let server = server();
    large(server, "cancelled", 1);
    let app = app(&url(server, "cancelled"));
    let lock = Lock::take(server, "cancelled");
    let mut cofre = spawn(&mut app.command(&["create"]));
    wait_for_dump(server, "cancelled", || matches!(cofre.try_wait(), Ok(None)));
    let pid = rustix::process::Pid::from_child(&cofre);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    assert_eq!(cofre.wait().expect("the end of cofre").code(), Some(9));
    app.assert_no_leftovers();
    lock.release("SELECT 1");
    // The server notices that the dump program is gone.
    let connections =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'backup' AND DB = DATABASE()";
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.sql("cancelled", connections).trim() != "0" {
        assert!(Instant::now() < deadline, "the dump program goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
