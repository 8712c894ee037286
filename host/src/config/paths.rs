//! Paths of the configuration: made absolute, compared where links are resolved, permissions looked at.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// `text` relative to `dir`, without `.` and with `..` taken off lexically: a configuration is written by
/// people who mean the folder beside it, not what a link on the way makes of it.
pub(super) fn resolve(dir: &Path, text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a path can't be empty".into());
    }
    if text.contains('\0') {
        return Err("a path can't contain a NUL character".into());
    }
    if text == "~" || text.starts_with("~/") {
        return Err(format!("`{text}`: `~` is the shell's, write the whole path"));
    }
    Ok(normalise(&dir.join(text)))
}

fn normalise(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The path with links resolved as far as it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut front = path;
    loop {
        if let Ok(real) = front.canonicalize() {
            return missing.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (front.parent(), front.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                front = parent;
            }
            _ => return path.to_path_buf(),
        }
    }
}

/// Whether `inner` is `outer` or below it, links resolved.
pub(super) fn is_within(inner: &Path, outer: &Path) -> bool {
    real(inner).starts_with(real(outer))
}

/// Whether group or others can read a file.
pub(crate) fn others_can_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.mode() & 0o044 != 0)
}

/// Warns of a file with a secret that others can read.
pub(super) fn warn_of_readers(file: &Path, warnings: &mut Vec<String>) {
    if others_can_read(file) {
        let shown = crate::text::shown(file);
        warnings.push(format!(
            "{shown} holds a secret and others can read it: run `chmod 600 {shown}`"
        ));
    }
}
