//! The tables of copies off the machine: `[encryption]` and `[[remotes]]`. Nothing is contacted here, and no key is
//! read: only what the file itself says is checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Retention;

/// Who can read what is copied, and who vouches for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encryption {
    /// Public keys in the age format; whoever has the identity of one of them can read the copies.
    pub recipients: Vec<String>,
    /// The identities, and the public half of the signing key. Only where one restores.
    pub identity_file: Option<PathBuf>,
    /// The key that signs each copy's row. Only where backups are made.
    pub signing_key_file: Option<PathBuf>,
}

/// A place for copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What it is called in commands, logs and metrics.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Whether archives are encrypted before they leave.
    pub encrypt: bool,
    /// Most bytes a second; none means as fast as it goes.
    pub rate: Option<u64>,
    /// Parts of one archive that are under way at a time.
    pub parallel: usize,
    /// Size of one part in bytes.
    pub part_bytes: u64,
    /// How long the store itself refuses to delete a copy.
    pub lock: Option<ObjectLock>,
    /// What prune keeps there; none means that everything stays.
    pub retention: Option<Retention>,
}

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In an object store.
    Bucket(Bucket),
    /// In a folder, of another disk or machine.
    Folder(PathBuf),
}

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what is compatible with it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// A bucket, or a container of Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose protocol.
    pub provider: Provider,
    /// Its name.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// URL of the server where it is not the provider's own.
    pub endpoint: Option<String>,
    /// Region, for S3.
    pub region: Option<String>,
    /// Whether `http` to another machine is allowed.
    pub allow_http: bool,
    /// Whether the bucket stands in the path of the URL, not in its host.
    pub path_style: bool,
    /// The storage account, for Azure.
    pub account: Option<String>,
    /// A file with the credentials in the provider's format.
    pub credentials_file: Option<PathBuf>,
    /// The section of that file, for S3.
    pub profile: Option<String>,
}

/// What S3 calls Object Lock: a copy can't be deleted or replaced before a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// For how long after the copy.
    pub keep: Duration,
}

/// Who may lift a lock before its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Whoever has the right to.
    Governance,
    /// Nobody.
    Compliance,
}
