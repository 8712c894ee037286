//! The archive: a plain ZIP, written as one stream and read strictly.

pub mod codec;
pub mod entry_path;
pub mod writer;
