//! The file that node_exporter's textfile collector picks up.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `text` beside `path` and renames it over, so that a reader sees the old or the new text, never a part.
/// The name meanwhile doesn't end in `.prom`, so node_exporter passes it over.
///
/// # Errors
/// What the file system says, naming `path`.
pub fn write(path: &Path, text: &str) -> Result<()> {
    publish(path, text).map_err(|source| Error::Textfile {
        path: path.to_owned(),
        source,
    })
}

fn publish(path: &Path, text: &str) -> io::Result<()> {
    let aside = name_aside(path)?;
    // What a killed process of the same number left.
    drop(fs::remove_file(&aside));
    let written = write_new(&aside, text).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // It may not even be there; the first error is the one to tell.
        drop(fs::remove_file(&aside));
    }
    written
}

fn name_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_older_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cofre.prom");
        write(&path, "old\n").unwrap();
        write(&path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_target_that_can_not_be_replaced_is_named_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cofre.prom");
        fs::create_dir(&path).unwrap();
        let error = write(&path, "x").unwrap_err().to_string();
        assert!(error.contains("cofre.prom"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
