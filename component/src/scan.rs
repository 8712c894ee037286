//! What goes into an archive: the sources of a request as one table of items, sorted by path, and a list of
//! what stays out. Reading contents is `create`'s business, globs are `scan/filter`'s.
//!
//! An item takes about 100 bytes and its path, so that 200,000 files fit a sandbox's memory several times.

mod collect;
mod filter;
mod observed;
mod walk;

use std::collections::BTreeSet;

use collect::Collector;
pub use filter::Filter;

use crate::archive::codec::Method;
use crate::archive::{MAX_ENTRIES, MAX_NAMES, entry_path};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, FileKind, Roots};
use crate::manifest::MANIFEST_NAME;
use crate::types::{Inventory, Skip, Source};

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link that is stored as one.
    Symlink,
    /// A link with an absolute target: recorded in the manifest only.
    AbsoluteSymlink,
}

/// One thing that goes into the archive, and what became of it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Path in the archive.
    pub path: Box<str>,
    /// Target of a link.
    pub target: Option<Box<str>>,
    /// Bytes: as observed, then as packed.
    pub size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    /// Where its entry begins in the archive, once packed.
    pub start: u64,
    /// Bytes of its content in the archive, once packed.
    pub stored: u64,
    /// How its content is stored, once packed.
    pub method: Method,
    /// CRC-32 of the content, once packed.
    pub crc32: u32,
    mode: u16,
    /// Which source it is from.
    pub source: u16,
    /// What it is.
    pub kind: ItemKind,
    /// Changed while it was read.
    pub changed: bool,
    /// Turned out not to be readable; it is a skip now.
    pub dropped: bool,
}

/// Stands for an unknown time.
const NO_TIME: i64 = i64::MIN;
/// Stands for an unknown inode; no file system gives this number to a file.
const NO_INODE: u64 = 0;
/// Stands for an unknown mode.
const NO_MODE: u16 = u16::MAX;

impl Item {
    /// Modification time in nanoseconds since 1970, where somebody saw it.
    #[must_use]
    pub fn mtime_ns(&self) -> Option<i64> {
        (self.mtime_ns != NO_TIME).then_some(self.mtime_ns)
    }

    /// Notes the modification time.
    pub fn set_mtime_ns(&mut self, ns: Option<i64>) {
        self.mtime_ns = ns.unwrap_or(NO_TIME);
    }

    /// Time of the last change of the inode and its number, where somebody saw both: what tells that a file is
    /// still the very same.
    #[must_use]
    pub fn identity(&self) -> Option<(i64, u64)> {
        (self.ctime_ns != NO_TIME && self.inode != NO_INODE).then_some((self.ctime_ns, self.inode))
    }

    /// Forgets the identity: what was read is not what was observed.
    pub fn forget_identity(&mut self) {
        self.inode = NO_INODE;
    }

    /// Permission bits, where somebody saw them.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        (self.mode != NO_MODE).then_some(u32::from(self.mode))
    }
}

/// A source's folder and its open root.
#[derive(Debug)]
pub struct Root {
    /// Folder in the archive.
    pub folder: String,
    /// The directory that its items are read from.
    pub dir: Dir,
}

/// The table of a whole request.
#[derive(Debug)]
pub struct Selection {
    /// What goes in, sorted by the bytes of the path.
    pub items: Vec<Item>,
    /// What stays out, sorted likewise.
    pub skips: Vec<Skip>,
    /// The sources, by [`Item::source`].
    pub roots: Vec<Root>,
}

/// Scans a request's sources one at a time.
#[derive(Debug)]
pub struct Scanner {
    waiting: std::vec::IntoIter<Source>,
    selection: Selection,
}

/// Scans all sources.
///
/// # Errors
/// See [`Scanner::new`] and [`Scanner::next_source`].
pub fn scan(roots: &Roots, sources: Vec<Source>) -> Result<Selection> {
    let mut scanner = Scanner::new(sources)?;
    while scanner.next_source(roots)? {}
    scanner.finish()
}

/// A source that is most likely on a disk that is not mounted.
fn missing(subject: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::SourceMissing, "read source", message).about(subject)
}

fn invalid(subject: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read source", message).about(subject)
}

impl Scanner {
    /// Checks the sources' folders; nothing is read yet.
    ///
    /// # Errors
    /// `InvalidInput` where there is no source, or for a folder that is no plain name, reserved or there twice.
    pub fn new(sources: Vec<Source>) -> Result<Self> {
        let mut folders = BTreeSet::new();
        if sources.is_empty() || sources.len() >= usize::from(u16::MAX) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "read request",
                format!("there are {} sources", sources.len()),
            )
            .remedy("name at least one folder to back up"));
        }
        for source in &sources {
            let folder = source.folder.as_str();
            entry_path::check(folder)?;
            if folder.contains('/') || folder == MANIFEST_NAME {
                return Err(invalid(
                    folder,
                    "a source's folder can't have this name in an archive",
                ));
            }
            if !folders.insert(folder) {
                return Err(invalid(folder, "two sources have this folder in the archive")
                    .remedy("give one of them another name"));
            }
        }
        Ok(Self {
            waiting: sources.into_iter(),
            selection: Selection {
                items: Vec::new(),
                skips: Vec::new(),
                roots: Vec::new(),
            },
        })
    }

    /// Folder of the source that comes next.
    #[must_use]
    pub fn upcoming(&self) -> Option<&str> {
        self.waiting.as_slice().first().map(|s| s.folder.as_str())
    }

    /// Scans the next source; false when there was none left.
    ///
    /// # Errors
    /// `InvalidInput` for a source that is missing, not a directory or empty, for a glob or an observation that
    /// can't be read; otherwise what the file system says of the source's root.
    pub fn next_source(&mut self, roots: &Roots) -> Result<bool> {
        let Some(source) = self.waiting.next() else {
            return Ok(false);
        };
        let filter = Filter::new(&source.include, &source.exclude)?;
        let dir = open_root(roots, &source)?;
        let mut collector = Collector {
            folder: &source.folder,
            source: u16::try_from(self.selection.roots.len()).unwrap_or(u16::MAX),
            filter,
            dir: &dir,
            first: self.selection.items.len(),
            has_root: false,
            has_content: false,
            items: &mut self.selection.items,
            skips: &mut self.selection.skips,
        };
        match source.inventory {
            Inventory::Scan => walk::walk(&mut collector)?,
            Inventory::Observed(list) => {
                for observation in list {
                    collector.add(observation)?;
                }
            }
            Inventory::ObservedFile(path) => observed::read(roots, &path, &mut collector)?,
        }
        collector.close(source.allow_empty)?;
        self.selection.roots.push(Root {
            folder: source.folder,
            dir,
        });
        Ok(true)
    }

    /// The whole table.
    ///
    /// # Errors
    /// `InvalidInput` when a path is there twice, or below something that is not a directory; `Unsupported` for
    /// more than an archive that cofre reads may have.
    pub fn finish(self) -> Result<Selection> {
        let mut selection = self.selection;
        selection
            .items
            .sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        selection
            .skips
            .sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check_tree(&selection.items)?;
        let names = selection.items.iter().map(|item| item.path.len()).sum();
        check_size(selection.items.len(), names)?;
        Ok(selection)
    }
}

/// Opens a source's root. One that is not there is the likeliest sign of a disk that is not mounted.
fn open_root(roots: &Roots, source: &Source) -> Result<Dir> {
    let missing = || {
        missing(&source.folder, format!("the source {} is not there", source.root))
            .remedy("is its disk mounted? Otherwise take it out of the configuration")
    };
    match roots.open(&source.root) {
        Ok(dir) => match dir.stat(".")? {
            Some(stat) if stat.kind == FileKind::Directory => Ok(dir),
            _ => Err(missing()),
        },
        Err(e) if e.kind == ErrorKind::NotFound => Err(missing()),
        Err(e) => Err(e),
    }
}

/// Refuses what could not be extracted again: one path twice, or a file with something below it.
fn check_tree(items: &[Item]) -> Result<()> {
    let mut last_parent = "";
    for (i, item) in items.iter().enumerate() {
        if i > 0 && items[i - 1].path == item.path {
            return Err(invalid(&item.path, "the path was observed twice"));
        }
        let parent = filter::parent(&item.path);
        if last_parent == parent {
            continue;
        }
        last_parent = parent;
        let mut folder = parent;
        while !folder.is_empty() {
            let found = items[..i].binary_search_by(|other| other.path.as_bytes().cmp(folder.as_bytes()));
            match found.map(|at| items[at].kind) {
                // What is above it was looked at when it was its own turn.
                Ok(ItemKind::Directory) => break,
                Ok(_) => {
                    return Err(invalid(
                        &item.path,
                        "the path lies below something that is not a directory",
                    ));
                }
                Err(_) => folder = filter::parent(folder),
            }
        }
    }
    Ok(())
}

/// Refuses what the reader would: a backup that can't be verified or restored is none.
fn check_size(items: usize, names: usize) -> Result<()> {
    let entries = items as u64 + 1;
    if entries <= MAX_ENTRIES && names + MANIFEST_NAME.len() <= MAX_NAMES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "read sources",
        format!(
            "{entries} entries with {names} bytes of names are more than the {MAX_ENTRIES} and {MAX_NAMES} of an archive"
        ),
    )
    .remedy("exclude what need not be kept, or make several backups"))
}

#[cfg(test)]
mod tests;
