//! How client programs log in and run: variables, options, a private file with the password, and what is made of
//! what they say.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::options::libpq;
use super::{Tool, clean};
use crate::config::Secret;
use crate::dump::mysql;
use crate::dump::server::{Kind, Server};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;
use crate::process::{self, End, Group, Limit, Sink, Stream};
use crate::text::{self, escape};

/// Shortest password that is looked for in what a program says: shorter ones are in every sentence.
const SCRUBBED_BYTES: usize = 4;
/// Bytes of standard error that are kept.
const TAIL_BYTES: usize = 8 * 1024;
/// Characters of standard error that an error quotes.
const QUOTED_CHARS: usize = 600;

/// How a client program logs in: variables, options, and a private file with the password, which goes when this is
/// dropped. After a crash it goes with the staging folder that it lies in.
#[derive(Debug)]
pub(crate) struct Login {
    kind: Kind,
    /// The server and database, for messages.
    shown: String,
    variables: Vec<(&'static str, OsString)>,
    pub(super) file: Option<PathBuf>,
    password: Option<Secret>,
}

impl Login {
    /// Prepares a login. `private` is a folder that only this user can read.
    ///
    /// # Errors
    /// `Config` for an option that the client programs don't know; what the system says.
    pub(crate) fn new(server: &Server, private: &Path) -> Result<Self> {
        let (variables, content) = match server.kind {
            Kind::Postgres => (libpq(server)?, server.password.as_ref().map(passfile)),
            Kind::Mysql => (
                // A file of logins is read even so, unless it is another one.
                vec![("MYSQL_TEST_LOGIN_FILE", private.join("no-logins").into())],
                Some(mysql::options::file(server)?),
            ),
        };
        let mut login = Self {
            kind: server.kind,
            shown: server.to_string(),
            variables,
            file: None,
            password: server.password.clone(),
        };
        if let Some(content) = content {
            let file = private_file(private, &content)?;
            if server.kind == Kind::Postgres {
                login.variables.push(("PGPASSFILE", file.clone().into()));
            }
            login.file = Some(file);
        }
        Ok(login)
    }

    /// The program, told how to log in; further arguments follow.
    pub(crate) fn command(&self, tool: &Tool) -> Command {
        let mut command = clean(&tool.path);
        command.envs(self.variables.iter().map(|(key, value)| (key, value)));
        if let (Kind::Mysql, Some(file)) = (self.kind, &self.file) {
            // Has to be the first one.
            let mut option = OsString::from("--defaults-file=");
            option.push(file);
            command.arg(option);
        }
        command
    }

    /// Runs a program to its end and gives each piece of its output to `out`.
    ///
    /// # Errors
    /// `Cancelled`; the first error of `out`; `DumpFailed` with the program's own message when it fails, can't be
    /// started, or writes nothing for as long as `watch` allows.
    pub(crate) fn run(
        &self,
        tool: &Tool,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        watch: Watch<'_>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut command = self.command(tool);
        command.args(arguments);
        let mut sink = Capture {
            out,
            tail: Tail::default(),
            error: None,
        };
        let end = process::run(
            &mut command,
            Limit::Idle(watch.stall),
            Some(watch.cancel),
            &mut sink,
        );
        if let Some(error) = sink.error {
            return Err(error);
        }
        self.ended(tool, end, &sink.tail, watch)
    }

    /// Starts a program that is talked to; see [`Group`].
    pub(crate) fn spawn(
        &self,
        tool: &Tool,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Group> {
        let mut command = self.command(tool);
        command.args(arguments);
        Group::spawn(&mut command, Stdio::piped()).map_err(|e| self.not_started(tool, &e))
    }

    /// What the end of a program means.
    ///
    /// # Errors
    /// As [`Login::run`].
    pub(crate) fn ended(
        &self,
        tool: &Tool,
        end: std::io::Result<End>,
        tail: &Tail,
        watch: Watch<'_>,
    ) -> Result<()> {
        let cause = match end {
            Ok(End::Succeeded) => {
                let said = tail.message();
                if !said.is_empty() {
                    tracing::debug!("{} said in the end: {}", tool.name, self.scrub(&said));
                }
                return Ok(());
            }
            Err(e) => return Err(self.not_started(tool, &e)),
            Ok(End::Cancelled) => {
                return Err(Error::new(
                    Code::Cancelled,
                    format!("stopped on request, and {} with it", tool.name),
                ));
            }
            Ok(End::TimedOut) => {
                let limit = text::duration(watch.stall.as_secs_f64());
                return Err(self
                    .error(format!(
                        "{} made no progress for {limit} and was ended",
                        tool.name
                    ))
                    .remedy("look for locks and at the network, or raise limits.stall"));
            }
            Ok(End::Failed(status)) => status.to_string(),
            Ok(End::Stopped) => "stopped".to_owned(),
        };
        let said = self.scrub(&tail.message());
        let message = if said.is_empty() {
            format!("{} failed ({cause})", tool.name)
        } else {
            format!("{} failed ({cause}): {said}", tool.name)
        };
        Err(self.error(message))
    }

    /// An error about this database.
    pub(crate) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(Code::DumpFailed, format!("database {}: {message}", self.shown))
    }

    /// A text without the password, fit for a message.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let clean = match &self.password {
            Some(password) if password.expose().len() >= SCRUBBED_BYTES => {
                text.replace(password.expose(), "(secret)")
            }
            _ => text.to_owned(),
        };
        escape(&clean).into_owned()
    }

    fn not_started(&self, tool: &Tool, error: &std::io::Error) -> Error {
        self.error(format!("{} can't be started: {error}", show(&tool.path)))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!("{} is left behind: {error}", show(file));
        }
    }
}

/// When a program is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch<'a> {
    /// Set from outside to stop.
    pub(crate) cancel: &'a AtomicBool,
    /// Longest time without output.
    pub(crate) stall: Duration,
}

/// The end of what a program wrote to standard error.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    kept: Vec<u8>,
}

impl Tail {
    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let over = self.kept.len().saturating_sub(TAIL_BYTES);
        self.kept.drain(..over);
    }

    /// What it said in the end: from the first line that speaks of an error on, else the last line.
    pub(crate) fn message(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let is_error = |line: &&str| {
            let lower = line.to_lowercase();
            ["error", "fatal", "panic"]
                .iter()
                .any(|word| lower.contains(word))
        };
        let start = lines
            .iter()
            .position(is_error)
            .unwrap_or(lines.len().saturating_sub(1));
        let said = lines.get(start..).unwrap_or_default().join("; ");
        said.chars().take(QUOTED_CHARS).collect()
    }
}

/// Output to a function, standard error to a tail.
struct Capture<'a> {
    out: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    tail: Tail,
    error: Option<Error>,
}

impl Sink for Capture<'_> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        match stream {
            Stream::Err => self.tail.push(bytes),
            Stream::Out if self.error.is_none() => self.error = (self.out)(bytes).err(),
            Stream::Out => {}
        }
        match self.error {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }
}

/// A password file of libpq: it serves only this server, so everything else matches.
fn passfile(password: &Secret) -> String {
    let escaped = password.expose().replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

/// Makes a file of a new name, mode 0600.
fn private_file(dir: &Path, content: &str) -> Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = dir.join(format!("login-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(content.as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(e) => {
            // Half a file would only be in the way.
            let _ = std::fs::remove_file(&path);
            Err(Error::io("write the file that holds the database's password", &e))
        }
    }
}
