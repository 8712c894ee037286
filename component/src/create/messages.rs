//! What coordinator and workers of a backup say to each other.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::archive::codec::Method;
use crate::archive::writer::{EntryKind, Meta};

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task<'a> {
    /// Pack these, in this order.
    #[serde(borrow)]
    Batch(Vec<ToPack<'a>>),
    /// Pack a part of a large file.
    Block(Part<'a>),
    /// Compress this text: all of an entry, or a block of one.
    Text {
        /// The text.
        text: Bytes<'a>,
        /// Whether it is all of the entry.
        whole: bool,
    },
}

/// Bytes that are not encoded one by one.
#[derive(Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(from).map(Self)
    }
}

/// A thing to pack whole.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToPack<'a> {
    pub(super) path: &'a str,
    pub(super) source: u16,
    pub(super) kind: Kind<'a>,
    pub(super) size: u64,
    pub(super) mtime_ns: Option<i64>,
    pub(super) mode: Option<u32>,
}

/// What a thing to pack is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Kind<'a> {
    File,
    Directory,
    /// A link with its target.
    Symlink(&'a str),
}

impl ToPack<'_> {
    /// What its headers say.
    pub(super) fn meta(&self) -> Meta<'_> {
        Meta {
            path: self.path,
            kind: match self.kind {
                Kind::File => EntryKind::File,
                Kind::Directory => EntryKind::Directory,
                Kind::Symlink(_) => EntryKind::Symlink,
            },
            mode: self.mode,
            mtime_ns: self.mtime_ns,
        }
    }
}

/// A part of a large file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part<'a> {
    pub(super) path: &'a str,
    pub(super) source: u16,
    /// Size and time of the whole file when it was opened first.
    pub(super) size: u64,
    pub(super) mtime_ns: Option<i64>,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// How the parts before are stored; `None` lets the worker find out what is best for the file.
    pub(super) method: Option<Method>,
}

/// What a worker made of a task.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Done {
    /// One for each thing of a batch. The entries' bytes, headers included, lie one after another in the data.
    Batch(Vec<Packed>),
    /// The part's stored bytes are the data.
    Block(Block),
    /// The part could not be read at all.
    Lost(Lost),
}

/// What became of one thing of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Packed {
    Entry {
        size: u64,
        stored: u64,
        crc32: u32,
        method: Method,
        mtime_ns: Option<i64>,
        changed: bool,
        /// It is not what was observed, though it did not change while it was read.
        another: bool,
    },
    /// It is too large for a batch by now; nothing of it is in the data.
    Large,
    /// It is not in the archive.
    Lost(Lost),
}

/// Why a file is not in the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) reason: String,
    /// Whether it should have been.
    pub(super) missing: bool,
}

/// A part of a large file, or a block of text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Block {
    /// Plain bytes; fewer than asked for where the file ended early.
    pub(super) size: u64,
    pub(super) crc32: u32,
    pub(super) method: Method,
    /// The file was not what it was when it was opened first.
    pub(super) changed: bool,
}
