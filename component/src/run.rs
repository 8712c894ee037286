//! The row of a run: opened before anything is read, closed when the run has ended in whatever way.
//!
//! What the run does in between is `create`'s; what a crashed run left is `run::recover`'s.

mod recover;
#[cfg(test)]
mod tests;

pub use recover::INTERRUPTED;
pub(crate) use recover::remove_files;

use serde_json::Map;

use crate::catalog::{Catalog, Record, Status, names, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::types::{RunRequest, Skip};

/// Longest plan, in characters.
const MAX_PLAN: usize = 64;

/// Longest text in front of the archive's name in `zip_path`, in bytes.
const MAX_PREFIX: usize = 4096;

/// Longest error text that a row keeps, in characters.
const MAX_ERROR: usize = 2000;

/// Opens the row of a run (status `in_progress`): checks the request, cleans up after an interrupted run, and
/// takes the next id and the next free second.
///
/// # Errors
/// `InvalidInput` for a bad type, plan or time; `CatalogInvalid`; or an I/O error.
pub fn begin(roots: &Roots, request: &RunRequest) -> Result<Record> {
    names::check_type(&request.backup_type)?;
    check_plan(&request.plan)?;
    check_prefix(&request.zip_path_prefix)?;
    let started = time::parse_instant(&request.started_at, "start of the run")?;
    let local = started.naive_local();

    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    recover::recover(&dir, &mut catalog)?;
    let name = names::next_free(&request.backup_type, local, |name| catalog.is_taken(name))?;
    let row = catalog.append(|id| Record {
        id,
        zip_path: Some(format!("{}{name}.zip", request.zip_path_prefix)),
        name,
        backup_type: request.backup_type.clone(),
        timestamp: time::format_timestamp(local),
        plan: Some(request.plan.clone()),
        started_at: Some(time::format_instant(started)),
        ..blank()
    })?;
    let row = row.clone();
    catalog.publish(&dir)?;
    Ok(row)
}

/// Closes the row of a run that published its archive: replaces it by `row`.
///
/// # Errors
/// `NotFound` when there is no such row, `InvalidInput` when that run is not the one that is open, or an I/O
/// error.
pub fn finish(roots: &Roots, row: Record) -> Result<Record> {
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let open = catalog.get_mut(row.id)?;
    if open.status != Status::InProgress || open.name != row.name {
        return Err(ended(open));
    }
    *open = row.clone();
    catalog.publish(&dir)?;
    Ok(row)
}

/// Closes the row of a run that has no archive. A run that has ended already is left as it is, and one whose
/// archive was published before it was stopped counts as done. `now` (RFC 3339) gives the end, where known.
///
/// # Errors
/// `NotFound` when there is no such row, `InvalidInput` for a bad time, or an I/O error.
pub fn fail(roots: &Roots, id: u64, message: &str, cancelled: bool, now: Option<&str>) -> Result<Record> {
    let now = now
        .map(|t| time::parse_instant(t, "end of the run"))
        .transpose()?;
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let row = catalog.get(id)?.clone();
    if row.status != Status::InProgress {
        return Ok(row);
    }
    dir.unlink_if_exists(&row.partial_name())?;
    let status = if cancelled {
        Status::Cancelled
    } else {
        Status::Failed
    };
    let mut closed = recover::adopt(&dir, &catalog, &row).unwrap_or_else(|| close(&row, status, message));
    if let Some(now) = now {
        closed.finished_at = Some(time::format_instant(now));
        closed.duration_seconds = Some(time::duration_seconds(&row, now));
    }
    *catalog.get_mut(id)? = closed.clone();
    catalog.publish(&dir)?;
    Ok(closed)
}

/// The error text of a partial run: how much is missing, and the first of it.
#[must_use]
pub fn partial_text(skips: &[Skip]) -> Option<String> {
    let mut missing = skips.iter().filter(|s| s.missing);
    let first = missing.next()?;
    let what = format!("{}: {}", crate::archive::reader::shown(&first.path), first.reason);
    Some(match missing.count() {
        0 => format!("could not be read: {what}"),
        more => format!("{} could not be read, the first: {what}", more + 1),
    })
}

/// `row` as ended without an archive.
pub(crate) fn close(row: &Record, status: Status, message: &str) -> Record {
    Record {
        status,
        size: 0,
        error: Some(message.chars().take(MAX_ERROR).collect()),
        ..row.clone()
    }
}

/// A row with nothing in it.
pub(crate) fn blank() -> Record {
    Record {
        id: 0,
        name: String::new(),
        backup_type: String::new(),
        timestamp: String::new(),
        status: Status::InProgress,
        size: 0,
        error: None,
        zip_path: None,
        plan: None,
        started_at: None,
        finished_at: None,
        duration_seconds: None,
        file_count: None,
        source_bytes: None,
        skipped: None,
        changed: None,
        sha256: None,
        reused_bytes: None,
        pinned: false,
        verified_at: None,
        verify_status: None,
        drilled_at: None,
        drill_status: None,
        restored_at: None,
        extra: Map::new(),
    }
}

pub(crate) fn check_plan(plan: &str) -> Result<()> {
    let length = plan.chars().count();
    if (1..=MAX_PLAN).contains(&length) && !plan.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "check plan",
        format!("a plan has 1 to {MAX_PLAN} characters and no control characters"),
    )
    .about(plan.chars().take(MAX_PLAN).collect::<String>())
    .remedy("give the schedule's name, or `manual`"))
}

pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.len() <= MAX_PREFIX && !prefix.contains('\0') {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "check zip_path prefix",
        format!("it has more than {MAX_PREFIX} bytes or a NUL"),
    ))
}

fn ended(row: &Record) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "finish run",
        "the row of this id belongs to another run or has ended",
    )
    .about(row.name.clone())
    .remedy("begin a new run")
}
