//! Writing the files of a dump: `pre-data.sql` makes the tables, each table's file has its rows, `post-data.sql`
//! makes views, triggers, routines and events, and `restore.sql` loads all of it in this order.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use cofre_exporter::component::types::TableInfo;

use super::catalog::Catalog;
use super::split::Sink;
use super::statement::{self, Place};
use super::views::{self, View};
use crate::dump::{Request, file_name};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;
use crate::text::escape;

const BEFORE: &str = "pre-data.sql";
const AFTER: &str = "post-data.sql";
/// What to do about output that the program was never seen to write.
const REPORT: &str = "report it with the program's version (`mariadb-dump --version`)";
const RESTORE: &str = "restore.sql";

/// What each file needs to load by itself as it was dumped: the same characters, the same times, the same numbers.
/// With foreign keys unchecked, tables that refer to each other load in any order.
const SETTINGS: &[u8] = b"SET NAMES utf8mb4;\n\
SET TIME_ZONE = '+00:00', SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO', FOREIGN_KEY_CHECKS = 0;\n";

/// MariaDB's client goes on after an error in a file that it was told to read, unless this option forbids it. MySQL's
/// doesn't know the option, and ends.
const HOW_TO: &[u8] = b"-- Loads this database into an empty one. Run in this folder:\n\
--   mariadb --abort-source-on-error NAME < restore.sql\n\
--   mysql NAME < restore.sql\n";

/// A server's `max_allowed_packet` unless it is set, in bytes: MariaDB's, which is the smaller one.
pub(super) const PACKET: u64 = 16 * 1024 * 1024;

/// The files of one dump.
pub(super) struct Writer<'a> {
    request: &'a Request<'a>,
    catalog: &'a Catalog,
    before: Out,
    after: Out,
    /// The events come last: the server may run them once they are there.
    events: Vec<u8>,
    in_events: bool,
    /// The views come after what they may use, in an order that the dump program doesn't know.
    views: Vec<View>,
    tables: Vec<Table>,
    /// The file of the last table.
    rows: Option<Out>,
    /// Bytes of the INSERT at hand, and of the longest one.
    length: u64,
    longest: u64,
}

struct Table {
    name: String,
    rows: u64,
    /// Its rows are in the dump; of others the configuration wants only the definition.
    wanted: bool,
}

/// What became of it.
pub(super) struct Written {
    pub(super) tables: Vec<TableInfo>,
    /// Bytes of the longest INSERT, which the server takes only if its `max_allowed_packet` is larger.
    pub(super) longest: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(request: &'a Request<'a>, catalog: &'a Catalog) -> Result<Self> {
        let (mut before, mut after) = (Out::create(request, BEFORE)?, Out::create(request, AFTER)?);
        before.put(SETTINGS)?;
        after.put(SETTINGS)?;
        Ok(Self {
            request,
            catalog,
            before,
            after,
            events: Vec::new(),
            in_events: false,
            views: Vec::new(),
            tables: Vec::new(),
            rows: None,
            length: 0,
            longest: 0,
        })
    }

    /// Gives the tables' files their names and writes `restore.sql`.
    pub(super) fn finish(mut self) -> Result<Written> {
        self.close_table()?;
        for view in views::ordered(&self.views) {
            self.after.put(&view.statements)?;
        }
        self.after.put(&self.events)?;
        self.before.close()?;
        self.after.close()?;
        let names: Vec<&str> = self.tables.iter().map(|t| t.name.as_str()).collect();
        let files = file_name::file_names(&names);
        let out = self.request.out;
        for (i, file) in files.iter().enumerate().filter(|(i, _)| self.tables[*i].wanted) {
            std::fs::rename(out.join(unnamed(i)), out.join(file)).map_err(|e| {
                Error::io(
                    format_args!("name the dump of table {}", show(&self.tables[i].name)),
                    &e,
                )
            })?;
        }
        self.restore(&files)?;
        let path = |table: &Table, file: &str| table.wanted.then(|| self.request.manifest_path(file));
        let tables = self.tables.into_iter().zip(files);
        Ok(Written {
            tables: tables
                .map(|(table, file)| TableInfo {
                    file: path(&table, &file),
                    name: table.name,
                    rows: table.rows,
                })
                .collect(),
            longest: self.longest,
        })
    }

    fn restore(&self, files: &[String]) -> Result<()> {
        let mut out = Out::create(self.request, RESTORE)?;
        out.put(HOW_TO)?;
        if self.longest > PACKET {
            let note = format!(
                "-- The server's max_allowed_packet has to be at least {}.\n",
                self.longest
            );
            out.put(note.as_bytes())?;
        }
        let Catalog {
            charset, collation, ..
        } = self.catalog;
        out.put(format!("ALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n").as_bytes())?;
        out.put(format!("source {BEFORE}\n").as_bytes())?;
        for (file, _) in files.iter().zip(&self.tables).filter(|(_, table)| table.wanted) {
            out.put(format!("START TRANSACTION;\nsource {file}\nCOMMIT;\n").as_bytes())?;
        }
        out.put(format!("source {AFTER}\n").as_bytes())?;
        out.close()
    }

    fn table(&mut self, name: String) -> Result<()> {
        self.close_table()?;
        let wanted = self.request.tables.has_rows_of(None, &name);
        if wanted {
            let mut out = Out::create(self.request, &unnamed(self.tables.len()))?;
            out.put(SETTINGS)?;
            self.rows = Some(out);
        }
        self.tables.push(Table {
            name,
            rows: 0,
            wanted,
        });
        Ok(())
    }

    fn close_table(&mut self) -> Result<()> {
        self.rows.take().map_or(Ok(()), |mut out| out.close())
    }

    fn after(&mut self, text: &[u8], delimiter: &[u8]) -> Result<()> {
        let text = statement::without_database(text);
        let (text, definer) = statement::without_definer(&text);
        let mut out = Vec::new();
        if let Some(definer) = definer {
            out.extend_from_slice(format!("-- {}\n", escape(&definer)).as_bytes());
        }
        out.extend_from_slice(&whole(&text, delimiter));
        if self.in_events {
            self.events.extend_from_slice(&out);
        } else if let Some(view) = self.views.last_mut() {
            view.uses.extend(statement::names(&text));
            view.statements.extend_from_slice(&out);
        } else {
            self.after.put(&out)?;
        }
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<()> {
        let Some(place) = statement::place(text) else {
            let head: String = String::from_utf8_lossy(text).chars().take(80).collect();
            let message = format!(
                "the dump program wrote a statement that cofre doesn't know: {}",
                escape(&head)
            );
            return Err(Error::new(Code::DumpFailed, message).remedy(REPORT));
        };
        match place {
            Place::Nowhere => Ok(()),
            Place::Table(name) => {
                let text = statement::without_qualifiers(text, &self.catalog.database);
                put_statement(&mut self.before, &text, delimiter)?;
                self.table(name)
            }
            Place::Sequence => put_statement(&mut self.before, text, delimiter),
            Place::History => match &mut self.rows {
                Some(out) => put_statement(out, text, delimiter),
                None => Ok(()),
            },
            Place::After => self.after(text, delimiter),
            Place::View(name) => {
                if self.views.last().is_none_or(|view| view.name != name) {
                    self.views.push(View::new(name));
                }
                self.after(text, delimiter)
            }
            Place::EventsBegin => {
                self.in_events = true;
                self.after(text, delimiter)
            }
            Place::EventsEnd => {
                self.after(text, delimiter)?;
                self.in_events = false;
                Ok(())
            }
        }
    }

    fn begin_rows(&mut self, table: &[u8]) -> Result<()> {
        self.length = 0;
        match self.tables.last() {
            Some(last) if last.name.as_bytes() == table => Ok(()),
            _ => Err(Error::new(
                Code::DumpFailed,
                "the dump program wrote rows of another table than the last one",
            )
            .remedy(REPORT)),
        }
    }

    fn rows(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        self.rows.as_mut().map_or(Ok(()), |out| out.put(bytes))
    }

    fn end_rows(&mut self, rows: u64) -> Result<()> {
        self.longest = self.longest.max(self.length);
        if let Some(table) = self.tables.last_mut()
            && table.wanted
        {
            table.rows += rows;
        }
        self.rows(b"\n")
    }
}

/// The name of a table's file while the names of all tables are not known.
fn unnamed(i: usize) -> String {
    format!(".table-{i}")
}

fn put_statement(out: &mut Out, text: &[u8], delimiter: &[u8]) -> Result<()> {
    out.put(&whole(text, delimiter))
}

/// A statement as the client reads it. One that was cut at another delimiter has the usual one in it.
fn whole(text: &[u8], delimiter: &[u8]) -> Vec<u8> {
    if delimiter == b";" {
        return [text, b";\n"].concat();
    }
    // On a line of its own, since a comment may end the text.
    [
        b"DELIMITER ",
        delimiter,
        b"\n",
        text,
        b"\n",
        delimiter,
        b"\nDELIMITER ;\n",
    ]
    .concat()
}

/// One file of the dump.
struct Out {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Out {
    fn create(request: &Request<'_>, name: &str) -> Result<Self> {
        let path = request.out.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io(format_args!("create {}", show(&path)), &e))?;
        Ok(Self {
            file: BufWriter::with_capacity(64 * 1024, file),
            path,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.error(&e))
    }

    fn close(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| self.error(&e))
    }

    fn error(&self, error: &std::io::Error) -> Error {
        let error = Error::io(format_args!("write {}", show(&self.path)), error);
        if error.code == Code::NoSpace {
            return error.remedy("make room there, or set another state_dir");
        }
        error
    }
}

#[cfg(test)]
mod tests;
