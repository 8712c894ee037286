//! The archive: a plain ZIP, written as one stream and read strictly.

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
mod window;
pub mod writer;
mod zstd;

pub use directory::EntryView;
pub(crate) use directory::MAX_NAMES;
pub(crate) use ends::MAX_ENTRIES;
pub use entry_reader::EntryReader;
pub use reader::ArchiveReader;
pub use writer::EntryKind;
