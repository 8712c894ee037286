//! The one place where the component's errors and traps become errors of the host.

use std::io::ErrorKind;

use rustix::io::Errno;
use wasmtime::Trap;

use super::sandbox::{Limits, Places, State};
use super::wit::types as wit;
use crate::error::{Code, Error};
use crate::fsutil;
use crate::text::escape;

/// An expected failure that the component reports.
pub(super) fn reported(error: wit::Error, places: &Places) -> Error {
    use wit::Error as E;
    let (code, detail) = match error {
        E::InvalidInput(d) => (Code::Usage, d),
        E::SourceMissing(d) => (Code::SourceMissing, d),
        E::NotFound(d) => (Code::NotFound, d),
        E::AlreadyExists(d) => (Code::AlreadyExists, d),
        E::Refused(d) => (Code::Refused, d),
        E::Corrupt(d) => (Code::Corrupt, d),
        E::CatalogInvalid(d) => (Code::CatalogInvalid, d),
        E::AccessDenied(d) => (Code::AccessDenied, d),
        E::NoSpace(d) => (Code::NoSpace, d),
        E::Io(d) => (Code::Io, d),
        E::Unsupported(d) => (Code::Unsupported, d),
        E::Cancelled(d) => (Code::Cancelled, d),
    };
    let wit::ErrorDetail {
        operation,
        subject,
        message,
        remedy,
    } = detail;
    let trouble = subject
        .as_deref()
        .filter(|_| code == Code::Io)
        .and_then(|subject| places.trouble(subject));
    let subject = subject.map_or(String::new(), |s| format!(" {}", places.real(&s)));
    let what = escape(&format!("{operation}{subject}")).into_owned();
    if let Some(errno) = trouble {
        return fsutil::error(what, errno);
    }
    Error {
        code,
        message: format!("{what}: {}", escape(&message)),
        remedy: remedy.as_deref().map(|text| escape(text).into_owned()),
    }
}

/// A trap: the component is gone. `state` tells why, where a limit was the reason.
pub(super) fn trapped(error: &wasmtime::Error, operation: &str, state: &State, limits: Limits) -> Error {
    if matches!(error.downcast_ref::<Trap>(), Some(Trap::Interrupt)) {
        return stuck(operation, limits);
    }
    if state.memory_refused() {
        return Error::new(
            Code::Sandbox,
            format!(
                "{operation}: the component was refused more than {} MiB of memory",
                limits.memory_bytes >> 20
            ),
        )
        .remedy("split the sources, or raise the memory limit");
    }
    let root = error.root_cause();
    if root.downcast_ref() == Some(&Errno::NOMEM)
        || root
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == ErrorKind::OutOfMemory)
    {
        return fsutil::error(
            format_args!("{operation}: get memory for the component"),
            Errno::NOMEM,
        );
    }
    let cause = state
        .last_words()
        .unwrap_or_else(|| escape(&error.root_cause().to_string()).into_owned());
    Error::new(
        Code::Internal,
        format!("{operation}: the component failed: {cause}"),
    )
    .remedy("this is a bug; please report it with this message")
}

/// No progress within the deadline.
pub(super) fn stuck(operation: &str, limits: Limits) -> Error {
    Error::new(
        Code::Stuck,
        format!("{operation}: no progress for {:?}; given up", limits.stall),
    )
    .remedy("look whether a disk or network file system below the sources or backups hangs")
}

/// The component can't be used at all.
pub(super) fn unfit(error: &wasmtime::Error) -> Error {
    Error::new(
        Code::Sandbox,
        format!(
            "the component does not fit this version of cofre: {}",
            escape(&format!("{error:#}"))
        ),
    )
    .remedy("use the component of this very version (`cofre component --output FILE`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_error_names_operation_subject_and_remedy_without_control_characters() {
        let error = reported(
            wit::Error::NotFound(wit::ErrorDetail {
                operation: "open".to_owned(),
                subject: Some("a\x1b[2Jb\u{9b}ç".to_owned()),
                message: "no such file".to_owned(),
                remedy: Some("look\nagain".to_owned()),
            }),
            &Places::default(),
        );
        assert_eq!(error.code, Code::NotFound);
        assert_eq!(error.message, "open a\\x1b[2Jb\\x9bç: no such file");
        assert_eq!(error.remedy.as_deref(), Some("look\\nagain"));
    }
}
