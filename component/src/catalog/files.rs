//! Which files in the backups folder stand for a backup: the archive itself, or what a host has encrypted it into, each
//! with its checksum beside it. The one place that knows these names.
//!
//! A host encrypts an archive after it is published, and removes the plain one when the encrypted one is durable. Where a
//! crash leaves both, the plain one counts: it is what the catalog's row describes, and can be read here. One that has
//! another size than the row says (the catalog knows) or is no regular file is something else, and the encrypted one
//! counts. What is encrypted is only kept, counted and removed by this component; it has no keys.

use std::collections::{BTreeMap, HashSet};

use super::{Record, Status, names};
use crate::error::Result;
use crate::fs::{Dir, FileKind};

/// Ending of an archive.
const PLAIN: &str = ".zip";
/// Ending of an encrypted one, in the age format.
const SEALED: &str = ".zip.age";

/// How an archive lies in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As the catalog's row describes it.
    Plain,
    /// Encrypted by the host.
    Sealed,
}

impl Form {
    /// File name of the archive of the backup `name` in this form.
    #[must_use]
    pub fn file(self, name: &str) -> String {
        match self {
            Self::Plain => format!("{name}{PLAIN}"),
            Self::Sealed => format!("{name}{SEALED}"),
        }
    }

    /// File name of the checksum beside it, in the format of `sha256sum`.
    #[must_use]
    pub fn sidecar(self, name: &str) -> String {
        format!("{}.sha256", self.file(name))
    }
}

/// The backup of which a file is the archive, and in which form; `None` for other files.
#[must_use]
pub fn of_file(file_name: &str) -> Option<(&str, Form)> {
    let (name, form) = match file_name.strip_suffix(SEALED) {
        Some(name) => (name, Form::Sealed),
        None => (file_name.strip_suffix(PLAIN)?, Form::Plain),
    };
    names::parse(name).map(|_| (name, form))
}

/// The form in which the archive of the backup `name` is among `files`.
pub(super) fn form_in(files: &BTreeMap<String, FileKind>, name: &str) -> Option<Form> {
    [Form::Plain, Form::Sealed]
        .into_iter()
        .find(|form| files.get(&form.file(name)) == Some(&FileKind::File))
}

/// Names of the backups beside whose encrypted archive another file than the archive has the plain one's name, as far as
/// its size tells.
///
/// # Errors
/// An I/O error.
pub(super) fn usurped(
    dir: &Dir,
    files: &BTreeMap<String, FileKind>,
    rows: &[Record],
) -> Result<HashSet<String>> {
    let is_file = |form: Form, name: &str| files.get(&form.file(name)) == Some(&FileKind::File);
    let mut usurped = HashSet::new();
    for row in rows {
        // Rows of the original system may lack the size, and a run that has not ended knows none.
        let is_known = matches!(row.status, Status::Completed | Status::Partial) && row.size > 0;
        if !is_known || !is_file(Form::Plain, &row.name) || !is_file(Form::Sealed, &row.name) {
            continue;
        }
        let plain = dir.stat(&Form::Plain.file(&row.name))?;
        if plain.is_some_and(|plain| plain.size != row.size) {
            usurped.insert(row.name.clone());
        }
    }
    Ok(usurped)
}

/// Names of the backups that have an archive among `files`, each once, in order.
pub(super) fn archives_in(files: &BTreeMap<String, FileKind>) -> impl Iterator<Item = &str> {
    files
        .iter()
        .filter(|(_, kind)| **kind == FileKind::File)
        .filter_map(|(file, _)| of_file(file))
        .filter(|(name, form)| form_in(files, name) == Some(*form))
        .map(|(name, _)| name)
}

/// Whether anything of `files` has the place of a file of the backup `name`.
pub(super) fn is_placed(files: &BTreeMap<String, FileKind>, name: &str) -> bool {
    [Form::Plain, Form::Sealed]
        .iter()
        .any(|form| files.contains_key(&form.file(name)) || files.contains_key(&form.sidecar(name)))
}

#[cfg(test)]
mod tests;
