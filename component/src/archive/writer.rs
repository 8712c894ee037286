//! Writes a ZIP as one stream: entries one after another, then the central directory. What is compressed and
//! how is `codec`'s business, what goes in and in which order `create`'s.
//!
//! An entry whose bytes are known gets a complete local header ([`ZipWriter::add`]); one that is streamed gets
//! its sizes in a data descriptor behind it ([`ZipWriter::begin`]). A streamed entry can be given up: the file
//! is then written on from where the entry began. Memory per entry is its record of the central directory.

use sha2::{Digest, Sha256};

use super::codec::Method;
use crate::checksum::hex;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::File;

mod headers;

use headers::{Fixed, Sizes};

/// Bytes that are gathered before they are written.
const BUFFER: usize = 512 * 1024;
/// Pieces of the central directory, so that growing it never copies all of it.
const CHUNK: usize = 256 * 1024;
/// A size from which on the 32-bit fields are not enough.
const U32_LIMIT: u64 = 0xFFFF_FFFF;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Symlink,
}

/// What is said of an entry in its headers.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// Path in the archive, without a trailing `/`; at most [`PATH_MAX`] bytes.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits; unknown ones are written as 0600, 0700 and 0777 (links).
    pub mode: Option<u32>,
    /// Modification time in nanoseconds since 1970; an unknown one is written as 1980-01-01.
    pub mtime_ns: Option<i64>,
}

/// Longest path that a ZIP header holds, one byte left for a directory's `/`.
pub const PATH_MAX: usize = u16::MAX as usize - 1;

/// What the headers say of an entry's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How it is stored.
    pub method: Method,
    /// CRC-32 of the plain content.
    pub crc32: u32,
    /// Bytes before compression.
    pub size: u64,
    /// Bytes as stored.
    pub stored: u64,
}

impl Content {
    fn sizes(&self) -> Sizes {
        Sizes {
            crc32: self.crc32,
            size: self.size,
            stored: self.stored,
        }
    }
}

/// The local header of an entry whose content is known and has less than 4 GiB.
pub fn local_header(meta: &Meta<'_>, content: &Content, out: &mut Vec<u8>) {
    Fixed::new(meta, content.method, false, false).local(meta.path, content.sizes(), out);
}

/// Header and data descriptor of a streamed entry of exactly the size that it was begun with.
pub(crate) fn streamed_frame(meta: &Meta<'_>, content: &Content) -> (Vec<u8>, Vec<u8>) {
    let zip64 = needs_zip64(content.size, U32_LIMIT);
    let (mut header, mut descriptor) = (Vec::new(), Vec::new());
    Fixed::new(meta, content.method, true, zip64).local(meta.path, Sizes::default(), &mut header);
    content.sizes().descriptor(zip64, &mut descriptor);
    (header, descriptor)
}

/// Whether a streamed entry of at most `hint` bytes may need 64-bit fields.
fn needs_zip64(hint: u64, limit: u64) -> bool {
    // What does not compress grows: at level 1 deflate has fixed codes only, of up to 9 bits for a byte.
    hint.saturating_add(hint / 7).saturating_add(4096) >= limit
}

/// What the finished archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
}

/// An archive being written.
#[derive(Debug)]
pub struct ZipWriter {
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the archive that are in the file already; the buffer follows.
    written: u64,
    /// Most bytes that the file ever had.
    longest: u64,
    hash: Sha256,
    central: Vec<Vec<u8>>,
    count: u64,
    open: Option<Open>,
    zip64_from: u64,
}

/// The streamed entry that is being written.
#[derive(Debug)]
struct Open {
    fixed: Fixed,
    path: Box<str>,
    start: u64,
    data: u64,
    zip64: bool,
    hash_before: Sha256,
}

impl ZipWriter {
    /// Begins an archive in an empty file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            longest: 0,
            hash: Sha256::new(),
            central: Vec::new(),
            count: 0,
            open: None,
            zip64_from: U32_LIMIT,
        }
    }

    /// Writes ZIP64 fields for sizes and offsets from `limit` on already: what a test uses to see them without
    /// gigabytes.
    #[cfg(test)]
    pub(crate) fn with_zip64_from(mut self, limit: u64) -> Self {
        self.zip64_from = limit;
        self
    }

    /// Bytes of the archive so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes a whole entry. `stored` are the bytes of its content as stored.
    ///
    /// # Errors
    /// What writing says.
    pub fn add(&mut self, meta: &Meta<'_>, content: &Content, stored: &[u8]) -> Result<()> {
        let start = self.position();
        let zip64 = content.size.max(content.stored) >= self.zip64_from;
        let fixed = Fixed::new(meta, content.method, false, zip64);
        fixed.local(meta.path, content.sizes(), &mut self.buffer);
        self.append(stored)?;
        self.record(&fixed, meta.path, content.sizes(), zip64, start);
        Ok(())
    }

    /// Notes a whole entry that [`Self::append`] has written, or will, with the header of [`local_header`], at
    /// `start`. Gives the length of that header.
    pub fn note(&mut self, meta: &Meta<'_>, content: &Content, start: u64) -> u64 {
        let fixed = Fixed::new(meta, content.method, false, false);
        self.record(&fixed, meta.path, content.sizes(), false, start);
        fixed.local_length(meta.path)
    }

    /// Notes a streamed entry that was copied, with its header and descriptor, to `start`.
    pub(crate) fn note_streamed(&mut self, meta: &Meta<'_>, content: &Content, start: u64) {
        let zip64 = needs_zip64(content.size, U32_LIMIT);
        let fixed = Fixed::new(meta, content.method, true, zip64);
        self.record(&fixed, meta.path, content.sizes(), zip64, start);
    }

    /// The state of the SHA-256 of everything so far.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn hash_so_far(&mut self) -> Result<Sha256> {
        self.flush()?;
        Ok(self.hash.clone())
    }

    /// Begins the archive anew in the same file.
    #[must_use]
    pub(crate) fn restart(self) -> Self {
        Self {
            longest: self.longest.max(self.written),
            ..Self::new(self.file)
        }
    }

    /// Begins an entry whose bytes come through [`Self::append`] and which [`Self::end`] ends. `size_hint` is
    /// the most bytes that it will have before compression.
    ///
    /// # Errors
    /// What writing says.
    pub fn begin(&mut self, meta: &Meta<'_>, method: Method, size_hint: u64) -> Result<()> {
        self.flush()?;
        let start = self.written;
        let zip64 = needs_zip64(size_hint, self.zip64_from);
        let fixed = Fixed::new(meta, method, true, zip64);
        let hash_before = self.hash.clone();
        fixed.local(meta.path, Sizes::default(), &mut self.buffer);
        self.open = Some(Open {
            fixed,
            path: meta.path.into(),
            start,
            data: self.position(),
            zip64,
            hash_before,
        });
        Ok(())
    }

    /// Writes stored bytes of the current entry.
    ///
    /// # Errors
    /// What writing says.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() >= BUFFER {
            self.hash.update(bytes);
            self.file.write_all_at(bytes, self.written)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Ends the entry begun last; `size` and `crc32` are those of its plain content. Gives its stored bytes.
    ///
    /// # Errors
    /// What writing says; `Io` for an entry that needs ZIP64 fields though its hint said otherwise.
    pub fn end(&mut self, size: u64, crc32: u32) -> Result<u64> {
        let Some(open) = self.open.take() else {
            return Ok(0);
        };
        let stored = self.position() - open.data;
        let sizes = Sizes { crc32, size, stored };
        if !open.zip64 && size.max(stored) >= self.zip64_from {
            // Its header is written and promises 32 bits: going on would publish an archive that nobody can read.
            let message = "an entry became larger than was said when it was begun";
            return Err(Error::new(ErrorKind::Io, "write archive", message).about(&*open.path));
        }
        let mut descriptor = Vec::with_capacity(24);
        sizes.descriptor(open.zip64, &mut descriptor);
        self.append(&descriptor)?;
        self.record(&open.fixed, &open.path, sizes, open.zip64, open.start);
        Ok(stored)
    }

    /// Gives up the entry begun last: the archive is as it was before.
    pub fn give_up(&mut self) {
        if let Some(open) = self.open.take() {
            self.longest = self.longest.max(self.written);
            self.buffer.clear();
            self.written = open.start;
            self.hash = open.hash_before;
        }
    }

    /// Writes the central directory, cuts off what a given-up entry left and makes the file durable.
    ///
    /// # Errors
    /// What writing says.
    pub fn finish(mut self) -> Result<Finished> {
        let start = self.position();
        for chunk in std::mem::take(&mut self.central) {
            self.append(&chunk)?;
        }
        let mut end = Vec::with_capacity(98);
        let length = self.position() - start;
        headers::end(self.count, start, length, self.zip64_from, &mut end);
        self.append(&end)?;
        self.flush()?;
        if self.longest > self.written {
            self.file.set_size(self.written)?;
        }
        self.file.sync()?;
        Ok(Finished {
            size: self.written,
            sha256: hex(&self.hash.finalize()),
        })
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.hash.update(&self.buffer);
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn record(&mut self, fixed: &Fixed, path: &str, sizes: Sizes, zip64: bool, start: u64) {
        let need = 128 + path.len();
        if self
            .central
            .last()
            .is_none_or(|chunk| chunk.capacity() - chunk.len() < need)
        {
            self.central.push(Vec::with_capacity(CHUNK.max(need)));
        }
        if let Some(chunk) = self.central.last_mut() {
            fixed.central(path, sizes, zip64, start, self.zip64_from, chunk);
        }
        self.count += 1;
    }
}

#[cfg(test)]
pub(crate) mod tests;
