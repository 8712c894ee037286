//! The option of the commands that read archives that says what opens an encrypted one.

use std::path::PathBuf;

use crate::config::Config;
use crate::crypt::Identity;
use crate::error::{Code, Error, Result};

/// What opens encrypted archives.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Opening {
    /// The identity file that opens encrypted archives [default: encryption.identity_file]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

impl Opening {
    /// What is typed comes before what is configured.
    ///
    /// # Errors
    /// `Usage` for a file that is no identity file or can't be read: it was mistyped, whether or not anything is encrypted.
    pub(crate) fn over(self, mut config: Config) -> Result<Config> {
        let Some(file) = self.identity else {
            return Ok(config);
        };
        Identity::check(&file).map_err(|error| Error {
            code: Code::Usage,
            message: format!("--identity: {}", error.message),
            remedy: error.remedy.or_else(|| {
                Some(
                    "bring the identity file that `cofre key new` made from where it is kept, and name it"
                        .to_owned(),
                )
            }),
        })?;
        config.encryption.identity_file = Some(file);
        Ok(config)
    }
}
