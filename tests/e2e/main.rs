//! The command line from outside: every promise of the manual that a user can check with the built binary, the
//! file system and programs that know nothing of cofre. One module for each area.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod bad_config;
mod bad_sources;
mod catalog;
mod changing_files;
mod clock;
mod crash;
mod determinism;
mod durability;
mod encrypted;
mod harness;
mod hostile;
mod interface;
mod keys;
mod legacy;
mod link_race;
mod locking;
mod maintenance;
mod names;
mod odd_trees;
mod remotes;
mod resources;
mod round_trip;
mod secrets;
mod sidecars;
mod workers;
