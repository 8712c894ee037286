//! A sliding window over an archive's bytes, so that header and data of many small entries cost one read.
//!
//! Positions are absolute and checked against the size at open; nothing here trusts a field of the archive.

use std::rc::Rc;

use super::reader::corrupt;
use crate::error::Result;
use crate::fs::File;

/// The bytes from `start` on that were read last.
#[derive(Debug)]
pub(crate) struct Window {
    file: Rc<File>,
    size: u64,
    read_size: usize,
    start: u64,
    bytes: Vec<u8>,
    piece: Vec<u8>,
}

impl Window {
    /// A window over `file` of `size` bytes that reads `read_size` bytes at a time: many for passes over
    /// everything, few for looking at scattered headers.
    pub(crate) fn new(file: Rc<File>, size: u64, read_size: usize) -> Self {
        Self {
            file,
            size,
            read_size,
            start: 0,
            bytes: Vec::new(),
            piece: Vec::new(),
        }
    }

    /// Bytes that are already read at `position`.
    fn at(&self, position: u64) -> &[u8] {
        position
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .and_then(|skip| self.bytes.get(skip..))
            .unwrap_or(&[])
    }

    /// Exactly `len` bytes at `position`.
    pub(crate) fn exact(&mut self, position: u64, len: usize) -> Result<&[u8]> {
        if position.checked_add(len as u64).is_none_or(|end| end > self.size) {
            return Err(corrupt(format!(
                "{len} bytes are expected at offset {position}, beyond the end of the file"
            )));
        }
        if self.at(position).len() < len {
            self.load(position, len)?;
        }
        Ok(&self.at(position)[..len])
    }

    /// At least one and at most `max` bytes at `position`.
    pub(crate) fn some(&mut self, position: u64, max: u64) -> Result<&[u8]> {
        if self.at(position).is_empty() {
            self.exact(position, 1)?;
        }
        let bytes = self.at(position);
        let len = usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..len])
    }

    fn load(&mut self, position: u64, len: usize) -> Result<()> {
        let kept = self.at(position).len();
        self.bytes.drain(..self.bytes.len() - kept);
        self.start = position;
        while self.bytes.len() < len {
            let from = position + self.bytes.len() as u64;
            let want = (len - self.bytes.len()).max(self.read_size);
            if self.bytes.is_empty() {
                self.file.read_at(&mut self.bytes, want, from)?;
            } else {
                self.file.read_at(&mut self.piece, want, from)?;
                self.bytes.extend_from_slice(&self.piece);
            }
            if position + self.bytes.len() as u64 == from {
                return Err(corrupt(format!(
                    "the file ends at offset {from} while it is read"
                )));
            }
        }
        Ok(())
    }
}
