//! `cofre serve` from outside: the built binary as a process of its own, spoken to by curl, by Python's requests
//! and by plain sockets, with a real receiver for what it sends. One module for each area.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

#[path = "../support/mod.rs"]
mod support;

mod http;
mod process;
mod python;
mod receiver;
mod site;
mod wire;

mod archives;
mod audit;
mod auth;
mod crash;
mod download;
mod encrypted;
mod ending;
mod floods;
mod harness;
mod hooks;
mod hostile;
mod hostile_archives;
mod limits;
mod metrics;
mod openapi;
mod redirects;
mod routes;
mod runs;
mod schedule;
mod secrets;
mod seed_clients;
mod sessions;
mod stuck;
mod unmounted;
mod webhooks;
mod workload;
