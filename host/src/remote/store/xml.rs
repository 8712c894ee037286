//! The answers of S3 that are read here, and what `object_store` calls a part.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Until;
use crate::config::LockMode;

/// `InitiateMultipartUploadResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    pub(super) upload_id: String,
}

/// The name of a part, as `object_store` makes it where parts have sums, and reads it when it puts them together.
/// Source: `PartMetadata` in `client/s3.rs` of `object_store` 0.14.
#[derive(Debug, Serialize)]
pub(super) struct PartMetadata<'a> {
    pub(super) e_tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum_sha256: Option<&'a str>,
}

/// `ListBucketResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
    #[serde(default)]
    pub(super) contents: Vec<Content>,
}

/// An object in a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Content {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    pub(super) etag: Option<String>,
}

/// `ListVersionsResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Versions {
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    pub(super) versions: Vec<Entry>,
    #[serde(default, rename = "DeleteMarker")]
    pub(super) delete_markers: Vec<Entry>,
}

/// A version, or a mark that the object was deleted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) version_id: String,
    #[serde(default)]
    pub(super) is_latest: bool,
    pub(super) last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
}

/// `ListMultipartUploadsResult`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Uploads {
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: Option<String>,
    pub(super) next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    pub(super) uploads: Vec<Upload>,
}

/// An upload that is neither finished nor aborted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
    pub(super) initiated: Option<DateTime<Utc>>,
}

/// `ObjectLockConfiguration`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LockConfiguration {
    pub(super) object_lock_enabled: Option<String>,
}

/// `Retention`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Retention {
    mode: Option<String>,
    retain_until_date: Option<DateTime<Utc>>,
}

impl Retention {
    pub(super) fn until(self) -> Option<Until> {
        let mode = match self.mode?.as_str() {
            "COMPLIANCE" => LockMode::Compliance,
            _ => LockMode::Governance,
        };
        Some(Until {
            mode,
            at: self.retain_until_date?,
        })
    }
}
