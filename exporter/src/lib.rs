//! Backup health for Prometheus.
//!
//! Every scrape looks at the backups folder, its catalog and the schedule's state anew and builds its metrics from that: nothing is
//! counted in memory, no archive is opened, no lock is taken and nothing is written. The binary
//! `cofre-exporter` serves this over HTTP; `cofre serve` mounts [`Exporter`] at its own `/metrics`.
//!
//! From the outside in: [`server`] answers requests with what [`Exporter`] collects; it asks one [`Probe`] a
//! repository for a [`Snapshot`]; the snapshot holds the [`facts`] that the catalog's rows come down to the
//! [`schedule`] and the [`copies`] off the machine; `collectors` turn all that into the metrics that [`names`] defines.

mod collectors;
mod config;
pub mod copies;
mod deliveries;
mod error;
mod exporter;
pub mod facts;
mod family;
mod folder;
mod lock;
pub mod names;
mod probe;
mod requests;
pub mod schedule;
pub mod server;
pub mod small_file;
mod snapshot;
pub mod textfile;
mod watched;

/// The component crate: the host reaches its catalog types by way of this re-export.
pub use cofre_component as component;

pub use error::{Error, Result};
pub use exporter::{Exporter, Scope};
pub use probe::Probe;
pub use requests::Requests;
pub use snapshot::{Reading, Snapshot, Space};
pub use watched::{Repository, Watched, check_alias};
