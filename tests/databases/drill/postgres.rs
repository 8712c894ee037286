//! Drills and guided restores of PostgreSQL databases, on a real cluster.

use serde_json::Value;

use super::tamper::{flip, tamper};
use super::{Scrape, fails, is_not_held, nowhere, passes};
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
fn every_name_and_every_feature_is_drilled_and_restored() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE ROLE reader");
    let site = Site::on(cluster, include_str!("../postgres/features.sql"));
    passes(&site.app);
    site.is_clean();
    let file = target(&site, "nova");
    site.app
        .cofre(&["restore", "latest", "--database", "loja", "--into-file", &file])
        .exits(0);
    let same = "SELECT (SELECT x FROM \"audit.log\"), (SELECT count(*) FROM audit.log), (SELECT x FROM \"Odd.Schema\".\"t.x\")";
    assert_eq!(site.cluster.sql("nova", same), "9|2|12\n");
}

/// What a role may do to itself and to a database of its own.
#[test]
fn a_hostile_archive_leaves_nothing_behind_on_the_drills_server() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    let roles = "SELECT rolpassword, (SELECT count(*) FROM pg_db_role_setting) FROM pg_authid WHERE rolname = 'drill'";
    let before = site.cluster.sql("postgres", roles);
    tamper(
        &site.app,
        &site.record,
        &format!(
            "append('database/post-data.sql', {} + '\\n')",
            python(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database()); END $$; ALTER ROLE \
                 CURRENT_USER SET default_transaction_read_only = on; ALTER ROLE CURRENT_USER PASSWORD 'known';"
            )
        ),
    );
    site.app.cofre(&["drill"]);
    site.is_clean();
    assert_eq!(site.cluster.sql("postgres", roles), before);
    // A leftover that can't be dropped is in nobody's way.
    let stuck = format!("cofre_drill_1000000000_{}", "0a".repeat(16));
    let old = format!("cofre_drill_1000000001_{}", "0a".repeat(16));
    site.cluster.sql(
        "postgres",
        &format!("CREATE DATABASE \"{stuck}\" OWNER drill IS_TEMPLATE true"),
    );
    site.cluster
        .sql("postgres", &format!("CREATE DATABASE \"{old}\" OWNER drill"));
    std::fs::write(&archive, &good).unwrap();
    tamper(&site.app, &site.record, "pass");
    passes(&site.app);
    let left = site.cluster.sql(
        "postgres",
        "SELECT datname FROM pg_database WHERE datname LIKE 'cofre%'",
    );
    assert_eq!(left, format!("{stuck}\n"));
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

/// SQL that would write a file on the server, in each place that somebody might put it, and what it comes to.
#[test]
fn hostile_archives_reach_nothing() {
    let site = Site::new("CREATE TABLE a(x int, y text); INSERT INTO a VALUES (1, 'um'), (2, 'dois');");
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    // Everybody may write there, the server's user too.
    let evil = site.app.path("evil");
    std::fs::create_dir(&evil).unwrap();
    for path in [site.app.root(), &evil] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let place = nowhere(&site.app, "mark").display().to_string();
    let function = |body: &str| {
        format!(
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {body}; RETURN 1; END $f$;"
        )
    };
    let program = format!("COPY public.a FROM PROGRAM 'touch {place}; echo 1'");
    let of_file = format!("COPY public.a TO '{place}'");
    let import = format!("PERFORM lo_export(lo_from_bytea(0, 'x'), '{place}')");
    let cases: Vec<(&str, &str, String)> = vec![
        ("hostile_sql", "pre-data.sql", format!("\\! touch {place}")),
        (
            "hostile_sql",
            "pre-data.sql",
            format!("SELECT 1; \\! touch {place}"),
        ),
        (
            "hostile_sql",
            "post-data.sql",
            format!("SELECT 'x' \\g |touch {place}"),
        ),
        (
            "hostile_sql",
            "post-data.sql",
            format!("\\copy public.a to program 'touch {place}'"),
        ),
        (
            "hostile_sql",
            "post-data.sql",
            format!("SELECT $a$ $b$ $a$ \\o {place}"),
        ),
        ("hostile_sql", "a.sql", format!("\\! touch {place}")),
        ("hostile_sql", "a.sql", format!("{program};")),
        ("hostile_sql", "a.sql", "DROP TABLE public.a;".to_owned()),
        ("hostile_sql", "pre-data.sql", format!("{program};")),
        ("hostile_sql", "post-data.sql", format!("{of_file};")),
        ("hostile_sql", "restore.sql", format!("\\! touch {place}")),
        ("hostile_sql", "restore.sql", "\\i /etc/passwd".to_owned()),
        // What no look finds: the role may not, and the server says so.
        (
            "not_possible",
            "post-data.sql",
            format!("DO $d$ BEGIN EXECUTE 'CO' || 'PY public.a FROM PROGRAM ''touch {place}'''; END $d$;"),
        ),
        (
            "not_possible",
            "post-data.sql",
            format!("DO $d$ BEGIN {import}; END $d$;"),
        ),
        // Functions that run while rows are loaded, an index is made, a view is filled.
        (
            "not_possible",
            "pre-data.sql",
            format!(
                "{} ALTER TABLE public.a ADD CHECK (public.f() = 1);",
                function(&import)
            ),
        ),
        (
            "not_possible",
            "pre-data.sql",
            format!(
                "{} CREATE TABLE public.b AS SELECT public.f();",
                function(&program)
            ),
        ),
        (
            "not_possible",
            "post-data.sql",
            format!(
                "{} CREATE MATERIALIZED VIEW public.m AS SELECT public.f();",
                function(&of_file)
            ),
        ),
        (
            "not_possible",
            "post-data.sql",
            "CREATE EXTENSION file_fdw SCHEMA public;".to_owned(),
        ),
        (
            "not_possible",
            "post-data.sql",
            "CREATE FUNCTION public.g() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid';".to_owned(),
        ),
        (
            "load_failed",
            "post-data.sql",
            "CREATE DATABASE outra;".to_owned(),
        ),
        ("load_failed", "post-data.sql", "DROP DATABASE loja;".to_owned()),
        (
            "load_failed",
            "post-data.sql",
            "COMMIT; DROP TABLE public.a;".to_owned(),
        ),
        (
            "load_failed",
            "post-data.sql",
            "ALTER SYSTEM SET archive_command = 'x';".to_owned(),
        ),
        ("not_possible", "post-data.sql", "SET ROLE postgres;".to_owned()),
        (
            "not_possible",
            "post-data.sql",
            "ALTER ROLE drill SUPERUSER;".to_owned(),
        ),
    ];
    for (reason, file, sql) in cases {
        std::fs::write(&archive, &good).unwrap();
        tamper(
            &site.app,
            &site.record,
            &format!("append('database/{file}', {} + '\\n')", python(&sql)),
        );
        let code = if reason == "not_possible" { 10 } else { 5 };
        let report = site.app.cofre(&["--json", "drill"]).exits(code).json();
        assert_eq!(report["problems"][0]["reason"], reason, "{file}: {sql}: {report}");
        assert_eq!(std::fs::read_dir(&evil).unwrap().count(), 0, "{sql}");
        site.is_clean();
        let databases = site.cluster.sql(
            "postgres",
            "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database",
        );
        assert_eq!(databases, "loja postgres template0 template1\n", "{sql}");
    }
    assert_eq!(
        site.cluster.sql(
            "postgres",
            "SELECT rolsuper FROM pg_roles WHERE rolname = 'drill'"
        ),
        "f\n"
    );
}

/// A text as a literal of Python.
fn python(text: &str) -> String {
    serde_json::to_string(text).unwrap()
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

/// A role that owns an empty database, and a file with its URL.
fn target(site: &Site, name: &str) -> String {
    site.cluster.sql(
        "postgres",
        &format!("CREATE ROLE {name} LOGIN PASSWORD 'dono'; CREATE DATABASE {name} OWNER {name}"),
    );
    site.app
        .write("into.url", site.cluster.url(name, "dono", name).as_bytes());
    site.app.path("into.url").display().to_string()
}

#[test]
fn a_database_is_restored_into_an_empty_one_and_replaces_another_only_by_force() {
    let site = Site::new(PAGILA);
    let file = target(&site, "nova");
    let restore = |more: &[&str]| {
        let mut args = vec![
            "--json",
            "restore",
            "latest",
            "--database",
            "loja",
            "--into-file",
            &file,
        ];
        args.extend_from_slice(more);
        site.app.cofre(&args)
    };
    let restored = restore(&[]).exits(0).json();
    assert_eq!(restored["rows"], 17185, "{restored}");
    assert!(
        restored["into"].as_str().unwrap().ends_with("/nova"),
        "{restored}"
    );
    assert!(!restored.to_string().contains("dono"), "{restored}");
    let same = "SELECT (SELECT count(*) FROM rental), (SELECT sum(amount) FROM payment), (SELECT md5(string_agg(last_name, ',' ORDER \
                BY actor_id)) FROM actor), (SELECT count(*) FROM rental_by_category), (SELECT md5(lo_get(424242))), nextval('actor_actor_id_seq')";
    assert_eq!(site.cluster.sql("nova", same), site.cluster.sql("loja", same));
    assert_eq!(
        site.cluster.sql(
            "nova",
            "SELECT tableowner FROM pg_tables WHERE tablename = 'film'"
        ),
        "nova\n"
    );
    // Not empty now: what is there is named and stays.
    site.cluster.sql(
        "nova",
        "SET ROLE nova; CREATE TABLE extra(x int); INSERT INTO extra VALUES (1); ANALYZE extra;",
    );
    restore(&[])
        .exits(10)
        .says("extra (1 rows)")
        .says("film (1000 rows)")
        .says("--force");
    assert_eq!(site.cluster.sql("nova", "SELECT count(*) FROM extra"), "1\n");
    // A failure leaves the old content, also with force.
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    for (change, words) in [
        (
            "replace('database/country.sql', '5\\tk5\\n', '')",
            "table country",
        ),
        (
            "append('database/post-data.sql', 'SELECT 1/0;\\n')",
            "division by zero",
        ),
    ] {
        std::fs::write(&archive, &good).unwrap();
        tamper(&site.app, &site.record, change);
        restore(&["--force"])
            .exits(5)
            .says(words)
            .says("nothing was changed");
        assert_eq!(
            site.cluster.sql("nova", "SELECT count(*) FROM extra"),
            "1\n",
            "{change}"
        );
    }
    std::fs::write(&archive, &good).unwrap();
    tamper(&site.app, &site.record, "pass");
    let restored = restore(&["--force"]).exits(0).json();
    let replaced = restored["replaced"].as_array().unwrap();
    assert!(replaced.iter().any(|old| old["name"] == "extra"), "{restored}");
    assert_eq!(
        site.cluster.sql("nova", "SELECT to_regclass('extra') IS NULL"),
        "t\n"
    );
    assert_eq!(
        site.cluster.sql("nova", same.rsplit_once(", nextval").unwrap().0),
        site.cluster.sql("loja", same.rsplit_once(", nextval").unwrap().0)
    );
}

#[test]
fn a_restore_changes_nothing_but_its_own_database() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    let file = target(&site, "nova");
    let restore = ["restore", "latest", "--database", "loja", "--into-file", &file];
    site.cluster.sql(
        "postgres",
        "ALTER ROLE nova CREATEDB; CREATE DATABASE outra OWNER nova",
    );
    site.app
        .cofre(&restore)
        .exits(10)
        .says("owns the database outra")
        .says("--trust-archive");
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    let state = "SELECT rolpassword, (SELECT string_agg(datname, ',' ORDER BY 1) FROM pg_database), (SELECT count(*) FROM \
                 pg_db_role_setting) FROM pg_authid WHERE rolname = 'nova'";
    let before = site.cluster.sql("postgres", state);
    for sql in [
        "ALTER ROLE CURRENT_USER PASSWORD 'known';",
        "ALTER ROLE CURRENT_USER SET work_mem = '1MB';",
        "DO $d$ BEGIN EXECUTE 'ALTER DATABASE outra RENAME TO fim'; END $d$;",
        "DO $d$ BEGIN EXECUTE 'ALTER DATABASE nova IS_TEMPLATE true'; END $d$;",
    ] {
        std::fs::write(&archive, &good).unwrap();
        tamper(
            &site.app,
            &site.record,
            &format!("append('database/post-data.sql', {} + '\\n')", python(sql)),
        );
        // Trusted, so that nothing but the look at the end is in its way.
        site.app
            .cofre(&[&restore[..], &["--trust-archive"]].concat())
            .exits(5)
            .says("changes roles or databases of the server");
        assert_eq!(site.cluster.sql("postgres", state), before, "{sql}");
        assert_eq!(site.cluster.sql("nova", "SELECT to_regclass('a') IS NULL"), "t\n");
    }
}

#[test]
fn a_superuser_restores_only_what_it_trusts() {
    let site = Site::new("CREATE TABLE a(x int); INSERT INTO a VALUES (1);");
    site.cluster.create_database("nova");
    let into = site.cluster.superuser_url("nova");
    let args = ["restore", "latest", "--database", "loja", "--into", &into];
    site.app
        .cofre(&args)
        .exits(10)
        .says("is a superuser")
        .says("--trust-archive");
    assert_eq!(site.cluster.sql("nova", "SELECT to_regclass('a') IS NULL"), "t\n");
    site.app
        .cofre(&[&args[..], &["--trust-archive"]].concat())
        .exits(0)
        .says("1 rows");
    let into = site.cluster.superuser_url("nenhuma");
    site.app
        .cofre(&["restore", "latest", "--database", "loja", "--into", &into])
        .exits(10)
        .says("\"nenhuma\" does not exist");
}
