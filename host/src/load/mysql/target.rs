//! A database that a dump is restored into: what is in it, and how it gives way.

use std::io::Write;
use std::path::Path;

use super::client::{Client, literal};
use super::scratch::shown_grant;
use super::{Dump, quote};
use crate::dump::server::Server;
use crate::error::{Error, Result};
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

    /// What the role has beyond the database, which the archive's SQL should not have; none if nothing.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) fn strong_rights(&self, stop: &Stop) -> Result<Option<String>> {
        let grants = self.client.ask("SHOW GRANTS", stop)?;
        let strong = grants.iter().find(|line| !is_within(line, &self.database));
        Ok(strong.map(|line| format!("has rights beyond this database ({})", escape(shown_grant(line)))))
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
                    name: crate::text::unhex_text(fields.next()?)?,
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
            let things = self.things(stop)?;
            // Fed, since a list of arguments may not be as long.
            let fed = self
                .client
                .feed(&self.database, stop, |out| drop_all(&things, out));
            fed.map_err(|stopped| dump.stopped(stopped))?;
        }
        if let Some((set, collation)) = &dump.characters {
            let database = quote(&self.database);
            let sql = format!("ALTER DATABASE {database} CHARACTER SET {set} COLLATE {collation}");
            self.client.ask(&sql, stop)?;
        }
        dump.load(&self.client, &self.database, stop)
    }
}

/// Writes the statements that remove what is in the database at hand.
fn drop_all(things: &[Thing], out: &mut dyn Write) -> Result<()> {
    let fail = |e: std::io::Error| Error::io("feed the client program", &e);
    writeln!(out, "SET FOREIGN_KEY_CHECKS = 0;").map_err(fail)?;
    let is_kind = |thing: &&Thing| thing.kind.bytes().all(|b| b.is_ascii_uppercase() || b == b' ');
    for thing in things.iter().filter(is_kind) {
        writeln!(out, "DROP {} IF EXISTS {};", thing.kind, quote(&thing.name)).map_err(fail)?;
    }
    Ok(())
}

/// `GRANT USAGE ON *.*`, and any right on this database or what is in it. A wildcard in its name reaches others.
fn is_within(line: &str, database: &str) -> bool {
    let grant = shown_grant(line);
    let on = grant.rsplit_once(" ON ").map_or("", |(_, on)| on);
    let plain = format!("{}.", quote(database));
    let escaped = plain.replace('_', "\\_").replace('%', "\\%");
    grant == "GRANT USAGE ON *.*"
        || on == format!("{escaped}*")
        || on
            .strip_prefix(&plain)
            .is_some_and(|thing| thing.starts_with('`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rights_in_the_database_are_within_it() {
        for good in [
            "GRANT USAGE ON *.* TO `dono`@`%` IDENTIFIED BY PASSWORD '*94'",
            r"GRANT ALL PRIVILEGES ON `my\_app`.* TO `dono`@`%` WITH GRANT OPTION",
            "GRANT SELECT ON `my_app`.`t` TO `dono`@`%`",
        ] {
            assert!(is_within(good, "my_app"), "{good}");
        }
        for bad in [
            "GRANT SELECT, DROP ON *.* TO `dono`@`%`",
            "GRANT ALL PRIVILEGES ON `other`.* TO `dono`@`%`",
            "GRANT ALL PRIVILEGES ON `my_app`.* TO `dono`@`%`",
            "GRANT ALL PRIVILEGES ON `my%`.* TO `dono`@`%`",
            "GRANT SELECT ON `other`.`my_app` TO `dono`@`%`",
            "GRANT EXECUTE ON PROCEDURE `other`.`p` TO `dono`@`%`",
            "GRANT `admin` TO `dono`@`%`",
            "GRANT PROXY ON ''@'%' TO 'dono'@'%'",
        ] {
            assert!(!is_within(bad, "my_app"), "{bad}");
        }
    }
}
