//! What the fuzz targets share: folders to work in, archives built field by field, and the promises of retention.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise ends the target"
)]

pub mod place;
pub mod promises;
pub mod zip;
