//! The JSON objects of the API and of `--json`, field by field as clients see them. Nothing but data: the
//! meaning of each field stands in `wit/`.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::remote::RemoteStatus;

/// Any failure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Failure {
    /// Always false.
    pub success: bool,
    /// Stable English code.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What exactly; only the API, whose sentence is a general one, has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The backup whose run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Box<Backup>>,
    /// The verification that found something wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Box<Verification>>,
}

/// One backup: the catalog's row, and whether its archive is there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(
    missing_docs,
    reason = "documented once, in the WIT record of the same fields"
)]
pub struct Backup {
    pub id: u64,
    pub name: String,
    #[serde(rename = "type")]
    pub backup_type: String,
    pub timestamp: String,
    #[schema(pattern = "^(in_progress|completed|partial|failed|cancelled)$")]
    pub status: &'static str,
    pub size: u64,
    pub error: Option<String>,
    pub zip_path: Option<String>,
    pub plan: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub duration_seconds: Option<f64>,
    pub file_count: Option<u64>,
    pub source_bytes: Option<u64>,
    pub skipped: Option<u64>,
    pub changed: Option<u64>,
    pub sha256: Option<String>,
    pub reused_bytes: Option<u64>,
    pub pinned: bool,
    pub verified_at: Option<String>,
    pub verify_status: Option<String>,
    pub drilled_at: Option<String>,
    pub drill_status: Option<String>,
    pub restored_at: Option<String>,
    pub archive_present: bool,
    pub encrypted: bool,
}

/// The totals of a catalog.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Rows.
    pub total_backups: u64,
    /// Completed ones.
    pub completed_backups: u64,
    /// Failed ones.
    pub failed_backups: u64,
    /// Partial ones.
    pub partial_backups: u64,
    /// Bytes of all archives.
    pub total_size_bytes: u64,
    /// The same in MiB, with two decimals.
    pub total_size_mb: f64,
    /// How many completed ones stay.
    pub max_backups: u32,
    /// The backups folder as configured.
    pub backup_dir: String,
    /// The newest row, whatever its status.
    pub last_backup: Option<Backup>,
    /// The newest completed row.
    pub last_success: Option<Backup>,
    /// Ids whose archive is gone.
    pub archives_missing: Vec<u64>,
    /// Archives without a row.
    pub archives_unknown: Vec<String>,
    /// Ids of rows from the future.
    pub future: Vec<u64>,
    /// That the backups folder had a history and has none now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `status` of the command line: the totals, and when the plans run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// The totals.
    #[serde(flatten)]
    pub totals: Status,
    /// The plans of the configuration.
    pub schedules: Vec<ScheduleStatus>,
    /// The copies off the machine.
    pub remotes: Vec<RemoteStatus>,
}

/// When a plan of the configuration runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScheduleStatus {
    /// The plan's name.
    pub plan: String,
    /// When it is due next, RFC 3339 in the configured zone; null if never.
    pub next_run: Option<String>,
    /// When it ran last, likewise.
    pub last_run: Option<String>,
    /// Due times at which no run could start.
    pub missed: u64,
    /// Since when a run is due that has not begun, likewise; null if none is.
    pub late_since: Option<String>,
    /// Whether it runs at all.
    pub enabled: bool,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entry {
    /// Path in the archive.
    pub path: String,
    /// `file`, `directory` or `symlink`; in a plan also `special`, `unreadable` or `left-out`.
    pub kind: &'static str,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Bytes before compression.
    pub size: u64,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// Modification time, RFC 3339 in UTC with nanoseconds.
    pub mtime: Option<String>,
    /// Permission bits in octal.
    pub mode: Option<String>,
    /// CRC-32 in hexadecimal.
    pub crc32: Option<String>,
    /// Changed while it was read.
    pub changed: bool,
}

/// Something that is not in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Skip {
    /// Path that it would have had.
    pub path: String,
    /// Why.
    pub reason: String,
    /// Whether it makes the run partial.
    pub missing: bool,
}

/// One dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Database {
    /// Name in the configuration.
    pub name: String,
    /// `sqlite`, `postgres`, `mysql`.
    pub engine: String,
    /// The engine's version.
    pub version: String,
    /// Folder in the archive.
    pub folder: String,
    /// Its tables.
    pub tables: Vec<DumpedTable>,
}

/// One table of a dumped database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DumpedTable {
    /// Name in the database.
    pub name: String,
    /// File in the archive.
    pub file: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// `show`: a backup with what is in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Details {
    /// The backup.
    pub backup: Backup,
    /// Version of the component that made it.
    pub component_version: Option<String>,
    /// The databases.
    pub databases: Vec<Database>,
    /// What is not in it.
    pub skipped: Vec<Skip>,
    /// Its entries; null where the archive can't be read.
    pub entries: Option<Vec<Entry>>,
}

/// `create --dry-run`: what would be in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// What would not be in it.
    pub skipped: Vec<Skip>,
}

/// `verify`: the result of each backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Whether all are good.
    pub success: bool,
    /// One for each.
    pub results: Vec<Verification>,
}

/// The result of one verification.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Verification {
    /// The backup.
    pub backup: Backup,
    /// `verified`, `verified (no manifest)` or `failed`; `whole (not opened)` of an encrypted archive of which only the
    /// file could be checked.
    #[schema(pattern = "^(verified|verified \\(no manifest\\)|failed|whole \\(not opened\\))$")]
    pub status: &'static str,
    /// Entries compared.
    pub entries: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// Whether there is a manifest with rows.
    pub manifest: bool,
    /// Whether the SHA-256 was compared.
    pub checksum: bool,
    /// What is wrong: with the archive where it `failed`, otherwise with what lies beside a good one.
    pub problems: Vec<String>,
}

/// `drill`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drill {
    /// Whether the backup was proved.
    pub success: bool,
    /// The backup.
    pub backup: Backup,
    /// `passed`, `failed`, or `not drilled` where only something outside of the backup was in the way.
    pub status: &'static str,
    /// Files restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the content was compared with a manifest.
    pub manifest: bool,
    /// How long all of it took.
    pub duration_seconds: f64,
    /// One for each database of the manifest.
    pub databases: Vec<DrilledDatabase>,
    /// What is wrong, that with the backup first.
    pub problems: Vec<DrillProblem>,
    /// What somebody should know, and what is no fault of the backup.
    pub notes: Vec<String>,
}

/// What came of a database in a drill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrilledDatabase {
    /// Name in the configuration.
    pub name: String,
    /// `sqlite`, `postgres`, `mysql`.
    pub engine: String,
    /// `loaded`, `failed` or `not drilled`.
    pub status: &'static str,
    /// Tables that were there after loading.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// How long it took.
    pub duration_seconds: f64,
}

/// One thing that a drill found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillProblem {
    /// A stable name: `rows_differ`, `file_missing`, ...
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// `restore`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Restored {
    /// Always true: a failure is a [`Failure`].
    pub success: bool,
    /// The backup.
    pub backup: Backup,
    /// Where it is.
    pub restore_path: String,
    /// The manifest without its rows; null where the archive has none or it was not restored.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Absolute links that were recorded only.
    pub links_left_out: Vec<Entry>,
}

/// `restore --database`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoredDatabase {
    /// Always true: a failure is a [`Failure`].
    pub success: bool,
    /// The backup.
    pub backup: Backup,
    /// The database's name in it.
    pub database: String,
    /// Its engine.
    pub engine: String,
    /// Where it is now, without a password.
    pub into: String,
    /// Tables that are there now.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// What was there before.
    pub replaced: Vec<ReplacedTable>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// A table that was replaced by a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacedTable {
    /// Its name.
    pub name: String,
    /// Its rows, on a server about.
    pub rows: u64,
}

/// `diff`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The first.
    pub a: Backup,
    /// The second.
    pub b: Backup,
    /// What changed from the first to the second.
    pub changes: Vec<Difference>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Path in the archive.
    pub path: String,
    /// `added`, `removed`, `modified` or `metadata`.
    pub change: &'static str,
}

/// `prune`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Pruned {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Ids that are gone, or would be.
    pub removed: Vec<u64>,
    /// Every backup with its reasons.
    pub verdicts: Vec<Verdict>,
}

/// What retention says of one backup.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Verdict {
    /// The backup.
    pub backup: Backup,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// `rebuild`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rebuilt {
    /// The new rows.
    pub backups: Vec<Backup>,
    /// Where the old catalog went.
    pub kept_aside: Option<String>,
    /// Archives that could not be read.
    pub problems: Vec<String>,
    /// Archives of deleted backups, which were not taken in again.
    pub left_out: Vec<String>,
}

/// `component`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// SHA-256 of the `.wasm`.
    pub digest: String,
    /// Version of the WIT package.
    pub wit: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// `config check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigCheck {
    /// Whether nothing is wrong.
    pub success: bool,
    /// The file.
    pub file: String,
    /// What is wrong.
    pub problems: Vec<ConfigProblem>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// The key.
    pub key: String,
    /// Its line.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Initialised {
    /// Always true: a failure is a [`Failure`].
    pub success: bool,
    /// The file that was written.
    pub file: String,
    /// Names of the sources in it.
    pub sources: Vec<String>,
    /// Names of the databases in it.
    pub databases: Vec<String>,
    /// What was seen and not taken, and why.
    pub notes: Vec<String>,
}

/// `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether nothing is wrong; warnings don't count.
    pub success: bool,
    /// One for each thing that was looked at.
    pub findings: Vec<Finding>,
}

/// What `doctor` says of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `configuration`, `permissions`, `space`, ...
    pub area: &'static str,
    /// `ok`, `warning` or `problem`.
    pub level: &'static str,
    /// What was found.
    pub message: String,
    /// How to mend it.
    pub remedy: Option<String>,
}
