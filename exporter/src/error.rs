//! What can end the exporter. A repository that can't be read is none of it: that is a metric.

use std::io;
use std::path::PathBuf;

/// A failure of the exporter itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option's value makes no sense.
    #[error("{option}: {message}")]
    Usage {
        /// The option as typed.
        option: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The address is taken, not ours, or not allowed.
    #[error("can't listen on {address}: {source}; choose another address with --web.listen-address")]
    Listen {
        /// The address as given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The textfile could not be written.
    #[error("can't write {}: {source}", path.display())]
    Textfile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The asynchronous runtime or the signal handlers could not be set up, or standard output is gone.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The metrics don't fit together; a bug.
    #[error("can't build the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
