//! cofre, the library: a backup engine that runs in a WebAssembly sandbox, for other Rust programs and for the
//! command line of the same name. Start at [`Engine`].

pub mod api;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod config;
pub mod context;
pub mod crypt;
pub mod doctor;
pub mod drill;
pub mod dump;
pub mod engine;
pub mod error;
pub mod fsutil;
pub(crate) mod hashing;
pub(crate) mod history;
pub mod hooks;
pub mod init;
pub mod load;
pub mod lock;
pub mod logging;
pub mod notify;
pub mod observe;
pub mod output;
pub(crate) mod process;
pub mod remote;
pub mod restore;
pub mod restore_database;
pub mod restore_target;
pub mod schedule;
pub(crate) mod sealed;
pub mod serve;
pub mod share;
pub mod signals;
pub mod source;
pub mod staging;
pub mod state;
#[cfg(test)]
mod testing;
pub mod text;
pub mod verify;

pub use config::Config;
pub use context::Context;
pub use engine::Engine;
pub use error::{Code, Error, Result};
