//! What is watched: a repository, and where it is written when its backups are due.

use std::path::PathBuf;

use crate::config::Places;
use crate::error::{Error, Result};

/// Longest alias, in characters.
const MAX_ALIAS: usize = 64;

/// A backups folder to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The value of the label `repository`: an alias, never a path.
    pub alias: String,
    /// The folder.
    pub path: PathBuf,
}

impl Repository {
    /// Adds the state folder, in which `cofre serve` notes its schedule.
    #[must_use]
    pub fn with_state(self, state_dir: PathBuf) -> Watched {
        Watched {
            state_dir: Some(state_dir),
            ..self.into()
        }
    }
}

/// A repository with what says when its backups are due. A [`Repository`] alone becomes one about whose schedule
/// nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub(crate) repository: Repository,
    pub(crate) state_dir: Option<PathBuf>,
    /// `cofre.toml`, read again whenever it changes: which plans there are.
    pub(crate) config: Option<PathBuf>,
    /// Whether `cofre serve` is to run; `None`: to be told from the state and the configuration.
    pub(crate) scheduler: Option<bool>,
    /// Names of the places for copies, where no `config` says them; `None`: whichever the state has.
    pub(crate) remotes: Option<Vec<String>>,
}

impl From<Repository> for Watched {
    fn from(repository: Repository) -> Self {
        Self {
            repository,
            state_dir: None,
            config: None,
            scheduler: None,
            remotes: None,
        }
    }
}

impl Watched {
    /// The repository of a `cofre.toml`. Of the file, only `backup_dir`, `state_dir`, `repository`, what concerns
    /// schedules, and the names of the remotes are read; `cofre config check` is what checks it.
    ///
    /// # Errors
    /// `Usage`, naming the file, when that can't be read.
    pub fn of_config(file: PathBuf) -> Result<Self> {
        let places = Places::read(&file)?;
        let repository = Repository {
            alias: places.alias,
            path: places.backup_dir,
        };
        Ok(Self {
            config: Some(file),
            ..repository.with_state(places.state_dir)
        })
    }

    /// Says whether `cofre serve` is to run for it. Where nobody does, it is expected once it ran, or when the
    /// configuration has a plan that is switched on.
    #[must_use]
    pub fn with_scheduler(self, expected: bool) -> Self {
        Self {
            scheduler: Some(expected),
            ..self
        }
    }

    /// Says which places for copies are configured, so that one shows before anything was copied to it. For
    /// `cofre serve`, which has them; where there is a configuration file, that says it.
    #[must_use]
    pub fn with_remotes(self, names: impl IntoIterator<Item = String>) -> Self {
        Self {
            remotes: Some(names.into_iter().collect()),
            ..self
        }
    }

    /// The value of the label `repository`.
    #[must_use]
    pub fn alias(&self) -> &str {
        &self.repository.alias
    }

    /// Whether anything says when backups are due.
    #[must_use]
    pub(crate) fn has_schedule(&self) -> bool {
        self.state_dir.is_some() || self.config.is_some()
    }
}

/// Checks that an alias can be a label value that ends up in dashboards and messages: short, printable, and no path
/// or URL.
///
/// # Errors
/// `Usage` of the given option.
pub fn check_alias(option: &'static str, alias: &str) -> Result<()> {
    let wrong = |message: &str| {
        Err(Error::Usage {
            option,
            message: format!("the alias {alias:?} can't be used: {message}"),
        })
    };
    if alias.is_empty() || alias.chars().count() > MAX_ALIAS {
        return wrong("it has to have 1 to 64 characters");
    }
    if alias.chars().any(|c| c == '/' || c.is_control()) {
        return wrong("it may have no / and no control characters");
    }
    Ok(())
}
