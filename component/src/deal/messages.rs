//! What coordinator and workers say to each other where an archive is read.

use serde::{Deserialize, Serialize};

use crate::archive::Location;
use crate::archive::parts::Part;

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task<'a> {
    /// File name of the archive.
    pub(super) archive: &'a str,
    pub(super) archive_size: u64,
    #[serde(borrow)]
    pub(super) what: What<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum What<'a> {
    /// Read these, in this order.
    #[serde(borrow)]
    Entries(Vec<ToRead<'a>>),
    /// Read a part of this one.
    Part(ToRead<'a>, Part),
}

/// An entry to read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ToRead<'a> {
    pub(crate) path: &'a str,
    pub(crate) at: Location,
}

/// What a worker made of a task.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Read {
    Entries {
        /// Bytes of all that are good.
        bytes: u64,
        /// What is wrong, one for each that is not.
        problems: Vec<String>,
    },
    /// CRC of the part, or what is wrong with it.
    Part(std::result::Result<u32, String>),
}
