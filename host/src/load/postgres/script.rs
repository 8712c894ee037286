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
use crate::load::random;

/// How long a statement waits for a lock: nobody else works in a database that is being loaded.
const LOCK_TIMEOUT: &str = "60s";

/// One step of the script.
#[derive(Debug)]
pub(super) enum Step {
    /// A statement of cofre's own.
    Own(String),
    /// A question of cofre's own, whose answers are run as statements.
    Each(String),
    /// A section of the archive.
    Section(String),
    /// Rows of a table: the file and where they lie.
    Rows(File, Copy),
    /// Large objects.
    Blobs(File),
}

/// Writes the script.
pub(super) struct Script<'w> {
    out: &'w mut dyn Write,
    tag: String,
    /// Milliseconds.
    statement_timeout: u128,
}

impl<'w> Script<'w> {
    /// # Errors
    /// When there is no randomness.
    pub(super) fn new(out: &'w mut dyn Write, longest: std::time::Duration) -> Result<Self> {
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
            Step::Each(sql) => {
                self.settings()?;
                writeln!(self.out, "{sql} \\gexec")
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
                blobs::copy(&mut io::BufReader::new(file), self.out)
            }
            Step::Rows(mut file, copy) => {
                self.settings()?;
                self.out.write_all(copy.statement.as_bytes())?;
                file.seek(SeekFrom::Start(copy.rows.start))?;
                io::copy(&mut file.take(copy.rows.end - copy.rows.start), self.out)?;
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
}

/// An identifier in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in quotes, for servers with `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Every ordinary table: schema, name, and whether it belongs to an extension.
const TABLES: &str = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
     AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Whether a table belongs to an extension.
const OF_EXTENSION: &str = "EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = \
     'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// A question whose answers are statements that count one table each and print `rows|SCHEMA|TABLE|EXTENSION|NUMBER`,
/// the names in hexadecimal so that none breaks a line.
pub(super) fn count() -> String {
    let hex = |name: &str| format!("pg_catalog.encode(pg_catalog.convert_to({name}, 'UTF8'), 'hex')");
    format!(
        "SELECT pg_catalog.format('SELECT ''rows'', %L, %L, %L, pg_catalog.count(*) FROM ONLY %I.%I', {}, {}, \
         {OF_EXTENSION}, n.nspname, c.relname) FROM {TABLES}",
        hex("n.nspname"),
        hex("c.relname")
    )
}

/// Fails when the transaction has changed roles, databases or their settings, which are the whole server's: whoever
/// does so holds a lock until the end.
pub(super) const INSIDE: &str = "DO $cofre$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = \
     pg_catalog.pg_backend_pid() AND locktype = 'relation' AND mode LIKE '%Exclusive%' AND relation IN \
     ('pg_catalog.pg_authid'::pg_catalog.regclass, 'pg_catalog.pg_auth_members'::pg_catalog.regclass, \
     'pg_catalog.pg_database'::pg_catalog.regclass, 'pg_catalog.pg_db_role_setting'::pg_catalog.regclass)) THEN RAISE \
     EXCEPTION 'cofre: the SQL changes roles or databases of the server'; END IF; END $cofre$";

/// The expression for what [`super::name_of`] says of a table.
fn label(schema: &str, table: &str) -> String {
    let part = |name: &str| {
        format!(
            "CASE WHEN {name} ~ '[.\"]' THEN '\"' || pg_catalog.replace({name}, '\"', '\"\"') || '\"' ELSE {name}::text END"
        )
    };
    format!(
        "CASE {schema} WHEN 'public' THEN '' ELSE {} || '.' END || {}",
        part(schema),
        part(table)
    )
}

/// Fails, and undoes everything with it, unless each table has the rows that the manifest says: labels (see
/// [`super::name_of`]) and numbers.
///
/// # Errors
/// When there is no randomness.
pub(super) fn insist<'t>(tables: impl Iterator<Item = (&'t str, u64)>) -> Result<String> {
    let tag = format!("$cofre_{}$", random()?);
    let wanted: Vec<String> = tables
        .map(|(label, rows)| format!("({}, {rows}::pg_catalog.int8)", literal(label)))
        .collect();
    if wanted.is_empty() {
        return Ok("SELECT 1 WHERE false".to_owned());
    }
    Ok(format!(
        "DO {tag} DECLARE w record; sql text; n pg_catalog.int8; of_extension pg_catalog.bool; BEGIN
         FOR w IN SELECT * FROM (VALUES {}) v(label, rows) LOOP
           SELECT pg_catalog.format('SELECT count(*) FROM ONLY %I.%I', n.nspname, c.relname), {OF_EXTENSION} INTO sql,
             of_extension FROM {TABLES}
             AND {} = w.label;
           IF sql IS NULL THEN RAISE EXCEPTION 'cofre: table % is not there', w.label; END IF;
           EXECUTE sql INTO n;
           IF n <> w.rows AND NOT of_extension THEN RAISE EXCEPTION 'cofre: table % has % rows, and had %', w.label, n, w.rows; END IF;
         END LOOP; END {tag}",
        wanted.join(", "),
        label("n.nspname", "c.relname")
    ))
}
