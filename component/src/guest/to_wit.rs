//! Results of the library as the contract's types.

use super::{Error, api, jobs, spread, wit};
use crate::catalog::{Record, Status};
use crate::error::ErrorKind;
use crate::job::Outcome;
use crate::shards::{Piece, Turn};
use crate::types::{
    Backup, BackupDetails, Change, CreateReport, DatabaseInfo, Difference, Entry, Kind, Progress,
    RebuildReport, RestoreReport, Skip, Summary, TableInfo, Verdict, VerifyReport,
};

pub(super) fn list<A, B>(items: Vec<A>, one: impl FnMut(A) -> B) -> Vec<B> {
    items.into_iter().map(one).collect()
}

pub(super) fn error(e: Error) -> wit::Error {
    let Error {
        kind,
        operation,
        subject,
        message,
        remedy,
    } = e;
    let detail = wit::ErrorDetail {
        operation,
        subject,
        message,
        remedy,
    };
    match kind {
        ErrorKind::InvalidInput => wit::Error::InvalidInput(detail),
        ErrorKind::SourceMissing => wit::Error::SourceMissing(detail),
        ErrorKind::NotFound => wit::Error::NotFound(detail),
        ErrorKind::AlreadyExists => wit::Error::AlreadyExists(detail),
        ErrorKind::Refused => wit::Error::Refused(detail),
        ErrorKind::Corrupt => wit::Error::Corrupt(detail),
        ErrorKind::CatalogInvalid => wit::Error::CatalogInvalid(detail),
        ErrorKind::AccessDenied => wit::Error::AccessDenied(detail),
        ErrorKind::NoSpace => wit::Error::NoSpace(detail),
        ErrorKind::Io => wit::Error::Io(detail),
        ErrorKind::Unsupported => wit::Error::Unsupported(detail),
        ErrorKind::Cancelled => wit::Error::Cancelled(detail),
    }
}

pub(super) fn backup(backup: Backup) -> wit::Backup {
    let Backup {
        record,
        archive_present,
        encrypted,
    } = backup;
    let Record {
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
        // What other programs wrote into the row stays in the catalog.
        extra: _,
    } = record;
    wit::Backup {
        id,
        name,
        backup_type,
        timestamp,
        status: match status {
            Status::InProgress => wit::Status::InProgress,
            Status::Completed => wit::Status::Completed,
            Status::Partial => wit::Status::Partial,
            Status::Failed => wit::Status::Failed,
            Status::Cancelled => wit::Status::Cancelled,
        },
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

pub(super) fn entry(entry: Entry) -> wit::Entry {
    let Entry {
        path,
        kind,
        size,
        compressed_size,
        mtime_ns,
        mode,
        crc32,
        changed,
    } = entry;
    wit::Entry {
        path,
        kind: match kind {
            Kind::File => wit::Kind::File,
            Kind::Directory => wit::Kind::Directory,
            Kind::Symlink(target) => wit::Kind::Symlink(target),
            Kind::Special => wit::Kind::Special,
            Kind::Unreadable(why) => wit::Kind::Unreadable(why),
            Kind::LeftOut(why) => wit::Kind::LeftOut(why),
        },
        size,
        compressed_size,
        mtime_ns,
        mode,
        crc32,
        changed,
    }
}

pub(super) fn skip(skip: Skip) -> wit::Skip {
    let Skip {
        path,
        reason,
        missing,
    } = skip;
    wit::Skip {
        path,
        reason,
        missing,
    }
}

pub(super) fn create_report(report: CreateReport) -> api::CreateReport {
    let CreateReport {
        backup: row,
        skips,
        changed,
    } = report;
    api::CreateReport {
        backup: backup(row),
        skips: list(skips, skip),
        changed,
    }
}

pub(super) fn verify_report(report: VerifyReport) -> api::VerifyReport {
    let VerifyReport {
        backup: row,
        entries,
        bytes,
        manifest,
        checksum,
        problems,
    } = report;
    api::VerifyReport {
        backup: backup(row),
        entries,
        bytes,
        manifest,
        checksum,
        problems,
    }
}

pub(super) fn restore_report(report: RestoreReport) -> api::RestoreReport {
    let RestoreReport {
        backup: row,
        files,
        bytes,
        links_left_out,
        manifest,
    } = report;
    api::RestoreReport {
        backup: backup(row),
        files,
        bytes,
        links_left_out: list(links_left_out, entry),
        manifest,
    }
}

pub(super) fn details(details: BackupDetails) -> api::BackupDetails {
    let BackupDetails {
        backup: row,
        skips,
        databases,
        component_version,
    } = details;
    api::BackupDetails {
        backup: backup(row),
        skips: list(skips, skip),
        databases: list(databases, database),
        component_version,
    }
}

fn database(database: DatabaseInfo) -> wit::DatabaseInfo {
    let DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables,
    } = database;
    let table = |TableInfo { name, file, rows }| wit::TableInfo { name, file, rows };
    wit::DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables: list(tables, table),
    }
}

pub(super) fn summary(summary: Summary) -> api::Summary {
    let Summary {
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
    api::Summary {
        total_backups,
        completed_backups,
        failed_backups,
        partial_backups,
        total_size_bytes,
        last_backup: last_backup.map(backup),
        last_success: last_success.map(backup),
        archives_missing,
        archives_unknown,
        future,
    }
}

pub(super) fn difference(difference: Difference) -> api::Difference {
    let Difference { path, change } = difference;
    api::Difference {
        path,
        change: match change {
            Change::Added => api::Change::Added,
            Change::Removed => api::Change::Removed,
            Change::Modified => api::Change::Modified,
            Change::Metadata => api::Change::Metadata,
        },
    }
}

pub(super) fn verdict(verdict: Verdict) -> api::Verdict {
    let Verdict {
        backup: row,
        keep,
        reasons,
    } = verdict;
    api::Verdict {
        backup: backup(row),
        keep,
        reasons,
    }
}

pub(super) fn rebuild_report(report: RebuildReport) -> api::RebuildReport {
    let RebuildReport {
        backups,
        kept_aside,
        problems,
        left_out,
    } = report;
    api::RebuildReport {
        backups: list(backups, backup),
        kept_aside,
        problems,
        left_out,
    }
}

pub(super) fn progress(progress: Progress, outcome: Option<Outcome>) -> jobs::Progress {
    let Progress {
        files_done,
        files_total,
        bytes_done,
        bytes_total,
        current,
        log,
    } = progress;
    jobs::Progress {
        files_done,
        files_total,
        bytes_done,
        bytes_total,
        current,
        log,
        outcome: outcome.map(self::outcome),
    }
}

fn outcome(outcome: Outcome) -> jobs::Outcome {
    match outcome {
        Outcome::Created(report) => jobs::Outcome::Created(create_report(report)),
        Outcome::Verified(report) => jobs::Outcome::Verified(verify_report(report)),
        Outcome::Restored(report) => jobs::Outcome::Restored(restore_report(report)),
    }
}

pub(super) fn turn(turn: Turn) -> spread::Turn {
    match turn {
        Turn::Task(task) => spread::Turn::Task(task),
        Turn::Working => spread::Turn::Working,
        Turn::Waiting => spread::Turn::Waiting,
        Turn::Ended(ended) => spread::Turn::Ended(outcome(*ended)),
    }
}

pub(super) fn piece(piece: Piece) -> spread::Piece {
    let Piece { head, data } = piece;
    spread::Piece { head, data }
}
