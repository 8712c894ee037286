//! Databases from outside: real servers, real data, the built `cofre`, and what comes back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod drill;
mod mariadb;
mod postgres;
mod sqlite;
