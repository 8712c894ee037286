//! What an archive says of itself, as fields of a row: for runs that were stopped after publishing, and for
//! `rebuild`.

use super::files::Form;
use super::{Record, Status, names, sidecar, time};
use crate::archive::ArchiveReader;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Dir;
use crate::manifest::ManifestHeader;
use crate::run::{self, blank};

/// An archive, looked into.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Bytes of the archive.
    size: u64,
    /// The manifest without its rows; `None` for archives of the original system.
    pub(crate) header: Option<ManifestHeader>,
    /// Files that changed while they were read.
    changed: u64,
}

impl Facts {
    /// Opens the archive of this name (without `.zip`) and reads its manifest.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, or an I/O error.
    pub(crate) fn read(dir: &Dir, name: &str) -> Result<Self> {
        let archive = ArchiveReader::open(dir, &Form::Plain.file(name))?;
        let mut changed = 0;
        let header = archive.manifest_rows(&mut |row| {
            changed += u64::from(row.changed);
            Ok(())
        })?;
        if header.is_none() {
            archive.check_foreign_names()?;
        }
        if let Some(message) = header.as_ref().and_then(ManifestHeader::without_archive) {
            return Err(Error::new(ErrorKind::Corrupt, "read manifest", message).about(name));
        }
        Ok(Self {
            size: archive.size(),
            header,
            changed,
        })
    }

    /// `row` as ended with this archive. The checksum is the caller's to set.
    pub(crate) fn close(&self, row: &Record) -> Record {
        let mut row = Record {
            status: Status::Completed,
            size: self.size,
            error: None,
            ..row.clone()
        };
        if let Some(header) = &self.header {
            row.status = header.status;
            row.file_count = Some(header.file_count);
            row.source_bytes = Some(header.source_bytes);
            row.skipped = Some(header.skipped.len() as u64);
            row.changed = Some(self.changed);
            row.error = run::partial_text(&header.skipped).filter(|_| header.status == Status::Partial);
        }
        row
    }

    /// A row for an archive of this name that has none. Its id is the caller's to choose.
    ///
    /// # Errors
    /// `Corrupt` when `name` is not that of an archive.
    pub(crate) fn row(&self, name: &str, zip_path_prefix: &str) -> Result<Record> {
        let parts = names::parse(name).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "read archive", "not a backup's name").about(name)
        })?;
        let row = Record {
            name: name.to_owned(),
            backup_type: parts.backup_type,
            timestamp: time::format_timestamp(parts.time),
            zip_path: Some(format!("{zip_path_prefix}{name}.zip")),
            ..blank()
        };
        let mut row = self.close(&row);
        // A manifest of another name is that of a copied or renamed archive: its time is not this name's.
        let Some(header) = self.header.as_ref().filter(|h| h.name == name) else {
            return Ok(row);
        };
        if time::parse_timestamp(&header.timestamp).is_some() {
            row.timestamp.clone_from(&header.timestamp);
        }
        row.started_at = time::parse_instant(&header.started_at, "manifest")
            .ok()
            .map(time::format_instant);
        row.plan = Some(header.plan.clone()).filter(|p| run::check_plan(p).is_ok());
        Ok(row)
    }
}

/// The checksum of an archive: from its sidecar, which was written with it, or by reading all of it.
///
/// # Errors
/// An I/O error.
pub(crate) fn checksum(dir: &Dir, name: &str) -> Result<String> {
    match sidecar::read(dir, name).sum() {
        Some(sha256) => Ok(sha256),
        None => sidecar::compute(dir, name),
    }
}
