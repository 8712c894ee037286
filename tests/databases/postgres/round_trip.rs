//! Everything that a database can have comes back.

use std::collections::BTreeMap;
use std::process::Command;

use super::{app, assert_same_text, backed_up, content, features, loaded};
use crate::support::{listing, run, tool};

#[test]
fn every_feature_comes_back_and_a_dump_of_the_copy_is_the_same_dump() {
    let cluster = features();
    let original = content(&cluster, "shop", &[]);
    let site = app(&cluster.superuser_url("shop"), "");
    let (database, folder) = backed_up(&site, "one");
    loaded(&cluster, &folder, "copy");
    // Schema, rows, sequences, large objects, privileges, comments, event triggers: PostgreSQL's own dump says so.
    assert_same_text(&content(&cluster, "copy", &[]), &original);

    // Row counts, by asking the copy.
    let tables = database["tables"].as_array().unwrap();
    assert_eq!(database["engine"], "postgres");
    assert!(tables.len() > 25, "{database}");
    for table in tables {
        let label = table["name"].as_str().unwrap();
        let name = match label.split_once('.') {
            Some((schema, name)) if !label.starts_with('"') => format!("{schema}.{name}"),
            _ if label.starts_with('"') => label.to_owned(),
            _ => format!("\"{label}\""),
        };
        let count = cluster.sql("copy", &format!("SELECT count(*) FROM ONLY {name}"));
        assert_eq!(count.trim(), table["rows"].to_string(), "rows of {label}");
        let file = table["file"].as_str().unwrap();
        assert!(folder.join(file).is_file(), "{file}");
    }
    let rows: BTreeMap<_, _> = tables
        .iter()
        .map(|table| (table["name"].as_str().unwrap(), table["rows"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows["no_rows"], 0);
    assert_eq!(rows["no_columns"], 2);
    assert_eq!(rows["audit.log"], 2);
    assert_eq!(rows["\"audit.log\""], 1);
    assert!(
        !rows.contains_key("event"),
        "a partitioned table has no rows of its own"
    );

    // A dump of the copy is the same, byte for byte.
    let again = app(&cluster.superuser_url("copy"), "");
    let (_, second) = backed_up(&again, "two");
    run(Command::new(tool("diff")).arg("-r").arg(&folder).arg(&second)).exits(0);
}

#[test]
fn files_are_named_after_their_tables_and_nobody_elses() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let (_, folder) = backed_up(&site, "out");
    let files = listing(&folder);
    for file in [
        "bulk.sql",
        "audit.log.sql",
        "%22audit.log%22.sql",
        "%22Odd.Schema%22.%22t.x%22.sql",
        "%50edidos.sql",
        "pedidos.sql",
        "%50%45%44%49%44%4F%53.sql",
        "%63on.sql",
        "%72estore.sql",
        "%70re-data.sql",
        "ĀāĂăĄąĆćĈĉĊċČčĎďĐđĒēĔĕĖėĘęĚěĜĝĞx.sql",
        "audit.event_2025_a.sql",
        "pre-data.sql",
        "post-data.sql",
        "sequences.sql",
        "blobs.sql",
        "grants.sql",
        "event-triggers.sql",
        "restore.sql",
    ] {
        assert!(folder.join(file).is_file(), "{file} is not there:\n{files}");
    }
    // Commands of psql stand in restore.sql only, outside of rows and bodies of functions.
    let restore = std::fs::read_to_string(folder.join("restore.sql")).unwrap();
    for line in restore.lines().filter(|line| line.starts_with('\\')) {
        assert!(
            line.starts_with("\\ir ") || line.starts_with("\\set ON_ERROR_"),
            "{line}"
        );
    }
    for file in [
        "pre-data.sql",
        "post-data.sql",
        "grants.sql",
        "event-triggers.sql",
        "bulk.sql",
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(
            !text.contains("\\restrict ") && !text.contains("\\unrestrict "),
            "{file}"
        );
    }
}

#[test]
fn a_user_without_superuser_rights_dumps_and_restores_his_own_and_missing_roles_do_not_stop_it() {
    let cluster = features();
    cluster.sql(
        "postgres",
        "CREATE ROLE owner LOGIN PASSWORD 'own' CREATEDB; CREATE ROLE leaves; CREATE DATABASE mine OWNER owner",
    );
    let sql = "CREATE TABLE t (id serial PRIMARY KEY, x text); INSERT INTO t (x) SELECT 'r' || g FROM generate_series(1, 100) g;
               CREATE VIEW v AS SELECT count(*) AS n FROM t; GRANT SELECT ON t TO leaves; GRANT SELECT ON v TO reader;
               ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (false);";
    cluster.sql("mine", &format!("SET SESSION AUTHORIZATION owner; SET search_path = public; {sql}").replacen("SET search_path", "RESET SESSION AUTHORIZATION; GRANT CREATE ON SCHEMA public TO owner; SET SESSION AUTHORIZATION owner; SET search_path", 1));
    let site = app(&cluster.url("owner", "own", "mine"), "");
    let (_, folder) = backed_up(&site, "out");
    cluster.sql(
        "mine",
        "DROP OWNED BY leaves; DROP ROLE leaves; CREATE DATABASE back OWNER owner",
    );
    let mut psql = cluster.command("psql");
    psql.args([
        "-X",
        "-q",
        "-1",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        "back",
        "-f",
        "restore.sql",
    ])
    .env("PGHOST", "127.0.0.1")
    .env("PGUSER", "owner")
    .env("PGPASSWORD", "own")
    .current_dir(&folder);
    run(&mut psql).exits(0).says("\"leaves\" does not exist");
    assert_eq!(cluster.sql("back", "SELECT n FROM v"), "100\n");
    assert_eq!(
        cluster.sql("back", "SELECT has_table_privilege('reader', 'v', 'SELECT')"),
        "t\n"
    );
    assert_eq!(
        cluster.sql("back", "SELECT tableowner FROM pg_tables WHERE tablename = 't'"),
        "owner\n"
    );
}

#[test]
fn a_load_that_fails_leaves_an_empty_database() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    let (_, folder) = backed_up(&site, "out");
    let bulk = folder.join("bulk.sql");
    let text = std::fs::read_to_string(&bulk).unwrap();
    std::fs::write(&bulk, text.replacen("\n7\t", "\nseven\t", 1)).unwrap();
    cluster.create_database("copy");
    cluster.load(&folder, "copy").exits(3).says("seven");
    let left = cluster.sql("copy", "SELECT count(*) FROM pg_tables WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'");
    assert_eq!(left, "0\n");
}

#[test]
fn a_database_in_another_encoding_comes_back() {
    let cluster = features();
    cluster.sql(
        "postgres",
        "CREATE DATABASE old TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    );
    cluster.sql(
        "old",
        "SET client_encoding = 'UTF8'; CREATE TABLE \"açúcar\" (\"preço\" text); INSERT INTO \"açúcar\" VALUES ('é'), ('ÿ')",
    );
    let site = app(&cluster.superuser_url("old"), "");
    let (database, folder) = backed_up(&site, "out");
    assert_eq!(database["tables"][0]["name"], "açúcar");
    assert_eq!(database["tables"][0]["rows"], 2);
    loaded(&cluster, &folder, "copy");
    assert_eq!(
        cluster.sql(
            "copy",
            "SET client_encoding = 'UTF8'; SELECT \"preço\" FROM \"açúcar\""
        ),
        "é\nÿ\n"
    );
}
