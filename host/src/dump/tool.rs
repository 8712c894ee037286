//! The client programs of database servers: found, asked for their version, and run with a clean environment and a
//! password that only a private file holds.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::server::{Host, Kind, Server};
use crate::config::Secret;
use crate::error::{Code, Error, Result};
use crate::fsutil::show;
use crate::process::{self, End, Group, Limit, Sink, Stream};
use crate::text::{self, escape};

/// Folders that hold the programs of one major version of PostgreSQL (Debian, Red Hat): before and after the number.
const VERSIONED: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// Variables of cofre's own environment that a client program gets too.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "TMPDIR", "KRB5CCNAME", "SSL_CERT_FILE"];

/// Options of a `postgres://` URL, and the variables through which libpq takes them
/// (<https://www.postgresql.org/docs/current/libpq-envars.html>).
const LIBPQ: [(&str, &str); 18] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("options", "PGOPTIONS"),
    ("requirepeer", "PGREQUIREPEER"),
    ("sslcert", "PGSSLCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// How long a program may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(20);
/// Seconds that libpq waits for a connection where the URL says nothing.
const CONNECT_SECONDS: &str = "30";
/// Shortest password that is looked for in what a program says: shorter ones are in every sentence.
const SCRUBBED_BYTES: usize = 4;
/// Bytes of standard error that are kept.
const TAIL_BYTES: usize = 8 * 1024;
/// Characters of standard error that an error quotes.
const QUOTED_CHARS: usize = 600;

/// A client program that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// What it is called: `pg_dump`.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Which version it is.
    pub(crate) version: Version,
}

/// A version, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The first number.
    pub(crate) major: u32,
    /// The second one, 0 where there is none.
    pub(crate) minor: u32,
    /// All of it: `15.18`, `10.11.14-MariaDB`.
    pub(crate) text: String,
}

impl Version {
    /// Reads what a program says to `--version`: the first word that begins with a digit, after `Distrib` where that
    /// is said (MySQL's programs name the version of their option parser first).
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let rest = line.split_once("Distrib ").map_or(line, |(_, rest)| rest);
        let text = rest
            .split([' ', ','])
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse().unwrap_or(0));
        Some(Self {
            major: numbers.next()?,
            minor: numbers.next().unwrap_or(0),
            text: text.trim_end().to_owned(),
        })
    }
}

impl Tool {
    /// Finds a program of PostgreSQL. With `server`, the server's major version, the one of that version is taken
    /// or, where there is none, the next newer one; without, the newest. `dir` is the only place that is looked
    /// at where it is given; otherwise the folders that distributions keep for each version, then `PATH`.
    ///
    /// # Errors
    /// `DumpFailed` when it is missing or too old, with the package to install.
    pub(crate) fn postgres(name: &str, server: Option<u32>, dir: Option<&Path>) -> Result<Self> {
        let package = server.map_or_else(
            || "postgresql-client".to_owned(),
            |major| format!("postgresql-client-{major}"),
        );
        let candidates = match dir {
            Some(dir) => vec![dir.join(name)],
            None => versioned(name, server)
                .into_iter()
                .chain(in_path(Path::new(name)))
                .collect(),
        };
        let mut old: Option<Self> = None;
        for path in candidates.into_iter().filter(|path| runs(path)) {
            let tool = Self::ask(name, path)?;
            if server.is_none_or(|major| tool.version.major >= major) {
                return Ok(tool);
            }
            old = Some(tool);
        }
        let remedy = format!("install it: `apt install {package}`");
        Err(match (old, server) {
            (Some(old), Some(major)) => Error::new(
                Code::DumpFailed,
                format!(
                    "{} is {name} {}, and the server is PostgreSQL {major}: an older {name} can't dump it",
                    show(&old.path),
                    old.version.text
                ),
            )
            .remedy(remedy),
            _ => missing(name, dir, remedy),
        })
    }

    /// Finds the first of several programs in `dir` or, without one, in `PATH`.
    ///
    /// # Errors
    /// `DumpFailed` when none is there, with the package to install.
    // Until the first caller: MySQL's programs have two names each.
    #[allow(dead_code, reason = "used by the dumps of MySQL")]
    pub(crate) fn named(names: &[&str], dir: Option<&Path>, package: &str) -> Result<Self> {
        for name in names {
            let path = match dir {
                Some(dir) => Some(dir.join(name)).filter(|path| runs(path)),
                None => in_path(Path::new(name)),
            };
            if let Some(path) = path {
                return Self::ask(name, path);
            }
        }
        let remedy = format!("install it: `apt install {package}`");
        Err(missing(&names.join(" or "), dir, remedy))
    }

    fn ask(name: &str, path: PathBuf) -> Result<Self> {
        let mut command = clean(&path);
        command.arg("--version");
        let mut said = Said::default();
        let end = process::run(&mut command, Limit::Total(VERSION_TIME), None, &mut said);
        let out = String::from_utf8_lossy(&said.out).into_owned();
        match (end, out.lines().next().and_then(Version::parse)) {
            (Ok(End::Succeeded), Some(version)) => Ok(Self {
                name: name.to_owned(),
                path,
                version,
            }),
            (end, _) => {
                let cause = match end {
                    Err(e) => e.to_string(),
                    Ok(_) => "it does not say its version".to_owned(),
                };
                Err(Error::new(
                    Code::DumpFailed,
                    format!("{} can't be used: {cause}", show(&path)),
                )
                .remedy("look at what it says to `--version`"))
            }
        }
    }
}

fn missing(name: &str, dir: Option<&Path>, remedy: String) -> Error {
    match dir {
        Some(dir) => Error::new(
            Code::DumpFailed,
            format!("{name} is not in {} (`tools` of the database)", show(dir)),
        )
        .remedy("name the folder that holds the client programs, or remove `tools`"),
        None => Error::new(Code::DumpFailed, format!("{name} is not installed")).remedy(remedy),
    }
}

/// The programs of a name in the folders of the major versions: those that fit a server, the best first.
fn versioned(name: &str, server: Option<u32>) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix, bin) in VERSIONED {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let major = entry
                .file_name()
                .to_str()
                .and_then(|dir| dir.strip_prefix(prefix)?.parse().ok());
            if let Some(major) = major {
                found.push((major, entry.path().join(bin).join(name)));
            }
        }
    }
    found.retain(|(_, path)| runs(path));
    // A newer program can dump an older server, but what it writes is for servers of its own version.
    match server {
        Some(server) => found.sort_by_key(|(major, _)| {
            if *major >= server {
                *major - server
            } else {
                u32::MAX
            }
        }),
        None => found.sort_by_key(|(major, _)| u32::MAX - *major),
    }
    found.into_iter().map(|(_, path)| path).collect()
}

/// Where a program is, as the system would find it.
pub(crate) fn in_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_path_buf()).filter(|path| runs(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| runs(path))
}

fn runs(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// A command that inherits only what it needs, and speaks English.
fn clean(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PGTZ", "UTC");
    for key in PASSED_ON {
        if let Some(value) = std::env::var_os(key) {
            command.env(key, value);
        }
    }
    command
}

/// How a client program logs in: variables, options, and a private file with the password, which goes when this is
/// dropped. After a crash it goes with the staging folder that it lies in.
#[derive(Debug)]
pub(crate) struct Login {
    kind: Kind,
    /// The server and database, for messages.
    shown: String,
    variables: Vec<(&'static str, OsString)>,
    file: Option<PathBuf>,
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
            Kind::Mysql => (Vec::new(), Some(option_file(server))),
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
            let mut option = OsString::from("--defaults-extra-file=");
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
            Ok(End::Succeeded) => return Ok(()),
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

/// The end of what a program wrote to standard error. Each line is logged as a detail.
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

/// All that a program wrote; for those that write little.
#[derive(Debug, Default)]
struct Said {
    out: Vec<u8>,
}

impl Sink for Said {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        if stream == Stream::Out {
            self.out.extend_from_slice(bytes);
        }
        if self.out.len() > TAIL_BYTES {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

/// The variables of libpq for a server.
fn libpq(server: &Server) -> Result<Vec<(&'static str, OsString)>> {
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("PGDATABASE", server.database.clone().into()),
        ("PGAPPNAME", "cofre".into()),
        ("PGCONNECT_TIMEOUT", CONNECT_SECONDS.into()),
    ];
    match &server.host {
        Host::Default => {}
        Host::Tcp(host) => variables.push(("PGHOST", host.into())),
        Host::Socket(path) => variables.push(("PGHOST", path.into())),
    }
    if let Some(port) = server.port {
        variables.push(("PGPORT", port.to_string().into()));
    }
    if let Some(user) = &server.user {
        variables.push(("PGUSER", user.into()));
    }
    for (name, value) in &server.options {
        let Some((_, key)) = LIBPQ.iter().find(|(option, _)| option == name) else {
            let known: Vec<_> = LIBPQ.iter().map(|(option, _)| *option).collect();
            return Err(Error::new(
                Code::Config,
                format!("the database's URL has an unknown option `{}`", escape(name)),
            )
            .remedy(format!("it takes {}", known.join(", "))));
        };
        variables.push((key, value.into()));
    }
    Ok(variables)
}

/// A password file of libpq: it serves only this server, so everything else matches.
fn passfile(password: &Secret) -> String {
    let escaped = password.expose().replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

/// An option file of MySQL's and MariaDB's programs.
fn option_file(server: &Server) -> String {
    let mut text = String::from("[client]\n");
    let mut line = |key: &str, value: &str| {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("{key}=\"{quoted}\"\n"));
    };
    if let Some(user) = &server.user {
        line("user", user);
    }
    if let Some(password) = &server.password {
        line("password", password.expose());
    }
    match &server.host {
        Host::Default => {}
        Host::Tcp(host) => line("host", host),
        Host::Socket(path) => line("socket", &path.to_string_lossy()),
    }
    if let Some(port) = server.port {
        line("port", &port.to_string());
    }
    text
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

#[cfg(test)]
mod tests;
