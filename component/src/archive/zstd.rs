//! Zstandard entries, decompressed as a stream from the window that the rest of the archive is read through. An
//! entry is one frame or several, one after another; the format lets skippable frames, which have no content, stand
//! between them. Anything else is refused.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use structured_zstd::decoding::{FrameDecoder, StreamingDecoder};

use super::reader::{corrupt, unsupported};
use super::window::Window;
use crate::error::{Error, Result};

/// Largest window, in bytes, that a frame may ask for: cofre's own have at most 8 MiB, and what a reader without
/// the `--long` option of `zstd` accepts fits too.
pub(super) const MAX_WINDOW: u64 = 32 << 20;

/// Decompresses entries, one after another.
pub(super) struct Zstd(StreamingDecoder<Source, FrameDecoder>);

impl Zstd {
    /// Begins an entry whose compressed bytes lie from `at` to `end`; the memory of `used` is used again.
    pub(super) fn begin(used: Option<Self>, window: Rc<RefCell<Window>>, at: u64, end: u64) -> Result<Self> {
        let mut decoder = used.map_or_else(FrameDecoder::new, |used| used.0.into_frame_decoder());
        decoder
            .set_max_window_size(MAX_WINDOW)
            .map_err(|e| unsupported(e.to_string()))?;
        let source = Source {
            window,
            at,
            end,
            failed: None,
        };
        Ok(Self(StreamingDecoder::new_with_decoder(source, decoder)))
    }

    /// Fills `out` with at most its length; gives how much. 0 is the end.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.0.read(out).map_err(|e| {
            let own = self.0.get_mut().failed.take();
            own.unwrap_or_else(|| corrupt(format!("its compressed data is damaged: {e}")))
        })
    }

    /// Next compressed byte.
    pub(super) fn at(&self) -> u64 {
        self.0.get_ref().at
    }
}

/// The compressed bytes of one entry.
struct Source {
    window: Rc<RefCell<Window>>,
    at: u64,
    end: u64,
    failed: Option<Error>,
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let max = (self.end - self.at).min(out.len() as u64);
        if max == 0 {
            return Ok(0);
        }
        match self.window.borrow_mut().some(self.at, max) {
            Ok(piece) => {
                out[..piece.len()].copy_from_slice(piece);
                self.at += piece.len() as u64;
                Ok(piece.len())
            }
            Err(e) => {
                self.failed = Some(e);
                Err(io::Error::other("reading the archive failed"))
            }
        }
    }
}
