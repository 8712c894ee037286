//! That the backups folder has a history, noted in the state folder as `history.json`: where the note says so and the
//! folder is bare, a disk is not mounted. A history that began anew on the bare mount point would look like all is
//! well, while the backups are elsewhere.
//!
//! Losing the note costs nothing but that protection, until the next run writes it again.

use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use cofre_exporter::component::catalog::files;
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::text::shown;
use crate::{fsutil, share, source, staging};

/// The note in the state folder.
const FILE: &str = "history.json";
/// Larger than any honest note.
const SIZE_LIMIT: u64 = 64 * 1024;

/// Folders that are remembered, the newest ones: a configuration each, beside one another in a folder.
const MOST: usize = 64;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The backups folders whose histories were seen. Another one may begin its own.
    backup_dirs: Vec<String>,
}

impl Note {
    fn has(&self, config: &Config) -> bool {
        self.backup_dirs.contains(&shown(&config.backup_dir))
    }
}

/// Whether an open backups folder has neither a catalog nor archives.
fn is_bare(backups: BorrowedFd<'_>) -> bool {
    share::CATALOG_FILES.iter().all(|name| {
        matches!(
            rustix::fs::statat(backups, *name, AtFlags::SYMLINK_NOFOLLOW),
            Err(Errno::NOENT)
        )
    }) && !has_archives(backups)
}

/// Without a catalog they are for `rebuild`, which every command names.
fn has_archives(backups: BorrowedFd<'_>) -> bool {
    let is_archive = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| files::of_file(name).is_some());
    // A description of its own: another's place in the list stays where it is.
    let listed = rustix::fs::openat(backups, ".", fsutil::dir_flags(), Mode::empty()).and_then(|dir| {
        let mut found = false;
        fsutil::list::<Errno>(dir.as_fd(), |name| {
            found = found || is_archive(name.to_bytes());
            Ok(())
        })?;
        Ok(found)
    });
    // What can't be listed is not known to be bare.
    listed.unwrap_or(true)
}

/// Refuses a backups folder that has lost its history; `None` for one that is not there at all.
///
/// # Errors
/// `Refused`.
pub(crate) fn check(config: &Config, backups: Option<BorrowedFd<'_>>) -> Result<()> {
    if !backups.is_none_or(is_bare) || !read(config).has(config) {
        return Ok(());
    }
    let message = format!(
        "the backups folder {} had a history, and now has none: is its disk mounted?",
        shown(&config.backup_dir)
    );
    Err(Error::new(Code::Refused, message).remedy(
        "mount it; where the history was removed on purpose, `cofre create --new-history` begins a new one",
    ))
}

/// Notes that the backups folder has a history, if it has one and that is not noted yet. A note that can't be written
/// is only logged: the backups matter more.
pub(crate) fn remember(config: &Config, backups: BorrowedFd<'_>) {
    let mut note = read(config);
    if is_bare(backups) || note.has(config) {
        return;
    }
    note.backup_dirs.push(shown(&config.backup_dir));
    let over = note.backup_dirs.len().saturating_sub(MOST);
    note.backup_dirs.drain(..over);
    if let Err(error) = write(config, &note) {
        tracing::warn!("that the backups folder has a history can't be noted: {error}");
    }
}

fn write(config: &Config, note: &Note) -> Result<()> {
    let dir = staging::open_state_dir(&config.state_dir)?;
    let mut text = serde_json::to_vec_pretty(note)
        .map_err(|e| Error::new(Code::Internal, format!("write {FILE}: {e}")))?;
    text.push(b'\n');
    fsutil::write_file(dir.as_fd(), FILE, &text)
}

/// The note; an empty one where there is none, or none that can be read.
fn read(config: &Config) -> Note {
    let path = config.state_dir.join(FILE);
    if std::fs::symlink_metadata(&path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Note::default();
    }
    let note = source::open_file_nofollow(&path).and_then(|file| {
        let mut text = Vec::new();
        file.take(SIZE_LIMIT)
            .read_to_end(&mut text)
            .map_err(|e| Error::io(format_args!("read {}", shown(&path)), &e))?;
        serde_json::from_slice(&text)
            .map_err(|e| Error::new(Code::Io, format!("{} can't be read: {e}", shown(&path))))
    });
    note.unwrap_or_else(|error| {
        tracing::warn!("{error}; an unmounted backups folder would not be noticed");
        Note::default()
    })
}
