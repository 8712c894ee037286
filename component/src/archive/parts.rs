//! Contents that are unpacked in one go, into room of just their size, and how a large one is cut into parts that
//! are read by themselves, at the same time.
//!
//! Nothing here says what is wrong with a content, only that something is: `entry_reader` reads it again as a
//! stream for that.

use flate2::{Decompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use structured_zstd::decoding::FrameDecoder;

use super::BLOCK;
use super::codec::Method;
use super::directory::{DEFLATED, Location, STORED};
use super::writer::EntryKind;
use super::zstd::MAX_WINDOW;

/// Most compressed bytes of a block that is read by itself: no compressor makes it that large.
const PACKED_MAX: u64 = 2 * BLOCK;

/// Unpacks contents, one after another.
#[derive(Default)]
pub(super) struct Unpacker {
    inflate: Option<Box<Decompress>>,
    zstd: Option<Box<FrameDecoder>>,
}

impl Unpacker {
    /// Unpacks `packed`, which has to be used up, into `out`, which has to be filled; whether it came to that.
    pub(super) fn unpack(&mut self, method: u16, packed: &[u8], out: &mut [u8]) -> bool {
        match method {
            STORED => {
                let same = packed.len() == out.len();
                if same {
                    out.copy_from_slice(packed);
                }
                same
            }
            DEFLATED => self.inflate(packed, out),
            _ => self.unzstd(packed, out),
        }
    }

    fn inflate(&mut self, packed: &[u8], out: &mut [u8]) -> bool {
        let inflate = self
            .inflate
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        inflate.reset(false);
        let size = out.len() as u64;
        let status = inflate.decompress(packed, out, FlushDecompress::Finish);
        matches!(status, Ok(Status::StreamEnd))
            && inflate.total_in() == packed.len() as u64
            && inflate.total_out() == size
    }

    fn unzstd(&mut self, packed: &[u8], out: &mut [u8]) -> bool {
        let mut decoder = match self.zstd.take() {
            Some(decoder) => decoder,
            None => {
                let mut decoder = Box::new(FrameDecoder::new());
                if decoder.set_max_window_size(MAX_WINDOW).is_err() {
                    return false;
                }
                decoder
            }
        };
        // Without a frame there is no content, not even an empty one.
        let good = !packed.is_empty()
            && decoder
                .decode_all(packed, out)
                .is_ok_and(|written| written == out.len());
        // One that failed half way is not used again.
        self.zstd = good.then_some(decoder);
        good
    }
}

/// A part of an entry's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Compressed bytes before it.
    pub(super) skip: u64,
    /// Its compressed bytes.
    pub(super) packed: u64,
    /// Plain bytes before it.
    pub(crate) offset: u64,
    /// Its plain bytes.
    pub(crate) size: u64,
}

impl Part {
    /// Whether it can be one, so that room for it may be made: it comes from another instance.
    pub(super) fn fits(&self, at: &Location) -> bool {
        let inside = |skip: u64, len: u64, all: u64| skip.checked_add(len).is_some_and(|end| end <= all);
        self.size <= BLOCK
            && self.packed <= PACKED_MAX
            && inside(self.skip, self.packed, at.compressed_size)
            && inside(self.offset, self.size, at.size)
    }

    /// Whether nothing of the entry is behind it.
    pub(super) fn is_last(&self, at: &Location) -> bool {
        self.offset + self.size == at.size
    }

    /// What has to follow its compressed bytes so that they are a whole content.
    pub(super) fn tail(&self, at: &Location) -> &'static [u8] {
        // A block that is not the last ends with a flush. The end of a stream behind it is understood as that only
        // where the block is complete: otherwise other programs would read something else.
        if at.method == DEFLATED && !self.is_last(at) {
            Method::Deflate.tail()
        } else {
            &[]
        }
    }
}

/// Cuts the content of a large entry into parts.
#[derive(Debug)]
pub(crate) struct Cut {
    at: Location,
    blocks: Vec<u64>,
    number: usize,
    /// Compressed and plain bytes before the next part.
    skip: u64,
    offset: u64,
}

impl Cut {
    /// Cuts the entry at `at`, whose blocks are these; `None` where it has to be read as a whole.
    pub(crate) fn new(at: &Location, blocks: Option<Vec<u64>>) -> Option<Self> {
        if at.size <= BLOCK || at.kind != EntryKind::File {
            return None;
        }
        let blocks = match blocks {
            // Anywhere will do.
            _ if at.method == STORED => Vec::new(),
            Some(blocks) if at.lies_in(&blocks) && blocks.iter().all(|n| *n <= PACKED_MAX) => blocks,
            _ => return None,
        };
        Some(Self {
            at: *at,
            blocks,
            number: 0,
            skip: 0,
            offset: 0,
        })
    }
}

impl Iterator for Cut {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let size = (self.at.size - self.offset).min(BLOCK);
        if size == 0 {
            return None;
        }
        let packed = match self.at.method {
            STORED => size,
            _ => *self.blocks.get(self.number)?,
        };
        let part = Part {
            skip: self.skip,
            packed,
            offset: self.offset,
            size,
        };
        self.number += 1;
        self.skip += packed;
        self.offset += size;
        Some(part)
    }
}

impl Location {
    /// Whether the compressed content can lie in blocks of these lengths.
    pub(crate) fn lies_in(&self, blocks: &[u64]) -> bool {
        self.method != STORED && blocks_fit(self.size, self.compressed_size, blocks)
    }
}

/// Whether a content of `size` bytes, compressed to `stored` bytes, can lie in blocks of these lengths.
pub(crate) fn blocks_fit(size: u64, stored: u64, blocks: &[u64]) -> bool {
    let all = blocks.iter().try_fold(0u64, |sum, n| sum.checked_add(*n));
    blocks.len() as u64 == size.div_ceil(BLOCK).max(1) && !blocks.contains(&0) && all == Some(stored)
}

#[cfg(test)]
mod tests;
