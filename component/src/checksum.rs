//! The SHA-256 of an archive, computed piece by piece, and what it has to be: the shared beginning of verify and
//! restore.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::catalog::files::Form;
use crate::catalog::sidecar::{self, Sidecar};
use crate::catalog::{Catalog, Record, Status};
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
    pub(crate) in_sidecar: Sidecar,
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
        Self::of(dir, locate(&Catalog::load(dir)?, id, operation)?)
    }

    /// Opens the archive of a backup.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn of(dir: &Dir, backup: Backup) -> Result<Self> {
        let file = dir.open(&backup.record.archive_name())?;
        let size = file.stat()?.size;
        Ok(Self {
            in_catalog: backup.record.sha256.clone(),
            in_sidecar: sidecar::read(dir, &backup.record.name),
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

    /// What is wrong with the checksum `sum`, by what decides about it: the catalog, or the sidecar where the catalog has
    /// none.
    pub(crate) fn mismatch(&self, sum: &str) -> Option<String> {
        match (&self.in_catalog, &self.in_sidecar) {
            (Some(said), _) => differs(sum, "the catalog", said),
            (None, Sidecar::Says(said)) => differs(sum, "the file beside it", said),
            (None, Sidecar::Missing | Sidecar::Bad(_)) => None,
        }
    }

    /// What is wrong with a sidecar that decides nothing and says something else than `sum`.
    pub(crate) fn sidecar_mismatch(&self, sum: &str) -> Option<String> {
        let (Some(in_catalog), Sidecar::Says(said)) = (&self.in_catalog, &self.in_sidecar) else {
            return None;
        };
        let problem = differs(sum, "the file beside it", said)?;
        if !in_catalog.eq_ignore_ascii_case(sum) {
            return Some(problem);
        }
        let why = format!("says {said}, but the archive's SHA-256 is {sum}, as in the catalog");
        Some(sidecar::bad(&self.backup.record.name, &why))
    }

    /// Why the sidecar says nothing at all, where there is one.
    pub(crate) fn bad_sidecar(&self) -> Option<String> {
        match &self.in_sidecar {
            Sidecar::Bad(why) => Some(why.clone()),
            Sidecar::Missing | Sidecar::Says(_) => None,
        }
    }

    /// Whether anything says what the checksum has to be.
    pub(crate) fn is_known(&self) -> bool {
        self.in_catalog.is_some() || matches!(self.in_sidecar, Sidecar::Says(_))
    }
}

/// What to say where `place` has another checksum than `sum`.
fn differs(sum: &str, place: &str, said: &str) -> Option<String> {
    (!said.eq_ignore_ascii_case(sum)).then(|| {
        format!(
            "the archive's SHA-256 is {sum}, but {place} says {}: it was changed or damaged",
            said.escape_debug()
        )
    })
}

/// A checksum as it is written: in lower-case hexadecimal.
pub(crate) fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The row `id`, which has to have its archive in the folder.
///
/// # Errors
/// `NotFound`, saying why there is none; `Unsupported` for one that is encrypted.
pub(crate) fn locate(catalog: &Catalog, id: u64, operation: &str) -> Result<Backup> {
    let record = catalog.get(id)?;
    let backup = Backup::of(record, catalog);
    if backup.encrypted {
        return Err(sealed(record, operation));
    }
    if backup.archive_present {
        return Ok(backup);
    }
    let placed = catalog.file_kind(&record.archive_name());
    let why = placed.map_or(
        why_absent(record),
        |_| "what is in the archive's place is no regular file, and is not followed",
    );
    let e = Error::new(ErrorKind::NotFound, operation, why).about(record.archive_name());
    Err(match record.status {
        Status::Completed | Status::Partial => e.remedy("put the archive back, or delete the backup"),
        Status::InProgress | Status::Failed | Status::Cancelled => e,
    })
}

/// What is not possible with an archive that a host has encrypted.
pub(crate) fn sealed(record: &Record, operation: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        operation,
        "the archive is encrypted, and only its identity opens it",
    )
    .about(Form::Sealed.file(&record.name))
    .remedy("give the identity file: `--identity FILE`")
}

fn why_absent(record: &Record) -> &'static str {
    match record.status {
        Status::Completed | Status::Partial => "the archive is not in the backups folder",
        Status::InProgress => "the run has not finished, or was interrupted",
        Status::Failed => "the run failed, so that there is no archive",
        Status::Cancelled => "the run was cancelled, so that there is no archive",
    }
}
