//! The configuration: `cofre.toml` read, checked, and turned into [`Config`], the only form that the rest of
//! the host sees. Every problem is reported at once, each with its key, its line and, where there is one, a
//! suggestion. Nothing here opens a source; `cofre config check` and `cofre doctor` do.

mod adhoc;
mod check;
mod document;
pub mod keys;
mod parts;
mod paths;
mod plans;
mod secret;
mod service;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use croner::Cron;
use ipnet::IpNet;

pub use adhoc::AdHoc;
pub use document::Problem;
pub(crate) use paths::others_can_read;
pub use secret::Secret;
pub use value::At;
pub use value::check_backup_type;

use crate::error::{Code, Error, Result};
use crate::notify::Event;

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
    /// How the log looks, and where else it goes.
    pub log: Log,
    /// What is not wrong, but should be looked at.
    pub warnings: Vec<String>,
}

/// What prune keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Newest completed ones; at least 1.
    pub max_backups: u32,
    /// One for each of this many days.
    pub keep_daily: u32,
    /// One for each of this many ISO weeks.
    pub keep_weekly: u32,
    /// One for each of this many months.
    pub keep_monthly: u32,
    /// One for each of this many years.
    pub keep_yearly: u32,
    /// All that are younger.
    pub keep_within: Duration,
    /// Newest partial ones.
    pub keep_partial: u32,
    /// Age at which rows of failed and cancelled runs go.
    pub keep_failed: Duration,
}

/// The four switches of the original system. A source belongs to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    /// Databases.
    pub database: bool,
    /// Files, and every source that says nothing else.
    pub files: bool,
    /// The source `logs`.
    pub logs: bool,
    /// The source `config`.
    pub config: bool,
}

/// One of [`Switches`] that a source can belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// `files`.
    Files,
    /// `logs`.
    Logs,
    /// `config`.
    Config,
}

/// How archives are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// How entries are compressed.
    pub compression: Compression,
    /// 1 to 9 for deflate, 1 to 22 for zstd.
    pub level: u8,
    /// Threads; 0 means one for each core.
    pub workers: u16,
}

/// How entries are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Deflate, which everything opens.
    Deflate,
    /// Zstandard.
    Zstd,
    /// None.
    Store,
}

/// Limits of one sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Longest time without progress.
    pub stall: Duration,
}

/// One folder of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the folder in the archive.
    pub folder: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Globs of which one has to match; empty means everything.
    pub include: Vec<String>,
    /// Globs of what to leave out.
    pub exclude: Vec<String>,
    /// Whether it may be empty.
    pub allow_empty: bool,
    /// The switch that it belongs to.
    pub switch: Switch,
}

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A whole folder.
    Folder(PathBuf),
    /// Single files.
    Files(Vec<SingleFile>),
}

/// A file of [`Origin::Files`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleFile {
    /// The file.
    pub path: PathBuf,
    /// Its path below the source's folder in the archive, with `/`: as written where that is relative and
    /// without `..`, otherwise its last component.
    pub name: String,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Name in the configuration.
    pub name: String,
    /// What it is and where.
    pub engine: DatabaseEngine,
}

/// What a database is, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseEngine {
    /// A file.
    Sqlite(PathBuf),
    /// A server, by its `postgres://` URL.
    Postgres(Secret),
    /// A server, by its `mysql://` URL.
    Mysql(Secret),
}

/// Programs before and after a run, each an argument vector without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Empty means none.
    pub before: Vec<String>,
    /// Empty means none.
    pub after: Vec<String>,
    /// How long each may take.
    pub timeout: Duration,
}

/// When runs happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The plan's name.
    pub name: String,
    /// The type in the archives' names.
    pub backup_type: String,
    /// When.
    pub when: When,
    /// Read every byte again.
    pub full: bool,
    /// Each start is put off by up to this much, by the same amount whenever it is computed.
    pub jitter: Duration,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Whether a run that was missed is made up for, once.
    pub catch_up: bool,
    /// Whom each run reports to.
    pub ping: Option<Ping>,
}

/// When a plan is due, in the configured zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At a time of day.
    At(At),
    /// As cron says.
    Cron(Box<Cron>),
}

/// A dead-man's switch in the style of Healthchecks: it raises the alarm when the success of a run is not
/// reported in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The URL of success; `/start` and `/fail` go below it.
    pub url: Secret,
    /// Its host, which may be shown.
    pub host: String,
}

/// When archives are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyPlan {
    /// When.
    pub at: At,
    /// By what age each archive has been verified again.
    pub max_age: Duration,
}

/// When restores are practised, and where scratch databases may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// When.
    pub at: At,
    /// A PostgreSQL server.
    pub postgres: Option<Secret>,
    /// A MySQL or MariaDB server.
    pub mysql: Option<Secret>,
}

/// The REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Addresses or networks (`10.0.0.0/8`) whose `X-Forwarded-For` or `Forwarded` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// How long running work may take at the end of `serve`.
    pub grace: Duration,
    /// Below which the API may restore.
    pub restore_dir: Option<PathBuf>,
    /// Connections at a time. When there are more, idle ones give way; when none is idle, new ones wait.
    pub max_connections: usize,
    /// Who may call.
    pub tokens: Vec<Token>,
    /// The application's own session.
    pub jwt: Option<Jwt>,
}

/// A caller of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token, 32 bytes.
    pub sha256: [u8; 32],
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Metrics only.
    Viewer,
}

/// How tokens of the application are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// `HS256`, `RS256`, ...
    pub algorithm: String,
    /// The key.
    pub key_file: PathBuf,
    /// The claim that decides.
    pub claim: String,
    /// Its value for administrators.
    pub admin: String,
    /// What `aud` has to be.
    pub audience: Option<String>,
    /// The cookie that may carry it; none means the header only.
    pub cookie: Option<String>,
}

/// Who is told of each run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What it is called in logs and by `cofre webhook test`; its host unless configured.
    pub name: String,
    /// Where to.
    pub url: Secret,
    /// Its host, which may be shown.
    pub host: String,
    /// The key of the signature; a `whsec_` one has been checked.
    pub secret: Option<Secret>,
    /// Which events; empty means all.
    pub events: Vec<Event>,
    /// Whether `http` to another machine is allowed.
    pub allow_http: bool,
}

impl Webhook {
    /// Whether it is told of an event.
    #[must_use]
    pub fn takes(&self, event: Event) -> bool {
        self.events.is_empty() || self.events.contains(&event)
    }
}

/// How the log looks, and where else it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// What is logged; none means what the command line says (`serve`: `info`).
    pub level: Option<tracing::Level>,
    /// Text or JSON.
    pub format: LogFormat,
    /// A file that gets every line too.
    pub file: Option<PathBuf>,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
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

    /// What the file asks for and this version does not do yet. Said by `config check` and `doctor`, so that
    /// nobody relies on it.
    #[must_use]
    pub fn not_yet(&self) -> Vec<String> {
        let drill = self
            .drill
            .as_ref()
            .map(|_| "[drill] is accepted, but this version does not practise restores".to_owned());
        let servers = self.active_databases().filter_map(|database| {
            let server = !matches!(database.engine, DatabaseEngine::Sqlite(_));
            server.then(|| {
                format!(
                    "databases.{} is accepted, but this version dumps SQLite only: a run with it fails",
                    database.name
                )
            })
        });
        drill.into_iter().chain(servers).collect()
    }

    /// What is wrong outside the file: sources and databases that are not there or of the wrong kind.
    #[must_use]
    pub fn check_sources(&self) -> Vec<Problem> {
        check::sources(self)
    }

    fn has_inline_secret(&self) -> bool {
        self.databases.iter().any(|d| match &d.engine {
            DatabaseEngine::Sqlite(_) => false,
            DatabaseEngine::Postgres(url) | DatabaseEngine::Mysql(url) => value::has_password(url.expose()),
        })
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
