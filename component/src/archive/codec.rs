//! Compression of entries with one state that is used again and again: setting one up costs more than
//! compressing a small file. Which bytes go where in the archive is `writer`'s business.

use flate2::{Compress, FlushCompress, Status};
use structured_zstd::encoding::{CompressionContext, CompressionLevel};

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
    Zstd(Box<CompressionContext>),
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
            State::Zstd(Box::new(CompressionContext::new(level)))
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
            State::Zstd(state) => zstd_frame(state, input, out)?,
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
            State::Zstd(state) => zstd_frame(state, input, out)?,
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

fn zstd_frame(state: &mut CompressionContext, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    state.abandon_frame();
    state
        .set_pledged_content_size(input.len() as u64)
        .map_err(failed)?;
    zstd_write(state, input, out)?;
    state.finish_frame(out).map_err(failed)
}

fn zstd_write(state: &mut CompressionContext, mut input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    while !input.is_empty() {
        let n = state.write(out, input).map_err(failed)?;
        if n == 0 {
            return Err(failed("zstd takes no more input"));
        }
        input = &input[n..];
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::io::Read;

    use super::*;

    fn noise(n: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        (0..n)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x.to_le_bytes()[3]
            })
            .collect()
    }

    fn text(n: usize) -> Vec<u8> {
        (0..n)
            .flat_map(|i| format!("line {i} of {}\n", i * 7).into_bytes())
            .take(n)
            .collect()
    }

    fn unpack(method: Method, packed: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match method {
            Method::Store => out.extend_from_slice(plain),
            Method::Deflate => {
                flate2::read::DeflateDecoder::new(packed)
                    .read_to_end(&mut out)
                    .unwrap();
            }
            Method::Zstd => {
                structured_zstd::decoding::StreamingDecoder::new(packed)
                    .read_to_end(&mut out)
                    .unwrap();
            }
        }
        out
    }

    fn codecs() -> Vec<Codec> {
        [
            (Compression::Deflate, 1),
            (Compression::Deflate, 6),
            (Compression::Deflate, 9),
            (Compression::Zstd, 1),
            (Compression::Zstd, 3),
            (Compression::Zstd, 9),
            (Compression::Store, 0),
        ]
        .into_iter()
        .map(|(c, l)| Codec::new(c, l).unwrap())
        .collect()
    }

    #[test]
    fn whole_contents_come_back_and_what_grows_is_stored() {
        for mut codec in codecs() {
            let mut out = Vec::new();
            for plain in [
                vec![],
                vec![7],
                text(100),
                noise(5000),
                text(300_000),
                vec![0; 1 << 20],
            ] {
                let method = codec.whole(&plain, &mut out).unwrap();
                assert!(method == Method::Store || out.len() < plain.len());
                assert_eq!(unpack(method, &out, &plain), plain);
            }
            assert_eq!(codec.whole(&noise(4096), &mut out).unwrap(), Method::Store);
            if codec.method() != Method::Store {
                assert_ne!(codec.whole(&text(4096), &mut out).unwrap(), Method::Store);
            }
        }
    }

    #[test]
    fn blocks_come_back_in_any_cut() {
        let plain = [text(200_000), noise(70_000), vec![0; 300_000]].concat();
        for mut codec in codecs() {
            for cut in [1000, 65_536, plain.len()] {
                let mut out = Vec::new();
                for piece in plain.chunks(cut) {
                    codec.block(piece, &mut out).unwrap();
                }
                let method = codec.method();
                out.extend_from_slice(method.tail());
                let back = match method {
                    Method::Store => out.clone(),
                    Method::Deflate => unpack(method, &out, &[]),
                    // By the reference library: one frame after another is one content.
                    Method::Zstd => zstd::decode_all(out.as_slice()).unwrap(),
                };
                assert!(back == plain, "{codec:?} cut {cut}");
            }
        }
    }

    #[test]
    fn samples_tell_what_is_worth_compressing() {
        for mut codec in codecs() {
            let (text, noise) = (text(16_384), noise(16_384));
            let mut scratch = Vec::new();
            let mut worth =
                |samples: &[&[u8]]| codec.is_worth(samples.iter().copied(), &mut scratch).unwrap();
            let text_is_worth = worth(&[&text, &noise]);
            assert!(!worth(&[&noise, &noise]) && !worth(&[]));
            assert_eq!(text_is_worth, codec.method() != Method::Store);
        }
    }

    #[test]
    fn a_thousand_contents_that_grow_wear_no_state_out() {
        for level in [1, 6, 9] {
            let mut codec = Codec::new(Compression::Deflate, level).unwrap();
            let mut out = Vec::new();
            for _ in 0..1000 {
                assert_eq!(codec.whole(&noise(3000), &mut out).unwrap(), Method::Store);
                codec.block(&noise(3000), &mut out).unwrap();
            }
            let plain = text(50_000);
            let method = codec.whole(&plain, &mut out).unwrap();
            assert_eq!(unpack(method, &out, &plain), plain);
        }
    }

    #[test]
    fn what_came_before_does_not_show_in_the_bytes() {
        for (compression, level) in [
            (Compression::Deflate, 6),
            (Compression::Zstd, 3),
            (Compression::Zstd, 9),
        ] {
            let mut used = Codec::new(compression, level).unwrap();
            let (mut a, mut b) = (Vec::with_capacity(1 << 20), Vec::new());
            used.whole(&text(90_000), &mut a).unwrap();
            used.block(&noise(200_000), &mut a).unwrap();
            let plain = [noise(60_000), text(90_000)].concat();
            let mut fresh = Codec::new(compression, level).unwrap();
            assert_eq!(
                used.whole(&plain, &mut a).unwrap(),
                fresh.whole(&plain, &mut b).unwrap()
            );
            assert!(a == b, "{compression:?} {level}");
        }
    }

    #[test]
    fn the_room_in_the_output_does_not_show_in_the_bytes() {
        let six_bits: Vec<u8> = noise(16_400).iter().map(|b| b & 0x3f).collect();
        let synced = |length: usize, capacity: usize| {
            let mut codec = Codec::new(Compression::Deflate, 6).unwrap();
            let mut out = Vec::with_capacity(capacity);
            codec.block(&six_bits[..length], &mut out).unwrap();
            out
        };
        for length in (16_100..16_400).step_by(3) {
            assert!(synced(length, 0) == synced(length, 1 << 20), "{length}");
        }
    }

    #[test]
    fn a_level_out_of_range_is_refused() {
        for (compression, level) in [
            (Compression::Deflate, 0),
            (Compression::Deflate, 10),
            (Compression::Zstd, 23),
        ] {
            let e = Codec::new(compression, level).unwrap_err();
            assert_eq!(e.kind, ErrorKind::InvalidInput);
        }
        assert!(Codec::new(Compression::Store, 99).is_ok());
        assert!(Codec::new(Compression::Zstd, 22).is_ok());
    }
}
