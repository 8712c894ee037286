//! What the parts of a [`Config`](super::Config) are. Nothing but data; each is read and checked in the module of its
//! tables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use croner::Cron;
use ipnet::IpNet;

use super::{At, Secret};
use crate::notify::Event;

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
    /// An archive without a manifest may unpack to this many bytes,
    pub foreign_bytes: u64,
    /// or to this many times its own size, whichever is more.
    pub foreign_ratio: u64,
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
    /// Which tables have their rows dumped.
    pub tables: Tables,
    /// The folder of the client programs; none looks in the usual places.
    pub tools: Option<PathBuf>,
    /// The configuration itself has a URL with a password, not a file of its own.
    pub has_inline_password: bool,
}

/// Globs of tables, `schema.table`; see [`TableFilter`](crate::dump::tables::TableFilter).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// One of these has to match; empty means all.
    pub include: Vec<String>,
    /// None of these may match.
    pub exclude: Vec<String>,
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
    /// When; none means by hand only.
    pub at: Option<At>,
    /// How old the last one that passed may become; none means that one is held each time.
    pub max_age: Option<Duration>,
    /// How long loading one database may take.
    pub timeout: Duration,
    /// A PostgreSQL server, by the URL of a database to connect to.
    pub postgres: Option<Secret>,
    /// A MySQL or MariaDB server.
    pub mysql: Option<Secret>,
    /// One of these URLs stands in the configuration itself, with a password.
    pub has_inline_password: bool,
}

impl Drill {
    /// [`Drill::timeout`] where nothing is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(2 * 3600);
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
