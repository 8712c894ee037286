//! The manifest held against the archive's directory, row by row: what verify reports and restore insists on.
//!
//! Contents are not read here. Reading an entry compares its content with the directory's size and CRC, and this
//! compares those with the manifest's, so that both together compare the content with the manifest.

use std::collections::BTreeSet;

use super::{MANIFEST_NAME, ManifestEntry, ManifestHeader, parse_crc, parse_mode};
use crate::archive::reader::shown;
use crate::archive::{ArchiveReader, EntryKind, EntryView, entry_path};
use crate::entries::MAX_TARGET;
use crate::error::Result;

/// What [`compare`] comes upon.
pub(crate) enum Finding {
    /// Something is wrong; one sentence.
    Problem(String),
    /// A link whose target is absolute, which is recorded but not in the archive.
    AbsoluteLink(ManifestEntry),
    /// The entry of this index lies in blocks of these lengths.
    Blocks(usize, Vec<u64>),
}

/// Compares the manifest of `archive` with its directory. `None` when there is no manifest with rows.
///
/// # Errors
/// As [`ArchiveReader::manifest_rows`].
pub(crate) fn compare(
    archive: &ArchiveReader,
    found: &mut dyn FnMut(Finding),
) -> Result<Option<ManifestHeader>> {
    let mut seen = vec![false; archive.len()];
    let mut links = BTreeSet::new();
    let mut files = 0u64;
    let header = archive.manifest_rows(&mut |mut row| {
        files += u64::from(row.kind == "file");
        if row.kind == "absolute-symlink" {
            found(absolute_link(archive, row, &mut links));
            return Ok(());
        }
        let problem = match archive.find(&row.path) {
            None => Some(format!(
                "{} is in the manifest, but not in the archive",
                shown(&row.path)
            )),
            Some(index) if std::mem::replace(&mut seen[index], true) => {
                Some(format!("{} is in the manifest twice", shown(&row.path)))
            }
            Some(index) => match (difference(&row, archive.entry(index)), row.blocks.take()) {
                (None, Some(blocks)) if archive.place(index).0.lies_in(&blocks) => {
                    found(Finding::Blocks(index, blocks));
                    None
                }
                (None, Some(_)) => Some(format!(
                    "{} has blocks in the manifest that its content in the archive can't have",
                    shown(&row.path)
                )),
                (problem, _) => problem,
            },
        };
        if let Some(problem) = problem {
            found(Finding::Problem(problem));
        }
        Ok(())
    })?;
    let Some(header) = header else {
        return Ok(None);
    };
    for path in &links {
        if let Some(above) = folders_of(path).find(|above| links.contains(*above)) {
            found(Finding::Problem(lies_in(above, path)));
        }
    }
    for (entry, seen) in archive.entries().zip(seen) {
        if !seen && entry.path != MANIFEST_NAME {
            found(Finding::Problem(format!(
                "{} is in the archive, but not in the manifest",
                shown(entry.path)
            )));
        }
    }
    if let Some(problem) = header.without_archive() {
        found(Finding::Problem(problem.to_owned()));
    }
    if header.file_count != files {
        found(Finding::Problem(format!(
            "the manifest counts {} files and lists {files}",
            header.file_count
        )));
    }
    Ok(Some(header))
}

/// How a row differs from the entry of its path.
fn difference(row: &ManifestEntry, entry: EntryView<'_>) -> Option<String> {
    let kind = match entry.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
    };
    let said = |what: &str, manifest: &str, archive: &str| {
        let path = shown(&row.path);
        let manifest = shown(manifest);
        Some(format!(
            "{path} has {what} {manifest} in the manifest and {archive} in the archive"
        ))
    };
    if row.kind != kind {
        return said("kind", &row.kind, kind);
    }
    if row.size != entry.size {
        return said("size", &row.size.to_string(), &entry.size.to_string());
    }
    let crc32 = format!("{:08x}", entry.crc32);
    let sum = row.crc32.as_deref();
    if entry.kind != EntryKind::Directory && sum.and_then(parse_crc) != Some(entry.crc32) {
        return said("CRC", sum.unwrap_or("none"), &crc32);
    }
    if let Some(mode) = &row.mode
        && parse_mode(mode) != entry.mode
    {
        let in_archive = entry.mode.map_or("none".to_owned(), super::format_mode);
        return said("mode", mode, &in_archive);
    }
    let target = row.target.as_deref();
    if target.is_some_and(|target| target.contains('\0')) {
        return said("target", target.unwrap_or("none"), "one that no link can have");
    }
    if entry.kind == EntryKind::Symlink && target.map(|t| crc32fast::hash(t.as_bytes())) != Some(entry.crc32)
    {
        return said("target", target.unwrap_or("none"), "another");
    }
    None
}

/// Whether an absolute link can be made where everything else is. `links` has the paths of those before it.
fn absolute_link(archive: &ArchiveReader, row: ManifestEntry, links: &mut BTreeSet<String>) -> Finding {
    let target = row.target.as_deref().unwrap_or_default();
    let is_folder = |above: &&str| {
        let entry = archive.find(above).map(|index| archive.entry(index));
        entry.is_none_or(|entry| entry.kind == EntryKind::Directory)
    };
    let problem = if archive.find(&row.path).is_some() {
        "is recorded as an absolute link, but in the archive"
    } else if !target.starts_with('/') {
        "is recorded as an absolute link, but has no such target"
    } else if target.contains('\0') || target.len() > MAX_TARGET {
        "is recorded as an absolute link, but has a target that no link can have"
    } else if entry_path::check(&row.path).is_err() {
        "is recorded as a link, but not a safe path"
    } else if let Some(inside) = archive.below(&row.path) {
        return Finding::Problem(lies_in(&row.path, inside.path));
    } else if let Some(above) = folders_of(&row.path).find(|above| !is_folder(above)) {
        return Finding::Problem(lies_in(above, &row.path));
    } else if !links.insert(row.path.clone()) {
        "is recorded as an absolute link twice"
    } else {
        return Finding::AbsoluteLink(row);
    };
    Finding::Problem(format!("{} {problem}", shown(&row.path)))
}

/// The folders that a path lies in.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn lies_in(above: &str, path: &str) -> String {
    format!("{} is not a folder, but {} lies in it", shown(above), shown(path))
}
