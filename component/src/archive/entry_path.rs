//! The one check for unsafe paths in an archive.

use crate::error::{Error, ErrorKind, Result};

/// Checks that `path` is relative and stays where it is put: no empty, `.` or `..` component, no NUL.
///
/// # Errors
/// `InvalidInput` that names the path and what is wrong with it.
pub fn check(path: &str) -> Result<()> {
    let problem = if path.is_empty() {
        "the path is empty"
    } else if path.starts_with('/') {
        "the path is absolute"
    } else if path.contains('\0') {
        "the path has a NUL character"
    } else if path.split('/').any(|c| c.is_empty() || c == "." || c == "..") {
        "the path has an empty, `.` or `..` component"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, "check path", problem).about(path))
}
