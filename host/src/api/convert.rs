//! The engine's types turned into the API's. Every record is taken apart without `..`: a new field of the WIT
//! does not compile until it is dealt with here.

use chrono::{DateTime, SecondsFormat};

use super::types;
use crate::config::{Config, Retention};
use crate::engine::wit::engine as e;
use crate::engine::wit::types as w;
use crate::error::Error;
use crate::restore::{self, RestoreOutcome};

/// The word of `--json`, the catalog and the API.
#[must_use]
pub fn status_word(status: w::Status) -> &'static str {
    match status {
        w::Status::InProgress => "in_progress",
        w::Status::Completed => "completed",
        w::Status::Partial => "partial",
        w::Status::Failed => "failed",
        w::Status::Cancelled => "cancelled",
    }
}

impl From<w::Backup> for types::Backup {
    fn from(backup: w::Backup) -> Self {
        let w::Backup {
            id,
            name,
            backup_type,
            timestamp,
            status,
            size,
            error,
            zip_path,
            plan,
            started_at,
            finished_at,
            duration_seconds,
            file_count,
            source_bytes,
            skipped,
            changed,
            sha256,
            reused_bytes,
            pinned,
            verified_at,
            verify_status,
            drilled_at,
            drill_status,
            restored_at,
            archive_present,
            encrypted,
        } = backup;
        Self {
            id,
            name,
            backup_type,
            timestamp,
            status: status_word(status),
            size,
            error,
            zip_path,
            plan,
            started_at,
            finished_at,
            duration_seconds,
            file_count,
            source_bytes,
            skipped,
            changed,
            sha256,
            reused_bytes,
            pinned,
            verified_at,
            verify_status,
            drilled_at,
            drill_status,
            restored_at,
            archive_present,
            encrypted,
        }
    }
}

impl types::Status {
    /// The totals, with what only the configuration knows, and that the history is `lost`.
    #[must_use]
    pub fn new(summary: e::Summary, config: &Config, lost: Option<&Error>) -> Self {
        let e::Summary {
            total_backups,
            completed_backups,
            failed_backups,
            partial_backups,
            total_size_bytes,
            last_backup,
            last_success,
            archives_missing,
            archives_unknown,
            future,
        } = summary;
        Self {
            total_backups,
            completed_backups,
            failed_backups,
            partial_backups,
            total_size_bytes,
            total_size_mb: mebibytes(total_size_bytes),
            max_backups: config.retention.max_backups,
            backup_dir: config.zip_path_prefix.trim_end_matches('/').to_owned(),
            last_backup: last_backup.map(Into::into),
            last_success: last_success.map(Into::into),
            archives_missing,
            archives_unknown,
            future,
            note: lost.map(|error| error.message.clone()),
        }
    }
}

/// The totals of a backups folder that does not exist yet.
#[must_use]
pub fn no_backups() -> e::Summary {
    e::Summary {
        total_backups: 0,
        completed_backups: 0,
        failed_backups: 0,
        partial_backups: 0,
        total_size_bytes: 0,
        last_backup: None,
        last_success: None,
        archives_missing: Vec::new(),
        archives_unknown: Vec::new(),
        future: Vec::new(),
    }
}

/// MiB with two decimals, as the original system shows them.
#[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn mebibytes(bytes: u64) -> f64 {
    (bytes as f64 / 1_048_576.0 * 100.0).round() / 100.0
}

impl From<w::Entry> for types::Entry {
    fn from(entry: w::Entry) -> Self {
        let w::Entry {
            path,
            kind,
            size,
            compressed_size,
            mtime_ns,
            mode,
            crc32,
            changed,
        } = entry;
        let (kind, target) = match kind {
            w::Kind::File => ("file", None),
            w::Kind::Directory => ("directory", None),
            w::Kind::Symlink(target) => ("symlink", Some(target)),
            w::Kind::Special => ("special", None),
            w::Kind::Unreadable(_) => ("unreadable", None),
            w::Kind::LeftOut(_) => ("left-out", None),
        };
        Self {
            path,
            kind,
            target,
            size,
            compressed_size,
            mtime: mtime_ns.map(utc),
            mode: mode.map(|bits| format!("{bits:04o}")),
            crc32: crc32.map(|crc| format!("{crc:08x}")),
            changed,
        }
    }
}

/// RFC 3339 in UTC, with nanoseconds, as in the manifest.
fn utc(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

impl From<w::Skip> for types::Skip {
    fn from(skip: w::Skip) -> Self {
        let w::Skip {
            path,
            reason,
            missing,
        } = skip;
        Self {
            path,
            reason,
            missing,
        }
    }
}

impl From<w::DatabaseInfo> for types::Database {
    fn from(info: w::DatabaseInfo) -> Self {
        let w::DatabaseInfo {
            name,
            engine,
            version,
            folder,
            tables,
        } = info;
        Self {
            name,
            engine,
            version,
            folder,
            tables: tables.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<w::TableInfo> for types::DumpedTable {
    fn from(info: w::TableInfo) -> Self {
        let w::TableInfo { name, file, rows } = info;
        Self { name, file, rows }
    }
}

impl types::Details {
    /// A backup's details and, where they could be read, its entries.
    #[must_use]
    pub fn new(details: e::BackupDetails, entries: Option<Vec<types::Entry>>) -> Self {
        let e::BackupDetails {
            backup,
            skips,
            databases,
            component_version,
        } = details;
        Self {
            backup: backup.into(),
            component_version,
            databases: databases.into_iter().map(Into::into).collect(),
            skipped: skips.into_iter().map(Into::into).collect(),
            entries,
        }
    }
}

impl types::Details {
    /// What is known of a backup without its archive: the row.
    #[must_use]
    pub fn row_only(backup: w::Backup) -> Self {
        Self {
            backup: backup.into(),
            component_version: None,
            databases: Vec::new(),
            skipped: Vec::new(),
            entries: None,
        }
    }
}

impl types::Restored {
    /// What a restore did; with `absolute_links` none was left out.
    #[must_use]
    pub fn new(outcome: RestoreOutcome, absolute_links: bool) -> Self {
        let RestoreOutcome { report, path } = outcome;
        let e::RestoreReport {
            backup,
            files: _,
            bytes: _,
            links_left_out,
            manifest: _,
        } = report;
        Self {
            success: true,
            backup: backup.into(),
            restore_path: path.to_string_lossy().into_owned(),
            metadata: restore::metadata(&path),
            links_left_out: if absolute_links {
                Vec::new()
            } else {
                links_left_out.into_iter().map(Into::into).collect()
            },
        }
    }
}

impl From<e::VerifyReport> for types::Verification {
    fn from(report: e::VerifyReport) -> Self {
        let e::VerifyReport {
            backup,
            entries,
            bytes,
            manifest,
            checksum,
            problems,
        } = report;
        let status = match (problems.is_empty(), manifest) {
            (false, _) => "failed",
            (true, true) => "verified",
            (true, false) => "verified (no manifest)",
        };
        Self {
            backup: backup.into(),
            status,
            entries,
            bytes,
            manifest,
            checksum,
            problems,
        }
    }
}

impl From<e::Difference> for types::Difference {
    fn from(difference: e::Difference) -> Self {
        let e::Difference { path, change } = difference;
        let change = match change {
            e::Change::Added => "added",
            e::Change::Removed => "removed",
            e::Change::Modified => "modified",
            e::Change::Metadata => "metadata",
        };
        Self { path, change }
    }
}

impl types::Pruned {
    /// What retention did, or would do.
    #[must_use]
    pub fn new(verdicts: Vec<e::Verdict>, dry_run: bool) -> Self {
        let removed = verdicts.iter().filter(|v| !v.keep).map(|v| v.backup.id).collect();
        Self {
            dry_run,
            removed,
            verdicts: verdicts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<e::Verdict> for types::Verdict {
    fn from(verdict: e::Verdict) -> Self {
        let e::Verdict {
            backup,
            keep,
            reasons,
        } = verdict;
        Self {
            backup: backup.into(),
            keep,
            reasons,
        }
    }
}

impl From<e::RebuildReport> for types::Rebuilt {
    fn from(report: e::RebuildReport) -> Self {
        let e::RebuildReport {
            backups,
            kept_aside,
            problems,
            left_out,
        } = report;
        Self {
            backups: backups.into_iter().map(Into::into).collect(),
            kept_aside,
            problems,
            left_out,
        }
    }
}

/// The policy of the configuration, as the component takes it.
#[must_use]
pub fn retention_policy(config: &Config) -> e::RetentionPolicy {
    policy_of(&config.retention)
}

/// A policy, as the component takes it.
#[must_use]
pub fn policy_of(retention: &Retention) -> e::RetentionPolicy {
    let Retention {
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within,
        keep_partial,
        keep_failed,
    } = retention.clone();
    e::RetentionPolicy {
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within_seconds: keep_within.as_secs(),
        keep_partial,
        keep_failed_seconds: keep_failed.as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_mb_have_two_decimals() {
        assert_eq!(format!("{}", mebibytes(1_234_567)), "1.18");
        assert_eq!(format!("{}", mebibytes(0)), "0");
    }

    #[test]
    fn times_before_1970_are_shown() {
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(utc(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }
}
