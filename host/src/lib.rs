//! cofre as a library.

pub mod dump;
pub mod error;
pub mod fsutil;
pub mod lock;
pub mod observe;
pub mod restore_target;
pub mod source;
pub mod staging;
#[cfg(test)]
mod testing;

pub use error::{Code, Error, Result};
