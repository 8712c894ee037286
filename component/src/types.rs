//! The requests and reports of the engine as plain Rust types: the twins of `wit/types.wit` and
//! `wit/engine.wit`, where every field is documented. They exist so that the library compiles natively;
//! `guest` alone converts between the two.

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Record};

/// What a thing in a source or an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A FIFO, socket or device.
    Special,
    /// Can't be read or named, and why.
    Unreadable(String),
    /// Left out on purpose by the host, and why.
    LeftOut(String),
}

/// What a host saw of one path below a source. [`Self::path`] is relative to the source's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Relative path.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: Option<i64>,
    /// Inode change time, nanoseconds since 1970.
    pub ctime_ns: Option<i64>,
    /// Inode number.
    pub inode: Option<u64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// One line of an observations file (`inventory.observed-file` of the WIT): the JSON form of an
/// [`Observation`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationLine {
    /// Relative path.
    pub path: String,
    /// `file`, `directory`, `symlink`, `special`, `unreadable` or `left-out`.
    pub kind: String,
    /// Target of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why it is unreadable or left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
    /// Nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime_ns: Option<i64>,
    /// Nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime_ns: Option<i64>,
    /// Inode number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
    /// Permission bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// Where the list of what is in a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inventory {
    /// The component's own scan.
    Scan,
    /// The host's observations.
    Observed(Vec<Observation>),
    /// The host's observations in a file below `/staging`, one [`ObservationLine`] a line.
    ObservedFile(String),
}

/// One folder of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Folder in the archive.
    pub folder: String,
    /// Preopen, or a path below one.
    pub root: String,
    /// What is in it.
    pub inventory: Inventory,
    /// Globs of which one has to match; empty means everything.
    pub include: Vec<String>,
    /// Globs of what to leave out.
    pub exclude: Vec<String>,
    /// Whether it may be empty.
    pub allow_empty: bool,
}

/// One table of a dumped database, as in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// Name in the database.
    pub name: String,
    /// File relative to `database/`.
    pub file: Option<String>,
    /// Rows in the dump.
    pub rows: u64,
}

/// One dumped database, as in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInfo {
    /// Name in the configuration.
    pub name: String,
    /// `sqlite`, `postgres`, `mysql`.
    pub engine: String,
    /// The engine's version.
    pub version: String,
    /// `database` or `database/NAME`.
    pub folder: String,
    /// The tables.
    pub tables: Vec<TableInfo>,
}

/// How entries are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Deflate.
    Deflate,
    /// Zstandard.
    Zstd,
    /// Not at all.
    Store,
}

/// What makes a run's name and row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    /// `[a-z0-9_-]{1,32}`.
    pub backup_type: String,
    /// Schedule's name, or `manual`.
    pub plan: String,
    /// RFC 3339 with offset and microseconds.
    pub started_at: String,
    /// Text in front of the archive's name in `zip_path`.
    pub zip_path_prefix: String,
}

/// What to put in an archive and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Name and row.
    pub run: RunRequest,
    /// Id from `begin_run`.
    pub begun: Option<u64>,
    /// The folders.
    pub sources: Vec<Source>,
    /// The dumped databases.
    pub databases: Vec<DatabaseInfo>,
    /// Compression.
    pub compression: Compression,
    /// Compression level.
    pub level: u8,
    /// Read every byte again.
    pub full: bool,
}

/// A row of the catalog and whether its archive is in the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// The row.
    pub record: Record,
    /// Whether the archive exists.
    pub archive_present: bool,
    /// Whether it exists only encrypted.
    pub encrypted: bool,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path in the archive, without a trailing `/`.
    pub path: String,
    /// File, directory or symlink.
    pub kind: Kind,
    /// Bytes before compression.
    pub size: u64,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: Option<i64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// CRC-32 of the content.
    pub crc32: Option<u32>,
    /// Changed while it was read.
    pub changed: bool,
}

/// Something that is not in an archive, as in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Path that it would have had.
    pub path: String,
    /// Why.
    pub reason: String,
    /// Whether it makes the run partial.
    pub missing: bool,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateReport {
    /// The new row.
    pub backup: Backup,
    /// What is not in the archive (at most [`REPORT_LIMIT`]).
    pub skips: Vec<Skip>,
    /// Files that changed meanwhile (at most [`REPORT_LIMIT`]).
    pub changed: Vec<String>,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyReport {
    /// The backup.
    pub backup: Backup,
    /// Entries compared.
    pub entries: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// Whether there is a manifest with rows.
    pub manifest: bool,
    /// Whether the SHA-256 was compared.
    pub checksum: bool,
    /// Everything that is wrong (at most [`REPORT_LIMIT`]).
    pub problems: Vec<String>,
}

/// What `restore` is to extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The backup.
    pub id: u64,
    /// Globs of paths in the archive; empty means everything.
    pub only: Vec<String>,
}

/// What `restore` wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreReport {
    /// The backup.
    pub backup: Backup,
    /// Files written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Links that were recorded only.
    pub links_left_out: Vec<Entry>,
    /// Whether the content was compared with a manifest.
    pub manifest: bool,
}

/// Totals of a catalog.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Rows.
    pub total_backups: u64,
    /// Completed rows.
    pub completed_backups: u64,
    /// Failed rows.
    pub failed_backups: u64,
    /// Partial rows.
    pub partial_backups: u64,
    /// Bytes of all archives.
    pub total_size_bytes: u64,
    /// Newest row.
    pub last_backup: Option<Backup>,
    /// Newest completed row.
    pub last_success: Option<Backup>,
    /// Rows without an archive.
    pub archives_missing: Vec<u64>,
    /// Archives without a row.
    pub archives_unknown: Vec<String>,
    /// Rows from the future.
    pub future: Vec<u64>,
}

/// How an entry differs between two archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// Content, size, kind or target differ.
    Modified,
    /// Mode or time differ.
    Metadata,
}

/// One difference between two archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Path in the archive.
    pub path: String,
    /// What happened.
    pub change: Change,
}

/// Which backups stay; see `retention`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Newest completed ones.
    pub max_backups: u32,
    /// Days.
    pub keep_daily: u32,
    /// ISO weeks.
    pub keep_weekly: u32,
    /// Months.
    pub keep_monthly: u32,
    /// Years.
    pub keep_yearly: u32,
    /// Younger than this, in seconds.
    pub keep_within_seconds: u64,
    /// Newest partial ones.
    pub keep_partial: u32,
    /// Age in seconds at which rows of failed and cancelled runs go.
    pub keep_failed_seconds: u64,
}

/// What retention says of one backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The backup.
    pub backup: Backup,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// What `rebuild` did.
#[derive(Debug, Clone, PartialEq)]
pub struct RebuildReport {
    /// Rows of the new catalog.
    pub backups: Vec<Backup>,
    /// Where the old catalog went.
    pub kept_aside: Option<String>,
    /// Archives that could not be read.
    pub problems: Vec<String>,
    /// Archives of deleted backups.
    pub left_out: Vec<String>,
}

/// What a check result is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// A verification.
    Verify,
    /// A restore drill.
    Drill,
    /// A restore.
    Restore,
}

/// The rest of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupDetails {
    /// The row.
    pub backup: Backup,
    /// Everything skipped.
    pub skips: Vec<Skip>,
    /// The databases.
    pub databases: Vec<DatabaseInfo>,
    /// Version of the component that made it.
    pub component_version: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Files done.
    pub files_done: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Path being worked on.
    pub current: Option<String>,
    /// Lines for the log since the last step.
    pub log: Vec<String>,
}

/// How a line of the log begins that somebody should see.
pub const WARNING: &str = "warning: ";

/// Most names that a report carries; the manifest has all of them.
pub const REPORT_LIMIT: usize = 1_000;

impl Progress {
    /// How far it is now; the log lines are given once.
    pub(crate) fn shown(&mut self) -> Self {
        let log = std::mem::take(&mut self.log);
        Self { log, ..self.clone() }
    }
}

impl Observation {
    /// What is at `path`, and nothing else known of it.
    #[must_use]
    pub fn new(path: String, kind: Kind) -> Self {
        Self {
            path,
            kind,
            size: 0,
            mtime_ns: None,
            ctime_ns: None,
            inode: None,
            mode: None,
            uid: None,
            gid: None,
        }
    }
}

impl Backup {
    /// The row of `record`, looked up in the folder by `catalog`.
    #[must_use]
    pub fn of(record: &Record, catalog: &Catalog) -> Self {
        Self {
            archive_present: catalog.archive_present(record),
            encrypted: catalog.is_sealed(record),
            record: record.clone(),
        }
    }
}
