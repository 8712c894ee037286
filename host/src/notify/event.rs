//! The events that a webhook can be told of (DESIGN section 9).

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A run made a complete backup.
    BackupCompleted,
    /// A run made a backup in which something is missing.
    BackupPartial,
    /// A run failed or was cancelled.
    BackupFailed,
    /// An archive did not verify.
    VerifyFailed,
    /// A restore could not be practised.
    DrillFailed,
    /// A plan has had no success for too long.
    BackupStale,
    /// Backups could not be copied to a remote; told once, until a copy succeeds again.
    CopyFailed,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::BackupCompleted,
        Self::BackupPartial,
        Self::BackupFailed,
        Self::VerifyFailed,
        Self::DrillFailed,
        Self::BackupStale,
        Self::CopyFailed,
    ];

    /// The stable name in the payload and the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackupCompleted => "backup_completed",
            Self::BackupPartial => "backup_partial",
            Self::BackupFailed => "backup_failed",
            Self::VerifyFailed => "verify_failed",
            Self::DrillFailed => "drill_failed",
            Self::BackupStale => "backup_stale",
            Self::CopyFailed => "copy_failed",
        }
    }
}
