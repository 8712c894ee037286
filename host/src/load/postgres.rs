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

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read as _};

use super::{DumpFolder, Loaded, Problem, Reason, Shown, Stop, compare};
use crate::dump::tables::label;
use crate::error::{Error, Result};
use crate::text;
use psql::{Psql, Stopped};
use rows::Copy;
use script::Step;

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

/// What `pg_dump` writes at the end of what is complete.
const COMPLETE: &str = "-- PostgreSQL database dump complete";

/// Longest section, in bytes: it is held in memory.
const SECTION_LIMIT: u64 = 64 << 20;

/// Statements of cofre's own in the transaction that loads a dump.
struct Around {
    /// Before everything.
    first: Vec<String>,
    /// When all rows are there.
    checks: Option<String>,
    /// How it ends.
    last: Vec<&'static str>,
}

/// What a dump comes to, looked through.
struct Dump<'a> {
    folder: &'a DumpFolder<'a>,
    before: String,
    /// The file of each table with rows, and where they lie.
    tables: Vec<(&'a str, Copy)>,
    has_blobs: bool,
    sequences: Option<String>,
    after: String,
}

impl<'a> Dump<'a> {
    /// Looks through every file.
    fn read(folder: &'a DumpFolder<'a>) -> std::result::Result<Self, Problem> {
        folder.check(&[BEFORE, AFTER, RESTORE], &[BLOBS, SEQUENCES, GRANTS, EVENTS])?;
        check_script(folder)?;
        // Not loaded here, but perhaps by hand.
        for file in [GRANTS, EVENTS] {
            if folder.has(file) {
                section(folder, file)?;
            }
        }
        let mut dump = Self {
            folder,
            before: whole(folder, BEFORE)?,
            tables: Vec::new(),
            has_blobs: folder.has(BLOBS),
            sequences: None,
            after: whole(folder, AFTER)?,
        };
        if folder.has(SEQUENCES) {
            dump.sequences = Some(section(folder, SEQUENCES)?);
        }
        for table in folder.tables() {
            if let Some(file) = folder.table_file(table)? {
                dump.table(file, &table.name)?;
            }
        }
        if dump.has_blobs {
            blobs::check(&mut BufReader::new(folder.file(BLOBS)?))
                .map_err(|fault| fault_of(folder, BLOBS, fault))?;
        }
        Ok(dump)
    }

    fn table(&mut self, file: &'a str, name: &str) -> std::result::Result<(), Problem> {
        let mut input = BufReader::with_capacity(256 * 1024, self.folder.file(file)?);
        let found = rows::find(&mut input).map_err(|fault| fault_of(self.folder, file, fault))?;
        let [copy] = found.as_slice() else {
            let (reason, what) = if found.is_empty() {
                (Reason::FileTruncated, "has no rows and not even their beginning")
            } else {
                (Reason::HostileSql, "has rows of several tables")
            };
            return Err(self
                .folder
                .problem(reason, format_args!("{} {what}", Shown(file))));
        };
        // Those of some partitions are loaded through the partitioned table, which has no rows of its own.
        let target = name_of(&copy.schema, &copy.table);
        if target != name && self.folder.tables().iter().any(|table| table.name == target) {
            return Err(self.folder.problem(
                Reason::HostileSql,
                format_args!(
                    "{} has rows of {}, and belongs to {}",
                    Shown(file),
                    Shown(&target),
                    Shown(name)
                ),
            ));
        }
        self.tables.push((file, copy.clone()));
        Ok(())
    }

    /// The script that loads it all within a transaction.
    fn steps(
        &'a self,
        Around { first, checks, last }: Around,
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
            .chain([Ok(Step::Each(script::count()))])
            .chain(checks.map(own))
            .chain([sections(&self.after)])
            // What waits for the end fails here at the latest.
            .chain([own("SET CONSTRAINTS ALL IMMEDIATE".to_owned())])
            .chain(last.into_iter().map(move |sql| own(sql.to_owned())))
    }

    /// Loads it, and compares what was there with the manifest.
    fn load(&self, psql: &Psql, around: Around, stop: &Stop) -> std::result::Result<Loaded, Problem> {
        let mut loaded = match psql.feed(self.steps(around), stop) {
            Ok(printed) => self.compare(&printed)?,
            Err(Stopped::Refused(state, said, printed)) => {
                let refused = self.refused(&state, &said);
                // What is wrong with the rows says more than the key that they break, where they were counted already.
                let mut loaded = if printed.contains("rows|") {
                    self.compare(&printed)?
                } else {
                    Loaded::default()
                };
                if loaded.problems.is_empty() {
                    return Err(refused);
                }
                loaded.problems.push(refused);
                return Ok(loaded);
            }
            Err(Stopped::TooLong) => return Err(self.folder.too_long()),
            Err(Stopped::Other(error)) => return Err(error.into()),
        };
        let name = Shown(&self.folder.info().name);
        if self.folder.has(EVENTS) {
            loaded.notes.push(format!(
                "database {name}: event triggers were left out, since only a superuser can make them; {EVENTS} has them"
            ));
        }
        Ok(loaded)
    }

    /// What the server refused. A count of cofre's own is no error of the dump's SQL.
    fn refused(&self, state: &str, said: &str) -> Problem {
        match said.split_once("cofre: table ") {
            Some((_, rest)) if rest.contains(" rows, and had ") => self
                .folder
                .problem(Reason::RowsDiffer, format_args!("table {rest}")),
            Some((_, rest)) => self
                .folder
                .problem(Reason::TablesDiffer, format_args!("table {rest}")),
            None if said.contains("cofre: the SQL changes") => self.folder.problem(
                Reason::HostileSql,
                "its SQL changes roles or databases of the server",
            ),
            None => {
                let reason = if is_about_server(state, said) {
                    Reason::NotPossible
                } else {
                    Reason::LoadFailed
                };
                self.folder
                    .problem(reason, format_args!("the server refused it: {said}"))
            }
        }
    }

    /// Reads what the counts printed.
    fn compare(&self, printed: &str) -> std::result::Result<Loaded, Problem> {
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        let mut own: Vec<String> = Vec::new();
        let mut extensions: BTreeSet<String> = BTreeSet::new();
        for line in printed.lines() {
            let fields: Vec<&str> = line.split('|').collect();
            if let ["rows", schema, table, extension, count] = fields.as_slice()
                && let (Some(schema), Some(table), Ok(count)) =
                    (text::unhex_text(schema), text::unhex_text(table), count.parse())
            {
                let name = name_of(&schema, &table);
                rows.insert(name.clone(), count);
                if *extension == "f" {
                    own.push(name);
                } else {
                    extensions.insert(name);
                }
            }
        }
        let known: BTreeSet<&str> = self
            .folder
            .tables()
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        own.retain(|name| !known.contains(name.as_str()));
        // An extension fills its tables itself, and a dump has what was added to some of them.
        let dumped = |name: &str| self.folder.tables().iter().find(|table| table.name == name);
        compare(self.folder, &own, |name| {
            let as_dumped = dumped(name).filter(|_| extensions.contains(name));
            Ok(as_dumped
                .map(|table| table.rows)
                .or_else(|| rows.get(name).copied()))
        })
    }
}

/// Whether an error says something of the server or of the role, and nothing of the dump
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): no resources, an operator's intervention, the
/// system, a lock, a right that the role lacks, an extension or a role that is not there.
fn is_about_server(state: &str, said: &str) -> bool {
    match state {
        "55P03" | "42501" => true,
        "0A000" => said.contains("extension \""),
        "42704" => said.contains("role \""),
        _ => ["53", "57", "58"].iter().any(|class| state.starts_with(class)),
    }
}

/// A table's name as a manifest has it.
fn name_of(schema: &str, table: &str) -> String {
    label((schema != "public").then_some(schema), table)
}

/// A section with its end.
fn whole(folder: &DumpFolder<'_>, file: &str) -> std::result::Result<String, Problem> {
    let text = section(folder, file)?;
    if text.contains(COMPLETE) {
        return Ok(text);
    }
    Err(folder.problem(
        Reason::FileTruncated,
        format_args!("{} has no end: it lacks the line `{COMPLETE}`", Shown(file)),
    ))
}

/// A section's text, looked through.
fn section(folder: &DumpFolder<'_>, file: &str) -> std::result::Result<String, Problem> {
    let mut bytes = Vec::new();
    let read = folder.file(file)?.take(SECTION_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(format_args!("read {}", Shown(file)), &e))?;
    if let Some(encoding) = foreign_encoding(&bytes) {
        return Err(foreign(folder, &encoding));
    }
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

/// The encoding that a file is in, unless it is UTF-8: `pg_dump` writes in the database's own.
fn foreign_encoding(bytes: &[u8]) -> Option<String> {
    const SETTING: &[u8] = b"SET client_encoding = '";
    let head = bytes.get(..bytes.len().min(8192)).unwrap_or_default();
    let rest = head.get(memchr::memmem::find(head, SETTING)? + SETTING.len()..)?;
    let name = rest.get(..rest.iter().position(|b| *b == b'\'')?)?;
    let name = String::from_utf8_lossy(name).into_owned();
    (name != "UTF8").then_some(name)
}

fn foreign(folder: &DumpFolder<'_>, encoding: &str) -> Problem {
    Problem::new(
        Reason::NotPossible,
        format!(
            "database {}: its dump is in the encoding {}, and this version loads UTF8 only",
            Shown(&folder.info().name),
            Shown(encoding)
        ),
    )
    .remedy("load it by hand with its restore.sql")
}

/// `restore.sql` is for people with psql, and is never run here. It is compared with what cofre writes all the same:
/// anything else in it could harm whoever does run it.
fn check_script(folder: &DumpFolder<'_>) -> std::result::Result<(), Problem> {
    let mut bytes = Vec::new();
    let read = folder.file(RESTORE)?.take(SECTION_LIMIT).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(format_args!("read {RESTORE}"), &e))?;
    let text = String::from_utf8_lossy(&bytes);
    let is_file = |rest: &str| {
        let name = rest
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
            .unwrap_or(rest);
        !name.contains(['\'', '"', '\\', '`', '/', ':', '|', ' ']) && folder.has(name)
    };
    let is_known = |line: &str| {
        line.is_empty()
            || line.starts_with("-- ")
            || matches!(
                line,
                "\\set ON_ERROR_STOP on"
                    | "\\set ON_ERROR_STOP off"
                    | "\\set ON_ERROR_ROLLBACK on"
                    | "\\set ON_ERROR_ROLLBACK off"
            )
            || line.strip_prefix("\\ir ").is_some_and(is_file)
    };
    let missing = [BLOBS, SEQUENCES, GRANTS, EVENTS]
        .into_iter()
        .find(|name| !folder.has(name) && text.lines().any(|line| line == format!("\\ir '{name}'")));
    if let Some(name) = missing {
        return Err(folder.problem(
            Reason::FileMissing,
            format_args!("the file {name} is not in the archive"),
        ));
    }
    match text.lines().find(|line| !is_known(line)) {
        None => Ok(()),
        Some(line) => Err(folder.problem(
            Reason::HostileSql,
            format_args!(
                "{RESTORE} has the line `{}`, which cofre did not write",
                Shown(line)
            ),
        )),
    }
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
        rows::Fault::Encoding(name) => foreign(folder, &name),
        rows::Fault::Nul => {
            folder.problem(Reason::HostileSql, format_args!("{} has a NUL byte", Shown(file)))
        }
    }
}

/// An error of the server that cofre asked, when a drill can't be held.
fn not_possible(error: Error) -> Problem {
    super::not_held(error, "postgres")
}
