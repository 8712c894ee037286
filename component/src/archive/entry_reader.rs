//! Reads the content of entries piece by piece, in bounded memory, and checks everything on the way.
//!
//! One reader serves a whole pass: its buffers and its inflate state are used again for each entry.

use std::cell::RefCell;
use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};

use super::directory::{DEFLATED, Row, STORED};
use super::local::{check_header, check_tail};
use super::reader::{ArchiveReader, corrupt, shown};
use super::window::Window;
use super::zstd::Zstd;
use crate::error::{Error, Result};
use crate::fs::READ_SIZE;

/// Bytes read at a time where only headers are looked at.
const HEADER_READ: usize = 4 << 10;

/// Reads entries of one archive, one after another.
pub struct EntryReader {
    window: Rc<RefCell<Window>>,
    archive: Rc<str>,
    decoder: Decoder,
    out: Vec<u8>,
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
    row: Row,
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
    pub(super) fn new(archive: &ArchiveReader) -> Self {
        Self {
            window: Rc::new(RefCell::new(archive.window(READ_SIZE))),
            archive: Rc::clone(archive.shared_name()),
            decoder: Decoder::None,
            out: Vec::new(),
            current: None,
        }
    }

    /// Begins the entry `index`: its local header is compared with the central one.
    ///
    /// # Errors
    /// `Corrupt` when they disagree, or an I/O error.
    pub fn start(&mut self, archive: &ArchiveReader, index: usize) -> Result<()> {
        self.current = None;
        let (row, path) = archive.row(index);
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
    if crc32 != current.row.crc32 {
        return Err(corrupt(format!(
            "its content has the CRC {crc32:08x}, its header says {:08x}",
            current.row.crc32
        )));
    }
    check_tail(&mut window.borrow_mut(), &current.row, current.end)
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
        let (row, path) = archive.row(index);
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
