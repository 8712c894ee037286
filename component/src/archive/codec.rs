//! Compression of entries with one state that is used again and again: setting one up costs more than
//! compressing a small file. Which bytes go where in the archive is `writer`'s business.

use flate2::{Compress, FlushCompress, Status};
use structured_zstd::encoding::{CompressionContext, CompressionLevel};

use super::parts::Unpacker;
use crate::error::{Error, ErrorKind, Result};
use crate::types::Compression;

/// Highest zstd level that is used as it is: the ones above need more memory than a sandbox has (a window of
/// 128 MiB and tables of several times that), and readers would need that window too.
const ZSTD_MAX: u8 = 19;

/// More than deflate holds back: its window, and the block that it is writing.
const WAITING_MAX: usize = 512 * 1024;

/// What compressing has to save of some samples, in percent.
const WORTH_PERCENT: usize = 3;

/// How an entry's bytes are stored, as ZIP numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u16)]
pub enum Method {
    /// As they are.
    Store = 0,
    /// Deflate.
    Deflate = 8,
    /// Zstandard.
    Zstd = 93,
}

impl Method {
    /// What ends an entry of several blocks: for deflate an empty last block with fixed codes (RFC 1951, 3.2.6).
    #[must_use]
    pub fn tail(self) -> &'static [u8] {
        match self {
            Self::Deflate => &[0x03, 0x00],
            Self::Store | Self::Zstd => &[],
        }
    }
}

/// A compressor for any number of entries, one after another.
pub struct Codec(State);

enum State {
    Store,
    Deflate(Deflate),
    Zstd(Box<Zstd>),
}

/// Deflate's state.
///
/// A stream that was not ended is never reset but thrown away with its state: zlib-rs 0.6.8 keeps an open block
/// (at level 1) and a part of its output buffer over such a reset, and what follows is corrupt or panics.
struct Deflate {
    state: Box<Compress>,
    level: flate2::Compression,
    unfinished: bool,
}

impl Deflate {
    fn new(level: flate2::Compression) -> Self {
        Self {
            state: Box::new(Compress::new(level, false)),
            level,
            unfinished: false,
        }
    }

    fn begin(&mut self) {
        if self.unfinished {
            *self = Self::new(self.level);
        } else {
            self.state.reset();
        }
    }

    /// Feeds `input`, then flushes as `flush` says, with as much room in `out` as it takes.
    fn feed(&mut self, input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> Result<()> {
        self.unfinished = true;
        let start = self.state.total_in();
        loop {
            let fed = usize::try_from(self.state.total_in() - start).unwrap_or(usize::MAX);
            let rest = input.get(fed..).unwrap_or(&[]);
            out.reserve(4 * 1024 + rest.len() / 2);
            let status = self.state.compress_vec(rest, out, flush).map_err(failed)?;
            let all_in = self.state.total_in() - start == input.len() as u64;
            let full = out.len() == out.capacity();
            if status == Status::StreamEnd {
                self.unfinished = false;
                return Ok(());
            }
            if !matches!(flush, FlushCompress::Finish) && all_in && !full {
                return Ok(());
            }
        }
    }
}

/// Zstandard's state.
///
/// Its encoder is young: structured-zstd 0.2.6 writes frames that no reader accepts for rare contents at high levels.
/// So each frame is read back at once, and one that isn't the content is replaced by one of blocks as they are.
struct Zstd {
    context: CompressionContext,
    unpacker: Unpacker,
    /// What was read back.
    back: Vec<u8>,
}

impl Zstd {
    /// Appends a frame of `input` to `out`.
    fn frame(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let written = self.encode(input, out);
        if self.back.len() < input.len() {
            self.back.resize(input.len(), 0);
        }
        let back = &mut self.back[..input.len()];
        let good = written.is_ok()
            && self.unpacker.unpack(Method::Zstd as u16, &out[start..], back)
            && back == input;
        if !good {
            out.truncate(start);
            raw_frame(input, out)?;
        }
        Ok(())
    }

    fn encode(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.context.abandon_frame();
        self.context
            .set_pledged_content_size(input.len() as u64)
            .map_err(failed)?;
        while !input.is_empty() {
            let n = self.context.write(out, input).map_err(failed)?;
            if n == 0 {
                return Err(failed("zstd takes no more input"));
            }
            input = &input[n..];
        }
        self.context.finish_frame(out).map_err(failed)
    }
}

/// Appends a frame that holds `input` as it is (RFC 8878, 3.1.1): a single segment whose size has four bytes, in raw
/// blocks.
fn raw_frame(input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    const MAGIC: u32 = 0xfd2f_b528;
    const SIZE_OF_FOUR_BYTES_IN_A_SINGLE_SEGMENT: u8 = 0b1010_0000;
    const BLOCK_MAX: usize = 128 * 1024;
    let size = u32::try_from(input.len()).map_err(failed)?;
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.push(SIZE_OF_FOUR_BYTES_IN_A_SINGLE_SEGMENT);
    out.extend_from_slice(&size.to_le_bytes());
    let mut blocks = input.chunks(BLOCK_MAX);
    // Without content it still has a block, the last.
    let mut next = Some(blocks.next().unwrap_or_default());
    while let Some(block) = next {
        next = blocks.next();
        let header = u32::from(next.is_none()) | u32::try_from(block.len()).map_err(failed)? << 3;
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    Ok(())
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Codec").field(&self.method()).finish()
    }
}

fn failed(e: impl ToString) -> Error {
    Error::new(ErrorKind::Io, "compress", e.to_string())
}

impl Codec {
    /// A compressor of the kind that a request asks for. `level` is 1 to 9 for deflate and 1 to 22 for zstd
    /// (20 to 22 compress like 19); for store it is ignored.
    ///
    /// # Errors
    /// `InvalidInput` for a level out of range.
    pub fn new(compression: Compression, level: u8) -> Result<Self> {
        let highest = match compression {
            Compression::Store => return Ok(Self(State::Store)),
            Compression::Deflate => 9,
            Compression::Zstd => 22,
        };
        if !(1..=highest).contains(&level) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "set up compression",
                format!("level {level} is out of range"),
            )
            .about("level")
            .remedy(format!("give one from 1 to {highest}")));
        }
        Ok(Self(if compression == Compression::Deflate {
            State::Deflate(Deflate::new(flate2::Compression::new(level.into())))
        } else {
            let level = CompressionLevel::from_level(level.min(ZSTD_MAX).into());
            State::Zstd(Box::new(Zstd {
                context: CompressionContext::new(level),
                unpacker: Unpacker::default(),
                back: Vec::new(),
            }))
        }))
    }

    /// The method of what [`Self::block`] gives.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.0 {
            State::Store => Method::Store,
            State::Deflate(_) => Method::Deflate,
            State::Zstd(_) => Method::Zstd,
        }
    }

    /// Compresses the whole content of an entry into `out`, which is emptied first. Where that does not make it
    /// smaller the method is `Store`, and what is in `out` means nothing.
    ///
    /// # Errors
    /// Only what the compressor itself says, which is a bug.
    pub fn whole(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Method> {
        out.clear();
        if input.is_empty() {
            return Ok(Method::Store);
        }
        match &mut self.0 {
            State::Store => return Ok(Method::Store),
            State::Deflate(state) => {
                state.begin();
                state.feed(input, out, FlushCompress::Finish)?;
            }
            State::Zstd(state) => state.frame(input, out)?,
        }
        Ok(if out.len() < input.len() {
            self.method()
        } else {
            Method::Store
        })
    }

    /// Compresses one block of an entry by itself and appends it to `out`. Blocks one after another, and
    /// [`Method::tail`] behind the last, are the entry's content.
    ///
    /// # Errors
    /// Only what the compressor itself says, which is a bug.
    pub fn block(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match &mut self.0 {
            State::Store => out.extend_from_slice(input),
            State::Deflate(state) => {
                state.begin();
                state.feed(input, out, FlushCompress::None)?;
                // With room for all that can be waiting, since a flush that ends just where the room does is
                // written twice, and the bytes would depend on the capacity of `out`.
                out.reserve(WAITING_MAX);
                state.feed(&[], out, FlushCompress::Sync)?;
            }
            State::Zstd(state) => state.frame(input, out)?,
        }
        Ok(())
    }

    /// Whether it is worth compressing what these samples are taken from.
    ///
    /// # Errors
    /// Only what the compressor itself says, which is a bug.
    pub fn is_worth<'a>(
        &mut self,
        samples: impl Iterator<Item = &'a [u8]>,
        scratch: &mut Vec<u8>,
    ) -> Result<bool> {
        let (mut plain, mut packed) = (0, 0);
        for sample in samples {
            let method = self.whole(sample, scratch)?;
            plain += sample.len();
            packed += if method == Method::Store {
                sample.len()
            } else {
                scratch.len()
            };
        }
        Ok(packed < plain - plain * WORTH_PERCENT / 100)
    }
}

#[cfg(test)]
mod tests;
