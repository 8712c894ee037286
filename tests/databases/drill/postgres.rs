//! Drills and guided restores of PostgreSQL databases, on a real cluster.

mod hostile;
mod restore;

use serde_json::Value;

use super::tamper::{flip, tamper};
use super::{Scrape, fails, is_not_held, passes};
use crate::support::App;
use crate::support::postgres::Cluster;

/// The schema of a film rental, with rows.
const PAGILA: &str = include_str!("pagila.sql");

/// The drill's role, as the manual says how to make it. Its password is looked for in everything that is printed.
const PASSWORD: &str = "se:gre/do%40 x";
const ENCODED: &str = "se%3Agre%2Fdo%2540%20x";

/// A cluster with a database and a role for drills, an application, and a backup of it.
struct Site {
    cluster: Cluster,
    app: App,
    record: Value,
}

impl Site {
    fn new(sql: &str) -> Self {
        Self::on(Cluster::start(), sql)
    }

    fn on(cluster: Cluster, sql: &str) -> Self {
        cluster.create_database("loja");
        cluster.sql("loja", sql);
        cluster.sql(
            "postgres",
            &format!("CREATE ROLE drill LOGIN CREATEDB PASSWORD '{PASSWORD}'"),
        );
        let app = App::small();
        let site = Self {
            cluster,
            app,
            record: Value::Null,
        };
        site.configure(&site.drill_url());
        let record = site.app.create();
        Self { record, ..site }
    }

    fn drill_url(&self) -> String {
        self.cluster.url("drill", ENCODED, "postgres")
    }

    fn configure(&self, drill: &str) {
        self.app.write("drill.url", drill.as_bytes());
        std::fs::set_permissions(
            self.app.path("drill.url"),
            std::os::unix::fs::PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        self.app.config(&format!(
            "[sources.static]\npath = \"static\"\n[databases.loja]\nurl = \"{}\"\n[drill]\npostgres_file = \"drill.url\"\n",
            self.cluster.superuser_url("loja")
        ));
    }

    /// No scratch database is left, and nothing of the password is anywhere.
    #[track_caller]
    fn is_clean(&self) {
        let left = self.cluster.sql(
            "postgres",
            "SELECT datname FROM pg_database WHERE datname LIKE 'cofre%' ORDER BY 1",
        );
        assert_eq!(left, "", "scratch databases");
    }
}

#[test]
fn a_cluster_with_keys_in_a_circle_partitions_and_views_passes() {
    let site = Site::new(PAGILA);
    let report = passes(&site.app);
    let database = &report["databases"][0];
    assert_eq!(database["status"], "loaded", "{report}");
    let tables = site.cluster.sql(
        "loja",
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname IN ('public', 'audit')",
    );
    assert_eq!(database["tables"].to_string(), tables.trim(), "{report}");
    assert!(database["tables"].as_u64().unwrap() >= 18, "{report}");
    assert_eq!(
        database["rows"],
        200 + 16 + 2 + 109 + 600 + 603 + 1000 + 1000 + 1000 + 2 + 2 + 599 + 4000 + 5000 + 3000 + 50 + 2,
        "{report}"
    );
    let scrape = Scrape::of(&site.app);
    assert_eq!((scrape.last_result(), scrape.failures()), ("passed", 0.0));
    site.app
        .cofre(&["-v", "drill"])
        .exits(0)
        .never_says("se:gre")
        .never_says("se%3Agre")
        .never_says(ENCODED);
    site.is_clean();
}

#[test]
fn each_kind_of_damage_has_its_own_message_and_metric() {
    let site = Site::new(PAGILA);
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    let history = std::fs::read(site.app.history_path()).unwrap();
    let sidecar = std::fs::read(archive.with_extension("zip.sha256")).unwrap();
    let mut failures = 0.0;
    for (reason, words, change) in [
        (
            "file_missing",
            &["film.sql", "table film"][..],
            "del files['database/film.sql']",
        ),
        ("file_missing", &["blobs.sql"], "del files['database/blobs.sql']"),
        (
            "file_truncated",
            &["film.sql", "ends before its rows do"],
            "files['database/film.sql'] = files['database/film.sql'][:3000]",
        ),
        (
            "rows_differ",
            &["table country", "108 rows", "had 109"],
            "replace('database/country.sql', '5\\tk5\\n', '')",
        ),
        (
            "tables_differ",
            &["table nova"],
            "append('database/pre-data.sql', 'CREATE TABLE public.nova(x int);\\n')",
        ),
        (
            "load_failed",
            &["the server refused it", "invalid input syntax"],
            "replace('database/country.sql', '5\\tk5\\n', 'x\\tk5\\n')",
        ),
        (
            "load_failed",
            &["foreign key"],
            "replace('database/city.sql', '\\n1\\ts1\\t2\\n', '\\n1\\ts1\\t999\\n')",
        ),
        (
            "file_truncated",
            &["post-data.sql", "has no end"],
            "files['database/post-data.sql'] = text('database/post-data.sql').split('-- PostgreSQL database dump complete')[0].encode()",
        ),
        (
            "unexpected_file",
            &["extra.sql"],
            "files['database/extra.sql'] = b''",
        ),
    ] {
        std::fs::write(&archive, &good).unwrap();
        std::fs::write(archive.with_extension("zip.sha256"), &sidecar).unwrap();
        std::fs::write(site.app.history_path(), &history).unwrap();
        tamper(&site.app, &site.record, change);
        fails(&site.app, reason, words);
        failures += 1.0;
        let scrape = Scrape::of(&site.app);
        assert_eq!(
            (scrape.last_result(), scrape.failures()),
            (reason, failures),
            "{change}"
        );
        site.is_clean();
    }
    std::fs::write(&archive, &good).unwrap();
    flip(&site.app, &site.record);
    fails(&site.app, "archive_damaged", &[]);
    assert_eq!(Scrape::of(&site.app).last_result(), "archive_damaged");
}

#[test]
fn without_a_server_for_it_a_database_is_not_drilled_and_that_is_no_success() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    let url = site.cluster.superuser_url("loja");
    site.app.config(&format!(
        "[sources.static]\npath = \"static\"\n[databases.loja]\nurl = \"{url}\"\n"
    ));
    is_not_held(
        &site.app,
        2,
        "not_configured",
        &["not drilled: configure [drill] postgres"],
    );
    // A superuser, and roles that reach beyond their database, are refused, with what to do instead.
    site.configure(&site.cluster.superuser_url("postgres"));
    is_not_held(
        &site.app,
        2,
        "role_too_strong",
        &["is a superuser", "CREATE ROLE drill"],
    );
    for (grant, undo, words) in [
        (
            "GRANT pg_execute_server_program TO drill",
            "REVOKE pg_execute_server_program FROM drill",
            "pg_execute_server_program",
        ),
        (
            "GRANT pg_read_server_files TO drill",
            "REVOKE pg_read_server_files FROM drill",
            "pg_read_server_files",
        ),
        (
            "GRANT pg_write_server_files TO drill",
            "REVOKE pg_write_server_files FROM drill",
            "pg_write_server_files",
        ),
        (
            "GRANT postgres TO drill; ALTER ROLE drill NOINHERIT",
            "REVOKE postgres FROM drill; ALTER ROLE drill INHERIT",
            "superuser",
        ),
        (
            "ALTER ROLE drill CREATEROLE",
            "ALTER ROLE drill NOCREATEROLE",
            "may make roles",
        ),
        (
            "ALTER DATABASE loja OWNER TO drill",
            "ALTER DATABASE loja OWNER TO postgres",
            "owns the database loja",
        ),
        (
            "GRANT pg_signal_backend TO drill",
            "REVOKE pg_signal_backend FROM drill",
            "pg_signal_backend",
        ),
    ] {
        site.configure(&site.drill_url());
        site.cluster.sql("postgres", grant);
        is_not_held(&site.app, 2, "role_too_strong", &[words]);
        site.cluster.sql("postgres", undo);
    }
    passes(&site.app);
    site.cluster.sql("postgres", "ALTER ROLE drill NOCREATEDB");
    is_not_held(
        &site.app,
        10,
        "not_possible",
        &["says nothing about the backup", "CREATEDB"],
    );
    site.is_clean();
}

#[test]
fn a_server_that_is_down_says_nothing_about_the_backup() {
    let mut site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    site.configure(&site.cluster.url("drill", "errada", "postgres"));
    is_not_held(
        &site.app,
        10,
        "not_possible",
        &["password authentication failed", "says nothing about the backup"],
    );
    site.configure(&site.drill_url());
    site.cluster.stop();
    let report = is_not_held(
        &site.app,
        10,
        "not_possible",
        &["says nothing about the backup", "refused"],
    );
    assert!(!report.to_string().contains("se:gre"), "{report}");
    let scrape = Scrape::of(&site.app);
    assert_eq!((scrape.last_result(), scrape.failures()), ("never", 0.0));
    site.cluster.crash_and_restart();
    passes(&site.app);
}

#[test]
fn what_a_drill_that_died_left_behind_is_removed_and_nothing_else() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    let old = format!("cofre_drill_1000000000_{}", "0a".repeat(16));
    let fresh = format!("cofre_drill_9000000000_{}", "0a".repeat(16));
    for name in [old.as_str(), &fresh, "cofre_drill_dados"] {
        site.cluster
            .sql("postgres", &format!("CREATE DATABASE \"{name}\" OWNER drill"));
    }
    passes(&site.app);
    let left = site.cluster.sql(
        "postgres",
        "SELECT datname FROM pg_database WHERE datname LIKE 'cofre%' ORDER BY 1",
    );
    assert_eq!(left, format!("{fresh}\ncofre_drill_dados\n"));
}

#[test]
fn a_drill_that_hangs_ends_at_its_timeout_and_one_that_is_stopped_leaves_nothing() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    tamper(
        &site.app,
        &site.record,
        "append('database/post-data.sql', 'CREATE TABLE public.b AS SELECT pg_sleep(3600)::text AS x;\\n')",
    );
    let config = std::fs::read_to_string(site.app.path("cofre.toml")).unwrap();
    site.app
        .config(&config.replace("[drill]\n", "[drill]\ntimeout = \"3s\"\n"));
    let report = site.app.cofre(&["--json", "drill"]).exits(10).json();
    assert_eq!(report["problems"][0]["reason"], "not_possible", "{report}");
    let message = report["problems"][0]["message"].as_str().unwrap();
    // Whoever of the two looks at the clock first.
    assert!(
        message.contains("too long") || message.contains("statement timeout"),
        "{report}"
    );
    site.is_clean();
    site.app.config(&config);
    let before = site.app.history();
    let mut child = site.app.command(&["drill"]).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'cofre%' AND wait_event = 'PgSleep'";
    while site.cluster.sql("postgres", sleeping) != "1\n" {
        assert!(std::time::Instant::now() < deadline, "it does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    site.is_clean();
    assert_eq!(site.app.history(), before, "nothing is recorded");
    site.app.assert_no_leftovers();
}
