//! Reads the content of entries in bounded memory, and checks everything on the way: small ones in one go, large
//! ones piece by piece or in parts.
//!
//! One reader serves a whole pass: its buffers and its inflate state are used again for each entry.

use std::cell::RefCell;
use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};

use super::BLOCK;
use super::directory::{DEFLATED, Location, STORED};
use super::local::{check_header, check_tail};
use super::parts::{Part, Unpacker};
use super::reader::{ArchiveReader, corrupt, shown};
use super::window::Window;
use super::zstd::Zstd;
use crate::error::{Error, Result};
use crate::fs::{File, READ_SIZE};
use crate::shards::unexpected;

/// Bytes read at a time where only headers are looked at.
const HEADER_READ: usize = 4 << 10;

/// Most compressed bytes of an entry that is read in one go.
const AT_ONCE: u64 = BLOCK + (64 << 10);

/// Reads entries of one archive, one after another.
pub struct EntryReader {
    window: Rc<RefCell<Window>>,
    /// For headers whose content is read from elsewhere.
    headers: Window,
    archive: Rc<str>,
    decoder: Decoder,
    unpacker: Unpacker,
    out: Vec<u8>,
    /// The content that was unpacked in one go last, and what is left of larger ones before it.
    whole: Vec<u8>,
    packed: Vec<u8>,
    current: Option<Current>,
}

/// What decompresses; kept from one entry to the next.
enum Decoder {
    None,
    Inflate(Box<Decompress>),
    Zstd(Box<Zstd>),
}

/// The entry that is being read.
struct Current {
    row: Location,
    path: String,
    /// Next compressed byte.
    at: u64,
    /// Behind the last one.
    end: u64,
    crc32: crc32fast::Hasher,
    produced: u64,
    /// The compressed stream said that it ended.
    ended: bool,
}

impl EntryReader {
    /// A reader of the archive `name`, which is open as `file` and has `size` bytes.
    pub(crate) fn new(file: Rc<File>, size: u64, name: &str) -> Self {
        Self {
            headers: Window::new(Rc::clone(&file), size, HEADER_READ),
            window: Rc::new(RefCell::new(Window::new(file, size, READ_SIZE))),
            archive: Rc::from(name),
            decoder: Decoder::None,
            unpacker: Unpacker::default(),
            out: Vec::new(),
            whole: Vec::new(),
            packed: Vec::new(),
            current: None,
        }
    }

    /// Says that no entry behind the one at `last` will be read.
    pub(crate) fn stop_behind(&mut self, last: &Location) {
        self.window.borrow_mut().stop_at(last.limit);
    }

    /// Reads the entry at `at`, whose path is `path`: its content goes to `each`, a small one in one piece, a large
    /// one in several, none for an empty one.
    ///
    /// # Errors
    /// `Corrupt` when the content is not what the headers say, an I/O error, and what `each` returns.
    pub(crate) fn read(
        &mut self,
        at: &Location,
        path: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if at.size <= BLOCK && at.compressed_size <= AT_ONCE {
            self.current = None;
            if let Some(content) = self.at_once(at, path)? {
                return if content.is_empty() { Ok(()) } else { each(content) };
            }
            // Something is wrong; the stream says what.
        }
        self.begin(at, path)?;
        while let Some(piece) = self.next_chunk()? {
            each(piece)?;
        }
        Ok(())
    }

    /// The content of a small entry, if nothing at all is wrong with it.
    fn at_once(&mut self, at: &Location, path: &str) -> Result<Option<&[u8]>> {
        let size = usize::try_from(at.size).unwrap_or(usize::MAX);
        if self.whole.len() < size {
            self.whole.resize(size, 0);
        }
        let content = &mut self.whole[..size];
        let mut window = self.window.borrow_mut();
        let begun = check_header(&mut window, at, path);
        let (data, end) = begun.map_err(|e| in_entry(&self.archive, path, e))?;
        let length = usize::try_from(at.compressed_size).unwrap_or(usize::MAX);
        let Ok(packed) = window.exact(data, length) else {
            return Ok(None);
        };
        let good = self.unpacker.unpack(at.method, packed, content)
            && crc32fast::hash(content) == at.crc32
            && check_tail(&mut window, at, end).is_ok();
        Ok(good.then_some(content))
    }

    /// Reads a part of the entry at `at`, whose path is `path`; the last one with what follows the entry.
    ///
    /// # Errors
    /// `Corrupt` when it is not as long as it should be or the headers disagree, an I/O error, or `InvalidInput`
    /// for a part that this entry can't have.
    pub(crate) fn part(&mut self, at: &Location, path: &str, part: &Part) -> Result<&[u8]> {
        if !part.fits(at) {
            return Err(unexpected("it is about a part that the entry can't have"));
        }
        self.current = None;
        match self.unpack_part(at, path, part) {
            Ok(()) if at.method == STORED => Ok(&self.packed),
            Ok(()) => Ok(&self.whole[..usize::try_from(part.size).unwrap_or(usize::MAX)]),
            Err(e) => Err(in_entry(&self.archive, path, e)),
        }
    }

    fn unpack_part(&mut self, at: &Location, path: &str, part: &Part) -> Result<()> {
        let (data, end) = check_header(&mut self.headers, at, path)?;
        self.headers
            .read_into(&mut self.packed, data + part.skip, part.packed)?;
        if at.method == STORED {
            if part.packed != part.size {
                return Err(corrupt("its compressed data is damaged"));
            }
        } else {
            self.packed.extend_from_slice(part.tail(at));
            let size = usize::try_from(part.size).unwrap_or(usize::MAX);
            if self.whole.len() < size {
                self.whole.resize(size, 0);
            }
            let content = &mut self.whole[..size];
            if !self.unpacker.unpack(at.method, &self.packed, content) {
                return Err(corrupt("its compressed data is damaged"));
            }
        }
        if part.is_last(at) {
            check_tail(&mut self.headers, at, end)?;
        }
        Ok(())
    }

    /// Begins the entry `index`: its local header is compared with the central one.
    ///
    /// # Errors
    /// `Corrupt` when they disagree, or an I/O error.
    pub fn start(&mut self, archive: &ArchiveReader, index: usize) -> Result<()> {
        let (row, path) = archive.place(index);
        self.begin(row, path)
    }

    fn begin(&mut self, row: &Location, path: &str) -> Result<()> {
        self.current = None;
        let begun = check_header(&mut self.window.borrow_mut(), row, path);
        let (at, end) = begun.map_err(|e| in_entry(&self.archive, path, e))?;
        self.decoder = match (row.method, std::mem::replace(&mut self.decoder, Decoder::None)) {
            (STORED, kept) => kept,
            (DEFLATED, Decoder::Inflate(mut inflate)) => {
                inflate.reset(false);
                Decoder::Inflate(inflate)
            }
            (DEFLATED, _) => Decoder::Inflate(Box::new(Decompress::new(false))),
            (_, kept) => {
                let used = match kept {
                    Decoder::Zstd(zstd) => Some(*zstd),
                    Decoder::None | Decoder::Inflate(_) => None,
                };
                Decoder::Zstd(Box::new(Zstd::begin(used, Rc::clone(&self.window), at, end)?))
            }
        };
        self.current = Some(Current {
            row: *row,
            path: path.to_owned(),
            at,
            end,
            crc32: crc32fast::Hasher::new(),
            produced: 0,
            ended: false,
        });
        Ok(())
    }

    /// The next piece of the entry's content (at most 64 KiB, never empty), or `None` at its end, when size and
    /// CRC have been compared.
    ///
    /// # Errors
    /// `Corrupt` when the content is not what the headers say, or an I/O error. The entry is over then.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>> {
        let Some(current) = &mut self.current else {
            return Ok(None);
        };
        let result = produce(current, &self.window, &mut self.decoder, &mut self.out)
            .and_then(|()| account(current, &self.window, &self.out));
        if let Err(e) = result {
            let e = in_entry(&self.archive, &current.path, e);
            self.current = None;
            // A decoder that failed half way is not used again.
            self.decoder = Decoder::None;
            return Err(e);
        }
        if self.out.is_empty() {
            self.current = None;
            return Ok(None);
        }
        Ok(Some(&self.out))
    }

    /// Reads the rest of the entry, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::next_chunk`]; `Corrupt` when there is more.
    pub fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk()? {
            if all.len() + chunk.len() > limit {
                let e = corrupt(format!("an entry has more than {limit} bytes"));
                return Err(e.about(self.archive.as_ref()));
            }
            all.extend_from_slice(chunk);
        }
        Ok(all)
    }
}

/// Fills `out` with the next piece; leaves it empty at the end of the content.
fn produce(
    current: &mut Current,
    window: &RefCell<Window>,
    decoder: &mut Decoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    match (current.row.method, decoder) {
        (DEFLATED, Decoder::Inflate(inflate)) => {
            out.clear();
            out.reserve(READ_SIZE);
            while out.is_empty() && !current.ended {
                inflate_piece(current, &mut window.borrow_mut(), inflate, out)?;
            }
        }
        (STORED, _) => {
            out.clear();
            if current.at < current.end {
                let mut window = window.borrow_mut();
                let piece = window.some(current.at, current.end - current.at)?;
                out.extend_from_slice(&piece[..piece.len().min(READ_SIZE)]);
                current.at += out.len() as u64;
            }
        }
        (_, Decoder::Zstd(zstd)) => {
            out.resize(READ_SIZE, 0);
            let n = zstd.read(out)?;
            out.truncate(n);
            current.at = zstd.at();
        }
        (_, Decoder::None | Decoder::Inflate(_)) => out.clear(),
    }
    Ok(())
}

fn inflate_piece(
    current: &mut Current,
    window: &mut Window,
    inflate: &mut Decompress,
    out: &mut Vec<u8>,
) -> Result<()> {
    let input = if current.at < current.end {
        window.some(current.at, current.end - current.at)?
    } else {
        &[]
    };
    let before = inflate.total_in();
    let status = inflate
        .decompress_vec(input, out, FlushDecompress::None)
        .map_err(|_| corrupt("its compressed data is damaged"))?;
    let consumed = inflate.total_in() - before;
    current.at += consumed;
    match status {
        Status::StreamEnd => current.ended = true,
        Status::Ok | Status::BufError if consumed == 0 && out.is_empty() => {
            return Err(corrupt("its compressed data ends early"));
        }
        Status::Ok | Status::BufError => {}
    }
    Ok(())
}

/// Counts a piece, or compares everything at the end, which is an empty one.
fn account(current: &mut Current, window: &RefCell<Window>, piece: &[u8]) -> Result<()> {
    let declared = current.row.size;
    if !piece.is_empty() {
        current.produced += piece.len() as u64;
        current.crc32.update(piece);
        return if current.produced > declared {
            Err(corrupt(format!(
                "it has more than the {declared} bytes that its header says"
            )))
        } else {
            Ok(())
        };
    }
    if current.at != current.end {
        return Err(corrupt(format!(
            "{} bytes of its compressed data are left over",
            current.end - current.at
        )));
    }
    if current.produced != declared {
        return Err(corrupt(format!(
            "it has {} bytes, its header says {declared}",
            current.produced
        )));
    }
    let crc32 = current.crc32.clone().finalize();
    check_crc(&current.row, crc32)?;
    check_tail(&mut window.borrow_mut(), &current.row, current.end)
}

/// Compares the CRC of a content with that in the headers of its entry.
fn check_crc(at: &Location, crc32: u32) -> Result<()> {
    if crc32 == at.crc32 {
        return Ok(());
    }
    Err(corrupt(format!(
        "its content has the CRC {crc32:08x}, its header says {:08x}",
        at.crc32
    )))
}

/// Compares the CRC that the parts of the entry at `at` came to together with that in its headers.
///
/// # Errors
/// `Corrupt` when they are not the same.
pub(crate) fn check_joined(archive: &str, at: &Location, path: &str, crc32: u32) -> Result<()> {
    check_crc(at, crc32).map_err(|e| in_entry(archive, path, e))
}

/// Checks where entries lie without reading their content.
#[derive(Debug)]
pub struct Places(Window);

impl Places {
    pub(super) fn new(archive: &ArchiveReader) -> Self {
        Self(archive.window(HEADER_READ))
    }

    /// Checks that the headers of the entry `index` agree and that it ends where the next begins.
    ///
    /// # Errors
    /// `Corrupt`, or an I/O error.
    pub fn check(&mut self, archive: &ArchiveReader, index: usize) -> Result<()> {
        let (row, path) = archive.place(index);
        check_header(&mut self.0, row, path)
            .and_then(|(_, end)| check_tail(&mut self.0, row, end))
            .map_err(|e| in_entry(archive.shared_name(), path, e))
    }
}

/// Adds which entry of which archive it is about.
fn in_entry(archive: &str, path: &str, mut e: Error) -> Error {
    e.subject = Some(archive.to_owned());
    e.message = format!("entry {}: {}", shown(path), e.message);
    e
}
