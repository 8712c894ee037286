//! The option of the commands that read archives that says what opens an encrypted one.

use std::path::PathBuf;

use crate::config::Config;

/// What opens encrypted archives.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Opening {
    /// The identity file that opens encrypted archives [default: encryption.identity_file]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

impl Opening {
    /// What is typed comes before what is configured.
    pub(crate) fn over(self, mut config: Config) -> Config {
        if self.identity.is_some() {
            config.encryption.identity_file = self.identity;
        }
        config
    }
}
