//! Copies of backups off the machine.

pub mod store;
