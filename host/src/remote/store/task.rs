//! An upload that was asked for: what it reads, how far it is, and who is told.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use std::time::Duration;

use super::{Until, Upload};
use crate::error::{Code, Error, Result};
use crate::text;

/// How soon it is looked again whether there is more of the file.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// What is to be uploaded.
#[derive(Clone, Copy)]
pub struct ToSend<'a> {
    /// The key that it gets.
    pub key: &'a str,
    /// The bytes.
    pub file: &'a File,
    /// How many they are.
    pub size: u64,
    /// Until when the store is to refuse to delete it.
    pub lock: Option<&'a Until>,
    /// Whether so many bytes of the file, from its beginning, may be sent already: it may still be written. An error ends
    /// the upload.
    pub ready: &'a dyn Fn(u64) -> Result<bool>,
    /// Whether what was sent is what it was meant to be, by its SHA-256 in lower-case hexadecimal: the file may have been
    /// changed since somebody looked at it. Asked before there is an object; an error ends the upload.
    pub right: &'a dyn Fn(&str) -> Result<()>,
}

impl<'a> ToSend<'a> {
    /// A file that is whole, without a lock.
    #[must_use]
    pub fn whole(key: &'a str, file: &'a File, size: u64) -> Self {
        Self {
            key,
            file,
            size,
            lock: None,
            ready: &|_| Ok(true),
            right: &|_| Ok(()),
        }
    }
}

impl std::fmt::Debug for ToSend<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToSend")
            .field("key", &self.key)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// An upload that was asked for.
pub(super) struct Task<'a> {
    pub(super) key: &'a str,
    pub(super) file: &'a File,
    pub(super) size: u64,
    pub(super) lock: Option<&'a Until>,
    pub(super) ready: &'a dyn Fn(u64) -> Result<bool>,
    pub(super) right: &'a dyn Fn(&str) -> Result<()>,
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

    /// Whether a part may be sent already.
    pub(super) fn is_ready(&self, number: usize) -> Result<bool> {
        let (start, length) = self.extent(number);
        (self.ready)(start.saturating_add(length as u64))
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
            match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::new(
                    Code::Corrupt,
                    format!("{what}: it ends before, and was cut short meanwhile"),
                ),
                _ => Error::io(what, &error),
            }
        })?;
        Ok(bytes)
    }
}
