//! Which entries a restore extracts, and which folders they need.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::archive::{ArchiveReader, EntryKind};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Dir;

/// The globs of a request.
pub(super) struct Selection(Option<GlobSet>);

impl Selection {
    /// Compiles the globs; none at all selects everything.
    pub(super) fn new(only: &[String]) -> Result<Self> {
        if only.is_empty() {
            return Ok(Self(None));
        }
        let mut set = GlobSetBuilder::new();
        for glob in only {
            // A trailing slash, as a shell's completion leaves it, means the folder.
            let parsed = GlobBuilder::new(glob.trim_end_matches('/'))
                .literal_separator(true)
                .build()
                .map_err(|e| bad(glob, &e))?;
            set.add(parsed);
        }
        let set = set.build().map_err(|e| bad(&only.join(", "), &e))?;
        Ok(Self(Some(set)))
    }

    /// Whether the path, or a folder that it lies in, matches.
    pub(super) fn has(&self, path: &str) -> bool {
        let Some(set) = &self.0 else {
            return true;
        };
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.chain([path]).any(|path| set.is_match(path))
    }
}

fn bad(glob: &str, e: &globset::Error) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "restore",
        format!("the pattern does not parse: {}", e.kind()),
    )
    .about(glob)
}

/// The folders that are still to be made: chosen ones, and those that other chosen entries lie in.
///
/// Each is made when the first file in it is about to be written, so that nobody waits until all are there.
pub(super) struct Folders(BTreeSet<Box<str>>);

impl Folders {
    /// Those of the entries `chosen` of `archive`.
    pub(super) fn new(archive: &ArchiveReader, chosen: &[usize]) -> Self {
        let mut folders = BTreeSet::new();
        for &index in chosen {
            let entry = archive.entry(index);
            let mut folder = match entry.kind {
                EntryKind::Directory => Some(entry.path),
                EntryKind::File | EntryKind::Symlink => parent(entry.path),
            };
            while let Some(path) = folder
                && folders.insert(path)
            {
                folder = parent(path);
            }
        }
        Self(folders.into_iter().map(Box::from).collect())
    }

    /// Makes the folders in `target` that the entry `path` lies in, parents first.
    pub(super) fn make_for(&mut self, path: &str, target: &Dir) -> Result<()> {
        if parent(path).is_some_and(|parent| self.0.contains(parent)) {
            for (at, _) in path.match_indices('/') {
                if self.0.remove(&path[..at]) {
                    target.make_dir(&path[..at])?;
                }
            }
        }
        Ok(())
    }

    /// Makes what is left.
    pub(super) fn make_rest(&mut self, target: &Dir) -> Result<()> {
        // A parent sorts before what lies in it.
        std::mem::take(&mut self.0)
            .iter()
            .try_for_each(|folder| target.make_dir(folder))
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}
