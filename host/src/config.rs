//! The configuration: `cofre.toml` read, checked, and turned into [`Config`], the only form that the rest of
//! the host sees. Every problem is reported at once, each with its key, its line and, where there is one, a
//! suggestion. Nothing here opens a source; `cofre config check` and `cofre doctor` do.

mod adhoc;
mod check;
mod databases;
mod document;
pub mod keys;
mod model;
mod parts;
mod paths;
mod plans;
mod remotes;
mod secret;
mod service;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;

pub use adhoc::AdHoc;
pub use document::Problem;
pub use model::{
    Api, Archive, Compression, Database, DatabaseEngine, Drill, Hooks, Jwt, Limits, Log, LogFormat, Origin,
    Ping, Retention, Role, Schedule, SingleFile, Source, Switch, Switches, Tables, Token, VerifyPlan,
    Webhook, When,
};
pub(crate) use paths::others_can_read;
pub use remotes::{Bucket, Encryption, LockMode, ObjectLock, Place, Provider, Remote};
pub use secret::Secret;
pub use value::At;
pub use value::check_backup_type;
pub(crate) use value::has_password;

use crate::error::{Code, Error, Result};

/// Largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A checked configuration. All paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from; none for `create` without a configuration.
    pub file: Option<PathBuf>,
    /// What relative paths are relative to.
    pub dir: PathBuf,
    /// Where archives and catalog are.
    pub backup_dir: PathBuf,
    /// `backup_dir` as written, with a `/` at its end: the front of `zip_path` in the catalog.
    pub zip_path_prefix: String,
    /// The host's own folder: schedule, counters, staging.
    pub state_dir: PathBuf,
    /// Who may read the catalog besides the owner.
    pub group: Option<String>,
    /// Alias for labels and webhooks.
    pub repository: String,
    /// What prune keeps.
    pub retention: Retention,
    /// The zone of names and schedules.
    pub time_zone: Tz,
    /// How archives are written.
    pub archive: Archive,
    /// Limits of the sandbox.
    pub limits: Limits,
    /// Every source, also those that are switched off; see [`Config::active_sources`].
    pub sources: Vec<Source>,
    /// Every database; see [`Config::active_databases`].
    pub databases: Vec<Database>,
    /// The seed's `backup_config` switches.
    pub switches: Switches,
    /// Programs before and after a run.
    pub hooks: Hooks,
    /// When runs happen.
    pub schedules: Vec<Schedule>,
    /// When archives are verified.
    pub verify: Option<VerifyPlan>,
    /// When restores are practised.
    pub drill: Option<Drill>,
    /// The REST API; none unless `[api]` is there.
    pub api: Option<Api>,
    /// Who is told of each run.
    pub webhooks: Vec<Webhook>,
    /// Who can read the copies, and who vouches for them.
    pub encryption: Encryption,
    /// Where copies of the archives go.
    pub remotes: Vec<Remote>,
    /// How the log looks, and where else it goes.
    pub log: Log,
    /// What is not wrong, but should be looked at.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a configuration, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Code::Config`], with every problem that the file has.
    pub fn load(file: &Path) -> Result<Self> {
        Self::examine(file)?.map_err(|problems| problems.into_error(&crate::text::shown(file)))
    }

    /// Reads and checks a file, its problems one by one.
    ///
    /// # Errors
    /// [`Code::Config`] when it can't be read at all.
    pub fn examine(file: &Path) -> Result<std::result::Result<Self, Problems>> {
        let shown = crate::text::shown(file);
        let text = read_text(file, &shown)?;
        let absolute = std::path::absolute(file).map_err(|e| Error::io(format!("resolve {shown}"), &e))?;
        let dir = absolute
            .parent()
            .map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
        let mut config = match Self::parse(&text, &dir) {
            Ok(config) => config,
            Err(problems) => return Ok(Err(problems)),
        };
        if config.has_inline_secret() && paths::others_can_read(file) {
            config.warnings.push(format!(
                "{shown} holds a secret and others can read it: run `chmod 600 {shown}`, or use url_file"
            ));
        }
        config.file = Some(absolute);
        Ok(Ok(config))
    }

    /// Checks a text; relative paths are relative to `dir`, which has to be absolute.
    ///
    /// # Errors
    /// Every problem that the text has.
    pub fn parse(text: &str, dir: &Path) -> std::result::Result<Self, Problems> {
        let doc = document::Document::new(text);
        let config = parts::read(&doc, dir);
        match (config, doc.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(Problems(problems)),
        }
    }

    /// The sources whose switch is on.
    pub fn active_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|s| match s.switch {
            Switch::Files => self.switches.files,
            Switch::Logs => self.switches.logs,
            Switch::Config => self.switches.config,
        })
    }

    /// The databases, unless they are switched off.
    pub fn active_databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|_| self.switches.database)
    }

    /// The folder of the client programs that is named for a database.
    #[must_use]
    pub fn tools_of(&self, database: &str) -> Option<&Path> {
        let known = self.databases.iter().find(|known| known.name == database);
        known.and_then(|known| known.tools.as_deref())
    }

    /// What is wrong outside the file: sources and databases that are not there or of the wrong kind.
    #[must_use]
    pub fn check_sources(&self) -> Vec<Problem> {
        check::sources(self)
    }

    fn has_inline_secret(&self) -> bool {
        self.databases.iter().any(|database| database.has_inline_password)
            || self.drill.as_ref().is_some_and(|drill| drill.has_inline_password)
    }
}

impl Problems {
    fn into_error(self, shown: &str) -> Error {
        let count = self.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        Error::new(Code::Config, format!("{shown} has {count} {noun}:\n{self}"))
    }
}

fn read_text(file: &Path, shown: &str) -> Result<String> {
    let meta = std::fs::metadata(file).map_err(|e| {
        let error = Error::new(Code::Config, format!("read configuration {shown}: {e}"));
        match e.kind() {
            std::io::ErrorKind::NotFound => {
                error.remedy("write one with `cofre init`, or name one with --config FILE or COFRE_CONFIG")
            }
            _ => error,
        }
    })?;
    if !meta.is_file() {
        return Err(Error::new(Code::Config, format!("{shown} is not a file"))
            .remedy("--config names the configuration file itself, such as cofre.toml"));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(Error::new(
            Code::Config,
            format!("{shown} is larger than a configuration may be (1 MiB)"),
        ));
    }
    let bytes = std::fs::read(file)
        .map_err(|e| Error::new(Code::Config, format!("read configuration {shown}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        Error::new(Code::Config, format!("{shown} is not UTF-8 (line {line})"))
            .remedy("save it as UTF-8; for a path that is not UTF-8, name its parent folder")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
