//! The web configuration in use, read again whenever one of its files changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::web_config::Loaded;
use crate::error::{Error, Result};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// TLS, users and headers of the server: what `--web.config.file` says, or nothing of it.
#[derive(Default)]
pub struct Web {
    file: Option<PathBuf>,
    now: RwLock<Arc<Loaded>>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Web {
    /// Reads a web configuration in the format of the exporter toolkit.
    ///
    /// # Errors
    /// `Usage`, naming what is wrong in the file.
    pub fn of_file(file: &Path) -> Result<Self> {
        let loaded = Loaded::read(file).map_err(|message| Error::Usage {
            option: "--web.config.file",
            message,
        })?;
        if loaded.users.is_some() && loaded.tls.is_none() {
            tracing::warn!(
                "passwords come over plain HTTP: add a tls_server_config to {}",
                file.display()
            );
        }
        Ok(Self {
            file: Some(file.to_owned()),
            now: RwLock::new(Arc::new(loaded)),
        })
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.current().tls.is_some() {
            "https"
        } else {
            "http"
        }
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in every change of the files, until it is dropped. One that can't be used is logged, and what was
    /// there before stays in force.
    pub(super) async fn follow(&self) {
        let Some(file) = &self.file else {
            return std::future::pending().await;
        };
        let mut logged = None;
        loop {
            tokio::time::sleep(EVERY).await;
            let (before, again) = (self.current(), file.clone());
            // On a thread of its own, since the files may be on a mount that hangs.
            let look = move || before.files.have_changed().then(|| Loaded::read(&again));
            match tokio::task::spawn_blocking(look).await {
                Ok(None) => logged = None,
                Ok(Some(Ok(loaded))) => {
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                    tracing::info!("{} was read again", file.display());
                    logged = None;
                }
                // Tried again each time: certificate and key are replaced one after the other.
                Ok(Some(Err(problem))) => {
                    if logged.as_ref() != Some(&problem) {
                        tracing::error!("{problem}; what was there before stays in force");
                    }
                    logged = Some(problem);
                }
                Err(e) => tracing::error!("{}: {e}; this is a bug", file.display()),
            }
        }
    }
}
