//! The sandboxed backup engine of cofre.
//!
//! Compiled to `wasm32-wasip2` this is the component that `wit/` defines; compiled natively it is a library for
//! tests, fuzzing, the exporter and the benchmark of the sandbox's cost. It is synchronous, and reads no clock:
//! times come with the request.
//!
//! Glossary: an **archive** is one `backup_….zip`; its **manifest** (`backup_info.json`) says what is in it; the
//! **catalog** (`backup_history.json`) has one **record** a run; a **source** is one folder of the archive; an
//! **observation** is what the host saw of one path; **retention** decides what **prune** removes; **verify**
//! compares an archive with its manifest; **restore** extracts it; a **drill** is a restore that only proves itself.

pub mod archive;
pub mod catalog;
mod checksum;
pub mod create;
mod deal;
pub mod delete;
pub mod diff;
pub mod entries;
pub mod error;
pub mod fs;
#[cfg(target_os = "wasi")]
mod guest;
pub mod import;
pub mod job;
pub mod limits;
pub mod manifest;
pub mod pin;
pub mod prune;
pub mod record_result;
pub mod restore;
pub mod retention;
pub mod run;
pub mod scan;
pub mod shards;
pub mod status;
pub mod types;
pub mod verify;

#[cfg(test)]
mod testing;
// The fuzz targets' code that the tests share calls this crate by its name.
#[cfg(test)]
extern crate self as cofre_component;

pub use error::{Error, ErrorKind, Result};
