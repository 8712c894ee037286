//! psql, told where to log in: for a question of cofre's own, and for a script that it is fed.

use std::io;
use std::path::Path;

use super::script::{Script, Step};
use crate::dump::server::Server;
use crate::dump::tool::{Login, Tool};
use crate::error::{Error, Result};
use crate::load::Stop;
use crate::load::client::{self, Ended};
use crate::text;

/// The exit code of psql for a statement of a script that the server refused.
const REFUSED: i32 = 3;

/// psql and a database.
pub(super) struct Psql {
    login: Login,
    tool: Tool,
}

/// How a script ended that did not end well.
pub(super) enum Stopped {
    /// The server refused a statement: its SQLSTATE (empty if unknown), what it said, and what was printed before.
    Refused(String, String, String),
    /// It took too long.
    TooLong,
    /// Something else.
    Other(Error),
}

impl Psql {
    /// Finds psql (in the folder `tools`, if one is named) and prepares the login; `private` is a folder that only this
    /// user can read.
    ///
    /// # Errors
    /// `DumpFailed` when it is not installed; what [`Login::new`] says.
    pub(super) fn new(server: &Server, private: &Path, tools: Option<&Path>) -> Result<Self> {
        Ok(Self {
            tool: Tool::postgres("psql", None, tools)?,
            login: Login::new(server, private)?,
        })
    }

    /// Asks the server; the answer's rows, of `columns` fields each.
    ///
    /// # Errors
    /// What psql says, without secrets.
    pub(super) fn ask(&self, sql: &str, columns: usize, stop: &Stop) -> Result<Vec<Vec<String>>> {
        let arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-z",
            "-0",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ];
        let text = client::ask((&self.login, &self.tool), &arguments, stop)?;
        let text = text.strip_suffix('\0').unwrap_or(&text);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let fields: Vec<String> = text.split('\0').map(str::to_owned).collect();
        Ok(fields.chunks(columns.max(1)).map(<[String]>::to_vec).collect())
    }

    /// Runs a statement of cofre's own that gives no rows.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) fn run(&self, sql: &str, stop: &Stop) -> Result<()> {
        self.ask(sql, 1, stop).map(drop)
    }

    /// Feeds a script, and gives what it prints.
    pub(super) fn feed(
        &self,
        steps: impl Iterator<Item = Result<Step>> + Send,
        stop: &Stop,
    ) -> std::result::Result<String, Stopped> {
        let arguments = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-F",
            "|",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=verbose",
            "-v",
            "SHOW_CONTEXT=never",
            "-f",
            "-",
        ];
        let longest = stop.left();
        let fed = client::feed((&self.login, &self.tool), &arguments, stop, move |out| {
            let mut script = Script::new(out, longest)?;
            let fail = |e: &io::Error| Error::io("feed psql", e);
            for step in steps {
                script.step(step?).map_err(|e| fail(&e))?;
            }
            Ok(())
        });
        fed.map_err(|ended| match ended {
            Ended::Failed(Some(REFUSED), said, printed) => {
                let (state, said) = refusal(&said);
                Stopped::Refused(state, said, printed)
            }
            Ended::Failed(_, said, _) => Stopped::Other(client::failed(&self.login, &self.tool, &said)),
            Ended::TooLong => Stopped::TooLong,
            Ended::Other(error) => Stopped::Other(error),
        })
    }
}

/// The SQLSTATE and the text of `psql:<stdin>:17: ERROR:  42P01: x`, without the place, which is one of the script that
/// nobody sees.
fn refusal(message: &str) -> (String, String) {
    let place = message
        .strip_prefix(client::PSQL_PLACE)
        .and_then(|rest| rest.split_once(": "))
        .filter(|(line, _)| line.bytes().all(|b| b.is_ascii_digit()));
    let message = place.map_or(message, |(_, rest)| rest);
    let parts = message.split_once(":  ").and_then(|(severity, rest)| {
        let (state, text) = rest.split_once(": ")?;
        let is_state = state.len() == 5
            && state
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        is_state.then_some((severity, state, text))
    });
    match parts {
        Some((severity, state, text)) => (state.to_owned(), format!("{severity}:  {text}")),
        None => (String::new(), message.to_owned()),
    }
}

/// A name for messages.
pub(super) fn shown(schema: &str, table: &str) -> String {
    match schema {
        "public" => text::escape(table).into_owned(),
        _ => text::escape(&format!("{schema}.{table}")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_has_a_state_and_a_text() {
        for (message, state, text) in [
            (
                "psql:<stdin>:17: ERROR:  42P01: relation \"x: y\"",
                "42P01",
                "ERROR:  relation \"x: y\"",
            ),
            ("psql:<stdin>:17: FEHLER:  53100: voll", "53100", "FEHLER:  voll"),
            ("psql:<stdin>:17: ERROR:  no state: x", "", "ERROR:  no state: x"),
            ("psql: error: x", "", "psql: error: x"),
        ] {
            assert_eq!(refusal(message), (state.to_owned(), text.to_owned()));
        }
    }
}
