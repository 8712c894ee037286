//! The client programs of database servers: found, asked for their version, and run with a clean environment and a
//! password that only a private file holds.

mod login;
mod options;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::fsutil::show;
use crate::process::{self, End, Limit, Sink, Stream};

pub(crate) use login::{Login, Tail, Watch};
pub(crate) use options::check_options;

/// Folders that hold the programs of one major version of PostgreSQL (Debian, Red Hat): before and after the number.
const VERSIONED: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// Variables of cofre's own environment that a client program gets too.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "TMPDIR", "KRB5CCNAME", "SSL_CERT_FILE"];

/// How long a program may take to say its version.
const VERSION_TIME: Duration = Duration::from_secs(20);
/// Bytes of what it says then that are looked at.
const SAID_BYTES: usize = 8 * 1024;

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
        if self.out.len() > SAID_BYTES {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
