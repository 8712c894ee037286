//! What the end-to-end tests share: a throw-away application folder, the built `cofre` run as a user would run
//! it, trees to back up, and the outside programs that judge the result.
//!
//! Nothing of cofre is linked in. A program that is missing fails the test by name; `.ci/run` installs all of
//! them. Random choices come from a printed seed.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its part of the harness"
)]

mod app;
mod command;
mod fixture;
pub(crate) mod hostile;
pub(crate) mod mariadb;
pub(crate) mod postgres;
mod readers;
mod rng;
mod tree;
pub(crate) mod zip;

pub(crate) use app::App;
pub(crate) use command::{Run, cofre_binary, exporter_binary, is_root, run, self_signed, spawn, tool};
pub(crate) use fixture::{big_sparse_file, copy_tree, registry_tree, set_mtime, tiny_files, write};
pub(crate) use readers::{archive_modes, archive_names, archive_text, readers_accept, zstd_readers_accept};
pub(crate) use rng::Rng;
pub(crate) use tree::{listing, same_tree};
