//! One row of `backup_history.json`: the field names, types and order of the original system, then cofre's own.
//!
//! The same type is the catalog's, the exporter's and (converted) the engine's. Unknown fields survive a rewrite.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::files::Form;

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Going on, or interrupted and not yet cleaned up.
    InProgress,
    /// Everything is in the archive.
    Completed,
    /// Something that should be in the archive could not be read.
    Partial,
    /// No archive.
    Failed,
    /// Stopped on request.
    Cancelled,
}

/// One row. See `wit/types.wit`, record `backup`, for the meaning of each field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "documented once, in the WIT record of the same fields"
)]
pub struct Record {
    pub id: u64,
    pub name: String,
    #[serde(rename = "type")]
    pub backup_type: String,
    pub timestamp: String,
    pub status: Status,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub zip_path: Option<String>,
    #[serde(default)]
    pub plan: Option<String>,
    #[serde(default)]
    pub started_at: Option<String>,
    #[serde(default)]
    pub finished_at: Option<String>,
    #[serde(default)]
    pub duration_seconds: Option<f64>,
    #[serde(default)]
    pub file_count: Option<u64>,
    #[serde(default)]
    pub source_bytes: Option<u64>,
    #[serde(default)]
    pub skipped: Option<u64>,
    #[serde(default)]
    pub changed: Option<u64>,
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub reused_bytes: Option<u64>,
    #[serde(default)]
    pub pinned: bool,
    #[serde(default)]
    pub verified_at: Option<String>,
    #[serde(default)]
    pub verify_status: Option<String>,
    #[serde(default)]
    pub drilled_at: Option<String>,
    #[serde(default)]
    pub drill_status: Option<String>,
    #[serde(default)]
    pub restored_at: Option<String>,
    /// What other programs wrote into the row.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Record {
    /// File name of the archive. Never taken from `zip_path`.
    #[must_use]
    pub fn archive_name(&self) -> String {
        Form::Plain.file(&self.name)
    }

    /// File name of the archive while it is written.
    #[must_use]
    pub fn partial_name(&self) -> String {
        format!(".{}.partial", self.archive_name())
    }

    /// File name of the checksum file beside the archive.
    #[must_use]
    pub fn sidecar_name(&self) -> String {
        Form::Plain.sidecar(&self.name)
    }
}
