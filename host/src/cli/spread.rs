//! The option of the long operations that says how many sandboxes work at the same time.

use crate::config::Config;

/// How a long operation is spread over sandboxes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Spread {
    /// Sandboxes that work at the same time, 0 to 256; 0 is one for each core [default: archive.workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub workers: Option<u16>,
}

impl Spread {
    /// What is typed comes before what is configured.
    pub(crate) fn over(self, mut config: Config) -> Config {
        config.archive.workers = self.workers.unwrap_or(config.archive.workers);
        config
    }
}
