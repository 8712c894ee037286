//! One entry after another into the archive: small contents compressed whole, large ones as a stream, and what
//! does not become smaller stored.

use crate::archive::codec::{Codec, Method};
use crate::archive::writer::{Content, Finished, Meta, ZipWriter};
use crate::error::Result;

/// Contents up to this size are compressed whole in memory and get exact headers; of larger ones this much is
/// compressed on trial to see whether it is worth it.
pub(super) const SMALL: usize = 1024 * 1024;

/// Feeds contents to the archive.
#[derive(Debug)]
pub(super) struct Packer {
    writer: ZipWriter,
    codec: Codec,
    content: Vec<u8>,
    packed: Vec<u8>,
    crc: crc32fast::Hasher,
    size: u64,
    hint: u64,
    stream: Option<Method>,
}

/// What the plain content of an entry was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    pub(super) size: u64,
    pub(super) crc32: u32,
}

impl Packer {
    pub(super) fn new(writer: ZipWriter, codec: Codec) -> Self {
        Self {
            writer,
            codec,
            content: Vec::new(),
            packed: Vec::new(),
            crc: crc32fast::Hasher::new(),
            size: 0,
            hint: 0,
            stream: None,
        }
    }

    /// Adds an entry that is stored as it is: a directory, a link.
    pub(super) fn add_stored(&mut self, meta: &Meta<'_>, content: &[u8]) -> Result<Plain> {
        let plain = Plain {
            size: content.len() as u64,
            crc32: crc32fast::hash(content),
        };
        self.add(meta, Method::Store, plain, content)?;
        Ok(plain)
    }

    fn add(&mut self, meta: &Meta<'_>, method: Method, plain: Plain, stored: &[u8]) -> Result<()> {
        let content = Content {
            method,
            crc32: plain.crc32,
            size: plain.size,
            stored,
        };
        self.writer.add(meta, &content)
    }

    /// Begins an entry that will have at most `hint` bytes.
    pub(super) fn begin(&mut self, hint: u64) {
        self.content.clear();
        self.crc = crc32fast::Hasher::new();
        self.size = 0;
        self.hint = hint;
        self.stream = None;
    }

    /// Adds a piece of content. `meta` is the same in all calls for one entry.
    pub(super) fn push(&mut self, meta: &Meta<'_>, piece: &[u8]) -> Result<()> {
        self.crc.update(piece);
        self.size += piece.len() as u64;
        match self.stream {
            Some(method) => self.stream_out(method, piece),
            None => {
                self.content.extend_from_slice(piece);
                if self.content.len() > SMALL {
                    self.begin_stream(meta)?;
                }
                Ok(())
            }
        }
    }

    /// Compresses what there is on trial and goes on with it, or stores the entry.
    fn begin_stream(&mut self, meta: &Meta<'_>) -> Result<()> {
        self.packed.clear();
        self.codec.begin();
        self.codec.push(&self.content, &mut self.packed)?;
        self.codec.sync(&mut self.packed)?;
        let (method, first) = if self.packed.len() < self.content.len() {
            (self.codec.method(), &self.packed)
        } else {
            (Method::Store, &self.content)
        };
        self.writer.begin(meta, method, self.hint.max(self.size))?;
        self.writer.append(first)?;
        self.stream = Some(method);
        Ok(())
    }

    fn stream_out(&mut self, method: Method, piece: &[u8]) -> Result<()> {
        if method == Method::Store {
            return self.writer.append(piece);
        }
        self.packed.clear();
        self.codec.push(piece, &mut self.packed)?;
        self.writer.append(&self.packed)
    }

    /// Ends the entry.
    pub(super) fn end(&mut self, meta: &Meta<'_>) -> Result<Plain> {
        let plain = Plain {
            size: self.size,
            crc32: self.crc.clone().finalize(),
        };
        match self.stream.take() {
            None => {
                let method = self.codec.whole(&self.content, &mut self.packed)?;
                let content = Content {
                    method,
                    crc32: plain.crc32,
                    size: plain.size,
                    stored: if method == Method::Store {
                        &self.content
                    } else {
                        &self.packed
                    },
                };
                self.writer.add(meta, &content)?;
            }
            Some(method) => {
                if method != Method::Store {
                    self.packed.clear();
                    self.codec.end(&mut self.packed)?;
                    self.writer.append(&self.packed)?;
                }
                self.writer.end(plain.size, plain.crc32)?;
            }
        }
        Ok(plain)
    }

    /// Gives up the entry begun last; nothing of it stays.
    pub(super) fn give_up(&mut self) {
        if self.stream.take().is_some() {
            self.writer.give_up();
        }
        self.content.clear();
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<Finished> {
        self.writer.finish()
    }
}
