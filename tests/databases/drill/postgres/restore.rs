//! Guided restores into databases of a server.

use super::super::passes;
use super::super::tamper::tamper;
use super::hostile::python;
use super::{PAGILA, Site};
use crate::support::postgres::Cluster;

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
fn every_name_and_every_feature_is_drilled_and_restored() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE ROLE reader");
    let site = Site::on(cluster, include_str!("../../postgres/features.sql"));
    passes(&site.app);
    site.is_clean();
    let file = target(&site, "nova");
    site.app
        .cofre(&["restore", "latest", "--database", "loja", "--into-file", &file])
        .exits(0);
    let same = "SELECT (SELECT x FROM \"audit.log\"), (SELECT count(*) FROM audit.log), (SELECT x FROM \"Odd.Schema\".\"t.x\")";
    assert_eq!(site.cluster.sql("nova", same), "9|2|12\n");
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
