//! A hostile component, run through the public API of the engine: what it tries gets it nowhere. And what the real
//! component may import.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod component;
mod files;
mod guest;
mod limits;
mod spread;
