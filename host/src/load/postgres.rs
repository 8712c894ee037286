//! Loading a dump into a PostgreSQL database, through psql and in one transaction.
//!
//! psql reads a script of cofre's own ([`script`]); the archive's text stands in it where psql looks for no commands,
//! and is looked through before all the same ([`scan`], [`rows`]), so that an attack has a name. What the server runs of
//! it, it runs as a role that may not reach beyond its database ([`scratch`]).

mod blobs;
mod psql;
mod rows;
mod scan;
mod scratch;
mod script;
mod target;

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _};

use super::{DumpFolder, Loaded, Problem, Reason, Shown, Stop, compare};
use crate::error::{Code, Error, Result};
use crate::text;
use psql::{Ended, Psql, shown};
use rows::Copy;
use script::{Counted, Step};

pub(crate) use scratch::drill;
pub(crate) use target::Target;

/// The files of a dump that are no table's, each where it is loaded.
const BEFORE: &str = "pre-data.sql";
const BLOBS: &str = "blobs.sql";
const SEQUENCES: &str = "sequences.sql";
const AFTER: &str = "post-data.sql";
const GRANTS: &str = "grants.sql";
const EVENTS: &str = "event-triggers.sql";
const RESTORE: &str = "restore.sql";

/// Longest section, in bytes: it is held in memory.
const SECTION_LIMIT: u64 = 64 << 20;

/// What a dump comes to, looked through.
struct Dump<'a> {
    folder: &'a DumpFolder<'a>,
    before: String,
    /// The file of each table with rows, and where they lie.
    tables: Vec<(&'a str, Copy)>,
    counted: Vec<Counted>,
    has_blobs: bool,
    sequences: Option<String>,
    after: String,
}

impl<'a> Dump<'a> {
    /// Looks through every file.
    fn read(folder: &'a DumpFolder<'a>) -> std::result::Result<Self, Problem> {
        folder.check(&[BEFORE, AFTER, RESTORE], &[BLOBS, SEQUENCES, GRANTS, EVENTS])?;
        let mut dump = Self {
            folder,
            before: section(folder, BEFORE)?,
            tables: Vec::new(),
            counted: Vec::new(),
            has_blobs: folder.has(BLOBS),
            sequences: None,
            after: section(folder, AFTER)?,
        };
        if folder.has(SEQUENCES) {
            dump.sequences = Some(section(folder, SEQUENCES)?);
        }
        for table in folder.tables() {
            if let Some(file) = folder.table_file(table)? {
                dump.table(file, &table.name, table.rows)?;
            }
        }
        if dump.has_blobs {
            blobs::check(&mut BufReader::new(folder.file(BLOBS)?))
                .map_err(|fault| fault_of(folder, BLOBS, fault))?;
        }
        Ok(dump)
    }

    fn table(&mut self, file: &'a str, name: &str, expected: u64) -> std::result::Result<(), Problem> {
        let mut input = BufReader::with_capacity(256 * 1024, self.folder.file(file)?);
        let found = rows::find(&mut input).map_err(|fault| fault_of(self.folder, file, fault))?;
        let foreign = found
            .iter()
            .find(|copy| name_of(&copy.schema, &copy.table) != name);
        if let Some(copy) = foreign {
            return Err(self.folder.problem(
                Reason::HostileSql,
                format_args!(
                    "{} has rows of {}, and belongs to {}",
                    Shown(file),
                    shown(&copy.schema, &copy.table),
                    Shown(name)
                ),
            ));
        }
        let Some(first) = found.first() else {
            return Err(self.folder.problem(
                Reason::FileTruncated,
                format_args!("{} has no rows and not even their beginning", Shown(file)),
            ));
        };
        self.counted.push(Counted {
            schema: first.schema.clone(),
            table: first.table.clone(),
            rows: expected,
        });
        self.tables.extend(found.into_iter().map(|copy| (file, copy)));
        Ok(())
    }

    /// The script that loads it all; `first` comes before, `last` after everything, each within the transaction.
    fn steps(
        &'a self,
        first: Vec<String>,
        last: Vec<String>,
    ) -> impl Iterator<Item = Result<Step>> + Send + use<'a> {
        let own = |sql: String| Ok(Step::Own(sql));
        let sections = |sql: &'a str| Ok(Step::Section(sql.to_owned()));
        let rows = self
            .tables
            .iter()
            .map(|(file, copy)| Ok(Step::Rows(self.folder.file(file)?, copy.clone())));
        let blobs = self.has_blobs.then(|| Ok(Step::Blobs(self.folder.file(BLOBS)?)));
        std::iter::once(own("BEGIN".to_owned()))
            .chain(first.into_iter().map(own))
            .chain([sections(&self.before)])
            .chain(rows)
            .chain(blobs)
            .chain(self.sequences.as_deref().map(sections))
            // Before policies and triggers come to be.
            .chain([own(script::count(&self.counted)), own(LIST.to_owned())])
            .chain([sections(&self.after)])
            .chain(last.into_iter().map(own))
            .chain([own("COMMIT".to_owned())])
    }

    /// Loads it, and compares what was there with the manifest.
    fn load(
        &self,
        psql: &Psql,
        first: Vec<String>,
        last: Vec<String>,
        stop: &Stop,
    ) -> std::result::Result<Loaded, Problem> {
        let printed = psql
            .feed(self.steps(first, last), stop)
            .map_err(|ended| match ended {
                Ended::Other(error) => error.into(),
                Ended::TooLong => self
                    .folder
                    .problem(Reason::LoadFailed, "loading it took too long"),
                Ended::Refused(said) => self.refused(&said),
            })?;
        let mut loaded = self.compare(&printed)?;
        let name = Shown(&self.folder.info().name);
        if self.folder.has(EVENTS) {
            loaded.notes.push(format!(
                "database {name}: event triggers were left out, since only a superuser can make them; {EVENTS} has them"
            ));
        }
        Ok(loaded)
    }

    /// What the server refused. A count of cofre's own is no error of the dump's SQL.
    fn refused(&self, said: &str) -> Problem {
        let counted = said.split_once("cofre: table ").and_then(|(_, rest)| {
            let (index, rest) = rest.split_once(" has ")?;
            let rows = rest.split_once(" rows")?.0;
            Some((self.counted.get(index.parse::<usize>().ok()?)?, rows))
        });
        match counted {
            Some((counted, rows)) => self.folder.problem(
                Reason::RowsDiffer,
                format_args!(
                    "table {} has {rows} rows after loading, and had {} when it was dumped",
                    shown(&counted.schema, &counted.table),
                    counted.rows
                ),
            ),
            None => self
                .folder
                .problem(Reason::LoadFailed, format_args!("the server refused it: {said}")),
        }
    }

    /// Reads what the counts printed.
    fn compare(&self, printed: &str) -> std::result::Result<Loaded, Problem> {
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        let mut there: Vec<String> = Vec::new();
        for line in printed.lines() {
            let mut fields = line.splitn(3, '|');
            match (fields.next(), fields.next(), fields.next()) {
                (Some("rows"), Some(index), Some(count)) => {
                    if let (Ok(index), Ok(count)) = (index.parse::<usize>(), count.parse())
                        && let Some(counted) = self.counted.get(index)
                    {
                        rows.insert(name_of(&counted.schema, &counted.table), count);
                    }
                }
                (Some("table"), Some(schema), Some(table)) => {
                    if let (Some(schema), Some(table)) = (unhex(schema), unhex(table)) {
                        there.push(name_of(&schema, &table));
                    }
                }
                _ => {}
            }
        }
        let known = self.folder.tables();
        let extra: Vec<String> = there
            .iter()
            .filter(|name| !known.iter().any(|table| table.name == **name))
            .cloned()
            .collect();
        compare(self.folder, &extra, |name| {
            if let Some(count) = rows.get(name) {
                return Ok(Some(*count));
            }
            // Only its definition is in the dump.
            Ok(there.iter().any(|table| table == name).then_some(0))
        })
    }
}

/// The ordinary tables that are there, names in hexadecimal so that none breaks a line.
const LIST: &str = "SELECT 'table', pg_catalog.encode(pg_catalog.convert_to(n.nspname, 'UTF8'), 'hex'), \
     pg_catalog.encode(pg_catalog.convert_to(c.relname, 'UTF8'), 'hex') FROM pg_catalog.pg_class c JOIN \
     pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND \
     n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE \
     d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 2, 3";

/// A table's name as a manifest has it.
fn name_of(schema: &str, table: &str) -> String {
    match schema {
        "public" => table.to_owned(),
        _ => format!("{schema}.{table}"),
    }
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

/// A section's text, looked through.
fn section(folder: &DumpFolder<'_>, file: &str) -> std::result::Result<String, Problem> {
    let mut bytes = Vec::new();
    let read = folder.file(file)?.take(SECTION_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(format_args!("read {}", Shown(file)), &e))?;
    let failed = |how: String| folder.problem(Reason::LoadFailed, format_args!("{} {how}", Shown(file)));
    if bytes.len() as u64 > SECTION_LIMIT {
        return Err(failed(format!("is larger than {}", text::size(SECTION_LIMIT))));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("is not UTF-8".to_owned()))?;
    scan::section(&text).map_err(|fault| {
        let hostile = |what: &str, line: &str| {
            folder.problem(
                Reason::HostileSql,
                format_args!(
                    "{} has {what}, which no dump of cofre's has: {}",
                    Shown(file),
                    Shown(line.trim())
                ),
            )
        };
        match fault {
            scan::Fault::Command(line) => hostile("a command of psql's", &line),
            scan::Fault::CopyProgram(line) => hostile("a COPY", &line),
            scan::Fault::Nul => hostile("a NUL byte", ""),
            scan::Fault::Unfinished => folder.problem(
                Reason::FileTruncated,
                format_args!("{} ends within quotes or a comment", Shown(file)),
            ),
        }
    })
}

fn fault_of(folder: &DumpFolder<'_>, file: &str, fault: rows::Fault) -> Problem {
    match fault {
        rows::Fault::Io(e) => Error::io(format_args!("read {}", Shown(file)), &e).into(),
        rows::Fault::Truncated => folder.problem(
            Reason::FileTruncated,
            format_args!("{} ends before its rows do", Shown(file)),
        ),
        rows::Fault::Foreign(line) => folder.problem(
            Reason::HostileSql,
            format_args!(
                "{} has a line that no dump of cofre's has: {}",
                Shown(file),
                Shown(line.trim_end())
            ),
        ),
        rows::Fault::Nul => {
            folder.problem(Reason::HostileSql, format_args!("{} has a NUL byte", Shown(file)))
        }
    }
}

/// An error of the server that cofre asked, when a drill can't be held.
fn not_possible(error: Error) -> Problem {
    match error.code {
        Code::Cancelled => error.into(),
        _ => Error::new(
            error.code,
            format!(
                "the drill could not be held, which says nothing about the backup: {}",
                error.message
            ),
        )
        .remedy(
            error
                .remedy
                .unwrap_or_else(|| "look at the server and at [drill] postgres".to_owned()),
        )
        .into(),
    }
}
