//! Copies off the machine against a real S3 server, behind a proxy that breaks connections, answers in the server's
//! place and lies, and against a folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod azure;
mod product;
mod product_trouble;
mod proxy;
mod server;
mod site;

mod store;
mod store_download;
mod store_folder;
mod store_locks;
mod store_patience;
mod store_trouble;
mod store_upload;
