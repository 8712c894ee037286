//! The web configuration in use, read again whenever one of its files changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::web_config::Loaded;
use crate::error::{Error, Result};
use crate::small_file::{self, Stamp};

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
        let loaded = Loaded::read(file).map_err(|problem| Error::Usage {
            option: "--web.config.file",
            message: format!("{}: {problem}", file.display()),
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
        let mut seen = stamps(self.current().files.clone()).await;
        loop {
            tokio::time::sleep(EVERY).await;
            let mut files = self.current().files.clone();
            let found = stamps(files.clone()).await;
            if found == seen {
                continue;
            }
            let again = file.clone();
            let loaded = tokio::task::spawn_blocking(move || Loaded::read(&again)).await;
            match loaded.unwrap_or_else(|e| Err(e.to_string())) {
                Ok(loaded) => {
                    files.clone_from(&loaded.files);
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                    tracing::info!("{} was read again", file.display());
                }
                Err(problem) => tracing::error!(
                    "{}: {problem}; what it said before stays in force",
                    file.display()
                ),
            }
            seen = stamps(files).await;
        }
    }
}

/// On a thread of its own, since the files may be on a mount that hangs.
async fn stamps(files: Vec<PathBuf>) -> Vec<Option<Stamp>> {
    let look = move || files.iter().map(|file| small_file::stamp(file)).collect();
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}
