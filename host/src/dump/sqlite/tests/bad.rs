//! What can't be dumped: not a database, damaged, or cancelled.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn what_can_not_be_dumped_is_said_with_its_cause() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    Connection::open(at("no tables.db"))
        .unwrap()
        .execute_batch("PRAGMA user_version=1")
        .unwrap();
    Connection::open(at("good.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t(x)")
        .unwrap();
    std::fs::write(at("empty.db"), "").unwrap();
    std::fs::write(at("text.db"), "SQLite it is not").unwrap();
    std::fs::write(at("long.db"), "x".repeat(5000)).unwrap();
    symlink("good.db", at("link.db")).unwrap();
    std::fs::create_dir(at("folder.db")).unwrap();
    for (n, (name, code, text)) in [
        ("missing.db", Code::SourceMissing, "does not exist"),
        ("empty.db", Code::SourceMissing, "is an empty file"),
        ("no tables.db", Code::SourceMissing, "has no table"),
        ("text.db", Code::DumpFailed, "is not a SQLite database"),
        ("long.db", Code::DumpFailed, "is not a SQLite database"),
        ("link.db", Code::Sandbox, "is a symbolic link (to good.db)"),
        ("folder.db", Code::SourceMissing, "is a folder"),
    ]
    .into_iter()
    .enumerate()
    {
        let error = dump_to(&at(name), &at(&format!("out{n}"))).unwrap_err();
        assert_eq!(error.code, code, "{name}: {error}");
        assert!(
            error.message.contains(text) && error.message.contains(name),
            "{error}"
        );
    }
}

#[test]
fn damage_is_found_and_named() {
    let case = Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t(v);");
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch("BEGIN").unwrap();
    for i in 0..2000 {
        db.execute("INSERT INTO t(v) VALUES(?1)", [format!("valor {i}")])
            .unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
    drop(db);
    let mut bytes = std::fs::read(case.db()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0x5a);
    std::fs::write(case.db(), bytes).unwrap();
    let error = case.dump().unwrap_err();
    assert_eq!(error.code, Code::DumpFailed, "{error}");
    assert!(error.message.contains("app.db"), "{error}");
    assert_eq!(case.files(), Vec::<String>::new(), "and no snapshot is left");
}

#[test]
fn an_index_that_lost_a_row_is_found() {
    let case = Case::new("CREATE TABLE t(v); CREATE INDEX i ON t(v); INSERT INTO t VALUES(1),(2);");
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema=ON; CREATE TABLE keep AS SELECT * FROM sqlite_schema WHERE name='i';
         DELETE FROM sqlite_schema WHERE name='i';",
    )
    .unwrap();
    drop(db);
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch(
        "INSERT INTO t VALUES(3); PRAGMA writable_schema=ON; INSERT INTO sqlite_schema SELECT * FROM keep;",
    )
    .unwrap();
    drop(db);
    let error = case.dump().unwrap_err();
    assert!(error.message.contains("missing from index i"), "{error}");
}

#[test]
fn a_dump_can_be_cancelled() {
    let case = Case::new("CREATE TABLE t(x);");
    let cancel = Arc::new(AtomicBool::new(true));
    let out = case.temp.path().join("database");
    std::fs::create_dir(&out).unwrap();
    let tables = TableFilter::default();
    let request = Request {
        folder: "database/app",
        ..request(&out, &tables, &cancel)
    };
    assert_eq!(dump(&case.db(), &request).unwrap_err().code, Code::Cancelled);
    assert_eq!(request.manifest_path("t.sql"), "app/t.sql");
}
