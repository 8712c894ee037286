//! Requests of the contract as the library's own types.

use super::{api, jobs, spread, wit};
use crate::catalog::{Record, Status};
use crate::job;
use crate::limits::UnpackLimits;
use crate::shards::Piece;
use crate::types::{
    Check, Compression, CreateRequest, DatabaseInfo, Inventory, Kind, Observation, RestoreRequest,
    RetentionPolicy, RunRequest, Source, TableInfo,
};

pub(super) fn run_request(request: api::RunRequest) -> RunRequest {
    let api::RunRequest {
        backup_type,
        plan,
        started_at,
        zip_path_prefix,
    } = request;
    RunRequest {
        backup_type,
        plan,
        started_at,
        zip_path_prefix,
    }
}

pub(super) fn create_request(request: api::CreateRequest) -> CreateRequest {
    let api::CreateRequest {
        run,
        begun,
        sources,
        databases,
        compression,
        level,
        full,
    } = request;
    CreateRequest {
        run: run_request(run),
        begun,
        sources: sources.into_iter().map(source).collect(),
        databases: databases.into_iter().map(database).collect(),
        compression: match compression {
            wit::Compression::Deflate => Compression::Deflate,
            wit::Compression::Zstd => Compression::Zstd,
            wit::Compression::Store => Compression::Store,
        },
        level,
        full,
    }
}

fn source(source: wit::Source) -> Source {
    let wit::Source {
        folder,
        root,
        inventory,
        include,
        exclude,
        allow_empty,
    } = source;
    Source {
        folder,
        root,
        inventory: match inventory {
            wit::Inventory::Scan => Inventory::Scan,
            wit::Inventory::Observed(list) => {
                Inventory::Observed(list.into_iter().map(observation).collect())
            }
            wit::Inventory::ObservedFile(path) => Inventory::ObservedFile(path),
        },
        include,
        exclude,
        allow_empty,
    }
}

fn observation(observation: wit::Observation) -> Observation {
    let wit::Observation {
        path,
        kind: what,
        size,
        mtime_ns,
        ctime_ns,
        inode,
        mode,
        uid,
        gid,
    } = observation;
    Observation {
        path,
        kind: kind(what),
        size,
        mtime_ns,
        ctime_ns,
        inode,
        mode,
        uid,
        gid,
    }
}

fn kind(kind: wit::Kind) -> Kind {
    match kind {
        wit::Kind::File => Kind::File,
        wit::Kind::Directory => Kind::Directory,
        wit::Kind::Symlink(target) => Kind::Symlink(target),
        wit::Kind::Special => Kind::Special,
        wit::Kind::Unreadable(why) => Kind::Unreadable(why),
        wit::Kind::LeftOut(why) => Kind::LeftOut(why),
    }
}

fn database(database: wit::DatabaseInfo) -> DatabaseInfo {
    let wit::DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables,
    } = database;
    let table = |wit::TableInfo { name, file, rows }| TableInfo { name, file, rows };
    DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables: tables.into_iter().map(table).collect(),
    }
}

pub(super) fn unpack_limits(limits: api::UnpackLimits) -> UnpackLimits {
    let api::UnpackLimits {
        room,
        foreign_bytes,
        foreign_ratio,
    } = limits;
    UnpackLimits {
        room,
        foreign_bytes,
        foreign_ratio,
    }
}

pub(super) fn restore_request(request: api::RestoreRequest) -> RestoreRequest {
    let api::RestoreRequest { id, only } = request;
    RestoreRequest { id, only }
}

pub(super) fn policy(policy: api::RetentionPolicy) -> RetentionPolicy {
    let api::RetentionPolicy {
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within_seconds,
        keep_partial,
        keep_failed_seconds,
    } = policy;
    RetentionPolicy {
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within_seconds,
        keep_partial,
        keep_failed_seconds,
    }
}

pub(super) fn record(backup: wit::Backup) -> Record {
    let wit::Backup {
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
        // Looked up, never stored.
        archive_present: _,
        encrypted: _,
    } = backup;
    Record {
        id,
        name,
        backup_type,
        timestamp,
        status: match status {
            wit::Status::InProgress => Status::InProgress,
            wit::Status::Completed => Status::Completed,
            wit::Status::Partial => Status::Partial,
            wit::Status::Failed => Status::Failed,
            wit::Status::Cancelled => Status::Cancelled,
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
        extra: serde_json::Map::new(),
    }
}

pub(super) fn check(check: api::Check) -> Check {
    match check {
        api::Check::Verify => Check::Verify,
        api::Check::Drill => Check::Drill,
        api::Check::Restore => Check::Restore,
    }
}

pub(super) fn request(request: jobs::Request) -> job::Request {
    match request {
        jobs::Request::Create(request) => job::Request::Create(create_request(request)),
        jobs::Request::Verify((id, quick)) => job::Request::Verify { id, quick },
        jobs::Request::Restore(request) => job::Request::Restore(restore_request(request)),
    }
}

pub(super) fn piece(piece: spread::Piece) -> Piece {
    let spread::Piece { head, data } = piece;
    Piece { head, data }
}
