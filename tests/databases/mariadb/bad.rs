//! What goes wrong with a server, and what is said then. No backup is published, and nothing is left behind.

use crate::support::mariadb::MariaDb;
use crate::support::{App, Run, run, tool};

use super::{GRANTS, PASSWORD, PASSWORD_IN_URL, app, app_with, database, dumped, files, server, url};

/// A run that fails, leaves nothing, and never says the password.
#[track_caller]
fn fails(app: &App, code: i32) -> Run {
    failed(app, app.cofre(&["create"]), code)
}

#[track_caller]
pub(super) fn failed(app: &App, run: Run, code: i32) -> Run {
    assert_eq!(app.archives(), Vec::<std::path::PathBuf>::new(), "{run}");
    app.assert_no_leftovers();
    run.exits(code).never_says(PASSWORD).never_says(PASSWORD_IN_URL)
}

/// A database whose dump has so many bytes, most of them before the last table.
pub(super) fn large(server: &MariaDb, name: &str, megabytes: u32) {
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
fn rights_that_a_more_specific_grant_hides() {
    let server = server();
    server.database("hidden1");
    server.sql(
        "hidden1",
        "CREATE TABLE t (id INT); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @x = 1;
         CREATE USER twice@'%' IDENTIFIED BY 'p'; GRANT SELECT, EVENT ON hidden1.* TO twice@'%';
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `hidden%`.* TO twice@'%'; GRANT SELECT ON mysql.proc TO twice@'%'",
    );
    let app = app(&format!("mysql://twice:p@127.0.0.1:{}/hidden1", server.port));
    fails(&app, 10).says("may not see its triggers").says("GRANT");
    server.sql("mysql", "REVOKE ALL ON hidden1.* FROM twice@'%'");
    assert!(dumped(&app).join("t.sql").is_file());
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
fn a_server_without_tls() {
    let server = server();
    database(server, "plain");
    for mode in ["required", "verify-ca", "VERIFY_IDENTITY"] {
        let app = app(&format!("{}?ssl-mode={mode}", url(server, "plain")));
        fails(&app, 10).says("database `plain`").says("ssl-mode=disabled");
    }
}

#[test]
fn a_server_with_tls() {
    let keys = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| keys.path().join(name).display().to_string();
    for (name, subject) in [("own", "/CN=localhost"), ("other", "/CN=other")] {
        let mut openssl = std::process::Command::new(tool("openssl"));
        openssl.args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject,
        ]);
        openssl.args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &file("key"),
            "-out",
            &file(name),
        ]);
        run(&mut openssl).exits(0);
        if name == "own" {
            std::fs::copy(file("key"), file("own-key")).expect("copy the key");
        }
    }
    for name in ["", "own", "own-key"] {
        run(std::process::Command::new(tool("chmod"))
            .arg("a+rX")
            .arg(keys.path().join(name)))
        .exits(0);
    }
    let server = MariaDb::start_with(&[
        &format!("--ssl-cert={}", file("own")),
        &format!("--ssl-key={}", file("own-key")),
    ]);
    server.sql(
        "mysql",
        "CREATE USER backup@'%' IDENTIFIED BY 'p' REQUIRE SSL; GRANT ALL ON *.* TO backup@'%'",
    );
    server.sql("mysql", "CREATE DATABASE tls; CREATE TABLE tls.t (id INT)");
    let url = format!("mysql://backup:p@127.0.0.1:{}/tls?ssl-mode=", server.port);
    fails(&app(&format!("{url}disabled")), 10).says("Access denied");
    fails(&app(&format!("{url}verify-ca&ssl-ca={}", file("other"))), 10)
        .says("2026")
        .says("set up TLS");
    for url in [
        format!("{url}required"),
        format!("{url}verify-ca&ssl-ca={}", file("own")),
    ] {
        app(&url).create();
    }
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
