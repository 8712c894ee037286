//! `backup_info.json`, the manifest: what one archive contains, what it does not, and of which databases.
//!
//! It is the last entry of an archive and is written row by row, so that 200,000 files need no second copy in
//! memory. Nothing of the running host is in it: the same input gives the same bytes everywhere.

mod read;

pub use read::read_manifest;

use serde::{Deserialize, Serialize};

use crate::types::{DatabaseInfo, Skip};

/// Name of the manifest in the archive.
pub const MANIFEST_NAME: &str = "backup_info.json";

/// Version of the manifest's format that this code writes; a higher one is refused.
pub const MANIFEST_FORMAT: u32 = 1;

/// Version of the WIT package.
pub const WIT_VERSION: &str = "0.1.0";

/// What is at the top of a manifest, in this order; `entries` follows as the last field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// The backup's id.
    pub id: u64,
    /// Name without `.zip`.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub backup_type: String,
    /// Plan.
    pub plan: String,
    /// Local time, as in the catalog.
    pub timestamp: String,
    /// RFC 3339 with offset.
    pub started_at: String,
    /// `completed` or `partial`.
    pub status: crate::catalog::Status,
    /// Version of the component.
    pub component_version: String,
    /// Version of the WIT package.
    pub wit_version: String,
    /// Number of files.
    pub file_count: u64,
    /// Bytes of all files.
    pub source_bytes: u64,
    /// The databases.
    pub databases: Vec<DatabaseInfo>,
    /// What is not in the archive.
    pub skipped: Vec<Skip>,
}

/// One row of `entries`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Path in the archive, without a trailing `/`.
    pub path: String,
    /// `file`, `directory`, `symlink` (in the archive) or `absolute-symlink` (recorded only).
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, RFC 3339 in UTC with nanoseconds; absent where nobody saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// Permission bits in octal, such as `0644`; absent where nobody saw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// CRC-32 of the content in lower-case hexadecimal; absent for directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<String>,
    /// Target of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Changed while it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
}

/// A whole manifest, as read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Everything but the rows.
    #[serde(flatten)]
    pub header: ManifestHeader,
    /// The rows, in archive order.
    pub entries: Vec<ManifestEntry>,
}
