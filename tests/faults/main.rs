//! Faults on purpose, each at a chosen system call instead of a chosen time: the program is killed, a call fails or does
//! half of its work, what was not synced is lost. After each, the invariants are looked at from outside.
//!
//! `inject.c` does it to the program, `injector` runs that, `scene` has the commands, `judge` the invariants. A seeded share
//! of all points runs each time, every one of them with `COFRE_FAULTS=all`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

// How the service is started and called, as its own tests do it.
#[path = "../service/http.rs"]
#[allow(dead_code, reason = "only a part of it is of use here")]
mod http;
#[path = "../service/process.rs"]
#[allow(dead_code, reason = "only a part of it is of use here")]
mod process;
#[path = "../service/site.rs"]
#[allow(dead_code, reason = "only a part of it is of use here")]
mod site;

mod copies;
mod crash;
mod disk;
mod disks;
mod errors;
mod folders;
mod injector;
mod judge;
mod kinds;
mod points;
mod power;
mod scene;
mod serve;
mod tree;
