//! `backup_info.json`, the manifest: what one archive contains, what it does not, and of which databases.
//!
//! It is the last entry of an archive and is written row by row, so that 200,000 files need no second copy in
//! memory. Nothing of the running host is in it: the same input gives the same bytes everywhere.

mod check;
mod read;

pub(crate) use check::{Finding, compare};
pub use read::read_manifest;

use chrono::{DateTime, SecondsFormat};
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

impl ManifestHeader {
    /// What is wrong with the status, if a run that ended so has no archive.
    pub(crate) fn without_archive(&self) -> Option<&'static str> {
        use crate::catalog::Status;
        let fine = matches!(self.status, Status::Completed | Status::Partial);
        (!fine).then_some("its manifest's status is that of a run without an archive")
    }
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
    /// Bytes of each block in the archive, where the content is compressed in blocks of [`crate::archive::BLOCK`].
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read::blocks"
    )]
    pub blocks: Option<Vec<u64>>,
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

/// A time in nanoseconds since 1970 as a row has it: RFC 3339 in UTC with nine decimals.
#[must_use]
pub fn format_time(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// The reverse of [`format_time`]; `None` for what is not a time.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

/// Permission bits as a row has them: four octal digits.
#[must_use]
pub fn format_mode(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// The reverse of [`format_mode`]; `None` for what is not octal permission bits.
#[must_use]
pub fn parse_mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

/// A CRC-32 as a row has it: eight hexadecimal digits.
#[must_use]
pub fn format_crc(crc: u32) -> String {
    format!("{crc:08x}")
}

/// The reverse of [`format_crc`]; `None` for what is not eight hexadecimal digits.
#[must_use]
pub fn parse_crc(text: &str) -> Option<u32> {
    (text.len() == 8)
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_exactly_even_before_1970_and_at_the_ends() {
        for ns in [
            0,
            -1,
            1,
            i64::MIN,
            i64::MAX,
            -86_400_000_000_000,
            1_700_000_000_123_456_789,
        ] {
            assert_eq!(parse_time(&format_time(ns)), Some(ns), "{ns}");
        }
        assert_eq!(format_time(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn modes_and_sums_come_back_and_nonsense_does_not() {
        assert_eq!(format_mode(0o100_600), "0600");
        assert_eq!(parse_mode(&format_mode(0o4755)), Some(0o4755));
        assert_eq!(parse_mode("17777"), None);
        assert_eq!(parse_mode("rw-"), None);
        assert_eq!(parse_crc(&format_crc(0xab)), Some(0xab));
        assert_eq!(parse_crc("ab"), None);
    }
}
