//! What is in an archive, as its manifest says or, for archives without one, as its directory does.
//!
//! `entries` and `details` for the host; `diff` uses the same list.

use crate::archive::reader::shown;
use crate::archive::{ArchiveReader, EntryKind, EntryReader, EntryView};
use crate::catalog::Catalog;
use crate::checksum::locate;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::manifest::{MANIFEST_NAME, ManifestEntry, parse_crc, parse_mode, parse_time};
use crate::types::{Backup, BackupDetails, Entry, Kind};

/// Longest target of a link in bytes, one less than Linux's `PATH_MAX`.
pub(crate) const MAX_TARGET: usize = 4095;
const TOO_LONG: &str = "its target is longer than 4095 bytes";

/// The entries of the backup `id` after the path `after` (all of them for `None`), in archive order, at most
/// `limit`. Links whose target is absolute are among them, though only recorded: their `compressed_size` is 0.
///
/// # Errors
/// `NotFound` for the backup, its archive or `after`; `Corrupt`, or an I/O error.
pub fn entries(roots: &Roots, id: u64, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
    let (_, archive) = open(roots, id, "list entries")?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut begun = after.is_none();
    let mut out = Vec::new();
    for_each(&archive, &mut |entry| {
        if begun && out.len() < limit {
            out.push(entry);
        } else if after == Some(entry.path.as_str()) {
            begun = true;
        }
        Ok(())
    })?;
    match after {
        Some(path) if !begun => Err(Error::new(
            ErrorKind::NotFound,
            "list entries",
            "the archive has no entry of this path to go on after",
        )
        .about(path)),
        _ => Ok(out),
    }
}

/// The rest of the manifest of the backup `id`; empty for archives without one.
///
/// # Errors
/// `NotFound` for the backup or its archive; `Corrupt`, or an I/O error.
pub fn details(roots: &Roots, id: u64) -> Result<BackupDetails> {
    let (backup, archive) = open(roots, id, "read manifest")?;
    let header = archive.manifest_rows(&mut |_| Ok(()))?;
    let (skips, databases, component_version) = header.map_or((Vec::new(), Vec::new(), None), |header| {
        (header.skipped, header.databases, Some(header.component_version))
    });
    Ok(BackupDetails {
        backup,
        skips,
        databases,
        component_version,
    })
}

/// The backup `id` and its archive, if that can be the one that the row describes: by its size, since all of it would have
/// to be read for more.
pub(crate) fn open(roots: &Roots, id: u64, operation: &str) -> Result<(Backup, ArchiveReader)> {
    let dir = roots.open(BACKUPS)?;
    let backup = locate(&Catalog::load(&dir)?, id, operation)?;
    let name = backup.record.archive_name();
    let archive = ArchiveReader::open(&dir, &name)?;
    let (size, known) = (archive.size(), backup.record.size);
    // Rows of the original system may lack the size.
    if known != 0 && known != size {
        let why = format!("it has {size} bytes, and the catalog says {known}: it was changed or exchanged");
        return Err(Error::new(ErrorKind::Corrupt, operation, why).about(name).remedy(
            "`cofre verify` says what else is wrong; another copy, or an older backup, may be good",
        ));
    }
    Ok((backup, archive))
}

/// Gives every entry to `each`, in archive order.
pub(crate) fn for_each(archive: &ArchiveReader, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
    let header = archive.manifest_rows(&mut |row| {
        let view = archive.find(&row.path).map(|index| archive.entry(index));
        each(of_row(row, view))
    })?;
    if header.is_none() {
        for index in 0..archive.len() {
            each(of_view(archive, index)?)?;
        }
    } else if let Some(index) = archive.find(MANIFEST_NAME) {
        each(of_view(archive, index)?)?;
    }
    Ok(())
}

/// An entry as its manifest row describes it.
pub(crate) fn of_row(row: ManifestEntry, view: Option<EntryView<'_>>) -> Entry {
    let kind = match row.kind.as_str() {
        "directory" => Kind::Directory,
        "symlink" | "absolute-symlink" => Kind::Symlink(row.target.unwrap_or_default()),
        _ => Kind::File,
    };
    Entry {
        path: row.path,
        kind,
        size: row.size,
        compressed_size: view.map_or(0, |view| view.compressed_size),
        mtime_ns: row.mtime.as_deref().and_then(parse_time),
        mode: row.mode.as_deref().and_then(parse_mode),
        crc32: row.crc32.as_deref().and_then(parse_crc),
        changed: row.changed,
    }
}

/// The entry `index` as the directory describes it.
pub(crate) fn of_view(archive: &ArchiveReader, index: usize) -> Result<Entry> {
    let view = archive.entry(index);
    let (kind, crc32) = match view.kind {
        EntryKind::File => (Kind::File, Some(view.crc32)),
        EntryKind::Directory => (Kind::Directory, None),
        EntryKind::Symlink => {
            let target = link_target(archive, &mut archive.reader(), index)?;
            (Kind::Symlink(target), Some(view.crc32))
        }
    };
    Ok(Entry {
        path: view.path.to_owned(),
        kind,
        size: view.size,
        compressed_size: view.compressed_size,
        mtime_ns: view.mtime.and_then(|s| s.checked_mul(1_000_000_000)),
        mode: view.mode,
        crc32,
        changed: false,
    })
}

/// The target of the link `index`: its content, read by `reader`.
pub(crate) fn link_target(archive: &ArchiveReader, reader: &mut EntryReader, index: usize) -> Result<String> {
    let bad = |message: &str| {
        let path = shown(archive.entry(index).path);
        let message = format!("entry {path}: {message}");
        Error::new(ErrorKind::Corrupt, "read link", message).about(archive.name())
    };
    // Not even looked at: what follows would hold it in memory.
    if archive.entry(index).size > MAX_TARGET as u64 {
        return Err(bad(TOO_LONG));
    }
    reader.start(archive, index)?;
    let bytes = reader.read_to_end(MAX_TARGET)?;
    target_of(bytes).map_err(bad)
}

/// The content of a link as its target, or why no system can have such a link.
pub(crate) fn target_of(content: Vec<u8>) -> std::result::Result<String, &'static str> {
    if content.len() > MAX_TARGET {
        return Err(TOO_LONG);
    }
    let target = String::from_utf8(content).map_err(|_| "its target is not UTF-8")?;
    if target.is_empty() || target.contains('\0') {
        return Err("its target is empty or contains a NUL");
    }
    Ok(target)
}

#[cfg(test)]
mod tests;
