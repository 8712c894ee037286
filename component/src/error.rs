//! The one error type of the component: what was being done, to what, why it failed and what to do next.
//!
//! Raised everywhere below; `guest` turns it into the WIT variant of the same shape. An expected failure is
//! always an [`Error`]; a panic (a trap, in the sandbox) is a bug.

use std::fmt;

/// What kind of failure it is; one for each case of the WIT variant `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong.
    InvalidInput,
    /// A source is missing or empty.
    SourceMissing,
    /// No such backup, entry or preopened directory.
    NotFound,
    /// Something would have to be overwritten.
    AlreadyExists,
    /// Refused to protect a backup.
    Refused,
    /// An archive does not match its manifest, checksum or format.
    Corrupt,
    /// The catalog can't be read.
    CatalogInvalid,
    /// The operating system refused access.
    AccessDenied,
    /// No space, or a quota was reached.
    NoSpace,
    /// Another failure of reading or writing.
    Io,
    /// Something that this version does not have.
    Unsupported,
    /// Cancelled on request.
    Cancelled,
}

/// A failure, with all that a message needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What was being done, in a few words.
    pub operation: String,
    /// The file, backup or field that it is about.
    pub subject: Option<String>,
    /// What went wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` raised while doing `operation`.
    pub fn new(kind: ErrorKind, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            operation: operation.into(),
            subject: None,
            message: message.into(),
            remedy: None,
        }
    }

    /// Names what the error is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        if let Some(subject) = &self.subject {
            write!(f, " {}", subject.escape_debug())?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}
