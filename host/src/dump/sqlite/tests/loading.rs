//! How a dump loads: definitions, header values, what is left out, and loads that fail.

use super::*;

#[test]
fn definitions_typed_on_windows_or_full_of_traps_are_stored_as_they_were() {
    let case = Case::new(
        "CREATE TABLE t(a INT, -- it's a; comment\r\n  b TEXT DEFAULT 'linha\r\n.quit\r\n', /* ; */ \"c;\" CHECK(\"c;\" <> '--')\r\n);
         INSERT INTO t(a) VALUES(1);
         CREATE VIEW v AS SELECT 1 AS [x\r\ny], '; END' AS z -- fim
;
         CREATE TRIGGER g AFTER UPDATE ON t BEGIN\r\n  SELECT CASE WHEN new.a THEN '; END;' END;\r\n  DELETE FROM t WHERE a < 0; END;",
    );
    case.round_trip();
}

#[test]
fn rows_that_break_a_check_constraint_are_restored_as_they_are() {
    let case = Case::new(
        "CREATE TABLE t(a CHECK(a > 0)); PRAGMA ignore_check_constraints=ON; INSERT INTO t VALUES(-1); PRAGMA ignore_check_constraints=OFF;",
    );
    let info = case.dump().unwrap();
    load_well(&case.temp.path().join("database"), &case.restored());
    assert_eq!(info.tables[0].rows, 1);
    assert_eq!(case.restored_value::<i64>("SELECT a FROM t"), -1);
}

#[test]
fn header_values_that_matter_are_kept() {
    let case = Case::new(
        "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; VACUUM; PRAGMA user_version=-7;
         CREATE TABLE t(x); INSERT INTO t VALUES(1);",
    );
    case.round_trip();
    let case = Case::new("CREATE TABLE t(x); INSERT INTO t VALUES(1);");
    Connection::open(case.db())
        .unwrap()
        .query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))
        .unwrap();
    case.round_trip();
    assert_eq!(case.restored_value::<String>("PRAGMA journal_mode"), "wal");
}

#[test]
fn a_counter_without_any_counting_table_stays_empty_but_there() {
    let case =
        Case::new("CREATE TABLE t(x); CREATE TABLE c(id INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE c;");
    case.round_trip();
}

#[test]
fn an_index_that_needs_the_applications_collation_is_dumped_but_not_loaded() {
    let case = Case::new("CREATE TABLE t(x, y); INSERT INTO t VALUES(1,2);");
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch("CREATE INDEX plain ON t(y); CREATE INDEX special ON t(y);")
        .unwrap();
    db.execute_batch(
        "PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET sql='CREATE INDEX special ON t(y COLLATE unicase)' WHERE name='special';
         PRAGMA writable_schema=OFF;",
    )
    .unwrap();
    drop(db);
    case.dump().unwrap();
    load_well(&case.temp.path().join("database"), &case.restored());
    assert!(
        case.file("schema.sql").contains("-- CREATE INDEX special"),
        "{}",
        case.file("schema.sql")
    );
    assert_eq!(
        case.restored_value::<i64>("SELECT count(*) FROM sqlite_schema WHERE type='index'"),
        1
    );
}

#[test]
fn a_load_that_fails_leaves_nothing_half_done() {
    let case = Case::new("CREATE TABLE a(x); INSERT INTO a VALUES(1); CREATE TABLE b(x); CREATE TABLE c(x);");
    case.dump().unwrap();
    let folder = case.temp.path().join("database");
    std::fs::write(
        folder.join("b.sql"),
        "CREATE TABLE b(x);\nINSERT INTO nowhere VALUES(1);\n",
    )
    .unwrap();
    assert!(!case.load().status.success());
    assert_eq!(
        case.restored_value::<i64>("SELECT count(*) FROM sqlite_schema"),
        0
    );
    std::fs::remove_file(folder.join("b.sql")).unwrap();
    assert!(!case.load().status.success());
    assert_eq!(
        case.restored_value::<i64>("SELECT count(*) FROM sqlite_schema"),
        0
    );
    // Into a database that has the table already: refused, and that one stays.
    let other = case.temp.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE a(x); INSERT INTO a VALUES('VIVO')")
        .unwrap();
    assert!(!load(&folder, &other).status.success());
    let live: String = Connection::open(&other)
        .unwrap()
        .query_row("SELECT x FROM a", [], |row| row.get(0))
        .unwrap();
    assert_eq!(live, "VIVO");
}

#[test]
fn the_same_database_gives_the_same_files() {
    let case = Case::new("CREATE TABLE t(x, y); CREATE INDEX i ON t(y, x);");
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch("BEGIN").unwrap();
    for i in 0..5000 {
        db.execute(
            "INSERT INTO t VALUES(?1, ?2)",
            (i, f64::from(i * 7919 % 5000) / 3.0),
        )
        .unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
    drop(db);
    case.round_trip();
    let again = case.temp.path().join("again");
    dump_to(&case.db(), &again).unwrap();
    for file in case.files() {
        assert_eq!(
            case.file(&file),
            std::fs::read_to_string(again.join(&file)).unwrap()
        );
    }
}
