//! The exporter as its users meet it: the real binary, real requests, Prometheus's own checker.
//!
//! Needs the Debian packages `prometheus` (with promtool), `prometheus-alertmanager` (with amtool), `strace` (to make a
//! folder hang), `gzip`, `openssl`, `curl` and `util-linux` (setpriv).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod alerts;
mod backups;
mod e2e;
mod hang;
mod http;
mod metrics;
mod once;
mod plans;
mod process;
mod remotes;
mod schedule;
mod serve;
mod server;
mod speed;
mod stack;
mod states;
mod tls;
mod totals;
mod user;
mod web;
