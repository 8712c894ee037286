//! The one error type of the component: what was being done, to what, why it failed and what to do next.
//!
//! Raised everywhere below; `guest` turns it into the WIT variant of the same shape. An expected failure is
//! always an [`Error`]; a panic (a trap, in the sandbox) is a bug.

use std::fmt;

/// Longest subject, in characters: a path in an archive or a glob may have 64 KiB, and its beginning is enough to
/// find it.
const MAX_SUBJECT: usize = 1000;

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
        let mut subject = subject.into();
        if let Some((end, _)) = subject.char_indices().nth(MAX_SUBJECT) {
            subject.truncate(end);
            subject.push('…');
        }
        self.subject = Some(subject);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_is_about_stays_short() {
        let about = |subject: String| Error::new(ErrorKind::Io, "create", "no").about(subject);
        let fits = "é".repeat(MAX_SUBJECT);
        assert_eq!(about(fits.clone()).subject.as_deref(), Some(fits.as_str()));
        let cut = about("é".repeat(60_000)).to_string();
        assert_eq!(cut, format!("create {fits}…: no"));
    }
}
