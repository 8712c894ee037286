//! Dumps of odd databases, loaded again by the system's own `sqlite3` and compared value by value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad;
mod live;
mod loading;
mod odd;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::types::Value;

use super::*;
use crate::dump::tables::TableFilter;

/// A scratch folder with a database and its dump.
struct Case {
    temp: tempfile::TempDir,
}

impl Case {
    fn new(sql: &str) -> Self {
        let case = Self {
            temp: tempfile::tempdir().unwrap(),
        };
        let db = Connection::open(case.db()).unwrap();
        db.execute_batch("PRAGMA synchronous=OFF").unwrap();
        db.execute_batch(sql).unwrap();
        case
    }

    fn db(&self) -> PathBuf {
        self.temp.path().join("app.db")
    }

    fn restored(&self) -> PathBuf {
        self.temp.path().join("new.db")
    }

    fn dump(&self) -> Result<DatabaseInfo> {
        dump_to(&self.db(), &self.temp.path().join("database"))
    }

    /// Loads the dump as its user would.
    fn load(&self) -> Output {
        load(&self.temp.path().join("database"), &self.restored())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.temp.path().join("database").join(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(self.temp.path().join("database"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    /// Dumps, loads and compares everything.
    fn round_trip(&self) -> DatabaseInfo {
        let info = self.dump().unwrap();
        load_well(&self.temp.path().join("database"), &self.restored());
        assert_same(&self.db(), &self.restored());
        info
    }

    fn restored_value<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        Connection::open(self.restored())
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }
}

fn dump_to(db: &Path, out: &Path) -> Result<DatabaseInfo> {
    dump_rows_of(db, out, &TableFilter::default())
}

fn dump_rows_of(db: &Path, out: &Path, tables: &TableFilter) -> Result<DatabaseInfo> {
    std::fs::create_dir(out).unwrap();
    let cancel = Arc::new(AtomicBool::new(false));
    dump(db, &request(out, tables, &cancel))
}

fn request<'a>(out: &'a Path, tables: &'a TableFilter, cancel: &'a Arc<AtomicBool>) -> Request<'a> {
    Request {
        name: "app",
        folder: "database",
        out,
        private: out,
        tables,
        tools: None,
        stall: std::time::Duration::from_secs(60),
        cancel,
    }
}

fn load(folder: &Path, to: &Path) -> Output {
    Command::new("sqlite3")
        .args(["-init", "/dev/null"])
        .arg(to)
        .current_dir(folder)
        .stdin(Stdio::from(
            std::fs::File::open(folder.join("restore.sql")).unwrap(),
        ))
        .output()
        .unwrap()
}

fn load_well(folder: &Path, to: &Path) {
    let output = load(folder, to);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

/// Every row of every table (shadow tables included), the schema, and the header values.
type Content = (
    BTreeMap<String, Vec<Vec<(Value, Value)>>>,
    Vec<(String, String, Option<String>)>,
    Vec<String>,
);

fn content(path: &Path) -> Content {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut tables = BTreeMap::new();
    let mut schema = db
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat4' ORDER BY type, name")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<rusqlite::Result<Vec<(String, String, Option<String>)>>>()
        .unwrap();
    schema.sort();
    for (kind, name, sql) in &schema {
        if kind == "table" && !sql.as_ref().unwrap().starts_with("CREATE VIRTUAL") {
            tables.insert(name.clone(), rows(&db, name));
        }
    }
    let facts = [
        "encoding",
        "user_version",
        "application_id",
        "page_size",
        "auto_vacuum",
        "integrity_check",
    ]
    .map(|pragma| {
        let value: Value = db
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap();
        format!("{pragma} {value:?}")
    })
    .to_vec();
    (tables, schema, facts)
}

fn rows(db: &Connection, table: &str) -> Vec<Vec<(Value, Value)>> {
    let table = ddl::quote(table);
    let columns: Vec<String> = db
        .prepare(&format!("SELECT name FROM pragma_table_xinfo({table})"))
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    let mut names: Vec<String> = columns.iter().map(|c| ddl::quote(c)).collect();
    if db.prepare(&format!("SELECT rowid FROM {table}")).is_ok() {
        names.push("rowid".into());
    }
    // Each value and its bytes, so that texts are compared as they are stored.
    let wanted: Vec<String> = names
        .iter()
        .map(|name| format!("{name}, CAST({name} AS BLOB)"))
        .collect();
    db.prepare(&format!("SELECT {} FROM {table} NOT INDEXED", wanted.join(", ")))
        .unwrap()
        .query_map([], |row| {
            (0..names.len())
                .map(|i| Ok((exact(row, 2 * i)?, exact(row, 2 * i + 1)?)))
                .collect()
        })
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap()
}

/// A value in a form that compares to the bit.
fn exact(row: &rusqlite::Row<'_>, i: usize) -> rusqlite::Result<Value> {
    Ok(match row.get_ref(i)? {
        rusqlite::types::ValueRef::Real(r) => Value::Text(format!("real {:016x}", (r + 0.0).to_bits())),
        rusqlite::types::ValueRef::Text(t) => Value::Blob([b"text ", t].concat()),
        other => other.try_into().unwrap(),
    })
}

fn assert_same(original: &Path, restored: &Path) {
    let (a, b) = (content(original), content(restored));
    assert_eq!(a.1, b.1, "schema");
    for (table, rows) in &a.0 {
        assert_eq!(Some(rows), b.0.get(table), "rows of {table}");
    }
    assert_eq!(a.2, b.2);
}
