//! One session of `psql` that is asked questions while it holds a transaction open.
//!
//! Each question is SQL whose answer is one JSON document a line, or nothing. After it `psql` prints a line with the
//! question's number and the SQLSTATE of its last statement, so that an error neither ends the session nor gets lost.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::ChildStdin;

use serde::de::DeserializeOwned;

use crate::dump::tool::{Login, Tail, Tool, Watch};
use crate::error::{Code, Error, Result};
use crate::process::{End, Group, Limit, Sink, Stream};

/// How `psql` runs: no start-up files, no prompts for passwords, rows as they are.
const ARGUMENTS: [&str; 5] = ["-X", "-w", "-q", "-A", "-t"];
/// Most that one answer may hold, in bytes: a line for each table.
const ANSWER_BYTES: usize = 256 << 20;

/// A question that the server did not answer.
#[derive(Debug)]
pub(super) struct Refused {
    /// The five characters that say why, in every language.
    pub(super) sqlstate: String,
    /// The error, without a remedy.
    pub(super) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self {
            sqlstate: String::new(),
            error,
        }
    }
}

/// The session. Dropping it ends it, and its transaction with it.
pub(super) struct Session<'a> {
    login: &'a Login,
    tool: &'a Tool,
    watch: Watch<'a>,
    group: Group,
    stdin: ChildStdin,
    questions: u64,
}

impl<'a> Session<'a> {
    /// Logs in.
    ///
    /// # Errors
    /// `DumpFailed` with what the server or `psql` says.
    pub(super) fn open(login: &'a Login, tool: &'a Tool, watch: Watch<'a>) -> Result<Self> {
        let mut group = login.spawn(tool, ARGUMENTS)?;
        let stdin = group
            .stdin()
            .ok_or_else(|| Error::new(Code::Internal, "psql has no standard input"))?;
        let mut session = Self {
            login,
            tool,
            watch,
            group,
            stdin,
            questions: 0,
        };
        session
            .run("SET client_encoding = 'UTF8'")
            .map_err(|refused| refused.error)?;
        Ok(session)
    }

    /// Runs a statement that has no answer.
    ///
    /// # Errors
    /// What the server says.
    pub(super) fn run(&mut self, sql: &str) -> std::result::Result<(), Refused> {
        self.ask(sql).map(|_| ())
    }

    /// Runs a query whose rows are one JSON document each.
    ///
    /// # Errors
    /// What the server says; `Internal` for rows of another shape.
    pub(super) fn rows<T: DeserializeOwned>(&mut self, sql: &str) -> std::result::Result<Vec<T>, Refused> {
        let answer = self.ask(sql)?;
        answer
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).map_err(|e| {
                    Error::new(Code::Internal, format!("psql gave an unexpected row: {e}")).into()
                })
            })
            .collect()
    }

    /// [`Session::rows`] of a query that has exactly one.
    pub(super) fn row<T: DeserializeOwned>(&mut self, sql: &str) -> std::result::Result<T, Refused> {
        let rows = self.rows(sql)?;
        rows.into_iter()
            .next()
            .ok_or_else(|| Error::new(Code::Internal, "psql gave no row").into())
    }

    fn ask(&mut self, sql: &str) -> std::result::Result<Vec<u8>, Refused> {
        self.questions += 1;
        let mark = format!("cofre {} ", self.questions);
        // A session that has ended shows so below, with its reason.
        let _ = self
            .stdin
            .write_all(format!("{sql};\n\\echo {mark}:SQLSTATE\n").as_bytes())
            .and_then(|()| self.stdin.flush());
        let mut answer = Answer {
            mark: mark.as_bytes(),
            out: Vec::new(),
            tail: Tail::default(),
        };
        let end = self.group.watch(
            Limit::Idle(self.watch.stall),
            Some(self.watch.cancel),
            &mut answer,
        );
        match end {
            Ok(End::Stopped) => {}
            // By itself it has no reason to end.
            Ok(End::Succeeded) => return Err(self.login.error("psql ended too early").into()),
            end => {
                return Err(self
                    .login
                    .ended(self.tool, end, &answer.tail, self.watch)
                    .err()
                    .unwrap_or_else(|| self.login.error("psql ended too early"))
                    .into());
            }
        }
        let Some(sqlstate) = answer.sqlstate() else {
            return Err(self.login.error("psql gave an answer that is too long").into());
        };
        if sqlstate != "00000" {
            let said = self.login.scrub(&answer.tail.message());
            let error = self.login.error(said);
            return Err(Refused { sqlstate, error });
        }
        let end = answer.out.len() - answer.last_line().len();
        answer.out.truncate(end);
        Ok(answer.out)
    }
}

/// Takes an answer up to its mark.
struct Answer<'m> {
    mark: &'m [u8],
    out: Vec<u8>,
    tail: Tail,
}

impl Answer<'_> {
    /// The last whole line, with its end.
    fn last_line(&self) -> &[u8] {
        let Some(body) = self.out.strip_suffix(b"\n") else {
            return &[];
        };
        let start = memchr::memrchr(b'\n', body).map_or(0, |at| at + 1);
        self.out.get(start..).unwrap_or_default()
    }

    fn sqlstate(&self) -> Option<String> {
        let state = self.last_line().strip_prefix(self.mark)?;
        Some(String::from_utf8_lossy(state).trim_end().to_owned())
    }
}

impl Sink for Answer<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Err => self.tail.push(bytes),
            Stream::Out => self.out.extend_from_slice(bytes),
        }
        // JSON never begins like the mark, and nothing follows it.
        if stream == Stream::Out && (self.last_line().starts_with(self.mark) || self.out.len() > ANSWER_BYTES)
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
