//! What a drill can find: each kind with a name that never changes, for the catalog, for metrics and for scripts.

use std::fmt;

use crate::error::{Code, Error};

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// There is no archive any more.
    ArchiveMissing,
    /// The archive is not what its checksum, its structure or its manifest says.
    ArchiveDamaged,
    /// A file that the manifest's databases need is not in the archive.
    FileMissing,
    /// A file of a dump ends too early.
    FileTruncated,
    /// There is something in the dump's folder that cofre did not put there.
    UnexpectedFile,
    /// The dump holds something that no dump of cofre's holds, and that could do harm.
    HostileSql,
    /// The engine refused a statement, or it took too long.
    LoadFailed,
    /// Other tables than the manifest says.
    TablesDiffer,
    /// Other numbers of rows than the manifest says.
    RowsDiffer,
    /// The loaded database is not sound.
    Unsound,
    /// Nobody said where a database of this kind can be loaded.
    NotConfigured,
    /// The configured role may do more than a drill should.
    RoleTooStrong,
    /// Something else kept the drill from being held: a server that is down, a program that is missing, no space.
    NotPossible,
}

impl Reason {
    /// All of them, in the order of [`cofre_exporter::facts::DRILL_FINDINGS`], then those that are not recorded.
    pub const ALL: [Self; 13] = [
        Self::ArchiveMissing,
        Self::ArchiveDamaged,
        Self::FileMissing,
        Self::FileTruncated,
        Self::UnexpectedFile,
        Self::HostileSql,
        Self::LoadFailed,
        Self::TablesDiffer,
        Self::RowsDiffer,
        Self::Unsound,
        Self::NotConfigured,
        Self::RoleTooStrong,
        Self::NotPossible,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArchiveMissing => "archive_missing",
            Self::ArchiveDamaged => "archive_damaged",
            Self::FileMissing => "file_missing",
            Self::FileTruncated => "file_truncated",
            Self::UnexpectedFile => "unexpected_file",
            Self::HostileSql => "hostile_sql",
            Self::LoadFailed => "load_failed",
            Self::TablesDiffer => "tables_differ",
            Self::RowsDiffer => "rows_differ",
            Self::Unsound => "unsound",
            Self::NotConfigured => "not_configured",
            Self::RoleTooStrong => "role_too_strong",
            Self::NotPossible => "not_possible",
        }
    }

    /// Whether it says something about the backup. The others only say that the drill could not be held.
    #[must_use]
    pub const fn is_about_backup(self) -> bool {
        !matches!(
            self,
            Self::NotConfigured | Self::RoleTooStrong | Self::NotPossible
        )
    }
}

/// One problem, in a sentence that names the thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind it is.
    pub reason: Reason,
    /// What exactly, and what to do about it.
    pub error: Error,
}

impl Problem {
    /// A problem of the backup.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let code = match reason {
            Reason::NotConfigured | Reason::RoleTooStrong => Code::Config,
            Reason::ArchiveMissing => Code::NotFound,
            Reason::NotPossible => Code::Io,
            _ => Code::VerifyFailed,
        };
        Self {
            reason,
            error: Error::new(code, message),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.error = self.error.remedy(remedy);
        self
    }
}

/// What is nobody's finding is a drill that could not be held.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self {
            reason: Reason::NotPossible,
            error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}
