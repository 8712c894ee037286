//! What every operation needs: the configuration, the engine, the time in the configured zone, and sessions in
//! which the backups folder is mounted.

use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::config::Config;
use crate::engine::{Access, Engine, Limits, Mounts, Session};
use crate::error::{Code, Error, Result};
use crate::history;
use crate::lock::BackupsLock;
use crate::share;
use crate::source;
use crate::text::shown;

/// A configuration and the engine that works for it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The engine.
    pub engine: Engine,
}

impl Context {
    /// Starts the engine.
    ///
    /// # Errors
    /// See [`Engine::new`].
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            config,
            engine: Engine::new()?,
        })
    }

    /// Now, RFC 3339 with the offset of the configured zone and microseconds.
    #[must_use]
    pub fn now(&self) -> String {
        now(&self.config)
    }

    /// Mounts with the configured limits and nothing mounted yet.
    #[must_use]
    pub fn mounts(&self) -> Mounts {
        let crate::config::Limits {
            memory_bytes,
            stall,
            foreign_bytes,
            foreign_ratio,
        } = self.config.limits;
        Mounts::new().limits(Limits {
            memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
            stall,
            foreign_bytes,
            foreign_ratio,
        })
    }

    /// A handle of the backups folder, which has to exist.
    ///
    /// # Errors
    /// `NotFound` before the first run, `Refused` where it was there before, otherwise what the system says.
    pub fn backups(&self) -> Result<OwnedFd> {
        open_folder(&self.config.backup_dir).or_else(|error| {
            if error.code == Code::NotFound {
                history::check(&self.config, None)?;
            }
            Err(error)
        })
    }

    /// Whether the first run is still to come, as far as anybody knows.
    #[must_use]
    pub fn awaits_first_run(&self) -> bool {
        self.is_fresh() && history::check(&self.config, None).is_ok()
    }

    /// Whether there is no backups folder.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        std::fs::symlink_metadata(&self.config.backup_dir).is_err_and(|e| e.kind() == ErrorKind::NotFound)
    }

    /// Mounts with the backups folder that `backups` is a handle of: the same one for every instance of an operation,
    /// whatever its path leads to meanwhile.
    ///
    /// # Errors
    /// When the handle can't be duplicated.
    pub fn mounts_of(&self, backups: &OwnedFd, access: Access) -> Result<Mounts> {
        let backups = backups
            .try_clone()
            .map_err(|e| Error::io("duplicate a handle", &e))?;
        Ok(self.mounts().backups(backups, access))
    }

    /// A fresh sandbox that may read the backups folder.
    ///
    /// # Errors
    /// As [`Self::backups`] and [`Engine::open`]; `Refused` where the folder has lost its history.
    pub fn reader(&self) -> Result<Session> {
        let backups = self.backups()?;
        history::check(&self.config, Some(backups.as_fd()))?;
        self.reader_of(backups)
    }

    fn reader_of(&self, backups: OwnedFd) -> Result<Session> {
        self.engine.open(self.mounts().backups(backups, Access::ReadOnly))
    }

    /// What the totals and the list are made of: they tell what there is, also where a history is lost.
    ///
    /// # Errors
    /// As [`Self::reader`], but for `Refused`.
    pub fn overview(&self) -> Result<Overview> {
        let lost = |backups: Option<BorrowedFd<'_>>| history::check(&self.config, backups).err();
        if self.is_fresh() {
            return Ok(Overview {
                session: None,
                lost: lost(None),
            });
        }
        let backups = self.backups()?;
        let lost = lost(Some(backups.as_fd()));
        Ok(Overview {
            session: Some(self.reader_of(backups)?),
            lost,
        })
    }

    /// Instances that a long operation is spread over.
    #[must_use]
    pub fn workers(&self) -> usize {
        match self.config.archive.workers {
            // One where the system does not say how many cores there are.
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers.into(),
        }
    }

    /// The backups folder for this process alone, to write in.
    ///
    /// # Errors
    /// As [`Self::backups`] and [`BackupsLock::acquire`]; `Refused` where the folder has lost its history.
    pub fn exclusive(&self) -> Result<Exclusive<'_>> {
        let exclusive = self.exclusive_for_new_history()?;
        history::check(&self.config, Some(exclusive.backups.as_fd()))?;
        Ok(exclusive)
    }

    /// The same where a new history may begin.
    ///
    /// # Errors
    /// As [`Self::backups`] and [`BackupsLock::acquire`].
    pub(crate) fn exclusive_for_new_history(&self) -> Result<Exclusive<'_>> {
        let backups = self.backups()?;
        check_writable(&backups, &self.config.backup_dir)?;
        let lock = BackupsLock::acquire(&backups)?;
        Ok(Exclusive {
            context: self,
            backups,
            _lock: lock,
        })
    }
}

/// See [`Context::overview`].
#[derive(Debug)]
pub struct Overview {
    /// A sandbox that may read the backups folder, where there is one.
    pub session: Option<Session>,
    /// That the folder had a history and has none now.
    pub lost: Option<Error>,
}

/// The backups folder, locked: what every writing operation holds. When it is dropped, the configured group may
/// read what was written of the catalog.
#[derive(Debug)]
pub struct Exclusive<'a> {
    context: &'a Context,
    backups: OwnedFd,
    _lock: BackupsLock,
}

impl Exclusive<'_> {
    /// Notes that there is a history.
    pub(crate) fn remember_history(&self) {
        history::remember(&self.context.config, self.backups.as_fd());
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &OwnedFd {
        &self.backups
    }

    /// A fresh sandbox that may write in the backups folder.
    ///
    /// # Errors
    /// See [`Engine::open`].
    pub fn writer(&self) -> Result<Session> {
        self.context.engine.open(self.mounts()?)
    }

    /// Mounts with the backups folder to write in.
    ///
    /// # Errors
    /// When the handle can't be duplicated.
    pub fn mounts(&self) -> Result<Mounts> {
        self.context.mounts_of(&self.backups, Access::ReadWrite)
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        if let Some(group) = &self.context.config.group
            && let Err(error) = share::catalog(self.backups.as_fd(), group)
        {
            tracing::warn!("the group can't read the catalog: {error}");
        }
    }
}

/// Now in the configuration's zone, RFC 3339 with microseconds.
#[must_use]
pub fn now(config: &Config) -> String {
    // Not `Utc::now()`, which panics when the clock is before 1970.
    DateTime::<Utc>::from(SystemTime::now())
        .with_timezone(&config.time_zone)
        .to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Opened without following a link, as it is when it is made: a link in its place would lead a root process to
/// write (and with `group`, to give access) elsewhere, and hide that the folder lies in a source.
fn open_folder(path: &Path) -> Result<OwnedFd> {
    source::open_dir_nofollow(path).map_err(|error| {
        let gone = std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        if gone {
            return Error::new(
                Code::NotFound,
                format!("the backups folder {} does not exist", shown(path)),
            )
            .remedy("`cofre create` makes it; if it was there before, is the disk mounted?");
        }
        let code = match error.code {
            Code::SourceMissing => Code::Config,
            other => other,
        };
        Error {
            code,
            message: format!("open the backups folder: {}", error.message),
            remedy: match code {
                Code::Config => Some("set backup_dir".to_owned()),
                _ => error.remedy,
            },
        }
    })
}

/// Asked before anything is begun: WASI reports a read-only file system as a failing disk.
fn check_writable(backups: &OwnedFd, path: &Path) -> Result<()> {
    rustix::fs::accessat(
        backups,
        ".",
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|errno| {
        let what = format!("write in the backups folder {}: {errno}", shown(path));
        match errno {
            Errno::ROFS | Errno::ACCESS | Errno::PERM => {
                Error::new(Code::AccessDenied, what).remedy("check its owner, its mode and how it is mounted")
            }
            _ => Error::new(Code::Io, what),
        }
    })
}
