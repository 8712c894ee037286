//! A client program that is fed a script, whatever server it is for.

use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

use super::Stop;
use crate::dump::tool::{Login, Tail, Tool, Watch};
use crate::error::{Code, Error, Result};
use crate::process::{End, Limit, Sink, Stream};

/// Most that a script may print, in bytes: one short line for each table.
const OUTPUT: usize = 16 << 20;

/// What psql begins its messages about a script with; a line number follows.
pub(super) const PSQL_PLACE: &str = "psql:<stdin>:";

/// How a script ended that did not end well.
pub(super) enum Ended {
    /// The program failed: its exit code, what it said, and what it had printed.
    Failed(Option<i32>, String, String),
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

/// Runs a program, lets `write` write its standard input, and gives what it prints.
pub(super) fn feed(
    (login, tool): (&Login, &Tool),
    arguments: &[&str],
    stop: &Stop,
    write: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
) -> std::result::Result<String, Ended> {
    let mut group = login.spawn(tool, arguments)?;
    let stdin = group
        .stdin()
        .ok_or_else(|| Error::new(Code::Internal, format!("{} has no standard input", tool.name)))?;
    let longest = stop.left();
    let mut sink = Printed::default();
    let (end, wrote) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(256 * 1024, stdin);
            write(&mut out)?;
            out.flush().map_err(|e| Error::io("feed a client program", &e))
        });
        let end = group.watch(Limit::Total(longest), Some(stop.flag()), &mut sink);
        // Nobody reads any more what is still to be written.
        drop(group);
        let wrote = writer.join().unwrap_or_else(|_| {
            Err(Error::new(
                Code::Internal,
                "the thread that feeds a program panicked",
            ))
        });
        (end, wrote)
    });
    let end = end.map_err(|e| Error::io(format_args!("run {}", tool.name), &e))?;
    match (end, wrote) {
        (End::Cancelled, _) => Err(Error::new(Code::Cancelled, "stopped on request").into()),
        (End::TimedOut, _) => Err(Ended::TooLong),
        (End::Failed(status), _) => Err(Ended::Failed(
            status.code(),
            login.scrub(&sink.message()),
            String::from_utf8_lossy(&sink.out).into_owned(),
        )),
        (End::Succeeded, Ok(())) => String::from_utf8(sink.out)
            .map_err(|_| Error::new(Code::Internal, format!("{} printed no text", tool.name)).into()),
        // It saw the end of its input too early.
        (End::Succeeded, Err(error)) => Err(error.into()),
        (End::Stopped, _) => {
            Err(Error::new(Code::Internal, format!("{} printed too much", tool.name)).into())
        }
    }
}

/// What to say of a program that failed on its own account.
pub(super) fn failed(login: &Login, tool: &Tool, said: &str) -> Error {
    login.error(format!("{} failed: {said}", tool.name))
}

/// Asks a question of cofre's own, and gives all that the program prints.
///
/// # Errors
/// What the program says, without secrets.
pub(super) fn ask((login, tool): (&Login, &Tool), arguments: &[&str], stop: &Stop) -> Result<String> {
    let mut out = Vec::new();
    let watch = Watch {
        cancel: stop.flag(),
        // Counting a large table takes its time.
        stall: stop.left(),
    };
    login.run(tool, arguments, watch, &mut |bytes| {
        out.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// What a program prints.
#[derive(Debug, Default)]
struct Printed {
    out: Vec<u8>,
    tail: Tail,
    line: Vec<u8>,
    /// The last line on standard error in which psql names the place of a message: the archive's own text may follow,
    /// of any length.
    placed: Option<String>,
}

impl Printed {
    fn errors(&mut self, bytes: &[u8]) {
        /// Longest line that is kept, in bytes.
        const LONGEST: usize = 2048;
        self.tail.push(bytes);
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                if self.line.starts_with(PSQL_PLACE.as_bytes()) {
                    self.placed = Some(String::from_utf8_lossy(&self.line).trim_end().to_owned());
                }
                self.line.clear();
            }
        }
    }

    fn message(&self) -> String {
        self.placed.clone().unwrap_or_else(|| self.tail.message())
    }
}

impl Sink for Printed {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Out => self.out.extend_from_slice(bytes),
            Stream::Err => self.errors(bytes),
        }
        if self.out.len() > OUTPUT {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
