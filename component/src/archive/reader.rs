//! An archive opened for reading: its table of entries, its manifest, and readers for the content.
//!
//! Verify, restore, diff, `entries` and the catalog's rebuild all read through this; none looks at ZIP bytes.

use std::borrow::Cow;
use std::io::{self, Read};
use std::rc::Rc;

use super::directory::{Directory, EntryView, Location};
use super::entry_path;
use super::entry_reader::EntryReader;
pub use super::entry_reader::Places;
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File};
use crate::limits::UnpackLimits;
use crate::manifest::{MANIFEST_NAME, Manifest, ManifestEntry, ManifestHeader, read_manifest};

/// Most bytes of a manifest: this, and [`MANIFEST_ROW`] more for each entry.
const MANIFEST_BASE: u64 = 64 << 20;
const MANIFEST_ROW: u64 = 1 << 10;

/// An archive, opened and its structure checked.
#[derive(Debug)]
pub struct ArchiveReader {
    file: Rc<File>,
    name: Rc<str>,
    size: u64,
    directory: Directory,
}

impl ArchiveReader {
    /// Opens the archive `name` of the folder `dir` and checks its central directory: every byte belongs to
    /// something, every name is safe and there once.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported` (encryption, unknown methods), or an I/O error.
    pub fn open(dir: &Dir, name: &str) -> Result<Self> {
        let file = dir.open(name)?;
        let size = file.stat()?.size;
        Self::from_file(Rc::new(file), name, size)
    }

    /// [`Self::open`] for a file that is open already and has `size` bytes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_file(file: Rc<File>, name: &str, size: u64) -> Result<Self> {
        let directory = Directory::read(&file, size).map_err(|e| about(name, e))?;
        Ok(Self {
            file,
            name: Rc::from(name),
            size,
            directory,
        })
    }

    /// File name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size of the archive in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.directory.rows.len()
    }

    /// Whether there is no entry at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directory.rows.is_empty()
    }

    /// The entries in archive order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = EntryView<'_>> {
        (0..self.len()).map(|index| self.directory.view(index))
    }

    /// The entry `index`, counted in archive order; `index` has to be less than [`Self::len`].
    #[must_use]
    pub fn entry(&self, index: usize) -> EntryView<'_> {
        self.directory.view(index)
    }

    /// Index of the entry with this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        self.directory.find(path)
    }

    /// An entry that lies in `folder`, at any depth.
    pub(crate) fn below(&self, folder: &str) -> Option<EntryView<'_>> {
        self.directory.below(folder).map(|index| self.entry(index))
    }

    /// Bytes of all entries before compression.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.entries()
            .fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// A reader for the content of entries, to be used for one after another.
    #[must_use]
    pub fn reader(&self) -> EntryReader {
        EntryReader::new(Rc::clone(&self.file), self.size, &self.name)
    }

    /// A reader that has begun the entry `index`.
    ///
    /// # Errors
    /// As [`EntryReader::start`].
    pub fn read(&self, index: usize) -> Result<EntryReader> {
        let mut reader = self.reader();
        reader.start(self, index)?;
        Ok(reader)
    }

    /// A checker of the entries' places: local headers, and that each ends where the next begins.
    #[must_use]
    pub fn places(&self) -> Places {
        Places::new(self)
    }

    /// The manifest; `None` when there is none, or only the original system's `backup_info.json`, which has no
    /// rows. For large archives [`Self::manifest_rows`] needs less memory.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged, `Unsupported` when it has a newer format.
    pub fn manifest(&self) -> Result<Option<Manifest>> {
        let mut entries = Vec::new();
        let header = self.manifest_rows(&mut |row| {
            entries.push(row);
            Ok(())
        })?;
        Ok(header.map(|header| Manifest { header, entries }))
    }

    /// The manifest without its rows, which go to `row` one by one.
    ///
    /// # Errors
    /// As [`Self::manifest`], and what `row` returns.
    pub fn manifest_rows(
        &self,
        row: &mut dyn FnMut(ManifestEntry) -> Result<()>,
    ) -> Result<Option<ManifestHeader>> {
        let Some(index) = self.find(MANIFEST_NAME) else {
            return Ok(None);
        };
        let limit = MANIFEST_BASE.saturating_add(MANIFEST_ROW.saturating_mul(self.len() as u64));
        if self.entry(index).size > limit {
            let e = corrupt("the manifest is larger than that of this many entries can be");
            return Err(about(&self.name, e));
        }
        let mut stream = ContentStream {
            reader: self.read(index)?,
            piece: Vec::new(),
            at: 0,
            failed: None,
        };
        let parsed = read_manifest(&mut stream, row);
        // A damaged entry shows as an odd parse error; its own error says more.
        match stream.failed {
            Some(e) => Err(e),
            None => parsed.map_err(|e| about(&self.name, e)),
        }
    }

    /// The further rules for an archive without manifest rows: something in it, no Windows paths, and no bomb.
    ///
    /// # Errors
    /// `Corrupt` with the entry's name, or `Unsupported` with the limit that was met.
    pub fn check_foreign(&self) -> Result<()> {
        self.check_foreign_names()?;
        let limits = UnpackLimits::current();
        let (total, most) = (self.total_size(), limits.foreign(self.size));
        if total <= most {
            return Ok(());
        }
        let e = unsupported(format!(
            "it claims to unpack to {total} bytes, more than {most} bytes and {} times its size, and no manifest \
             vouches for that",
            limits.foreign_ratio
        ))
        .remedy("if you trust it, raise `limits.foreign_mib` or `limits.foreign_ratio`");
        Err(about(&self.name, e))
    }

    /// [`Self::check_foreign`] without the sizes, which hang on what the host allows.
    ///
    /// # Errors
    /// `Corrupt` with the entry's name.
    pub fn check_foreign_names(&self) -> Result<()> {
        if self.is_empty() {
            return Err(about(&self.name, corrupt("the archive has no entries")));
        }
        for entry in self.entries() {
            entry_path::check_foreign(entry.path).map_err(|e| {
                let e = corrupt(format!("entry {}: {}", shown(entry.path), e.message));
                about(&self.name, e)
            })?;
        }
        Ok(())
    }

    pub(super) fn window(&self, read_size: usize) -> Window {
        Window::new(Rc::clone(&self.file), self.size, read_size)
    }

    pub(super) fn shared_name(&self) -> &Rc<str> {
        &self.name
    }

    /// Where the entry `index` lies, and its path.
    pub(crate) fn place(&self, index: usize) -> (&Location, &str) {
        (&self.directory.rows[index].at, self.directory.name(index))
    }
}

/// An entry's content as `Read`, for the JSON parser.
struct ContentStream {
    reader: EntryReader,
    piece: Vec<u8>,
    at: usize,
    failed: Option<Error>,
}

impl Read for ContentStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            self.piece.clear();
            self.at = 0;
            match self.reader.next_chunk() {
                Ok(Some(chunk)) => self.piece.extend_from_slice(chunk),
                Ok(None) => return Ok(0),
                Err(e) => {
                    self.failed = Some(e.clone());
                    return Err(io::Error::other(e));
                }
            }
        }
        let n = out.len().min(self.piece.len() - self.at);
        out[..n].copy_from_slice(&self.piece[self.at..][..n]);
        self.at += n;
        Ok(n)
    }
}

fn about(name: &str, e: Error) -> Error {
    match e.subject {
        None => e.about(name),
        Some(_) => e,
    }
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, "read archive", message)
}

pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, "read archive", message)
}

/// A name as it may be shown: control characters escaped, a huge one cut.
#[must_use]
pub fn shown(name: &str) -> Cow<'_, str> {
    const LIMIT: usize = 200;
    let misleading = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if name.len() <= LIMIT && !name.contains(misleading) {
        return Cow::Borrowed(name);
    }
    let mut out = String::new();
    for c in name.chars().take(LIMIT) {
        if misleading(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if name.chars().nth(LIMIT).is_some() {
        out.push('…');
    }
    Cow::Owned(out)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
