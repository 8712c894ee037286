//! cofre, the library: a backup engine that runs in a WebAssembly sandbox, for other Rust programs and for the
//! command line of the same name. Start at [`Engine`].

pub mod dump;
pub mod engine;
pub mod error;
pub mod fsutil;
pub mod lock;
pub mod observe;
pub mod restore_target;
pub mod source;
pub mod staging;
#[cfg(test)]
mod testing;

pub use engine::Engine;
pub use error::{Code, Error, Result};
