//! The SHA-256 of an archive, computed piece by piece, and what it has to be: the shared beginning of verify and
//! restore.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, Record, Status, sidecar};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File, READ_SIZE};
use crate::types::Backup;

/// Most bytes that are hashed at a time: some milliseconds, since the workers may wait for more to do.
const PIECE: u64 = 1 << 20;

/// A backup and its open archive, whose checksum is being computed.
pub(crate) struct Opened {
    pub(crate) backup: Backup,
    pub(crate) file: Rc<File>,
    pub(crate) size: u64,
    /// What the catalog says.
    pub(crate) in_catalog: Option<String>,
    /// What the sidecar says.
    pub(crate) in_sidecar: Option<String>,
    hash: Sha256,
    at: u64,
    piece: Vec<u8>,
}

impl Opened {
    /// Opens the archive of the backup `id`.
    ///
    /// # Errors
    /// `NotFound` when there is no such row or its archive is gone, or an I/O error.
    pub(crate) fn new(dir: &Dir, id: u64, operation: &str) -> Result<Self> {
        let backup = locate(&Catalog::load(dir)?, id, operation)?;
        let file = dir.open(&backup.record.archive_name())?;
        let size = file.stat()?.size;
        Ok(Self {
            in_catalog: backup.record.sha256.clone(),
            in_sidecar: sidecar::read(dir, &backup.record.name)?,
            backup,
            file: Rc::new(file),
            size,
            hash: Sha256::new(),
            at: 0,
            piece: Vec::new(),
        })
    }

    /// Bytes that are hashed already.
    pub(crate) fn hashed(&self) -> u64 {
        self.at
    }

    /// Hashes about `budget` bytes, at most [`PIECE`]; gives how many and, at the end, the checksum in lower-case hexadecimal.
    ///
    /// # Errors
    /// An I/O error.
    pub(crate) fn hash(&mut self, budget: u64) -> Result<(u64, Option<String>)> {
        let begin = self.at;
        while self.at - begin < budget.clamp(1, PIECE) {
            self.file.read_at(&mut self.piece, READ_SIZE, self.at)?;
            if self.piece.is_empty() {
                let sum = hex(&self.hash.finalize_reset());
                return Ok((self.at - begin, Some(sum)));
            }
            self.hash.update(&self.piece);
            self.at += self.piece.len() as u64;
        }
        Ok((self.at - begin, None))
    }

    /// What is wrong with the checksum `sum`, one sentence for each place that says otherwise.
    pub(crate) fn mismatches(&self, sum: &str) -> Vec<String> {
        let places = [
            ("the catalog", &self.in_catalog),
            ("the file beside it", &self.in_sidecar),
        ];
        let wrong = places
            .into_iter()
            .filter_map(|(place, said)| said.as_ref().map(|said| (place, said)))
            .filter(|(_, said)| !said.eq_ignore_ascii_case(sum));
        wrong
            .map(|(place, said)| {
                format!(
                    "the archive's SHA-256 is {sum}, but {place} says {}: it was changed or damaged",
                    said.escape_debug()
                )
            })
            .collect()
    }

    /// Whether anything says what the checksum has to be.
    pub(crate) fn is_known(&self) -> bool {
        self.in_catalog.is_some() || self.in_sidecar.is_some()
    }
}

/// A checksum as it is written: in lower-case hexadecimal.
pub(crate) fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The row `id`, which has to have its archive in the folder.
///
/// # Errors
/// `NotFound`, saying why there is none.
pub(crate) fn locate(catalog: &Catalog, id: u64, operation: &str) -> Result<Backup> {
    let record = catalog.get(id)?;
    let backup = Backup::of(record, catalog);
    if backup.archive_present {
        return Ok(backup);
    }
    let e = Error::new(ErrorKind::NotFound, operation, why_absent(record)).about(record.archive_name());
    Err(match record.status {
        Status::Completed | Status::Partial => e.remedy("put the archive back, or delete the backup"),
        Status::InProgress | Status::Failed | Status::Cancelled => e,
    })
}

fn why_absent(record: &Record) -> &'static str {
    match record.status {
        Status::Completed | Status::Partial => "the archive is not in the backups folder",
        Status::InProgress => "the run has not finished, or was interrupted",
        Status::Failed => "the run failed, so that there is no archive",
        Status::Cancelled => "the run was cancelled, so that there is no archive",
    }
}
