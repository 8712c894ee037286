//! cofre, the library: a backup engine that runs in a WebAssembly sandbox, for other Rust programs and for the
//! command line of the same name. Start at [`Engine`].

pub mod engine;
pub mod error;

pub use engine::Engine;
pub use error::{Code, Error};
