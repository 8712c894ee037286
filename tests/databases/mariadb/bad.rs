//! What goes wrong with a server, and what is said then. No backup is published, and nothing is left behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::mariadb::MariaDb;
use crate::support::{App, Run, run, tool};

use super::{GRANTS, PASSWORD, PASSWORD_IN_URL, app, app_with, database, dumped, files, server, url};

/// A run that fails, leaves nothing, and never says the password.
#[track_caller]
fn fails(app: &App, code: i32) -> Run {
    failed(app, app.cofre(&["create"]), code)
}

#[track_caller]
fn failed(app: &App, run: Run, code: i32) -> Run {
    assert_eq!(app.archives(), Vec::<std::path::PathBuf>::new(), "{run}");
    app.assert_no_leftovers();
    run.exits(code).never_says(PASSWORD).never_says(PASSWORD_IN_URL)
}

/// A database whose dump has so many bytes, most of them before the last table.
fn large(server: &MariaDb, name: &str, megabytes: u32) {
    database(server, name);
    let rows = 80 * megabytes;
    server.sql(
        name,
        &format!(
            "CREATE TABLE a_first (id INT); INSERT INTO a_first VALUES (1);
             CREATE TABLE large (id INT PRIMARY KEY, words TEXT);
             CREATE TABLE z_last (id INT); INSERT INTO z_last VALUES (1);
             INSERT INTO large SELECT seq, REPEAT(SHA2(seq, 512), 100) FROM seq_1_to_{rows}"
        ),
    );
}

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
    let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND STATE LIKE 'Waiting for table metadata lock%'";
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.sql(database, waiting).trim() == "0" {
        assert!(
            !child.is_finished() && Instant::now() < deadline,
            "the dump does not wait for the lock"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    meddle(lock);
    child.join().expect("the run")
}

#[test]
fn a_server_that_is_down() {
    let port = crate::support::postgres::free_port();
    let app = app(&format!("mysql://backup:{PASSWORD_IN_URL}@127.0.0.1:{port}/shop"));
    fails(&app, 10)
        .says(&format!("`shop` on 127.0.0.1:{port} as backup"))
        .says("2002")
        .says("start the server");
}

#[test]
fn a_wrong_password() {
    let server = server();
    let address = format!("127.0.0.1:{}/mysql", server.port);
    for password in ["wrong", "Zx%40%3A%2F%23%25%20"] {
        let app = app(&format!("mysql://backup:{password}@{address}"));
        fails(&app, 10)
            .says("Access denied for user 'backup'")
            .says("write `@` as %40")
            .never_says("Zx@:/#% ");
    }
    // With the characters as they are, it is no URL, and no piece of it is shown.
    let app = app(&format!("mysql://backup:pa%ss/wo@rd@{address}"));
    let run = app.cofre(&["create"]).exits(2);
    run.never_says("ss/wo").never_says("pa%ss");
}

#[test]
fn an_unknown_database() {
    let server = server();
    server.sql("mysql", &format!("GRANT {GRANTS} ON `nowhere%`.* TO backup@'%'"));
    fails(&app(&url(server, "nowhere_1")), 10)
        .says("Unknown database 'nowhere_1'")
        .says("correct the database's name");
}

#[test]
fn an_empty_database() {
    let server = server();
    database(server, "empty");
    fails(&app(&url(server, "empty")), 10)
        .says("has no table")
        .says("right one");
}

#[test]
fn a_table_that_may_not_be_read() {
    let server = server();
    server.database("partly");
    server.sql(
        "partly",
        "CREATE TABLE seen (id INT); CREATE TABLE unseen (id INT); CREATE TABLE known (id INT);
         GRANT SELECT ON partly.seen TO backup@'%'; GRANT INSERT ON partly.known TO backup@'%'",
    );
    fails(&app(&url(server, "partly")), 10)
        .says("may not read all of its tables")
        .says("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `partly`.* TO backup");
}

#[test]
fn rights_that_would_leave_something_out() {
    let server = server();
    server.database("rights");
    server.sql(
        "rights",
        "CREATE TABLE t (id INT); CREATE VIEW v AS SELECT id FROM t;
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @x = 1;
         CREATE PROCEDURE p() SELECT 1; CREATE USER poor@'%' IDENTIFIED BY 'p'; GRANT SELECT ON rights.* TO poor@'%'",
    );
    let app = app(&format!("mysql://poor:p@127.0.0.1:{}/rights", server.port));
    for (missing, named) in [
        ("TRIGGER", "may not see its triggers"),
        ("EXECUTE", "may not see its functions and procedures"),
        ("SHOW VIEW", "SHOW VIEW command denied"),
        ("EVENT", "show events"),
    ] {
        fails(&app, 10).says(named).says("GRANT");
        server.sql("mysql", &format!("GRANT {missing} ON rights.* TO poor@'%'"));
    }
    fails(&app, 10)
        .says("insufficient privileges")
        .says("SELECT ON mysql.proc");
    server.sql("mysql", "GRANT SELECT ON mysql.proc TO poor@'%'");
    assert_eq!(files(&dumped(&app)).len(), 4);
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
fn a_disk_that_is_full() {
    let server = server();
    large(server, "filling", 10);
    // The space that a dump needs is the server's guess, which it renews in the background.
    server.sql("filling", "ANALYZE TABLE large");
    let app = app_with(&url(server, "filling"), "", "state_dir = \"state\"");
    std::fs::create_dir(app.path("state")).expect("state/");
    for (size, message) in [("1m", "has only"), ("9m", "No space left on device")] {
        let mut command = std::process::Command::new(tool("unshare"));
        command.args(["--mount", "--", "sh", "-c"]).arg(format!(
            "mount -t tmpfs -o size={size},mode=0700 tmpfs \"$1/state\" && \"$2\" --config \"$1/cofre.toml\" create; \
             code=$?; find \"$1/state\" -name 'run-*' | sed 's/^/behind: /' >&2; exit $code"
        ));
        command
            .arg("sh")
            .arg(app.root())
            .arg(crate::support::cofre_binary());
        let run = failed(&app, run(&mut command), 7).says(message);
        assert!(!run.stderr.contains("behind: "), "{run}");
    }
}

#[test]
fn programs_that_are_missing() {
    let server = server();
    database(server, "tools");
    server.sql("tools", "CREATE TABLE t (id INT)");
    let app = app_with(&url(server, "tools"), "tools = \"bin\"", "");
    std::fs::create_dir(app.path("bin")).expect("bin/");
    fails(&app, 10).says("mariadb or mysql is not in").says("tools");
    std::os::unix::fs::symlink(tool("mariadb"), app.path("bin/mariadb")).expect("a link");
    fails(&app, 10).says("mariadb-dump or mysqldump is not in");
    let app = app_with(&url(server, "tools"), "", "");
    let mut command = app.command(&["create"]);
    let run = run(command.env("PATH", "/nowhere")).exits(10);
    run.says("mariadb or mysql is not installed")
        .says("apt install mariadb-client");
}

#[test]
fn a_dump_program_that_stops_early() {
    let server = server();
    database(server, "early");
    server.sql("early", "CREATE TABLE t (id INT); INSERT INTO t VALUES (1)");
    let app = app_with(&url(server, "early"), "tools = \"bin\"", "");
    std::fs::create_dir(app.path("bin")).expect("bin/");
    std::os::unix::fs::symlink(tool("mariadb"), app.path("bin/mariadb")).expect("a link");
    let dump = tool("mariadb-dump").display().to_string();
    // It says that all is well, and its last line is missing.
    let script = format!(
        "#!/bin/sh\ncase $1 in --version) exec {dump} --version;; esac\n{dump} \"$@\" | head -n -1\n"
    );
    app.write("bin/mariadb-dump", script.as_bytes());
    run(std::process::Command::new(tool("chmod"))
        .arg("755")
        .arg(app.path("bin/mariadb-dump")))
    .exits(0);
    fails(&app, 10).says("its last line is missing");
}

#[test]
fn what_doctor_says_of_a_server() {
    let server = server();
    database(server, "healthy");
    server.sql("healthy", "CREATE TABLE t (id INT)");
    let app = app(&url(server, "healthy"));
    let doctor = |app: &App| {
        app.cofre(&["doctor"])
            .never_says(PASSWORD)
            .never_says(PASSWORD_IN_URL)
    };
    doctor(&app)
        .says("mariadb-dump")
        .says("once there is a state folder");
    app.create();
    doctor(&app)
        .exits(0)
        .says("`healthy` on 127.0.0.1")
        .says("MariaDB");
    app.assert_no_leftovers();
    server.sql("mysql", "REVOKE TRIGGER ON healthy.* FROM backup@'%'");
    doctor(&app).says("may not see its triggers").says("GRANT");
}

#[test]
fn an_event_on_which_the_dump_program_never_ends() {
    let server = server();
    database(server, "endless");
    let event = "DELIMITER //\nCREATE TABLE t (id INT)//\n\
                 CREATE EVENT forever ON SCHEDULE EVERY 1 DAY DO SET @x = ';;'//\n";
    server.sql("endless", event);
    fails(&app(&url(server, "endless")), 10)
        .says("the event forever has `;;` in it")
        .says("alter the event");
}

#[test]
fn a_view_that_is_broken() {
    let server = server();
    database(server, "broken");
    server.sql(
        "broken",
        "CREATE TABLE t (id INT); CREATE TABLE u (id INT); CREATE VIEW v AS SELECT id FROM u; DROP TABLE u",
    );
    fails(&app(&url(server, "broken")), 10)
        .says("`v`")
        .says("1356")
        .says("repair the view");
}
