//! What a crashed run left behind: half-written files, an open row, a delete whose files are still there.
//!
//! Only the next writing run comes here, under the host's lock, so nothing of a living run is touched.

use super::close;
use crate::catalog::files::{self, Form};
use crate::catalog::{
    Catalog, Facts, HISTORY_NAME, Record, STATE_NAME, Status, checksum, going, names, sidecar,
};
use crate::error::Result;
use crate::fs::{Dir, FileKind};

/// What the row of an interrupted run says.
pub const INTERRUPTED: &str = "interrupted: the run ended without a trace (crash, kill or power cut)";

/// Removes leftovers of ours, closes open rows, and finishes interrupted deletes. The changed catalog is the
/// caller's to publish.
pub(super) fn recover(dir: &Dir, catalog: &mut Catalog) -> Result<()> {
    let leftovers: Vec<String> = catalog
        .files()
        .filter(|(_, kind)| matches!(kind, FileKind::File | FileKind::Symlink))
        .filter(|(name, _)| is_leftover(name) || is_stale_mark(catalog, name))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in leftovers {
        dir.unlink_if_exists(&name)?;
    }
    catalog.settle(dir)?;
    finish_deletes(dir, catalog)?;
    let open: Vec<Record> = catalog
        .records()
        .iter()
        .filter(|r| r.status == Status::InProgress)
        .cloned()
        .collect();
    for row in open {
        let closed = adopt(dir, catalog, &row).unwrap_or_else(|| close(&row, Status::Failed, INTERRUPTED));
        *catalog.get_mut(row.id)? = closed;
    }
    Ok(())
}

/// Whether a file is one that a run writes aside before it renames it.
fn is_leftover(file_name: &str) -> bool {
    let Some(hidden) = file_name.strip_prefix('.') else {
        return false;
    };
    let is_archive = |file: &str| files::of_file(file).is_some();
    let is_sidecar = |file: &str| file.strip_suffix(".sha256").is_some_and(is_archive);
    match (hidden.strip_suffix(".partial"), hidden.strip_suffix(".tmp")) {
        (Some(target), _) => {
            is_archive(target)
                || is_sidecar(target)
                || [HISTORY_NAME, STATE_NAME, ".scan.json"].contains(&target)
        }
        // A host that writes a sidecar by itself writes it aside under this name.
        (None, Some(target)) => is_sidecar(target),
        (None, None) => false,
    }
}

/// Whether a file is the mark of a backup that is not going: its archive is there.
fn is_stale_mark(catalog: &Catalog, file_name: &str) -> bool {
    going::of_mark(file_name).is_some_and(|name| catalog.pending().all(|t| t.name != name))
}

/// Removes the files of backups whose delete was interrupted. One that can't be removed is tried again by the
/// next run; it must not stop this one.
fn finish_deletes(dir: &Dir, catalog: &mut Catalog) -> Result<()> {
    let pending: Vec<String> = catalog.pending().map(|t| t.name.clone()).collect();
    let removed: Vec<String> = pending
        .into_iter()
        .filter(|name| remove_files(dir, name).is_ok())
        .collect();
    if removed.is_empty() {
        return Ok(());
    }
    // They have to be gone for good before the catalog says so: nobody would look for them again.
    dir.sync()?;
    for name in removed {
        catalog.mark_removed(&name);
    }
    Ok(())
}

/// Removes an archive, its sidecar, the encrypted form of both, and its mark; that they are gone already is fine.
pub(crate) fn remove_files(dir: &Dir, name: &str) -> Result<()> {
    debug_assert!(names::parse(name).is_some(), "only checked names get here");
    dir.unlink_if_exists(&Form::Plain.file(name))?;
    dir.unlink_if_exists(&Form::Plain.sidecar(name))?;
    // There seldom are these, and a read-only disk refuses to remove even what is not there.
    for file in [
        Form::Sealed.file(name),
        Form::Sealed.sidecar(name),
        going::mark_of(name),
    ] {
        if dir.stat(&file)?.is_some() {
            dir.unlink_if_exists(&file)?;
        }
    }
    Ok(())
}

/// The row of a run that was stopped after its archive had been published; `None` where that is not so.
///
/// Whatever is wrong with the archive, the run that comes here goes on: the row then says that it failed.
pub(super) fn adopt(dir: &Dir, catalog: &Catalog, row: &Record) -> Option<Record> {
    if !catalog.archive_present(row) {
        return None;
    }
    let facts = Facts::read(dir, &row.name).ok()?;
    facts
        .header
        .as_ref()
        .filter(|h| h.id == row.id && h.name == row.name)?;
    let sha256 = checksum(dir, &row.name).ok()?;
    if sidecar::read(dir, &row.name).sum().is_none() {
        // Without it the row still has the checksum; a good backup must not count as failed for that.
        let _ = sidecar::publish(dir, &row.name, &sha256);
    }
    Some(Record {
        sha256: Some(sha256),
        ..facts.close(row)
    })
}
