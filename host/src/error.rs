//! The one error type of the host and its code table: every failure of the command line and of the API
//! gets its exit code and its HTTP status here and nowhere else (DESIGN sections 6 and 8).

use std::fmt;

/// Linux's numbers for too many open files, of the process and of the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// What to do about a lack of memory.
pub(crate) const NO_MEMORY: &str = "raise the limit on memory (`ulimit -v`, systemd's LimitAS), or free some";

/// What kind of failure it is: the stable English `code` of `--json` and the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Wrong arguments.
    Usage,
    /// The configuration is wrong.
    Config,
    /// No such backup or entry, or no backups folder yet.
    NotFound,
    /// A verification or drill found something wrong.
    VerifyFailed,
    /// An archive is damaged.
    Corrupt,
    /// Another run holds the backups.
    Busy,
    /// No space left.
    NoSpace,
    /// The operating system refused access.
    AccessDenied,
    /// An archive is encrypted, and there is no identity to open it.
    Encrypted,
    /// The sandbox refused something, or a component does not fit it.
    Sandbox,
    /// Stopped on request.
    Cancelled,
    /// No progress within the deadline.
    Stuck,
    /// The catalog can't be read.
    CatalogInvalid,
    /// Something would have to be overwritten.
    AlreadyExists,
    /// Refused to protect a backup.
    Refused,
    /// A configured source is missing or empty.
    SourceMissing,
    /// A database could not be dumped.
    DumpFailed,
    /// A program before a run failed.
    HookFailed,
    /// Something that this version does not have.
    Unsupported,
    /// Another failure of reading or writing.
    Io,
    /// A bug: the component trapped, or an invariant broke.
    Internal,
}

impl Code {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The exit code of the command line.
    #[must_use]
    pub const fn exit(self) -> u8 {
        self.row().1
    }

    /// The status of the API's answer.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().2
    }

    const fn row(self) -> (&'static str, u8, u16) {
        match self {
            Self::Usage => ("usage", 2, 400),
            Self::Config => ("invalid_config", 2, 500),
            Self::NotFound => ("not_found", 4, 404),
            Self::VerifyFailed => ("verify_failed", 5, 422),
            Self::Corrupt => ("corrupt", 5, 422),
            Self::Busy => ("busy", 6, 409),
            Self::NoSpace => ("no_space", 7, 507),
            Self::AccessDenied => ("access_denied", 8, 500),
            Self::Encrypted => ("encrypted", 8, 409),
            Self::Sandbox => ("sandbox_refused", 8, 500),
            Self::Cancelled => ("cancelled", 9, 500),
            Self::Stuck => ("stuck", 9, 500),
            Self::CatalogInvalid => ("catalog_invalid", 10, 500),
            Self::AlreadyExists => ("already_exists", 10, 409),
            Self::Refused => ("refused", 10, 409),
            Self::SourceMissing => ("source_missing", 10, 500),
            Self::DumpFailed => ("dump_failed", 10, 500),
            Self::HookFailed => ("hook_failed", 10, 500),
            Self::Unsupported => ("unsupported", 10, 500),
            Self::Io => ("io", 10, 500),
            Self::Internal => ("internal", 10, 500),
        }
    }
}

/// A failure, with all that a message needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// What went wrong, about what, in one sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a code and a sentence that names the thing and the cause.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// An I/O error while doing `what` (`open /srv/app/static`): its kind chooses the code. A file that is missing
    /// is not [`Code::NotFound`], which is about backups.
    #[must_use]
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let code = match error.kind() {
            K::PermissionDenied | K::ReadOnlyFilesystem => Code::AccessDenied,
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => Code::NoSpace,
            K::AlreadyExists | K::DirectoryNotEmpty => Code::AlreadyExists,
            _ => Code::Io,
        };
        // What is to be done where that is the same whatever was tried.
        let remedy = match (error.kind(), error.raw_os_error()) {
            (K::StorageFull, _) => Some("free space on its disk; `cofre doctor` says how much there is"),
            (K::QuotaExceeded, _) => Some("free space of this user's, or raise the quota"),
            (K::FileTooLarge, _) => Some(
                "it is beyond a limit on the size of files: raise it (`ulimit -f`, systemd's LimitFSIZE)",
            ),
            (K::ReadOnlyFilesystem, _) => Some("mount its file system read-write, or name another folder"),
            (_, Some(EMFILE | ENFILE)) => {
                Some("raise the limit on open files (`ulimit -n`, systemd's LimitNOFILE)")
            }
            (K::OutOfMemory, _) => Some(NO_MEMORY),
            _ => None,
        };
        Self {
            remedy: remedy.map(str::to_owned),
            ..Self::new(code, format!("{what}: {error}"))
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}
