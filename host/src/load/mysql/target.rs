//! A database that a dump is restored into: what is in it, and how it gives way.

use std::path::Path;

use super::client::{Client, literal};
use super::scratch::shown_grant;
use super::{Dump, quote};
use crate::dump::server::Server;
use crate::error::Result;
use crate::load::{DumpFolder, Existing, Loaded, Problem, Stop};
use crate::text::escape;

/// A database on a server.
pub(crate) struct Target {
    client: Client,
    database: String,
}

/// Something that is in the database, as the statement that removes it names it.
struct Thing {
    kind: String,
    name: String,
    rows: u64,
}

impl Target {
    /// Logs in.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn open(server: &Server, private: &Path, tools: Option<&Path>, stop: &Stop) -> Result<Self> {
        let client = Client::new(server, private, tools)?;
        client.ask(&format!("USE {}", quote(&server.database)), stop)?;
        Ok(Self {
            client,
            database: server.database.clone(),
        })
    }

    /// What the role has on the whole server, which the archive's SQL should not have; none if nothing.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn strong_rights(&self, stop: &Stop) -> Result<Option<String>> {
        let grants = self.client.ask("SHOW GRANTS", stop)?;
        let strong = grants
            .iter()
            .map(|line| shown_grant(line))
            .find(|grant| grant.ends_with(" ON *.*") && *grant != "GRANT USAGE ON *.*");
        Ok(strong.map(|grant| format!("has rights on the whole server ({})", escape(grant))))
    }

    /// What is in it.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn existing(&self, stop: &Stop) -> Result<Vec<Existing>> {
        let things = self.things(stop)?;
        Ok(things
            .into_iter()
            .map(|thing| Existing {
                name: match thing.kind.as_str() {
                    "TABLE" => escape(&thing.name).into_owned(),
                    kind => format!("{} {}", kind.to_lowercase(), escape(&thing.name)),
                },
                rows: thing.rows,
            })
            .collect())
    }

    fn things(&self, stop: &Stop) -> Result<Vec<Thing>> {
        let schema = literal(&self.database);
        let sql = format!(
            "SELECT CASE table_type WHEN 'VIEW' THEN 'VIEW' WHEN 'SEQUENCE' THEN 'SEQUENCE' ELSE 'TABLE' END, \
             HEX(CONVERT(table_name USING utf8mb4)), COALESCE(table_rows, 0) FROM information_schema.tables WHERE \
             table_schema = '{schema}' UNION ALL SELECT routine_type, HEX(CONVERT(routine_name USING utf8mb4)), 0 FROM \
             information_schema.routines WHERE routine_schema = '{schema}' UNION ALL SELECT 'EVENT', \
             HEX(CONVERT(event_name USING utf8mb4)), 0 FROM information_schema.events WHERE event_schema = '{schema}'"
        );
        let lines = self.client.ask(&sql, stop)?;
        Ok(lines
            .iter()
            .filter_map(|line| {
                let mut fields = line.split('\t');
                Some(Thing {
                    kind: fields.next()?.to_owned(),
                    name: crate::load::unhex(fields.next()?)?,
                    rows: fields.next()?.parse().unwrap_or(0),
                })
            })
            .collect())
    }

    /// Loads a dump; with `replace`, after removing what is there. There are no transactions for definitions: what
    /// was removed stays removed when loading fails.
    pub(crate) fn load(
        &self,
        folder: &DumpFolder<'_>,
        replace: bool,
        stop: &Stop,
    ) -> std::result::Result<Loaded, Problem> {
        // Everything that can be seen before is seen before anything is removed.
        let dump = Dump::read(folder)?;
        if replace {
            let drops: Vec<String> = self
                .things(stop)?
                .iter()
                .filter(|thing| thing.kind.bytes().all(|b| b.is_ascii_uppercase() || b == b' '))
                .map(|thing| {
                    format!(
                        "DROP {} IF EXISTS {}.{}",
                        thing.kind,
                        quote(&self.database),
                        quote(&thing.name)
                    )
                })
                .collect();
            let sql = format!("SET FOREIGN_KEY_CHECKS = 0; {}", drops.join("; "));
            self.client.ask(&sql, stop)?;
        }
        dump.load(&self.client, &self.database, stop)
    }
}
