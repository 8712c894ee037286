//! cofre: backups made inside a WebAssembly sandbox. Command line and library.

pub mod api;
pub mod config;
pub mod context;
pub mod error;
pub mod logging;
pub mod output;
pub mod signals;
pub mod text;

pub use config::Config;
pub use error::{Code, Error, Result};
