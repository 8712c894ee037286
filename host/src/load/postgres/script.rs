//! What psql is fed. It is cofre's own script, in which the archive's text only ever stands where psql does not look
//! for commands:
//!
//! - A section stands in a dollar-quoted literal whose tag is random, within `DO … EXECUTE`. psql passes it on as it
//!   is; the server runs it statement by statement, and refuses transactions, `COPY` from the client, `CREATE DATABASE`
//!   and the like there.
//! - Rows follow a `COPY` statement that was taken apart and found to be one ([`super::rows`]), and psql itself ends
//!   them where cofre found their end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use super::blobs;
use super::rows::Copy;
use crate::error::Result;
use crate::{fsutil, text};

/// How long a statement waits for a lock: nobody else works in a database that is being loaded.
const LOCK_TIMEOUT: &str = "60s";

/// A table that is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    /// Schema and name.
    pub(super) schema: String,
    pub(super) table: String,
    /// What the manifest says.
    pub(super) rows: u64,
}

/// One step of the script.
#[derive(Debug)]
pub(super) enum Step {
    /// A statement of cofre's own.
    Own(String),
    /// A section of the archive.
    Section(String),
    /// Rows of a table: the file and where they lie.
    Rows(File, Copy),
    /// Large objects.
    Blobs(File),
}

/// Writes the script.
#[derive(Debug)]
pub(super) struct Script<W> {
    out: W,
    tag: String,
    /// Milliseconds.
    statement_timeout: u128,
}

impl<W: Write> Script<W> {
    /// # Errors
    /// When there is no randomness.
    pub(super) fn new(out: W, longest: std::time::Duration) -> Result<Self> {
        Ok(Self {
            out,
            tag: format!("cofre_{}", random()?),
            // The server takes 32 bits of milliseconds, 24 days.
            statement_timeout: longest.as_millis().clamp(1000, 2_000_000_000),
        })
    }

    /// Writes a step, with everything set anew that a section may have changed.
    pub(super) fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Own(sql) => {
                self.settings()?;
                writeln!(self.out, "{sql};")
            }
            Step::Section(sql) => {
                self.settings()?;
                let (outer, inner) = (format!("${}_o$", self.tag), format!("${}_i$", self.tag));
                if sql.contains(&self.tag) {
                    // Nobody can know it; if somebody does, nothing is run.
                    return Err(io::Error::other("the section holds the tag of this run"));
                }
                writeln!(self.out, "DO {outer} BEGIN EXECUTE {inner}")?;
                self.out.write_all(sql.as_bytes())?;
                writeln!(self.out, "{inner}; END {outer};")
            }
            Step::Blobs(file) => {
                self.settings()?;
                blobs::copy(&mut io::BufReader::new(file), &mut self.out)
            }
            Step::Rows(mut file, copy) => {
                self.settings()?;
                self.out.write_all(copy.statement.as_bytes())?;
                file.seek(SeekFrom::Start(copy.rows.start))?;
                io::copy(&mut file.take(copy.rows.end - copy.rows.start), &mut self.out)?;
                self.out.write_all(b"\\.\n")
            }
        }
    }

    fn settings(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "RESET SESSION AUTHORIZATION; RESET ROLE; SET standard_conforming_strings = on; SET client_encoding = \
             'UTF8'; SET search_path = pg_catalog; SET check_function_bodies = off; SET xmloption = content; SET \
             row_security = off; SET default_table_access_method = heap; SET client_min_messages = warning; SET \
             lock_timeout = '{LOCK_TIMEOUT}'; SET idle_in_transaction_session_timeout = 0; SET statement_timeout = {};",
            self.statement_timeout
        )
    }

    /// Everything is written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// 128 bits nobody can guess, in hexadecimal.
///
/// # Errors
/// When the system has none.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fsutil::fill_random(&mut bytes)?;
    Ok(text::hex(&bytes))
}

/// An identifier in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in quotes, for servers with `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Counts the rows of tables, one line each: `rows|INDEX|NUMBER`.
pub(super) fn count(tables: &[Counted]) -> String {
    let each: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(index, counted)| {
            format!(
                "SELECT 'rows', {index}, pg_catalog.count(*) FROM ONLY {}.{}",
                quote(&counted.schema),
                quote(&counted.table)
            )
        })
        .collect();
    if each.is_empty() {
        "SELECT 1 WHERE false".to_owned()
    } else {
        each.join(";\n")
    }
}

/// Fails, and undoes everything with it, unless each table has the rows that the manifest says.
pub(super) fn insist(tables: &[Counted], tag: &str) -> String {
    let mut body = format!("DO ${tag}$ DECLARE n pg_catalog.int8; BEGIN\n");
    for (index, counted) in tables.iter().enumerate() {
        body.push_str(&format!(
            "SELECT pg_catalog.count(*) INTO n FROM ONLY {}.{}; IF n <> {} THEN RAISE EXCEPTION 'cofre: table {index} \
             has % rows', n; END IF;\n",
            quote(&counted.schema),
            quote(&counted.table),
            counted.rows
        ));
    }
    body.push_str(&format!("END ${tag}$"));
    body
}
