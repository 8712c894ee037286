//! A database that a dump is restored into: what is in it, and how it gives way.

use std::path::Path;

use super::psql::{Psql, shown};
use super::script::{self, quote};
use super::{Around, Dump, scratch};
use crate::dump::server::Server;
use crate::error::Result;
use crate::load::{DumpFolder, Existing, Loaded, Problem, Stop};
use crate::text::escape;

/// A database on a server.
pub(crate) struct Target {
    psql: Psql,
    version: u32,
}

/// What somebody made here: not the system's, not an extension's.
const OWN: &str = "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')";

impl Target {
    /// Logs in.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn open(server: &Server, private: &Path, tools: Option<&Path>, stop: &Stop) -> Result<Self> {
        let psql = Psql::new(server, private, tools)?;
        let version = psql.ask("SELECT current_setting('server_version_num')", 1, stop)?;
        let version = version
            .into_iter()
            .flatten()
            .next()
            .and_then(|text| text.parse().ok());
        Ok(Self {
            psql,
            version: version.unwrap_or(0),
        })
    }

    /// What the role has that the archive's SQL should not have; none if nothing.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn strong_rights(&self, stop: &Stop) -> Result<Option<String>> {
        let strong = scratch::strong_rights(&self.psql, stop)?;
        match strong {
            Some(what) => Ok(Some(what)),
            None => scratch::owned_database(&self.psql, "datname <> pg_catalog.current_database()", stop),
        }
    }

    /// What is in it: tables and views first, then everything else that somebody made.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn existing(&self, stop: &Stop) -> Result<Vec<Existing>> {
        let schema = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
        let sql = format!(
            "SELECT kind, schema, name, rows FROM (
             SELECT CASE WHEN o.relkind IN ('r', 'p') THEN 0 ELSE 1 END AS place, CASE o.relkind WHEN 'v' THEN 'view' WHEN
               'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE '' END AS kind,
               n.nspname AS schema, o.relname AS name, CASE WHEN o.relkind = 'S' THEN 0 WHEN o.reltuples > 0 THEN
               o.reltuples::bigint ELSE coalesce(s.n_live_tup, 0) END AS rows
               FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
               LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = o.oid
               WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {schema} AND {OWN} AND NOT (o.relkind = 'S' AND EXISTS
               (SELECT FROM pg_catalog.pg_depend c WHERE c.objid = o.oid AND c.deptype IN ('a', 'i')))
             UNION ALL SELECT 2, 'function', n.nspname, o.proname, 0 FROM pg_catalog.pg_proc o
               JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace WHERE {schema} AND {OWN}
             UNION ALL SELECT 3, 'type', n.nspname, o.typname, 0 FROM pg_catalog.pg_type o
               JOIN pg_catalog.pg_namespace n ON n.oid = o.typnamespace
               WHERE o.typtype IN ('d', 'e', 'r') AND {schema} AND {OWN}
             UNION ALL SELECT 4, 'extension', 'public', o.extname, 0 FROM pg_catalog.pg_extension o WHERE o.extname <> 'plpgsql'
             UNION ALL SELECT 5, 'schema', 'public', n.nspname, 0 FROM pg_catalog.pg_namespace n WHERE {schema}
               AND n.nspname <> 'public'
             UNION ALL SELECT 6, 'large object', 'public', o.oid::text, 0 FROM pg_catalog.pg_largeobject_metadata o
             ) all_of_it ORDER BY place, schema, name"
        );
        let rows = self.psql.ask(&sql, 4, stop)?;
        let existing = rows.iter().filter_map(|row| match row.as_slice() {
            [kind, schema, name, rows] => Some(Existing {
                name: match kind.as_str() {
                    "" => shown(schema, name),
                    kind => format!("{} {}", escape(kind), shown(schema, name)),
                },
                rows: rows.parse().unwrap_or(0),
            }),
            _ => None,
        });
        Ok(existing.collect())
    }

    /// Loads a dump, in one transaction that also removes what is there and counts what was loaded: either all of it
    /// happens or nothing.
    pub(crate) fn load(
        &self,
        folder: &DumpFolder<'_>,
        replace: bool,
        stop: &Stop,
    ) -> std::result::Result<Loaded, Problem> {
        let dump = Dump::read(folder)?;
        let first = if replace { self.removal(stop)? } else { Vec::new() };
        let wanted = folder
            .tables()
            .iter()
            .map(|table| (table.name.as_str(), table.rows));
        let around = Around {
            first,
            checks: Some(script::insist(wanted)?),
            last: vec!["CLOSE ALL", script::INSIDE, "COMMIT"],
        };
        dump.load(&self.psql, around, stop)
    }

    /// Statements that remove everything that somebody made: extensions, large objects, and every schema.
    fn removal(&self, stop: &Stop) -> Result<Vec<String>> {
        let names = |sql: &str| -> Result<Vec<String>> {
            Ok(self.psql.ask(sql, 1, stop)?.into_iter().flatten().collect())
        };
        let mut statements: Vec<String> =
            names("SELECT extname FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'")?
                .iter()
                .map(|name| format!("DROP EXTENSION IF EXISTS {} CASCADE", quote(name)))
                .collect();
        statements
            .push("SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata".to_owned());
        let schemas = names(
            "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
        )?;
        for schema in &schemas {
            statements.push(format!("DROP SCHEMA {} CASCADE", quote(schema)));
        }
        if schemas.iter().any(|schema| schema == "public") {
            // As a new database has it.
            let (owner, rights) = if self.version >= 150_000 {
                (" AUTHORIZATION pg_database_owner", "USAGE")
            } else {
                ("", "ALL")
            };
            statements.push(format!("CREATE SCHEMA public{owner}"));
            statements.push(format!("GRANT {rights} ON SCHEMA public TO PUBLIC"));
            statements.push("COMMENT ON SCHEMA public IS 'standard public schema'".to_owned());
        }
        Ok(statements)
    }
}
