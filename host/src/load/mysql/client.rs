//! The client program of MySQL or MariaDB: for a question of cofre's own, and for a dump that it is fed.

use std::io::Write;
use std::path::Path;

use super::{quote, refused_or_lost};
use crate::dump::server::Server;
use crate::dump::tool::{Login, Tool};
use crate::error::{Code, Error, Result};
use crate::load::Stop;
use crate::load::client::{self, Ended};

/// The program and a server.
pub(super) struct Client {
    login: Login,
    tool: Tool,
}

/// How a dump ended that did not end well.
pub(super) enum Stopped {
    /// The server refused a statement; what it said.
    Refused(String),
    /// It holds a command of the client program, which knows none here; what it said.
    Command(String),
    /// It took too long.
    TooLong,
    /// Something else.
    Other(Error),
}

impl Client {
    /// Finds the program (in the folder `tools`, if one is named) and prepares the login; `private` is a folder that
    /// only this user can read.
    ///
    /// # Errors
    /// `DumpFailed` when it is not installed; what [`Login::new`] says.
    pub(super) fn new(server: &Server, private: &Path, tools: Option<&Path>) -> Result<Self> {
        Ok(Self {
            tool: Tool::named(&["mariadb", "mysql"], tools, "mariadb-client")?,
            login: Login::new(server, private)?,
        })
    }

    /// Asks the server; the answer's lines, their fields separated by tabs.
    ///
    /// # Errors
    /// What the program says, without secrets.
    pub(super) fn ask(&self, sql: &str, stop: &Stop) -> Result<Vec<String>> {
        let arguments = [
            "--batch",
            "--raw",
            "--skip-column-names",
            "--local-infile=0",
            "--default-character-set=utf8mb4",
            "--execute",
            sql,
        ];
        let text = client::ask((&self.login, &self.tool), &arguments, stop)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Feeds a dump into a database.
    pub(super) fn feed(
        &self,
        database: &str,
        stop: &Stop,
        write: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
    ) -> std::result::Result<(), Stopped> {
        let arguments = [
            "--batch",
            // No commands but DELIMITER.
            "--binary-mode",
            "--local-infile=0",
            "--skip-reconnect",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
            "--",
            database,
        ];
        let fed = client::feed((&self.login, &self.tool), &arguments, stop, write);
        fed.map(drop).map_err(|ended| match ended {
            Ended::Failed(_, said, _) => refused_or_lost(self, &said, database),
            Ended::TooLong => Stopped::TooLong,
            Ended::Other(error) => Stopped::Other(error),
        })
    }

    /// What to say of the program that failed on its own account.
    pub(super) fn failed(&self, said: &str) -> Error {
        client::failed(&self.login, &self.tool, said)
    }

    /// The tables of a database with their rows, those of the past included.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) fn count(&self, database: &str, stop: &Stop) -> Result<Vec<(String, u64)>> {
        let tables = self.ask(
            &format!(
                "SELECT table_type, HEX(CONVERT(table_name USING utf8mb4)) FROM information_schema.tables WHERE \
                 table_schema = '{}' AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')",
                literal(database)
            ),
            stop,
        )?;
        let mut counted = Vec::with_capacity(tables.len());
        for line in &tables {
            let (kind, name) = line
                .split_once('\t')
                .and_then(|(kind, name)| Some((kind, crate::text::unhex_text(name)?)))
                .ok_or_else(|| odd(line))?;
            let past = if kind == "SYSTEM VERSIONED" {
                " FOR SYSTEM_TIME ALL"
            } else {
                ""
            };
            let sql = format!("SELECT COUNT(*) FROM {}.{}{past}", quote(database), quote(&name));
            let answer = self.ask(&sql, stop)?;
            let rows = answer.first().map_or("", String::as_str);
            let rows = rows.parse().map_err(|_| odd(rows))?;
            counted.push((name, rows));
        }
        Ok(counted)
    }
}

/// An answer that is not guessed at: a table that was not counted would look like one that was lost.
fn odd(answer: &str) -> Error {
    let answer = crate::load::Shown(answer);
    Error::new(
        Code::Internal,
        format!("the server's answer `{answer}` is no table or count"),
    )
}

/// A text for single quotes.
pub(super) fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}
