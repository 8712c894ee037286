//! Backups that go from a full disk, where there is no room for the catalog that says so.
//!
//! Their archives are renamed to marks: a rename needs no space and is there or not there after a crash. A mark
//! counts like a tombstone from then on ([`super::Catalog::load`] takes its row out), so its content can be cut off,
//! and the catalog has room. The mark itself goes last, when the catalog without the row is durable.

use std::collections::BTreeMap;

use super::files::Form;
use super::names;
use crate::error::Result;
use crate::fs::{Dir, FileKind};

#[cfg(test)]
mod tests;

/// File name of the mark of a backup. Shorter than that of the file with the checksum, see [`give_up`].
pub(crate) fn mark_of(name: &str) -> String {
    format!(".{name}.gone")
}

/// The backup whose mark has this file name, if it is one.
pub(crate) fn of_mark(file_name: &str) -> Option<&str> {
    let name = file_name.strip_prefix('.')?.strip_suffix(".gone")?;
    names::parse(name).map(|_| name)
}

/// Names of the backups that are going: with a mark, and without the archive that it was made of.
pub(super) fn marked(files: &BTreeMap<String, FileKind>) -> impl Iterator<Item = &str> {
    files
        .iter()
        .filter(|(_, kind)| **kind == FileKind::File)
        .filter_map(|(file, _)| of_mark(file))
        .filter(|name| {
            let placed = |form: &Form| files.contains_key(&form.file(name));
            ![Form::Plain, Form::Sealed].iter().any(placed)
        })
}

/// Makes the mark of a backup of its archive.
fn mark(dir: &Dir, name: &str) -> Result<()> {
    let mark = mark_of(name);
    let form = if dir.stat(&Form::Plain.file(name))?.is_none() {
        Form::Sealed
    } else {
        if dir.stat(&Form::Sealed.file(name))?.is_some() {
            // While one of two is there, a mark of the other says nothing.
            dir.unlink_if_exists(&Form::Sealed.file(name))?;
        }
        Form::Plain
    };
    let archive = form.file(name);
    dir.rename(&archive, &mark).or_else(|_| {
        // Where even a name needs room in the folder, that of the longer one will do.
        dir.unlink_if_exists(&form.sidecar(name))?;
        dir.rename(&archive, &mark)
    })
}

/// Makes marks of the archives of backups that are to go, and frees their space; whether there is one.
///
/// # Errors
/// When the marks can't be made durable; nothing is freed then.
pub(crate) fn give_up<'a>(dir: &Dir, names: impl Iterator<Item = &'a str>) -> Result<bool> {
    let mut marks = Vec::new();
    for name in names {
        if mark(dir, name).is_ok() {
            marks.push(mark_of(name));
        }
    }
    if marks.is_empty() {
        return Ok(false);
    }
    // Before anything is cut off: half an archive must not come back under its name.
    dir.sync()?;
    for mark in marks {
        // One that can't be cut frees nothing, and the catalog tells whether the others were enough.
        let _ = dir
            .open_to_write(&mark)
            .and_then(|file| file.set_size(0).and_then(|()| file.sync()));
    }
    Ok(true)
}
