//! The signed row of a copy: what the catalog knows of a backup, and which bytes stand for it at the remote.
//!
//! age says who can read a file, not who wrote it. So each row is signed; it names the SHA-256 of the object and of the
//! archive in it, so that nothing else passes for either. What can hold a name of a file (the text of an error) stays on
//! the machine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::layout::FORMAT;
use crate::crypt::{SigningKey, VerifyKey};
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Error, Result};

/// What is signed with this is a row of this format, and nothing else.
const DOMAIN: &str = "cofre row 1";

/// One copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identity of the repository.
    pub repository: String,
    /// The backup.
    pub backup: BackupRow,
    /// What stands for it.
    pub object: Object,
    /// When it was copied, RFC 3339.
    pub copied_at: String,
}

impl Row {
    /// When it was copied; none where the row says nothing of use.
    #[must_use]
    pub fn copied_at(&self) -> Option<DateTime<Utc>> {
        time_of(&self.copied_at)
    }

    /// When its backup began.
    #[must_use]
    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        self.backup.started_at.as_deref().and_then(time_of)
    }
}

fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.with_timezone(&Utc))
}

/// An archive as it lies at the remote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its key below the prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of these bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Whether they are an age file.
    pub encrypted: bool,
}

/// What a row keeps of the catalog's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "documented once, in the WIT record of the same fields"
)]
pub struct BackupRow {
    pub id: u64,
    pub name: String,
    #[serde(rename = "type")]
    pub backup_type: String,
    pub timestamp: String,
    /// Whether it is partial; otherwise it is complete.
    pub partial: bool,
    pub size: u64,
    pub sha256: String,
    pub plan: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub duration_seconds: Option<f64>,
    pub file_count: Option<u64>,
    pub source_bytes: Option<u64>,
    pub skipped: Option<u64>,
    pub changed: Option<u64>,
    pub pinned: bool,
}

impl BackupRow {
    /// The part of a row that is copied; none for a backup without archive or checksum.
    #[must_use]
    pub fn of(backup: &Backup) -> Option<Self> {
        let partial = match backup.status {
            Status::Completed => false,
            Status::Partial => true,
            Status::InProgress | Status::Failed | Status::Cancelled => return None,
        };
        Some(Self {
            id: backup.id,
            name: backup.name.clone(),
            backup_type: backup.backup_type.clone(),
            timestamp: backup.timestamp.clone(),
            partial,
            size: backup.size,
            sha256: backup.sha256.clone()?,
            plan: backup.plan.clone(),
            started_at: backup.started_at.clone(),
            finished_at: backup.finished_at.clone(),
            duration_seconds: backup.duration_seconds,
            file_count: backup.file_count,
            source_bytes: backup.source_bytes,
            skipped: backup.skipped,
            changed: backup.changed,
            pinned: backup.pinned,
        })
    }

    /// The row for a catalog.
    #[must_use]
    pub fn to_backup(&self) -> Backup {
        Backup {
            id: self.id,
            name: self.name.clone(),
            backup_type: self.backup_type.clone(),
            timestamp: self.timestamp.clone(),
            status: if self.partial {
                Status::Partial
            } else {
                Status::Completed
            },
            size: self.size,
            error: self
                .partial
                .then(|| "something is missing in it: its manifest says what".to_owned()),
            zip_path: None,
            plan: self.plan.clone(),
            started_at: self.started_at.clone(),
            finished_at: self.finished_at.clone(),
            duration_seconds: self.duration_seconds,
            file_count: self.file_count,
            source_bytes: self.source_bytes,
            skipped: self.skipped,
            changed: self.changed,
            sha256: Some(self.sha256.clone()),
            reused_bytes: None,
            pinned: self.pinned,
            verified_at: None,
            verify_status: None,
            drilled_at: None,
            drill_status: None,
            restored_at: None,
            archive_present: false,
            encrypted: false,
        }
    }
}

/// The bytes of a row's object.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    format: u32,
    /// The row as JSON, in a string: these very bytes are signed.
    payload: String,
    /// The public half of the key, for people; it proves nothing.
    key: String,
    signature: String,
}

/// Whether a row was signed by whom it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signed {
    /// By the repository's key.
    Good,
    /// By another key, or not at all, or it was changed.
    Bad,
    /// Nothing here says which key it should be.
    Unknown,
}

/// Signs a row.
///
/// # Errors
/// `Internal` when it can't be written as JSON: a bug.
pub fn seal(row: &Row, key: &SigningKey) -> Result<Vec<u8>> {
    let json = |e: serde_json::Error| Error::new(Code::Internal, format!("write a copy's row: {e}"));
    let payload = serde_json::to_string(row).map_err(json)?;
    let envelope = Envelope {
        format: FORMAT,
        key: key.verify_key().to_string(),
        signature: STANDARD.encode(key.sign(DOMAIN, payload.as_bytes())),
        payload,
    };
    let mut bytes = serde_json::to_vec_pretty(&envelope).map_err(json)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a row, and says whether one of `keys` signed it. What it says is only to be trusted when that is good.
///
/// # Errors
/// `Corrupt` for what is no row, `Unsupported` for one of a later format.
pub fn open(bytes: &[u8], name: &str, keys: &[VerifyKey]) -> Result<(Row, Signed)> {
    let bad = |why: String| Error::new(Code::Corrupt, format!("{name} is not the row of a copy: {why}"));
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    if envelope.format > FORMAT {
        let message = format!(
            "{name} has the format {}, and this version knows {FORMAT}",
            envelope.format
        );
        return Err(Error::new(Code::Unsupported, message).remedy("use a newer cofre"));
    }
    let row: Row = serde_json::from_str(&envelope.payload).map_err(|e| bad(e.to_string()))?;
    let signature = STANDARD.decode(&envelope.signature).unwrap_or_default();
    let fits = |key: &VerifyKey| key.verify(DOMAIN, envelope.payload.as_bytes(), &signature);
    let signed = match keys {
        [] => Signed::Unknown,
        keys if keys.iter().any(fits) => Signed::Good,
        _ => Signed::Bad,
    };
    Ok((row, signed))
}
