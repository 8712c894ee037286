//! Archives that somebody filled with SQL and commands of his own: each has no effect but a failed drill.

use super::super::tamper::tamper;
use super::super::{nowhere, passes};
use super::Site;

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

/// A text as a literal of Python.
pub(super) fn python(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
