//! One test for each bad value, by name; what is good; and the table of keys held against the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad;
mod good;
