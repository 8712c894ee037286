//! What this machine knows of its copies: `remotes/NAME.json` in the state folder for each remote, with what is copied,
//! how far an upload has come, and when a failed one is tried again. Losing it costs nothing but time: what is at the
//! remote is found there again.
//!
//! `copies.json` beside it has the totals of all remotes for the exporter, which may read nothing else here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::row::{Object, Row};
use super::store::Upload;
use crate::config::{Config, Remote};
use crate::error::{Code, Error, Result};
use crate::notify::now;
use crate::{fsutil, lock, share, staging};

/// The folder of the state folder.
const FOLDER: &str = "remotes";
/// The totals, in the state folder itself.
const TOTALS: &str = "copies.json";
/// Of both files.
const FORMAT: u32 = 1;
/// Larger than any honest file: 100,000 copies.
const SIZE_LIMIT: u64 = 64 << 20;

/// Notes copies that were found bad, so that the next push makes them again. Where that is not possible now, because
/// another process copies there, it is found again.
pub(super) fn note_lost(config: &Config, remote: &Remote, lost: &[(u64, Option<Copied>)]) {
    if lost.is_empty() {
        return;
    }
    let noted = Desk::open(config, remote).and_then(|desk| {
        let mut state = desk.load();
        // A machine that has never copied there makes none of them again.
        if state.repository.is_none() {
            return Ok(());
        }
        for (id, copy) in lost {
            if let Some(known) = state.copies.get_mut(id) {
                known.lost = !known.removed;
            } else if let Some(copy) = copy {
                let copy = Copied {
                    lost: true,
                    ..copy.clone()
                };
                state.copies.insert(*id, copy);
            }
        }
        desk.save(&state)
    });
    if let Err(error) = noted {
        tracing::warn!(
            "what is bad at `{}` is not noted for the next push: {error}",
            remote.name
        );
    }
}

/// What is known of one remote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Identity of this repository, as the remote has it too.
    #[serde(default)]
    pub(super) repository: Option<String>,
    /// What was copied, by id.
    #[serde(default)]
    pub(super) copies: BTreeMap<u64, Copied>,
    /// What is being sent.
    #[serde(default)]
    pub(super) sending: Option<Sending>,
    /// Backups whose archive was bad when it was to be copied.
    #[serde(default)]
    pub(super) suspects: BTreeSet<u64>,
    /// When a backup of each plan was last copied, and when that backup began.
    #[serde(default)]
    pub(super) plans: BTreeMap<String, PlanCopied>,
    /// Tries that failed, ever.
    #[serde(default)]
    pub(super) failures: u64,
    /// And in a row.
    #[serde(default)]
    pub(super) in_a_row: u32,
    /// Why the last one failed; none since one succeeded.
    #[serde(default)]
    pub(super) last_error: Option<String>,
    /// Before this the service does not try again.
    #[serde(default)]
    pub(super) not_before: Option<DateTime<Utc>>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Copied {
    /// Name of the backup.
    pub(super) name: String,
    /// SHA-256 of the archive.
    pub(super) sha256: String,
    /// Bytes at the remote.
    pub(super) size: u64,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// What the store called the content, where that says something.
    #[serde(default)]
    pub(super) etag: Option<String>,
    /// It was removed there on purpose, and is not to be copied again. Noted before the first byte goes.
    #[serde(default)]
    pub(super) removed: bool,
    /// It is gone there, or not what was copied: it is to be copied again.
    #[serde(default)]
    pub(super) lost: bool,
}

impl Copied {
    /// What its row says of a copy.
    pub(super) fn of(row: &Row) -> Self {
        Self {
            name: row.backup.name.clone(),
            sha256: row.backup.sha256.clone(),
            size: row.object.size,
            at: row.copied_at().unwrap_or_else(now),
            etag: None,
            removed: false,
            lost: false,
        }
    }

    /// Whether it counts.
    pub(super) const fn is_there(&self) -> bool {
        !self.removed && !self.lost
    }
}

/// The newest copy of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanCopied {
    /// When it was copied.
    pub(super) at: DateTime<Utc>,
    /// When that backup began.
    pub(super) started_at: Option<DateTime<Utc>>,
}

/// An archive on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sending {
    /// The backup.
    pub(super) id: u64,
    /// Its name.
    pub(super) name: String,
    /// What is sent: made once, so that a restart sends the same bytes. Without a SHA-256 it is still being made, and
    /// nobody goes on with it.
    pub(super) object: Object,
    /// File with an encrypted archive, in the same folder.
    pub(super) staged: Option<String>,
    /// For whom that was encrypted.
    #[serde(default)]
    pub(super) recipients: Vec<String>,
    /// How far it is.
    pub(super) upload: Upload,
}

impl Sending {
    /// Whether all of its bytes were made.
    pub(super) fn is_whole(&self) -> bool {
        !self.object.sha256.is_empty()
    }
}

/// `copies.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Totals {
    format: u32,
    remotes: BTreeMap<String, Total>,
}

/// The totals of one remote.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Total {
    copies: u64,
    size_bytes: u64,
    pending: u64,
    failures: u64,
    failing_since_success: u32,
    /// By plan: when a backup of it was last copied, seconds since 1970.
    last_success: BTreeMap<String, i64>,
}

/// The folder with the state of one remote, for this process alone.
#[derive(Debug)]
pub(super) struct Desk {
    dir: OwnedFd,
    name: String,
    _lock: OwnedFd,
}

impl Desk {
    /// Opens and locks it.
    ///
    /// # Errors
    /// `Busy` while another process copies to this remote; what `staging::open_private` says.
    pub(super) fn open(config: &Config, remote: &Remote) -> Result<Self> {
        let dir = staging::open_private(&config.state_dir, FOLDER)?;
        let name = format!("{}.lock", remote.name);
        let path = fsutil::path_in(dir.as_fd(), &name);
        let fail = |errno| fsutil::error(format_args!("lock {path}"), errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fsutil::openat(&dir, name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let who = lock::holder(&file)
                    .map_or_else(String::new, |pid| format!(" ({})", lock::described(pid)));
                let message = format!("another process{who} copies to `{}`", remote.name);
                return Err(Error::new(Code::Busy, message).remedy("wait until it ends"));
            }
            Err(errno) => return Err(fail(errno)),
        }
        Ok(Self {
            dir,
            name: remote.name.clone(),
            _lock: file,
        })
    }

    /// What is known; nothing where the file is missing or can't be understood, which is logged.
    pub(super) fn load(&self) -> State {
        read(&self.dir, &self.name).unwrap_or_else(|error| {
            tracing::warn!("{error}; what is at `{}` is looked up there", self.name);
            State::default()
        })
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn save(&self, state: &State) -> Result<()> {
        let state = State {
            format: FORMAT,
            ..state.clone()
        };
        fsutil::write_file(self.dir.as_fd(), &file_of(&self.name), &json(&state)?)
    }

    /// The folder, for staged files.
    pub(super) fn dir(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Removes a staged file; that it is gone is fine.
    pub(super) fn unstage(&self, file: &str) {
        match rustix::fs::unlinkat(&self.dir, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => tracing::warn!("the staged file {} is left behind: {errno}", fsutil::show(file)),
        }
    }

    /// Removes what earlier pushes to this remote staged, but for `keep`.
    pub(super) fn sweep(&self, keep: Option<&str>) {
        let mut stale = Vec::new();
        let front = staged_front(&self.name);
        let listed = fsutil::openat(&self.dir, ".", fsutil::dir_flags(), Mode::empty()).and_then(|fresh| {
            fsutil::list::<Errno>(fresh.as_fd(), |name| {
                if let Ok(name) = name.to_str()
                    && name.starts_with(&front)
                    && Some(name) != keep
                {
                    stale.push(name.to_owned());
                }
                Ok(())
            })
        });
        if let Err(errno) = listed {
            tracing::warn!("can't look for staged files of `{}`: {errno}", self.name);
        }
        stale.iter().for_each(|name| self.unstage(name));
    }
}

/// What the names of a remote's staged files begin with. A remote's name has no dot.
pub(super) fn staged_front(remote: &str) -> String {
    format!("{remote}.staged.")
}

fn file_of(remote: &str) -> String {
    format!("{remote}.json")
}

/// What is known of a remote, without a lock; nothing where there is no file.
///
/// # Errors
/// When there is one that can't be read.
pub(super) fn peek(config: &Config, remote: &Remote) -> Result<State> {
    if std::fs::symlink_metadata(config.state_dir.join(FOLDER)).is_err() {
        return Ok(State::default());
    }
    let dir = staging::open_private(&config.state_dir, FOLDER)?;
    read(&dir, &remote.name)
}

fn read(dir: &OwnedFd, remote: &str) -> Result<State> {
    let name = file_of(remote);
    let path = fsutil::path_in(dir.as_fd(), &name);
    let fail = |errno| fsutil::error(format_args!("read {path}"), errno);
    let file = match fsutil::openat(dir, name.as_str(), fsutil::file_flags(), Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::NOENT) => return Ok(State::default()),
        Err(errno) => return Err(fail(errno)),
    };
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(format_args!("read {path}"), &e))?;
    let state: State = serde_json::from_slice(&bytes)
        .map_err(|e| Error::new(Code::Io, format!("{path} can't be read: {e}")))?;
    if state.format > FORMAT {
        let message = format!(
            "{path} has the format {}, and this version knows {FORMAT}",
            state.format
        );
        return Err(Error::new(Code::Unsupported, message).remedy("use a newer cofre"));
    }
    Ok(state)
}

/// Writes the totals of one remote for the exporter. A failure is logged: it holds up no copy.
pub(super) fn publish_totals(config: &Config, remote: &Remote, state: &State, pending: u64) {
    let written = staging::open_state_dir(&config.state_dir).and_then(|dir| {
        // Two remotes may be copied to at the same time. Without locks on this file system one loses a number for a while.
        let gate = staging::open_private(&config.state_dir, FOLDER)?;
        let _ = rustix::fs::flock(&gate, FlockOperation::LockExclusive);
        let mut totals: Totals = fsutil::openat(&dir, TOTALS, fsutil::file_flags(), Mode::empty())
            .ok()
            .and_then(|file| serde_json::from_reader(std::fs::File::from(file).take(SIZE_LIMIT)).ok())
            .unwrap_or_default();
        totals.format = FORMAT;
        totals
            .remotes
            .retain(|name, _| config.remotes.iter().any(|known| known.name == *name));
        totals.remotes.insert(remote.name.clone(), total(state, pending));
        fsutil::write_file_with(dir.as_fd(), TOTALS, &json(&totals)?, |file| {
            if let Some(group) = &config.group
                && let Err(error) = share::state(dir.as_fd(), file, group)
            {
                tracing::warn!("the group can't read the totals of the copies: {error}");
            }
        })
    });
    if let Err(error) = written {
        tracing::warn!("the totals of the copies are not written: {error}");
    }
}

fn total(state: &State, pending: u64) -> Total {
    let here = state.copies.values().filter(|copy| copy.is_there());
    Total {
        copies: here.clone().count() as u64,
        size_bytes: here.map(|copy| copy.size).sum(),
        pending,
        failures: state.failures,
        failing_since_success: state.in_a_row,
        last_success: state
            .plans
            .iter()
            .map(|(plan, copied)| (plan.clone(), copied.at.timestamp()))
            .collect(),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(Code::Internal, format!("write the state of copies: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}
