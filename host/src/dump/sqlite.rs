//! Dumps of SQLite databases: a snapshot, its integrity check, and SQL files that plain `sqlite3` loads.
//!
//! `database/TABLE.sql` holds a table and its rows (a virtual table's file holds its shadow tables),
//! `schema.sql` the indexes, views and triggers, and `restore.sql` loads all of it in one transaction:
//! `cd database && sqlite3 new.db < restore.sql`.

mod check;
mod ddl;
mod literal;
mod schema;
mod snapshot;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use cofre_exporter::component::types::DatabaseInfo;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Request;
use crate::error::{Code, Error, Result};
use crate::fsutil::show;

/// Dumps the database file at `path`. Others may read and write it meanwhile: the dump is of one moment.
///
/// Nothing is written beside the original, and nothing is checkpointed. The folder `request.out` needs space for
/// a copy of the database and its SQL. Don't call this in a process that itself has the database open: closing
/// a second handle of a file drops the process's locks on it.
///
/// # Errors
/// `SourceMissing` without a database or without a table in it, `Sandbox` for a link, `AccessDenied`, `NoSpace`,
/// `Cancelled`, and `DumpFailed` when it is damaged, stays locked, or can't be dumped so that it loads again.
pub fn dump(path: &Path, request: &Request<'_>) -> Result<DatabaseInfo> {
    let copy = Scratch(request.out.join(".snapshot.db"));
    let original = snapshot::take(path, &copy.0, request)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |e: rusqlite::Error| sql_error(format_args!("read the database {}", show(path)), &e);
    let mut db = Connection::open_with_flags(&copy.0, flags).map_err(open)?;
    // Functions in the schema that only the application should call have no business here.
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
        .map_err(open)?;
    let cancel = std::sync::Arc::clone(request.cancel);
    db.progress_handler(
        100_000,
        Some(move || cancel.load(std::sync::atomic::Ordering::Relaxed)),
    )
    .map_err(open)?;
    let schema = schema::Schema::read(&db, original.wal).map_err(open)?;
    if schema.tables.is_empty() && schema.virtuals.is_empty() {
        return Err(Error::new(
            Code::SourceMissing,
            format!("the database {} has no table", show(path)),
        )
        .remedy("check that it is the right file, and that the disk is mounted"));
    }
    check::integrity(&db, &schema, path)?;
    let left_out = check::loads_again(&schema, path)?;
    let tables = write::Writer {
        db: &db,
        schema: &schema,
        left_out: &left_out,
        request,
        path,
    }
    .run()?;
    Ok(DatabaseInfo {
        name: request.name.to_owned(),
        engine: "sqlite".to_owned(),
        version: rusqlite::version().to_owned(),
        folder: request.folder.to_owned(),
        tables,
    })
}

/// The tables of a live database with their rows, from a copy in the folder `request.out`. The original is left as it
/// is.
///
/// # Errors
/// As [`dump`], but a database without a table has just none.
pub(crate) fn tables(path: &Path, request: &Request<'_>) -> Result<Vec<(String, u64)>> {
    let copy = Scratch(request.out.join(".snapshot.db"));
    snapshot::take(path, &copy.0, request)?;
    let fail = |e: rusqlite::Error| sql_error(format_args!("read the database {}", show(path)), &e);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&copy.0, flags).map_err(fail)?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
        .map_err(fail)?;
    let schema = schema::Schema::read(&db, false).map_err(fail)?;
    let names = schema.tables.iter().map(|table| &table.name);
    let names = names.chain(schema.virtuals.iter().map(|table| &table.name));
    names
        .map(|name| Ok((name.clone(), count_rows(&db, name).map_err(fail)?)))
        .collect()
}

/// Looks at a database that a dump was loaded into: whether it is sound, and which tables a dump of it would list.
///
/// # Errors
/// `DumpFailed` with what SQLite's integrity check says; what reading says.
pub(crate) fn check_loaded(db: &Connection) -> Result<Vec<String>> {
    let what = Path::new("that was loaded");
    let schema = schema::Schema::read(db, false)
        .map_err(|e| sql_error(format_args!("read the database {}", show(what)), &e))?;
    check::integrity(db, &schema, what)?;
    let tables = schema.tables.iter().map(|table| &table.name);
    let virtuals = schema.virtuals.iter().map(|table| &table.name);
    let own = [&schema.sequence, &schema.stat1].into_iter().flatten();
    Ok(tables
        .chain(virtuals)
        .chain(own.map(|table| &table.name))
        .cloned()
        .collect())
}

/// The rows of a table as a dump counts them. Some virtual tables can't be listed as a whole (a function in the shape
/// of a table): they have no rows of their own.
///
/// # Errors
/// What SQLite says.
pub(crate) fn count_rows(db: &Connection, table: &str) -> rusqlite::Result<u64> {
    let count = format!("SELECT count(*) FROM {}", ddl::quote(table));
    let rows = match db.query_row(&count, [], |row| row.get::<_, i64>(0)) {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::Unknown) => 0,
        rows => rows?,
    };
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The snapshot, which goes with the dump.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        snapshot::clear(&self.0);
    }
}

/// An error of SQLite's as one of ours.
pub(crate) fn sql_error(what: impl fmt::Display, error: &rusqlite::Error) -> Error {
    let code = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Code::NoSpace,
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Code::AccessDenied,
        Some(ErrorCode::OperationInterrupted) => Code::Cancelled,
        Some(ErrorCode::SystemIoFailure) => Code::Io,
        _ => Code::DumpFailed,
    };
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Some("look for a program that keeps a write transaction open")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            // SQLite tries to open for reading what it can't open for writing, whatever the reason was.
            Some("run cofre as the database's owner or as root, and look whether there is space")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            Some("the database is damaged: look at `sqlite3 FILE 'PRAGMA integrity_check'` and `.recover`")
        }
        _ => None,
    };
    let error = Error::new(code, format!("{what}: {}", show(error.to_string())));
    match remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

#[cfg(test)]
mod tests;
