//! What the server says of itself, and the moment that is dumped: a read-only transaction that has locked every table
//! before it looked.
//!
//! `pg_dump` itself looks first and locks then, so a table that changes in between is dumped in its new form with the
//! rows of the old. Here the locks come first, and whatever appeared meanwhile makes it begin again.

use std::collections::HashSet;

use serde::Deserialize;

use super::session::{Refused, Session};
use crate::dump::Request;
use crate::dump::tool::Login;
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// How often the locks are tried while tables come and go.
const TRIES: u32 = 5;
/// Tables that one message names.
const NAMED: usize = 5;

/// The conditions of PostgreSQL that have a remedy of their own
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_SCHEMA: &str = "3F000";
const NO_PRIVILEGE: &str = "42501";
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Facts of the server and the database.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    /// Such as 150018.
    pub(super) version_num: u32,
    /// Such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub(super) version: String,
    /// What `createdb` has to be told to make such a database.
    pub(super) encoding: String,
    pub(super) collate: String,
    pub(super) ctype: String,
    /// Bytes of large objects on the server's disk.
    pub(super) blob_bytes: u64,
    /// Settings of the database as a whole, which no dump has.
    pub(super) settings: u64,
}

impl Facts {
    pub(super) fn read(session: &mut Session<'_>) -> Result<Self> {
        let sql = "SELECT json_build_object('version_num', current_setting('server_version_num')::int, \
                   'version', current_setting('server_version'), 'encoding', pg_encoding_to_char(encoding), \
                   'collate', datcollate, 'ctype', datctype, 'blob_bytes', \
                   pg_table_size('pg_catalog.pg_largeobject'), 'settings', (SELECT count(*) FROM pg_db_role_setting s \
                   WHERE s.setdatabase = pg_database.oid)) FROM pg_database WHERE datname = current_database()";
        session.row(sql).map_err(|refused| refused.error)
    }

    /// The version without what the distribution adds.
    pub(super) fn number(&self) -> &str {
        self.version.split(' ').next().unwrap_or_default()
    }

    pub(super) fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

/// A table that has rows of its own, or a partitioned one, which has none.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// The names in the database's own encoding, in hexadecimal digits.
    raw_schema: String,
    raw_name: String,
    /// As SQL writes it.
    sql: String,
    /// `pg_class.relkind`: `r` has rows, `p` is partitioned.
    kind: String,
    /// Belongs to an extension, which makes it; its rows are dumped where the extension says so.
    pub(super) extension: bool,
    /// Row-level security would hide rows from this user.
    hidden_rows: bool,
    /// Bytes on the server's disk, without indexes.
    bytes: i64,
}

impl Table {
    pub(super) fn has_rows(&self) -> bool {
        self.kind == "r"
    }

    pub(super) fn raw_schema(&self) -> Vec<u8> {
        crate::text::unhex(&self.raw_schema).unwrap_or_default()
    }

    pub(super) fn raw_name(&self) -> Vec<u8> {
        crate::text::unhex(&self.raw_name).unwrap_or_default()
    }

    /// The schema as [`TableFilter`](crate::dump::tables::TableFilter) and labels take it.
    pub(super) fn schema_unless_public(&self) -> Option<&str> {
        Some(self.schema.as_str()).filter(|schema| *schema != "public")
    }

    /// Whether its rows are wanted.
    pub(super) fn is_wanted(&self, request: &Request<'_>) -> bool {
        request
            .tables
            .has_rows_of(self.schema_unless_public(), &self.name)
    }
}

/// The moment that is dumped, for as long as its session lives.
#[derive(Debug)]
pub(super) struct Moment {
    /// The name under which other sessions see the same moment.
    pub(super) snapshot: String,
    /// Every table of it, in the order of their names.
    pub(super) tables: Vec<Table>,
}

/// Every table outside of the system's own schemas, and those of extensions whose rows are to be dumped.
const TABLES: &str = "
SELECT json_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname,
    'raw_schema', encode(convert_to(n.nspname::text, getdatabaseencoding()), 'hex'),
    'raw_name', encode(convert_to(c.relname::text, getdatabaseencoding()), 'hex'),
    'sql', format('%I.%I', n.nspname, c.relname), 'kind', c.relkind,
    'extension', e.objid IS NOT NULL, 'hidden_rows', row_security_active(c.oid),
    'bytes', CASE WHEN c.relkind = 'r' THEN coalesce(pg_table_size(c.oid), 0) ELSE 0 END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend e ON e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.objsubid = 0
    AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (e.objid IS NULL OR c.oid IN (SELECT unnest(extconfig) FROM pg_extension))
ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

impl Moment {
    /// Locks every table against changes of its definition (nobody's reading or writing is held up), then looks.
    ///
    /// # Errors
    /// `DumpFailed` with the table and the remedy.
    pub(super) fn hold(session: &mut Session<'_>, login: &Login, request: &Request<'_>) -> Result<Self> {
        let plain = |refused: Refused| refused.error;
        // The server's own limits are for the application; locks are waited for as long as anything else.
        // A little shorter, so that it is the server that says what was in the way.
        let stall = request.stall.as_millis() * 9 / 10;
        let settings = format!(
            "SELECT json_build_array(set_config(name, CASE name WHEN 'lock_timeout' THEN '{stall}' ELSE '0' END, \
             false)) FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout', \
             'idle_in_transaction_session_timeout')"
        );
        session.rows::<[String; 1]>(&settings).map_err(plain)?;
        let mut tries = 0;
        loop {
            tries += 1;
            request.check_cancelled()?;
            let before: Vec<Table> = match session.rows(TABLES) {
                Ok(tables) => tables,
                Err(refused) => return Err(explained(session, refused)),
            };
            session
                .run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .map_err(plain)?;
            match lock(session, before.iter()) {
                Ok(()) => {}
                Err(refused)
                    if tries < TRIES
                        && matches!(refused.sqlstate.as_str(), UNDEFINED_TABLE | UNDEFINED_SCHEMA) =>
                {
                    tracing::debug!("a table was dropped while the dump began: once more");
                    session.run("ROLLBACK").map_err(plain)?;
                    continue;
                }
                Err(refused) => return Err(explained(session, refused)),
            }
            // The first look at data is what fixes the moment.
            let tables: Vec<Table> = session.rows(TABLES).map_err(plain)?;
            let locked: HashSet<u32> = before.iter().map(|table| table.oid).collect();
            let mut new = tables
                .iter()
                .filter(|table| !locked.contains(&table.oid))
                .peekable();
            if new.peek().is_some() {
                if tries < TRIES {
                    session.run("ROLLBACK").map_err(plain)?;
                    continue;
                }
                // Tables come all the time. Those few are treated as pg_dump treats all.
                lock(session, new).map_err(|refused| explained(session, refused))?;
            }
            let snapshot: String = session
                .row("SELECT to_json(pg_export_snapshot())")
                .map_err(plain)?;
            let moment = Self { snapshot, tables };
            moment.check_hidden_rows(login, request)?;
            moment.check_references(session, login, request)?;
            return Ok(moment);
        }
    }

    /// Rows that row-level security hides would be missing without a word.
    fn check_hidden_rows(&self, login: &Login, request: &Request<'_>) -> Result<()> {
        let hidden = |table: &&Table| table.hidden_rows && table.has_rows() && table.is_wanted(request);
        let names = named(self.tables.iter().filter(hidden).map(|table| table.sql.as_str()));
        if names.is_empty() {
            return Ok(());
        }
        Err(login
            .error(format_args!(
                "row-level security hides rows of {names} from this user"
            ))
            .remedy("dump as a role with BYPASSRLS, or leave their rows out (`exclude_tables`)"))
    }

    /// A reference to rows that are left out can't be restored.
    fn check_references(
        &self,
        session: &mut Session<'_>,
        login: &Login,
        request: &Request<'_>,
    ) -> Result<()> {
        let left_out: HashSet<u32> = self
            .tables
            .iter()
            .filter(|table| table.has_rows() && !table.is_wanted(request))
            .map(|table| table.oid)
            .collect();
        if left_out.is_empty() {
            return Ok(());
        }
        let kept: HashSet<u32> = self
            .tables
            .iter()
            .filter(|table| table.has_rows() && table.is_wanted(request))
            .map(|table| table.oid)
            .collect();
        let sql = "SELECT json_build_array(conrelid::int8, confrelid::int8, format('%s (%s refers to %s)', \
                   conname, conrelid::regclass, confrelid::regclass)) FROM pg_constraint \
                   WHERE contype = 'f' ORDER BY oid";
        let references: Vec<(u32, u32, String)> = session.rows(sql).map_err(|refused| refused.error)?;
        let broken = references
            .iter()
            .filter(|(from, to, _)| kept.contains(from) && left_out.contains(to))
            .map(|(_, _, text)| text.as_str());
        let names = named(broken);
        if names.is_empty() {
            return Ok(());
        }
        let mut error = login.error(format_args!(
            "a dump without the rows of some tables could not be restored, because of the foreign keys {names}"
        ));
        error.code = Code::Config;
        Err(error.remedy("in `tables` and `exclude_tables`, keep or leave out the rows of both"))
    }

    /// Bytes on the server's disk of what is dumped.
    pub(super) fn bytes(&self, request: &Request<'_>) -> u64 {
        let wanted = self.tables.iter().filter(|table| table.is_wanted(request));
        wanted.map(|table| u64::try_from(table.bytes).unwrap_or(0)).sum()
    }
}

fn lock<'t>(
    session: &mut Session<'_>,
    tables: impl Iterator<Item = &'t Table>,
) -> std::result::Result<(), Refused> {
    // Those of extensions can't change, and may not be readable.
    let names: Vec<&str> = tables
        .filter(|table| !table.extension)
        .map(|table| table.sql.as_str())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    // ONLY: each partition stands in the list itself.
    session.run(&format!(
        "LOCK TABLE ONLY {} IN ACCESS SHARE MODE",
        names.join(", ONLY ")
    ))
}

fn explained(session: &mut Session<'_>, refused: Refused) -> Error {
    let mut error = refused.error;
    match refused.sqlstate.as_str() {
        NO_PRIVILEGE => error.remedy(
            "grant it: `GRANT pg_read_all_data TO …` (PostgreSQL 14 and later), or SELECT on every table",
        ),
        LOCK_NOT_AVAILABLE => {
            let holders = "SELECT json_build_array(format('%s is locked by process %s', relation::regclass, pid)) \
                           FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = 'AccessExclusiveLock' \
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            // Only for the message; without it the error still says what happened.
            let _ = session.run("ROLLBACK");
            let holders: Vec<[String; 1]> = session.rows(holders).unwrap_or_default();
            let names = named(holders.iter().map(|[text]| text.as_str()));
            if !names.is_empty() {
                error.message = format!("{}: {names}", error.message);
            }
            error.remedy("another session changes a table and keeps its transaction open: end that session")
        }
        _ => error,
    }
}

/// Some names for a message; empty for none.
fn named<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.map(escape).collect();
    let mut text = names.get(..names.len().min(NAMED)).unwrap_or_default().join(", ");
    if names.len() > NAMED {
        text.push_str(&format!(" and {} more", names.len() - NAMED));
    }
    text
}
