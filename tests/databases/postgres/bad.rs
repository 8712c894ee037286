//! What can be wrong: each with a message that names the thing, the cause and the remedy, and no backup.

use std::process::{Child, Command, Stdio};

use super::{app, backed_up, features, set_url};
use crate::support::postgres::{Cluster, free_port};
use crate::support::{App, Run, cofre_binary, is_root, run, tool};

/// A run that has to fail, for the reason that `says` gives; nothing is left of it, and the catalog says so too.
#[track_caller]
fn fails(app: &App, code: i32, says: &[&str]) {
    let done = says
        .iter()
        .fold(app.cofre(&["create"]).exits(code), |run: Run, part| {
            run.says(part)
        });
    let history = app.history();
    let row = history.last().unwrap();
    assert_eq!(row["status"], "failed", "{done}");
    assert!(row["error"].as_str().unwrap().contains(says[0]), "{row}");
    assert_eq!(app.archives(), Vec::<std::path::PathBuf>::new());
    app.assert_no_leftovers();
}

#[test]
fn a_server_that_is_down() {
    let port = free_port();
    let site = app(&format!("postgres://app:hunter2@127.0.0.1:{port}/shop"), "");
    let place = format!("the server runs at 127.0.0.1:{port}");
    fails(
        &site,
        10,
        &["database `shop` on 127.0.0.1", "Connection refused", &place],
    );
    set_url(&site, "postgres://app:hunter2@no-such-host.invalid/shop");
    fails(
        &site,
        10,
        &[
            "database `shop` on no-such-host.invalid",
            "could not translate host name",
        ],
    );
    set_url(&site, "postgres://app:hunter2@/shop?host=/nonexistent");
    fails(
        &site,
        10,
        &[
            "database `shop` on the socket /nonexistent",
            "No such file or directory",
        ],
    );
}

#[test]
fn passwords_with_odd_characters_right_and_wrong_and_an_unknown_database() {
    let cluster = Cluster::start();
    let password = "p@s:s/w#r%d \\x'é\"?&= ";
    let encoded = "p%40s%3As%2Fw%23r%25d%20%5Cx%27%C3%A9%22%3F%26%3D%20";
    cluster.sql(
        "postgres",
        &format!(
            "CREATE ROLE app LOGIN PASSWORD '{}'; CREATE DATABASE shop OWNER app",
            password.replace('\'', "''")
        ),
    );
    cluster.sql(
        "shop",
        "CREATE TABLE t AS SELECT 1 AS x; ALTER TABLE t OWNER TO app",
    );
    let site = app(&cluster.url("app", encoded, "shop"), "");
    let (database, _) = backed_up(&site, "out");
    assert_eq!(database["tables"][0]["rows"], 1);

    let site = app(&cluster.url("app", "p%40s%3As%2Fw%23r%25d%20wrong", "shop"), "");
    fails(
        &site,
        10,
        &[
            "password authentication failed for user \"app\"",
            "`@` in a password is %40",
        ],
    );
    site.cofre(&["create"])
        .exits(10)
        .never_says("p@s:s")
        .never_says("p%40s");
    set_url(&site, &cluster.url("app", encoded, "shoop"));
    fails(&site, 10, &["database \"shoop\" does not exist"]);
    set_url(&site, &cluster.url("nobody", encoded, "shop"));
    fails(&site, 10, &["password authentication failed for user \"nobody\""]);
    // Without a password nobody is asked for one.
    set_url(
        &site,
        &format!("postgres://app@127.0.0.1:{}/shop", cluster.port()),
    );
    fails(&site, 10, &["no password supplied"]);
}

#[test]
fn an_address_that_can_not_be_used_is_a_problem_of_the_configuration() {
    let site = app("postgres://app:hunter2@h:70000/shop", "");
    for (url, says) in [
        ("postgres://app:hunter2@h:70000/shop", "1 to 65535"),
        ("postgres://app:hunter2%@h/shop", "a `%` in the password"),
        ("postgres://app:hunter2@h", "does not say which database"),
    ] {
        set_url(&site, url);
        site.cofre(&["create"])
            .exits(2)
            .says("databases.app.url_file")
            .says(says)
            .never_says("hunter2");
    }
    set_url(&site, "postgres://app:hunter2@h/shop?sslmod=require");
    site.cofre(&["create"])
        .exits(2)
        .says("unknown option `sslmod`")
        .never_says("hunter2");
}

#[test]
fn no_permission_for_one_table_and_rows_that_a_policy_hides() {
    let cluster = features();
    cluster.sql(
        "shop",
        "GRANT pg_read_all_data TO app; CREATE SCHEMA vault; CREATE TABLE vault.secret (x int)",
    );
    let site = app(&cluster.url("app", "app", "shop"), "");
    fails(
        &site,
        10,
        &[
            "row-level security hides rows of public.employee from this user",
            "BYPASSRLS",
        ],
    );
    cluster.sql(
        "shop",
        "ALTER ROLE app BYPASSRLS; REVOKE pg_read_all_data FROM app",
    );
    cluster.sql(
        "shop",
        "GRANT USAGE ON SCHEMA public, audit, \"Odd.Schema\", vault TO app",
    );
    cluster.sql(
        "shop",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public, audit, \"Odd.Schema\" TO app;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO app",
    );
    fails(
        &site,
        10,
        &["permission denied for table secret", "GRANT pg_read_all_data"],
    );
    cluster.sql("shop", "GRANT SELECT ON vault.secret TO app");
    // What only the dump itself meets is said in its own words.
    fails(
        &site,
        10,
        &[
            "pg_dump failed (exit status: 1)",
            "permission denied for large object",
        ],
    );
}

#[test]
fn an_empty_database() {
    let cluster = Cluster::start();
    cluster.create_database("void");
    let site = app(&cluster.superuser_url("void"), "");
    fails(&site, 10, &["the database `void` on the socket", "has no table"]);
    cluster.sql("void", "CREATE TABLE p (x int) PARTITION BY RANGE (x)");
    fails(&site, 10, &["has no table"]);
}

#[test]
fn client_programs_that_are_missing_or_too_old() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.sql("shop", "CREATE TABLE t (x int)");
    let site = app(&cluster.superuser_url("shop"), "");
    site.config("[databases.app]\nurl_file = \"db.url\"\ntools = \"bin\"\n");
    std::fs::create_dir(site.path("bin")).unwrap();
    fails(&site, 10, &["psql is not in", "(`tools` of the database)"]);
    let psql = crate::support::postgres::program("psql");
    std::os::unix::fs::symlink(&psql, site.path("bin/psql")).unwrap();
    fails(&site, 10, &["pg_dump is not in"]);
    site.write("bin/pg_dump", b"#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n");
    std::fs::set_permissions(site.path("bin/pg_dump"), std::fs::Permissions::from_mode(0o755)).unwrap();
    fails(
        &site,
        10,
        &[
            "pg_dump 9.6.24",
            "an older pg_dump can't dump it",
            "apt install postgresql-client-",
        ],
    );
    // With a folder that has them all it works again.
    let bin = psql.parent().unwrap().display().to_string();
    site.config(&format!(
        "[databases.app]\nurl_file = \"db.url\"\ntools = \"{bin}\"\n"
    ));
    site.create();
}

#[test]
fn a_client_program_that_lies_is_not_believed() {
    use std::os::unix::fs::PermissionsExt as _;
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    std::fs::create_dir(site.path("bin")).unwrap();
    let real = crate::support::postgres::program("pg_dump");
    for name in ["psql", "pg_restore"] {
        std::os::unix::fs::symlink(real.with_file_name(name), site.path("bin").join(name)).unwrap();
    }
    site.config("[databases.app]\nurl_file = \"db.url\"\ntools = \"bin\"\n");
    // It leaves a table out, or the end, and says that all went well.
    for (filter, says) in [
        (
            "$real \"$@\" --exclude-table-data=bulk",
            "pg_dump left out the rows of table bulk",
        ),
        ("$real \"$@\" | head -c 300000", "it is not complete"),
        (
            "$real \"$@\" | sed 's/^COPY public.bulk /COPY public.other /'",
            "the catalog does not have: public.other",
        ),
    ] {
        let script = format!(
            "#!/bin/sh\nreal={}\ncase \"$*\" in *section=data*) {filter};; *) exec $real \"$@\";; esac\n",
            real.display()
        );
        site.write("bin/pg_dump", script.as_bytes());
        std::fs::set_permissions(site.path("bin/pg_dump"), std::fs::Permissions::from_mode(0o755)).unwrap();
        fails(&site, 10, &[says]);
    }
}

/// A session of `psql` that does what it is told, while it lives.
pub(super) struct Other(Child);

impl Other {
    pub(super) fn begin(cluster: &Cluster, database: &str) -> Self {
        let mut psql = cluster.command("psql");
        psql.args(["-X", "-q", "-d", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(psql.spawn().expect("start psql"))
    }

    pub(super) fn tell(&mut self, sql: &str) {
        use std::io::Write as _;
        let stdin = self.0.stdin.as_mut().expect("its standard input");
        stdin
            .write_all(sql.as_bytes())
            .and_then(|()| stdin.flush())
            .expect("tell psql");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_that_is_too_small_before_and_in_the_middle() {
    assert!(
        is_root(),
        "this test mounts a file system of its own, and needs root"
    );
    let cluster = Cluster::start();
    cluster.create_database("big");
    // The first has no room from the start. The second is small on the server, which compresses it, and large as SQL.
    cluster.sql(
        "big",
        "CREATE TABLE wide AS SELECT g AS id, repeat(md5(g::text), 40) AS t FROM generate_series(1, 30000) g;
         CREATE TABLE packed AS SELECT g AS id, repeat('x', 1000000) AS t FROM generate_series(1, 20) g;",
    );
    for (left_out, says) in [
        ("packed", "the staging folder"),
        ("wide", "write packed.sql of the dump: No space left on device"),
    ] {
        let site = app(&cluster.superuser_url("big"), "");
        site.config(&format!(
            "state_dir = \"state\"\n[databases.app]\nurl_file = \"db.url\"\nexclude_tables = [\"{left_out}\"]\n"
        ));
        std::fs::create_dir(site.path("state")).unwrap();
        let script = "mount -t tmpfs -o size=8m,mode=0700 tmpfs \"$1/state\" || exit 99\n\"$2\" --config \"$1/cofre.toml\" create\ncode=$?\nls -A \"$1/state/staging\"\nexit $code\n";
        let mut command = Command::new(tool("unshare"));
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(site.root())
            .arg(cofre_binary())
            .env_remove("COFRE_CONFIG")
            .env("LC_ALL", "C.UTF-8");
        let done = run(&mut command)
            .exits(7)
            .says(says)
            .says("set another state_dir");
        assert_eq!(done.stdout, "", "something is left in staging: {done}");
        assert_eq!(site.history().last().unwrap()["status"], "failed");
        assert!(site.archives().is_empty());
    }
}

#[test]
fn doctor_asks_the_server_and_says_what_a_run_would_fail_of() {
    let cluster = Cluster::start();
    cluster.create_database("shop");
    cluster.sql(
        "shop",
        "CREATE TABLE t (x int); CREATE ROLE app SUPERUSER LOGIN PASSWORD 'hunter2correct'",
    );
    let site = app(&cluster.url("app", "hunter2correct", "shop"), "");
    // Before the first run nothing is made, and the password has no place to be.
    site.cofre(&["doctor"])
        .says("is asked once there is a state folder");
    assert!(!site.path(".cofre").exists());
    site.create();
    site.cofre(&["doctor"])
        .says("as app is PostgreSQL ")
        .says("/bin/pg_dump is ");
    set_url(&site, &cluster.url("app", "hunter2wrong", "shop"));
    site.cofre(&["doctor"])
        .exits(10)
        .says("password authentication failed")
        .never_says("hunter2");
    site.assert_no_leftovers();
}
