//! Writing the files of a dump.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cofre_exporter::component::types::TableInfo;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::ddl::{self, quote, write_statement};
use super::literal::{self, Encoding, write_value};
use super::schema::{Schema, Table, Virtual};
use super::sql_error;
use crate::dump::{Request, file_name};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;

/// Rows and bytes after which a new INSERT begins.
const ROWS_PER_INSERT: u64 = 250;
const BYTES_PER_INSERT: u64 = 256 * 1024;

/// Longest value that is dumped, in bytes: a blob has two digits a byte, and SQLite's statements have 10^9 bytes
/// at most.
const VALUE_LIMIT: usize = 480_000_000;

/// Rows between two looks at the cancel flag.
const ROWS_PER_LOOK: u64 = 1000;

pub(super) struct Writer<'a> {
    pub(super) db: &'a Connection,
    pub(super) schema: &'a Schema,
    /// Objects that are dumped as a comment, with the reason.
    pub(super) left_out: &'a HashMap<String, String>,
    pub(super) request: &'a Request<'a>,
    pub(super) path: &'a Path,
}

/// A file of the dump, which counts what it gets.
struct Out {
    file: BufWriter<std::fs::File>,
    written: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Writer<'_> {
    pub(super) fn run(&self) -> Result<Vec<TableInfo>> {
        let tables = &self.schema.tables;
        let mut names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
        names.extend(self.schema.virtuals.iter().map(|t| t.name.as_str()));
        names.extend(
            [&self.schema.sequence, &self.schema.stat1]
                .into_iter()
                .flatten()
                .map(|t| t.name.as_str()),
        );
        let files = file_name::file_names(&names);
        let mut left = files.iter();
        let mut infos = Vec::new();
        let mut info = |name: &str, file: &String, rows| {
            infos.push(TableInfo {
                name: name.to_owned(),
                file: Some(self.request.manifest_path(file)),
                rows,
            });
        };
        for (table, file) in tables.iter().zip(&mut left) {
            let rows = self.file(file, &table.name, |out| {
                self.emit(|| write_statement(out, &table.sql))?;
                if self.request.tables.has_rows_of(None, &table.name) {
                    self.rows(out, table)
                } else {
                    Ok(0)
                }
            })?;
            info(&table.name, file, rows);
        }
        for (table, file) in self.schema.virtuals.iter().zip(&mut left) {
            let rows = self.file(file, &table.name, |out| self.virtual_table(out, table))?;
            info(&table.name, file, rows);
        }
        if let (Some(table), Some(file)) =
            (&self.schema.sequence, left_file(&self.schema.sequence, &mut left))
        {
            let rows = self.file(file, &table.name, |out| self.sequence(out, table))?;
            info(&table.name, file, rows);
        }
        if let (Some(table), Some(file)) = (&self.schema.stat1, left_file(&self.schema.stat1, &mut left)) {
            let rows = self.file(file, &table.name, |out| {
                self.emit(|| out.write_all(b"ANALYZE sqlite_master;\nDELETE FROM sqlite_stat1;\n"))?;
                self.rows(out, table)
            })?;
            info(&table.name, file, rows);
        }
        self.file("schema.sql", "schema.sql", |out| self.emit(|| self.objects(out)))?;
        self.file("restore.sql", "restore.sql", |out| {
            self.emit(|| self.restore(out, &files))
        })?;
        Ok(infos)
    }

    /// Makes one file of the dump.
    fn file<T>(&self, file: &str, table: &str, body: impl FnOnce(&mut Out) -> Result<T>) -> Result<T> {
        let path = self.request.out.join(file);
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let made =
            made.map_err(|e| Error::io(format_args!("dump {}: create {}", show(table), show(&path)), &e))?;
        let mut out = Out {
            file: BufWriter::with_capacity(256 * 1024, made),
            written: 0,
        };
        let result = body(&mut out)?;
        self.emit(|| out.flush())?;
        Ok(result)
    }

    fn emit(&self, write: impl FnOnce() -> std::io::Result<()>) -> Result<()> {
        write().map_err(|e| {
            Error::io(
                format_args!(
                    "write the dump of database {} into {}",
                    show(self.request.name),
                    show(self.request.out)
                ),
                &e,
            )
        })
    }

    /// The rows of a table, in rowid or key order; gives their number.
    fn rows(&self, out: &mut Out, table: &Table) -> Result<u64> {
        let fail = |e: rusqlite::Error| {
            sql_error(
                format_args!("read table {} of {}", show(&table.name), show(self.path)),
                &e,
            )
        };
        let names: Vec<String> = table
            .rowid
            .map(str::to_owned)
            .into_iter()
            .chain(table.columns.iter().map(|c| quote(c)))
            .collect();
        // The stored bytes of texts are needed where they aren't UTF-8.
        let wide = self.schema.encoding != Encoding::Utf8;
        let mut wanted = names.clone();
        if wide {
            wanted.extend(names.iter().map(|name| format!("CAST({name} AS BLOB)")));
        }
        // A scan of an index would give another order.
        let sql = format!(
            "SELECT {} FROM {} NOT INDEXED",
            wanted.join(","),
            quote(&table.name)
        );
        let head = format!("INSERT INTO {}({}) VALUES\n", quote(&table.name), names.join(","));
        let mut statement = self.db.prepare(&sql).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let (mut count, mut in_insert, mut start) = (0_u64, 0_u64, 0_u64);
        while let Some(row) = rows.next().map_err(fail)? {
            if count.is_multiple_of(ROWS_PER_LOOK) {
                self.request.check_cancelled()?;
            }
            if in_insert == 0 {
                start = out.written;
                self.emit(|| ddl::write_lines(out, &head))?;
            } else {
                self.emit(|| out.write_all(b",\n"))?;
            }
            self.row(out, row, names.len(), wide, table)?;
            count += 1;
            in_insert += 1;
            if in_insert >= ROWS_PER_INSERT || out.written - start >= BYTES_PER_INSERT {
                self.emit(|| out.write_all(b";\n"))?;
                in_insert = 0;
            }
        }
        if in_insert > 0 {
            self.emit(|| out.write_all(b";\n"))?;
        }
        Ok(count)
    }

    fn row(&self, out: &mut Out, row: &rusqlite::Row<'_>, n: usize, wide: bool, table: &Table) -> Result<()> {
        let fail = |e: rusqlite::Error| sql_error(format_args!("read table {}", show(&table.name)), &e);
        for i in 0..n {
            let value = row.get_ref(i).map_err(fail)?;
            if let ValueRef::Blob(bytes) | ValueRef::Text(bytes) = value
                && bytes.len() > VALUE_LIMIT
            {
                return Err(Error::new(
                    Code::Unsupported,
                    format!(
                        "table {} has a value of {} bytes, more than the {VALUE_LIMIT} that a SQL file can hold",
                        show(&table.name),
                        bytes.len()
                    ),
                ));
            }
            let stored = match value {
                ValueRef::Text(_) if wide => match row.get_ref(n + i).map_err(fail)? {
                    ValueRef::Blob(stored) => Some(stored),
                    _ => None,
                },
                _ => None,
            };
            self.emit(|| {
                out.write_all(if i == 0 { b"(" } else { b"," })?;
                write_value(out, value, stored, self.schema.encoding)
            })?;
        }
        self.emit(|| out.write_all(b")"))
    }

    /// A virtual table: made anew, then the content of its shadow tables replaced by the original's. One that
    /// plain SQLite can't make is written into the schema as it stands there.
    fn virtual_table(&self, out: &mut Out, table: &Virtual) -> Result<u64> {
        if table.usable {
            self.emit(|| write_statement(out, &table.sql))?;
            if !self.request.tables.has_rows_of(None, &table.name) {
                return Ok(0);
            }
        }
        for shadow in &table.shadows {
            self.emit(|| {
                write_statement(out, &ddl::if_not_exists(&shadow.sql))?;
                ddl::write_lines(out, &format!("DELETE FROM {};\n", quote(&shadow.name)))
            })?;
            self.rows(out, shadow)?;
        }
        if !table.usable {
            self.emit(|| {
                out.write_all(b"-- Plain SQLite can't open this table: it needs a module or tokenizer of the application.\n")?;
                out.write_all(b"PRAGMA writable_schema = ON;\n")?;
                out.write_all(b"INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql) VALUES('table',")?;
                literal::write_text(out, &table.name)?;
                out.write_all(b",")?;
                literal::write_text(out, &table.name)?;
                out.write_all(b",0,")?;
                literal::write_text(out, &table.sql)?;
                out.write_all(b");\nPRAGMA writable_schema = OFF;\n")
            })?;
            return Ok(0);
        }
        Ok(super::count_rows(self.db, &table.name).unwrap_or(0))
    }

    /// The counters of AUTOINCREMENT, set after the rows have moved them.
    fn sequence(&self, out: &mut Out, table: &Table) -> Result<u64> {
        self.emit(|| {
            if !self.schema.has_autoincrement() {
                // The table exists once there was such a table, and stays.
                out.write_all(b"CREATE TABLE cofre_counter(id INTEGER PRIMARY KEY AUTOINCREMENT);\n")?;
                out.write_all(b"DROP TABLE cofre_counter;\n")?;
            }
            out.write_all(b"DELETE FROM sqlite_sequence;\n")
        })?;
        self.rows(out, table)
    }

    fn objects(&self, out: &mut Out) -> std::io::Result<()> {
        for object in &self.schema.objects {
            match self.left_out.get(&object.name) {
                None => write_statement(out, &object.sql)?,
                Some(reason) => {
                    let text = format!("Not loaded, since plain SQLite says: {reason}\n{};", object.sql);
                    for line in text.lines() {
                        writeln!(out, "-- {line}")?;
                    }
                }
            }
        }
        Ok(())
    }

    fn restore(&self, out: &mut Out, files: &[String]) -> std::io::Result<()> {
        out.write_all(b"-- Loads this database: sqlite3 new.db < restore.sql (run in this folder)\n")?;
        out.write_all(b".bail on\n")?;
        out.write_all(b"PRAGMA foreign_keys = OFF;\nPRAGMA ignore_check_constraints = ON;\n")?;
        for (pragma, value) in &self.schema.before {
            writeln!(out, "PRAGMA {pragma} = {value};")?;
        }
        out.write_all(b"BEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n")?;
        for file in files {
            writeln!(out, ".read '{file}'")?;
        }
        out.write_all(b".read 'schema.sql'\n")?;
        for (pragma, value) in &self.schema.within {
            writeln!(out, "PRAGMA {pragma} = {value};")?;
        }
        out.write_all(b"COMMIT;\n")?;
        if self.schema.wal {
            out.write_all(b"-- The original was in WAL mode.\nPRAGMA journal_mode = WAL;\n")?;
        }
        Ok(())
    }
}

/// The next file, if the table is there.
fn left_file<'f>(table: &Option<Table>, left: &mut impl Iterator<Item = &'f String>) -> Option<&'f String> {
    table.as_ref().and_then(|_| left.next())
}
