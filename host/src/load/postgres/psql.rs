//! psql, told where to log in: for a question of cofre's own, and for a script that it is fed.

use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;

use super::script::{Script, Step};
use crate::dump::server::Server;
use crate::dump::tool::{Login, Tail, Tool, Watch};
use crate::error::{Code, Error, Result};
use crate::load::Stop;
use crate::process::{End, Limit, Sink, Stream};
use crate::text;

/// How long a question of cofre's own may take.
const QUESTION: std::time::Duration = std::time::Duration::from_secs(120);

/// Most that a script may print, in bytes: one short line for each table.
const OUTPUT: usize = 16 << 20;

/// psql and a database.
pub(super) struct Psql {
    login: Login,
    tool: Tool,
}

/// How a script ended that did not end well.
pub(super) enum Ended {
    /// The server refused a statement; what it said.
    Refused(String),
    /// It took too long.
    TooLong,
    /// Something else.
    Other(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
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
        let mut out = Vec::new();
        let watch = Watch {
            cancel: stop.flag(),
            stall: QUESTION,
        };
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
        self.login.run(&self.tool, arguments, watch, &mut |bytes| {
            out.extend_from_slice(bytes);
            Ok(())
        })?;
        let text = String::from_utf8_lossy(&out);
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
    ) -> std::result::Result<String, Ended> {
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
            "VERBOSITY=terse",
            "-f",
            "-",
        ];
        let mut group = self.login.spawn(&self.tool, arguments)?;
        let stdin = group
            .stdin()
            .ok_or_else(|| Error::new(Code::Internal, "psql has no standard input"))?;
        let longest = stop.left();
        let mut sink = Printed::default();
        let (end, wrote) = std::thread::scope(|scope| {
            let writer =
                scope.spawn(move || write(steps, BufWriter::with_capacity(256 * 1024, stdin), longest));
            let end = group.watch(Limit::Total(longest), Some(stop.flag()), &mut sink);
            // Nobody reads any more what is still to be written.
            drop(group);
            let wrote = writer
                .join()
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the thread that feeds psql panicked")));
            (end, wrote)
        });
        let end = end.map_err(|e| Error::io("run psql", &e))?;
        match (end, wrote) {
            (End::Cancelled, _) => Err(Error::new(Code::Cancelled, "stopped on request").into()),
            (End::TimedOut, _) => Err(Ended::TooLong),
            (End::Failed(status), _) if status.code() == Some(3) => Err(Ended::Refused(without_place(
                &self.login.scrub(&sink.tail.message()),
            ))),
            (End::Succeeded, Ok(())) => String::from_utf8(sink.out)
                .map_err(|_| Error::new(Code::Internal, "psql printed no text").into()),
            (End::Succeeded, Err(error)) => Err(error.into()),
            (end, _) => {
                let watch = Watch {
                    cancel: stop.flag(),
                    stall: longest,
                };
                let error = self.login.ended(&self.tool, Ok(end), &sink.tail, watch).err();
                Err(error
                    .unwrap_or_else(|| Error::new(Code::Internal, "psql printed too much"))
                    .into())
            }
        }
    }
}

fn write(
    steps: impl Iterator<Item = Result<Step>>,
    out: impl io::Write,
    longest: std::time::Duration,
) -> Result<()> {
    let mut script = Script::new(out, longest)?;
    let fail = |e: &io::Error| Error::io("feed psql", e);
    for step in steps {
        script.step(step?).map_err(|e| fail(&e))?;
    }
    script.finish().map_err(|e| fail(&e))
}

/// `psql:<stdin>:17: ERROR:  x` without the place, which is one of the script that nobody sees.
fn without_place(message: &str) -> String {
    let place = message
        .strip_prefix("psql:<stdin>:")
        .and_then(|rest| rest.split_once(": "))
        .filter(|(line, _)| line.bytes().all(|b| b.is_ascii_digit()));
    place.map_or(message, |(_, rest)| rest).to_owned()
}

/// What psql prints.
#[derive(Debug, Default)]
struct Printed {
    out: Vec<u8>,
    tail: Tail,
}

impl Sink for Printed {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Out => self.out.extend_from_slice(bytes),
            Stream::Err => self.tail.push(bytes),
        }
        if self.out.len() > OUTPUT {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// A name for messages.
pub(super) fn shown(schema: &str, table: &str) -> String {
    match schema {
        "public" => text::escape(table).into_owned(),
        _ => text::escape(&format!("{schema}.{table}")).into_owned(),
    }
}
