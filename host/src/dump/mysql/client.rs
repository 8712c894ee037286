//! Questions to the server through its client program, and what its errors mean.

use super::super::Request;
use super::super::server::Server;
use super::super::tool::{Login, Tool};
use super::PACKAGE;
use super::catalog::{Catalog, QUERY, Sight, list};
use super::options;
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// A table that is not there. Who may read every table of the database is told so; who may not is refused first.
const PROBE: &str = "SELECT 1 FROM `cofre: may all tables be read?`";
/// What to do about TLS.
const TLS: &str = "set up TLS on the server, with `?ssl-mode=verify-ca&ssl-ca=FILE` in the URL, or write `?ssl-mode=disabled`";

/// What to do where tables change while they are dumped.
pub(super) const STAND_STILL: &str = "don't alter or drop tables while the backup is made";

/// What lets a user see the bodies of routines that others made.
const BODIES: &str = "as the server's administrator GRANT to the user: SELECT ON mysql.proc (MariaDB before 11.3), \
SHOW CREATE ROUTINE ON the database (MariaDB from 11.3 on), SHOW_ROUTINE ON *.* (MySQL)";
const NO_SUCH_TABLE: u32 = 1146;

/// Longest answer, in bytes: far beyond a catalog of a hundred thousand tables.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// The client program, ready to ask.
pub(super) struct Client<'a> {
    login: &'a Login,
    server: &'a Server,
    request: &'a Request<'a>,
    tool: Tool,
}

impl<'a> Client<'a> {
    /// # Errors
    /// `DumpFailed` when the program is missing.
    pub(super) fn new(login: &'a Login, server: &'a Server, request: &'a Request<'a>) -> Result<Self> {
        let tool =
            Tool::named(&["mariadb", "mysql"], request.tools, PACKAGE).map_err(|e| about(e, server))?;
        Ok(Self {
            login,
            server,
            request,
            tool,
        })
    }

    /// The dump program, if there is a choice that of the server's own maker.
    ///
    /// # Errors
    /// `DumpFailed` when it is missing.
    pub(super) fn dump_tool(&self, catalog: &Catalog) -> Result<Tool> {
        let names = if catalog.is_mariadb() {
            ["mariadb-dump", "mysqldump"]
        } else {
            ["mysqldump", "mariadb-dump"]
        };
        Tool::named(&names, self.request.tools, PACKAGE).map_err(|e| about(e, self.server))
    }

    /// # Errors
    /// `DumpFailed` when the server can't be reached, refuses the user, or doesn't have the database.
    pub(super) fn catalog(&self) -> Result<Catalog> {
        let catalog = Catalog::parse(&self.ask(QUERY).map_err(|e| self.explain(e))?)?;
        // MariaDB's programs before 11.4 take a plain connection where they can't have another.
        if options::wants_tls(self.server) && !catalog.is_encrypted {
            return Err(self
                .error("the connection is not encrypted, which `ssl-mode` in the URL demands")
                .remedy(TLS));
        }
        Ok(catalog)
    }

    /// Checks that the user sees all of the database: what it may not see, the dump would lack.
    ///
    /// # Errors
    /// `DumpFailed` with the rights that are missing.
    pub(super) fn check_rights(&self, catalog: &Catalog) -> Result<()> {
        if let Err(error) = self.ask(PROBE)
            && error_code(&error.message) != Some(NO_SUCH_TABLE)
        {
            return Err(match error_code(&error.message) {
                Some(1044 | 1142) => self
                    .error("the user may not read all of its tables, and those that it can't see would be missing")
                    .remedy(self.grants()),
                _ => self.explain(error),
            });
        }
        let grants = self.ask("SHOW GRANTS").map_err(|e| self.explain(e))?;
        let sight = Sight::parse(&grants, &catalog.database);
        for (seen, what, grant) in [
            (sight.triggers, "triggers", self.grants()),
            (sight.routines, "functions and procedures", BODIES.to_owned()),
        ] {
            if seen {
                continue;
            }
            let message = format!("the user may not see its {what}, and they would be missing");
            if !sight.unsure {
                return Err(self.error(message).remedy(grant));
            }
            tracing::warn!(
                "database {}: {message}, unless it has the right by a role ({grant})",
                self.server
            );
        }
        Ok(())
    }

    /// Refuses to leave out rows to which others refer: their keys would lead nowhere once it is loaded.
    ///
    /// # Errors
    /// `Config` with the foreign keys.
    pub(super) fn check_references(&self, catalog: &Catalog) -> Result<()> {
        let broken = catalog.broken_references(self.request.tables);
        if broken.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = broken.iter().map(String::as_str).collect();
        let mut error = self.error(format!(
            "a dump without the rows of some tables would not be sound, because of the foreign keys {}",
            list(&names)
        ));
        error.code = Code::Config;
        Err(error.remedy("in `tables` and `exclude_tables`, keep or leave out the rows of both"))
    }

    /// An error about this database.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        self.login.error(message)
    }

    /// Adds what to do about an error of the server.
    pub(super) fn explain(&self, error: Error) -> Error {
        if error.remedy.is_some() || error.code != Code::DumpFailed {
            return error;
        }
        let remedy = match error_code(&error.message) {
            Some(1045 | 1698) => {
                "check user and password; in the URL write `@` as %40, `:` as %3A, `/` as %2F, `#` as %23, `%` as %25"
                    .to_owned()
            }
            Some(2002 | 2003 | 2005) => "start the server, or correct host, port or socket in the URL".to_owned(),
            Some(1049) => "correct the database's name in the URL".to_owned(),
            Some(1044 | 1142 | 1143 | 1227 | 1370) => self.grants(),
            Some(1356) => "repair the view, or drop it".to_owned(),
            Some(2006 | 2013 | 1053 | 1927 | 2055) => {
                "look into the server's log; the next run begins anew".to_owned()
            }
            Some(2026) => TLS.to_owned(),
            Some(1040 | 1203 | 1226) => "wait until others have left, or raise the limit".to_owned(),
            Some(code) if CHANGES.contains(&code) => {
                STAND_STILL.to_owned()
            }
            _ if error.message.contains("insufficient privileges") => BODIES.to_owned(),
            _ => return error,
        };
        error.remedy(remedy)
    }

    fn ask(&self, query: &str) -> Result<String> {
        let mut answer = Vec::new();
        let arguments = [
            "--batch",
            "--raw",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
            "--execute",
            query,
            "--",
            &self.server.database,
        ];
        self.login
            .run(&self.tool, arguments, self.request.watch(), &mut |bytes| {
                answer.extend_from_slice(bytes);
                if answer.len() > ANSWER_LIMIT {
                    return Err(self.error("the server's catalog is too large"));
                }
                Ok(())
            })?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn user(&self) -> String {
        self.server.user.clone().unwrap_or_else(|| "the user".to_owned())
    }

    fn grants(&self) -> String {
        format!(
            "as the server's administrator: GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `{}`.* TO {}",
            escape(&self.server.database.replace('`', "``")),
            escape(&self.user())
        )
    }
}

/// Errors of the server when a table is altered or dropped between the dump's beginning and the reading of it: a
/// definition that changed, and a table that is gone.
const CHANGES: [u32; 4] = [1412, 1146, 1051, 1932];

/// Whether the dump failed because tables changed, so that another attempt may succeed.
pub(super) fn is_change(error: &Error) -> bool {
    error.code == Code::DumpFailed && error_code(&error.message).is_some_and(|code| CHANGES.contains(&code))
}

/// The number of the server's error, in the forms in which the programs tell it: `ERROR 1045 (28000)`,
/// `Got error: 1045:`, `Error 2013:`, `(1146)`.
pub(crate) fn error_code(message: &str) -> Option<u32> {
    let lower = message.to_ascii_lowercase();
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|_| digits.len() == 4)
    };
    let behind = |word: &str| {
        lower
            .match_indices(word)
            .find_map(|(i, _)| number(&lower[i + word.len()..]))
    };
    behind("error ")
        .or_else(|| behind("error: "))
        .or_else(|| behind("("))
}

fn about(mut error: Error, server: &Server) -> Error {
    error.message = format!("database {server}: {}", error.message);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_number_is_found_in_every_form() {
        for (message, code) in [
            (
                "mariadb failed (exit status: 1): ERROR 1045 (28000): Access denied for user",
                Some(1045),
            ),
            (
                "mariadb failed (exit status: 1): ERROR 2002 (HY000): Can't connect (111)",
                Some(2002),
            ),
            (
                "mariadb-dump: Got error: 1049: \"Unknown database 'x'\" when selecting",
                Some(1049),
            ),
            (
                "mysqldump: Error 2013: Lost connection when dumping table `t` at row: 5",
                Some(2013),
            ),
            (
                "mariadb-dump: Couldn't execute 'SHOW CREATE TABLE `t`': no such table (1146)",
                Some(1146),
            ),
            ("mariadb-dump failed (exit status: 2): something (40)", None),
        ] {
            assert_eq!(error_code(message), code, "{message}");
        }
    }
}
