//! The archive: a plain ZIP, written as one stream and read strictly.

/// Contents larger than this are compressed in blocks of this many bytes, each by itself, so that any number of
/// workers can compress and decompress them; smaller ones are compressed whole.
pub const BLOCK: u64 = 4 << 20;

pub mod codec;
mod directory;
mod ends;
pub mod entry_path;
mod entry_reader;
mod fields;
mod local;
pub mod reader;
pub(crate) mod second_opinion;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod window;
pub mod writer;
mod zstd;

pub use directory::EntryView;
pub(crate) use directory::MAX_NAMES;
pub(crate) use ends::MAX_ENTRIES;
pub use entry_reader::EntryReader;
pub use reader::ArchiveReader;
pub use writer::EntryKind;
