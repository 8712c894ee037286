//! Two questions before a dump counts: is the database sound, and does plain SQLite load it again?

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::ddl::quote;
use super::schema::{Schema, Table};
use super::sql_error;
use crate::error::{Code, Error, Result};
use crate::fsutil::show;

/// Problems that one message names.
const NAMED: usize = 5;

/// SQLite's integrity check of the snapshot.
///
/// Rows that break a CHECK constraint are no damage: they are dumped and loaded as they are.
pub(super) fn integrity(db: &Connection, schema: &Schema, path: &Path) -> Result<()> {
    let problems = match run(db, "PRAGMA integrity_check(100)") {
        Ok(problems) => problems,
        Err(e) if is_fatal(&e) => {
            return Err(sql_error(format_args!("check the database {}", show(path)), &e));
        }
        // Something that only the application has (a collation, a function, a module) stands in the way.
        Err(_) => table_by_table(db, schema, path)?,
    };
    let problems: Vec<_> = problems
        .iter()
        .filter(|p| *p != "ok" && !p.starts_with("CHECK constraint failed"))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = problems.iter().take(NAMED).map(|p| show(p.as_str())).collect();
    let more = if problems.len() > NAMED { ", and more" } else { "" };
    Err(Error::new(
        Code::DumpFailed,
        format!("the integrity check of the database {} failed: {}{more}", show(path), named.join("; ")),
    )
    .remedy("mend it (REINDEX helps with indexes, `.recover` of the sqlite3 command with the rest) and back up again"))
}

fn table_by_table(db: &Connection, schema: &Schema, path: &Path) -> Result<Vec<String>> {
    let shadows = schema.virtuals.iter().flat_map(|v| &v.shadows);
    let mut problems = Vec::new();
    for table in schema.tables.iter().chain(shadows) {
        for check in ["integrity_check", "quick_check"] {
            match run(db, &format!("PRAGMA {check}({})", quote(&table.name))) {
                Ok(found) => {
                    problems.extend(found);
                    break;
                }
                Err(e) if is_fatal(&e) => {
                    return Err(sql_error(
                        format_args!("check table {} of {}", show(&table.name), show(path)),
                        &e,
                    ));
                }
                Err(e) => tracing::warn!("{check} of table {} is not possible: {e}", show(&table.name)),
            }
        }
    }
    Ok(problems)
}

fn run(db: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(pragma)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn is_fatal(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation)
    )
}

/// Tries the schema in an empty database of plain SQLite. Gives the indexes, views and triggers that need
/// something of the application's (by name, with the reason): they are dumped, but not loaded.
///
/// # Errors
/// `DumpFailed` when a table itself can't be made or filled there.
pub(super) fn loads_again(schema: &Schema, path: &Path) -> Result<HashMap<String, String>> {
    let fail = |e: rusqlite::Error| sql_error("open a scratch database", &e);
    let scratch = Connection::open_in_memory().map_err(fail)?;
    scratch
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = ON;")
        .map_err(fail)?;
    for table in &schema.tables {
        let made = scratch
            .execute_batch(&table.sql)
            .and_then(|()| compile_insert(&scratch, table));
        made.map_err(|e| {
            Error::new(
                Code::DumpFailed,
                format!(
                    "table {} of {} needs something that plain SQLite does not have: {}",
                    show(&table.name),
                    show(path),
                    show(e.to_string())
                ),
            )
            .remedy(
                "such a table can't be loaded again by `sqlite3`; copy the database file as a source instead",
            )
        })?;
    }
    for table in schema.virtuals.iter().filter(|v| v.usable) {
        // One that this SQLite opens but can't make again shows up when it is loaded; views on it don't care.
        let _ = scratch.execute_batch(&table.sql);
    }
    let mut left_out = HashMap::new();
    for object in &schema.objects {
        if let Err(e) = scratch.execute_batch(&object.sql) {
            tracing::warn!(
                "{} {} is dumped but not loaded: {e}",
                object.kind,
                show(&object.name)
            );
            left_out.insert(object.name.clone(), e.to_string());
        }
    }
    Ok(left_out)
}

/// Compiles an INSERT without running it: unknown collations and functions show up.
fn compile_insert(db: &Connection, table: &Table) -> rusqlite::Result<()> {
    let columns: Vec<_> = table.columns.iter().map(|c| quote(c)).collect();
    let values = vec!["?"; columns.len()].join(",");
    db.prepare(&format!(
        "INSERT INTO {}({}) VALUES({values})",
        quote(&table.name),
        columns.join(",")
    ))
    .map(drop)
}
