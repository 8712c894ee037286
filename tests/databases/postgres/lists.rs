//! `tables` and `exclude_tables`.

use super::{app, backed_up, features, loaded};

#[test]
fn tables_that_are_left_out_come_back_empty_and_everything_else_whole() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    site.config(
        "[databases.app]\nurl_file = \"db.url\"\nexclude_tables = [\"bulk\", \"audit.event_2025_*\", \"line*\"]\n",
    );
    let (database, folder) = backed_up(&site, "out");
    let row = |name: &str| {
        let tables = database["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (row("bulk")["rows"].as_u64(), row("bulk")["file"].as_str()),
        (Some(0), None)
    );
    assert!(!folder.join("bulk.sql").exists());
    loaded(&cluster, &folder, "copy");
    let count = |table: &str| cluster.sql("copy", &format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("bulk"), "0\n");
    assert_eq!(count("audit.event_2025"), "0\n");
    assert_eq!(count("employee"), "2000\n");
    assert_eq!(count("pg_indexes WHERE tablename = 'bulk'"), "2\n");

    site.config("[databases.app]\nurl_file = \"db.url\"\ntables = [\"texts\", \"audit.*\"]\nexclude_tables = [\"audit.log\"]\n");
    let (database, folder) = backed_up(&site, "two");
    let with_rows: Vec<_> = database["tables"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|table| !table["file"].is_null())
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(with_rows, ["audit.event_2025_a", "audit.event_2025_b", "texts"]);
    loaded(&cluster, &folder, "copy2");
    assert_eq!(cluster.sql("copy2", "SELECT count(*) FROM texts"), "11\n");
}

#[test]
fn rows_that_others_refer_to_are_not_left_out() {
    let cluster = features();
    let site = app(&cluster.superuser_url("shop"), "");
    site.config("[databases.app]\nurl_file = \"db.url\"\nexclude_tables = [\"department\"]\n");
    site.cofre(&["create"])
        .exits(2)
        .says("could not be restored, because of the foreign keys employee_department_fkey (employee refers to department)")
        .says("keep or leave out the rows of both");
}

#[test]
fn a_pattern_that_is_none_is_a_problem_of_the_configuration() {
    let site = app("postgres://h/x", "");
    site.config("[databases.app]\nurl_file = \"db.url\"\ntables = [\"a[\", \"\"]\n");
    site.cofre(&["config", "check"])
        .exits(2)
        .says("databases.app.tables: `a[` is not a pattern")
        .says("can't be empty");
}
