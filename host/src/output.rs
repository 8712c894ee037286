//! What the user sees: tables, messages, the progress bar, and the one JSON document of `--json`. Everything
//! that is printed goes through here; `text` escapes it.

mod progress;
mod table;

use std::io::Write as _;

pub use progress::Bar;
pub use table::Table;

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::text::escape;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// One JSON document on standard output instead of text.
    pub json: bool,
    /// Only results and errors.
    pub quiet: bool,
}

impl Output {
    /// Prints a result: `value` as JSON, or the text that `text` makes.
    ///
    /// # Errors
    /// When standard output can't be written, except that a reader who has seen enough (`| head`) is none.
    pub fn print<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        let mut document = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|e| Error::new(Code::Internal, format!("write JSON: {e}")))?
        } else {
            text()
        };
        if !document.is_empty() && !document.ends_with('\n') {
            document.push('\n');
        }
        print_text(&document)
    }

    /// Prints an error on standard error, and as the JSON document with `--json`.
    pub fn error(self, error: &Error) {
        if self.json {
            let value = crate::api::types::Failure {
                success: false,
                code: error.code.name(),
                message: error.to_string(),
                detail: None,
                backup: None,
                verification: None,
            };
            // Nothing is left to be done when neither output can be written.
            let _ = self.print(&value, String::new);
        }
        let _ = writeln!(std::io::stderr(), "cofre: {}", error_text(error));
    }

    /// A remark for people on standard error, not with `--quiet`.
    pub fn note(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "cofre: {}", escape(text));
        }
    }
}

/// The message, escaped. Only the lists of problems with configuration and options have lines of their own;
/// they escape what they quote.
fn error_text(error: &Error) -> String {
    let text = error.to_string();
    match error.code {
        Code::Config | Code::Usage => text.split('\n').map(escape).collect::<Vec<_>>().join("\n"),
        _ => escape(&text).into_owned(),
    }
}

/// Writes to standard output.
///
/// # Errors
/// As [`Output::print`].
pub fn print_text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to standard output", &e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_about_a_file_stays_on_one_line() {
        let error = Error::new(Code::Io, "open a\nb: denied");
        assert_eq!(error_text(&error), "open a\\nb: denied");
    }
}
