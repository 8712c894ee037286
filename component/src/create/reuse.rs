//! What an earlier archive has already: `.scan.json` says how each file looked when it was read and where its entry
//! lies. What is still the very same file is copied from that archive instead of being read and compressed again.
//!
//! A file is the same when size, modification time, inode change time and inode number are what they were *before*
//! it was read, and both times lie more than two seconds before the start of the run that read it, so that a change
//! within the resolution of a clock is never missed. The cache is no authority: headers are compared with what they
//! have to be, and the whole archive with its checksum in the catalog, in the same pass that copies from it. Losing
//! the cache costs a full run.

mod cache;

use std::rc::Rc;

use sha2::{Digest, Sha256};

pub(super) use cache::{Row, Settings, record};

use crate::archive::window::Window;
use crate::archive::writer::ZipWriter;
use crate::catalog::files::Form;
use crate::catalog::{Catalog, Status};
use crate::checksum::hex;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File, READ_SIZE};
use crate::scan::Item;

/// The previous archive is worth reading when this part of it can be copied: all of it is read for its checksum.
const WORTH: u64 = 8;

/// Why copying stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The previous archive is not what it was: nothing that was copied may stay.
    Damaged(String),
    /// What ends the run.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// Whatever keeps the previous archive from being read.
fn unreadable(e: Error) -> Stop {
    Stop::Damaged(e.to_string())
}

/// A result that may be that the previous archive is damaged.
pub(super) type Copying<T> = std::result::Result<T, Stop>;

/// The previous archive, read from its beginning to its end.
#[derive(Debug)]
pub(super) struct Previous {
    /// For messages.
    pub(super) name: String,
    window: Window,
    size: u64,
    sha256: String,
    /// Everything before this is hashed.
    at: u64,
    /// Bytes that were read for the checksum alone and are not asked for yet.
    skipped: u64,
    /// The entry that is being copied.
    within: Option<Within>,
    /// `None` while the new archive is the same byte for byte: its own hash is that of this one as well.
    hash: Option<Sha256>,
    /// By item.
    rows: Vec<Option<Box<Row>>>,
}

impl Previous {
    /// The archive that `.scan.json` is about, with what of `items` can be copied from it; `None` where there is
    /// none, or not enough to be worth it.
    ///
    /// # Errors
    /// `Unsupported` where it is encrypted; an I/O error.
    pub(super) fn find(dir: &Dir, settings: &Settings, items: &[Item]) -> Result<Option<Self>> {
        let Some(cache) = cache::read(dir, settings, items)? else {
            return Ok(None);
        };
        let catalog = Catalog::load(dir)?;
        let record = catalog.records().iter().find(|record| {
            record.status == Status::Completed
                && record.id == cache.id
                && record.name == cache.name
                && record.sha256.as_deref() == Some(cache.sha256.as_str())
        });
        let Some(record) = record else {
            return Ok(None);
        };
        if catalog.is_sealed(record) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "read",
                "the previous archive is encrypted",
            )
            .about(Form::Sealed.file(&record.name)));
        }
        let Ok(file) = dir.open(&record.archive_name()) else {
            return Ok(None);
        };
        let size = file.stat()?.size;
        let reusable: u64 = cache
            .rows
            .iter()
            .flatten()
            .map(|row| row.stored)
            .fold(0, u64::saturating_add);
        if size != record.size || reusable < size / WORTH {
            return Ok(None);
        }
        Ok(Some(Self::new(file, size, cache)))
    }

    fn new(file: File, size: u64, cache: cache::Cache) -> Self {
        Self {
            name: cache.name,
            window: Window::new(Rc::new(file), size, READ_SIZE),
            size,
            sha256: cache.sha256,
            at: 0,
            skipped: 0,
            within: None,
            hash: None,
            rows: cache.rows,
        }
    }

    /// Whether an item can be copied.
    pub(super) fn has(&self, item: usize) -> bool {
        self.row(item).is_some()
    }

    /// Where an item lies.
    pub(super) fn row(&self, item: usize) -> Option<&Row> {
        self.rows.get(item)?.as_deref()
    }

    /// Bytes that were read since the last call and are not in the new archive.
    pub(super) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Whether an entry is not copied to its end yet.
    pub(super) fn is_within(&self) -> bool {
        self.within.is_some()
    }

    /// Told before something else than a copy is written: from there on the two archives differ.
    pub(super) fn diverge(&mut self, writer: &mut ZipWriter) -> Result<&mut Sha256> {
        let hash = match self.hash.take() {
            Some(hash) => hash,
            None => writer.hash_so_far()?,
        };
        Ok(self.hash.insert(hash))
    }

    /// Told before `bytes` are written that are not a file's: either they stand here as well, or the two archives
    /// differ from there on.
    pub(super) fn pass(&mut self, writer: &mut ZipWriter, bytes: &[u8]) -> Result<()> {
        let same = self.hash.is_none()
            && self
                .window
                .exact(self.at, bytes.len())
                .is_ok_and(|here| here == bytes);
        if same {
            self.at += bytes.len() as u64;
        } else {
            self.diverge(writer)?;
        }
        Ok(())
    }

    /// Begins to copy the entry at `offset`: this header, `stored` bytes, this tail.
    pub(super) fn begin(&mut self, offset: u64, header: Vec<u8>, stored: u64, tail: Vec<u8>) {
        self.within = Some(Within {
            offset,
            header,
            stored,
            tail,
            part: Part::Before,
        });
    }

    /// Copies on, about `budget` bytes. Gives how many.
    pub(super) fn copy_on(&mut self, writer: &mut ZipWriter, budget: u64) -> Copying<u64> {
        let Some(mut within) = self.within.take() else {
            return Ok(0);
        };
        let begin = self.at;
        loop {
            let spent = self.at - begin;
            if spent >= budget && within.part != Part::Behind {
                self.within = Some(within);
                return Ok(spent);
            }
            match within.part {
                Part::Before if self.at > within.offset => return Err(out_of_place()),
                Part::Before if self.at < within.offset => {
                    self.diverge(writer)?;
                    let most = (within.offset - self.at).min(budget - spent);
                    self.advance(most, None)?;
                }
                Part::Before => {
                    self.expect(writer, &within.header)?;
                    within.part = Part::Data(within.stored);
                }
                Part::Data(0) => within.part = Part::Tail,
                Part::Data(rest) => {
                    let bytes = self.advance(rest.min(budget - spent), Some(writer))?;
                    within.part = Part::Data(rest - bytes);
                }
                Part::Tail => {
                    self.expect(writer, &within.tail)?;
                    within.part = Part::Behind;
                }
                Part::Behind => return Ok(spent),
            }
        }
    }

    /// Copies `bytes`, which have to stand here.
    fn expect(&mut self, writer: &mut ZipWriter, bytes: &[u8]) -> Copying<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let here = self.window.exact(self.at, bytes.len()).map_err(unreadable)?;
        if here != bytes {
            return Err(out_of_place());
        }
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.at += bytes.len() as u64;
        writer.append(bytes)?;
        Ok(())
    }

    /// Reads at most `most` bytes, at least one, and copies them to `writer` where there is one.
    fn advance(&mut self, most: u64, writer: Option<&mut ZipWriter>) -> Copying<u64> {
        let piece = self.window.some(self.at, most).map_err(unreadable)?;
        if let Some(hash) = &mut self.hash {
            hash.update(piece);
        }
        let bytes = piece.len() as u64;
        match writer {
            Some(writer) => writer.append(piece)?,
            None => self.skipped += bytes,
        }
        self.at += bytes;
        Ok(bytes)
    }

    /// Reads about `budget` bytes of the rest; at the end the whole archive has to be what the catalog says. Gives
    /// the bytes and whether that was the end.
    pub(super) fn check_rest(&mut self, writer: &mut ZipWriter, budget: u64) -> Copying<(u64, bool)> {
        self.diverge(writer)?;
        let begin = self.at;
        while self.at < self.size && self.at - begin < budget {
            self.advance(self.size - self.at, None)?;
        }
        if self.at < self.size {
            return Ok((self.at - begin, false));
        }
        let sum = self
            .hash
            .take()
            .map(|hash| hex(&hash.finalize()))
            .unwrap_or_default();
        if sum != self.sha256 {
            return Err(Stop::Damaged(format!(
                "its SHA-256 is {sum}, the catalog says {}",
                self.sha256
            )));
        }
        Ok((self.at - begin, true))
    }
}

/// The entry that is being copied.
#[derive(Debug)]
struct Within {
    offset: u64,
    header: Vec<u8>,
    stored: u64,
    tail: Vec<u8>,
    part: Part,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    /// So many bytes of the content are left.
    Data(u64),
    Tail,
    Behind,
}

fn out_of_place() -> Stop {
    Stop::Damaged("an entry does not lie where its cache says".to_owned())
}
