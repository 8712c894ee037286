//! An upload that was asked for: what it reads, how far it is, and who is told.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::{Until, Upload};
use crate::error::{Error, Result};
use crate::text;

/// An upload that was asked for.
pub(super) struct Task<'a> {
    pub(super) key: &'a str,
    pub(super) file: &'a File,
    pub(super) size: u64,
    pub(super) lock: Option<&'a Until>,
    pub(super) state: &'a mut Upload,
    pub(super) save: &'a mut dyn FnMut(&Upload) -> Result<()>,
    pub(super) control: &'a dyn Fn(u64) -> Result<()>,
}

impl Task<'_> {
    /// Where the saved state fits this task, nothing changes; otherwise it begins anew.
    pub(super) fn begin(&mut self, part_bytes: u64) {
        let fits = self.state.key == self.key && self.state.size == self.size && self.state.part_bytes > 0;
        if !fits {
            *self.state = Upload {
                key: self.key.to_owned(),
                size: self.size,
                part_bytes,
                ..Upload::default()
            };
        }
    }

    pub(super) fn save(&mut self) -> Result<()> {
        (self.save)(self.state)
    }

    /// How many parts there are, and where each begins and how long it is.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.state.part_bytes.max(1))).unwrap_or(usize::MAX)
    }

    pub(super) fn extent(&self, number: usize) -> (u64, usize) {
        let start = self.state.part_bytes.saturating_mul(number as u64);
        let length = self.size.saturating_sub(start).min(self.state.part_bytes);
        (start, usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Bytes in parts that the store has.
    pub(super) fn done(&self) -> u64 {
        let lengths = self
            .state
            .parts
            .iter()
            .map(|part| self.extent(part.number).1 as u64);
        lengths.sum()
    }

    /// One part of the file.
    pub(super) fn read(&self, number: usize) -> Result<Vec<u8>> {
        let (start, length) = self.extent(number);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| {
            let what = format!(
                "read {} bytes at {start} of what is uploaded as {}",
                length,
                text::escape(self.key)
            );
            Error::io(what, &error)
        })?;
        Ok(bytes)
    }
}
