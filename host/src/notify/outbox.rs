//! What is still to be sent: one small file for each delivery in `outbox/` of the state folder, so that it survives
//! a restart. No URL and no secret is in it: a webhook or a plan is named, and looked up when it is sent.
//!
//! Whoever has something to tell puts files in; whoever holds the lock on the folder sends, rewrites and removes
//! them.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::payload::Payload;
use crate::error::{Code, Error, Result};
use crate::{fsutil, staging};

const FOLDER: &str = "outbox";
const FORMAT: u32 = 1;
/// How many deliveries may wait; beyond that the oldest is given up.
const LIMIT: usize = 10_000;
/// Largest file that is read, in bytes. A payload has at most twenty texts of a thousand characters.
const FILE_BYTES: u64 = 256 << 10;
/// Ending of a file that can't be read and was moved aside.
const ASIDE: &str = "corrupt";

/// One delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Of this file.
    format: u32,
    /// The event: what the receiver sees as `webhook-id`.
    pub(super) id: String,
    /// What, and to whom.
    pub(super) message: Message,
    /// When it was put here.
    pub(super) created_at: DateTime<Utc>,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// When it is tried next.
    pub(super) next_attempt_at: DateTime<Utc>,
}

/// What is sent, and to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// To a webhook of the configuration.
    Webhook {
        /// Its name.
        name: String,
        /// The body.
        payload: Box<Payload>,
    },
    /// To the dead-man's switch of a plan.
    Ping {
        /// The plan.
        plan: String,
        /// Id of the run.
        run: u64,
        /// What is reported.
        signal: Signal,
        /// The body: one line.
        text: String,
    },
}

/// What a dead-man's switch is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Signal {
    /// A run begins.
    Start,
    /// It made a complete backup.
    Success,
    /// It did not.
    Fail,
}

/// Deliveries to one receiver: they go out one after another, those of others beside them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    /// A webhook, by its name.
    Webhook(String),
    /// The dead-man's switch of a plan.
    Ping(String),
}

impl Entry {
    /// One that is due at once.
    pub(super) fn new(id: String, message: Message) -> Self {
        let now = super::now();
        Self {
            format: FORMAT,
            id,
            message,
            created_at: now,
            attempts: 0,
            next_attempt_at: now,
        }
    }

    /// Where it goes.
    pub(super) fn lane(&self) -> Lane {
        match &self.message {
            Message::Webhook { name, .. } => Lane::Webhook(name.clone()),
            Message::Ping { plan, .. } => Lane::Ping(plan.clone()),
        }
    }

    /// The same delivery always gives the same.
    fn key(&self) -> String {
        let signal = match self.message {
            Message::Webhook { .. } => None,
            Message::Ping { signal, .. } => Some(signal),
        };
        let digest = Sha256::digest(format!("{:?} {signal:?} {}", self.lane(), self.id));
        let mut key = crate::text::hex(&digest);
        key.truncate(32);
        key
    }
}

/// The folder.
#[derive(Debug)]
pub(super) struct Outbox {
    dir: OwnedFd,
}

/// Held by the one who sends. The kernel frees it with the process.
#[derive(Debug)]
pub(super) struct OutboxLock {
    _held: OwnedFd,
}

impl Outbox {
    /// Opens the folder, which is made where it is missing.
    ///
    /// # Errors
    /// As [`staging::open_state_dir`].
    pub(super) fn open(state_dir: &Path) -> Result<Self> {
        let dir = staging::open_private(state_dir, FOLDER)?;
        Ok(Self { dir })
    }

    /// Whether there is a folder at all.
    pub(super) fn exists(state_dir: &Path) -> bool {
        std::fs::symlink_metadata(state_dir.join(FOLDER)).is_ok()
    }

    /// Locks the folder for sending; none while somebody else sends. Never waits.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn try_lock(&self) -> Result<Option<OutboxLock>> {
        let fail = |errno| fsutil::error("lock the outbox", errno);
        let held = fsutil::openat(&self.dir, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(OutboxLock { _held: held })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            // Where there are no locks two senders may send the same, under the same id: better than nobody.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(OutboxLock { _held: held })),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Adds a delivery, durably; one that is here already stays as it is.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn put(&self, entry: &Entry) -> Result<()> {
        self.put_within(entry, LIMIT)
    }

    /// [`Self::put`] with another limit, for tests.
    pub(super) fn put_within(&self, entry: &Entry, limit: usize) -> Result<()> {
        let ending = format!("-{}.json", entry.key());
        let names = self.names()?;
        if names.iter().any(|name| name.ends_with(&ending)) {
            return Ok(());
        }
        let micros = entry.created_at.timestamp_micros().max(0);
        self.write(&format!("{micros:020}{ending}"), entry)?;
        let excess = (names.len() + 1).saturating_sub(limit);
        for name in names.iter().take(excess) {
            tracing::error!("the outbox holds {limit} deliveries that nobody took: the oldest is given up");
            self.remove(name)?;
        }
        ring();
        Ok(())
    }

    /// Replaces a delivery that was tried.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, name: &str, entry: &Entry) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(entry)
            .map_err(|e| Error::new(Code::Internal, format!("write a delivery as JSON: {e}")))?;
        fsutil::write_file(self.dir.as_fd(), name, &bytes)
    }

    /// Removes a delivery. Should a crash bring it back, it is sent again under the same id.
    ///
    /// # Errors
    /// What the system says; not that it is gone.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(fsutil::error(
                format_args!("remove {} from the outbox", fsutil::show(name)),
                errno,
            )),
        }
    }

    /// Names of the deliveries, oldest first.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let fail = |errno| fsutil::error("list the outbox", errno);
        let fresh = fsutil::openat(&self.dir, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        let mut names = Vec::new();
        fsutil::list::<Errno>(fresh.as_fd(), |name| {
            if let Ok(name) = name.to_str()
                && !name.starts_with('.')
                && name.ends_with(".json")
            {
                names.push(name.to_owned());
            }
            Ok(())
        })
        .map_err(fail)?;
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a delivery. One that can't be understood is moved aside, which is reported; none for that and for one
    /// that is gone.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read(&self, name: &str) -> Result<Option<Entry>> {
        let fail =
            |errno: Errno| fsutil::error(format_args!("read {} in the outbox", fsutil::show(name)), errno);
        let file = match fsutil::openat(&self.dir, name, fsutil::file_flags(), Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return self.move_aside(name, "it is a link").map(|()| None),
            Err(errno) => return Err(fail(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(fail)?;
        if fsutil::file_type(&stat) != FileType::RegularFile {
            return self.move_aside(name, "it is no file").map(|()| None);
        }
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io(format_args!("read {} in the outbox", fsutil::show(name)), &e))?;
        if bytes.len() as u64 > FILE_BYTES {
            return self.move_aside(name, "it is too long").map(|()| None);
        }
        match serde_json::from_slice::<Entry>(&bytes) {
            Ok(entry) if entry.format == FORMAT => Ok(Some(entry)),
            Ok(entry) => self
                .move_aside(name, &format!("its format is {}, not {FORMAT}", entry.format))
                .map(|()| None),
            Err(error) => self.move_aside(name, &error.to_string()).map(|()| None),
        }
    }

    /// Removes what a crash left half written. Nobody writes for an hour.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sweep(&self) -> Result<()> {
        let fail = |errno| fsutil::error("sweep the outbox", errno);
        let old = super::now() - chrono::TimeDelta::hours(1);
        let fresh = fsutil::openat(&self.dir, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        fsutil::list::<Errno>(fresh.as_fd(), |name| {
            let bytes = name.to_bytes();
            if bytes.starts_with(b".")
                && bytes.ends_with(b".tmp")
                && fsutil::stat_name(self.dir.as_fd(), bytes)?.st_mtime < old.timestamp()
            {
                rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?;
            }
            Ok(())
        })
        .map_err(fail)
    }

    fn move_aside(&self, name: &str, why: &str) -> Result<()> {
        let aside = format!("{name}.{ASIDE}");
        rustix::fs::renameat(&self.dir, name, &self.dir, &*aside)
            .map_err(|errno| fsutil::error("move a damaged delivery aside", errno))?;
        tracing::error!(
            "a delivery in the outbox can't be read, and is kept aside as {}: {}",
            fsutil::show(&aside),
            crate::text::escape(why)
        );
        Ok(())
    }
}

/// Rung when something was put into an outbox by this process, or a lane is free again.
static BELL: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());

/// Wakes whoever waits in [`wait`].
pub(super) fn ring() {
    let mut rung = BELL.0.lock().unwrap_or_else(PoisonError::into_inner);
    *rung = rung.wrapping_add(1);
    BELL.1.notify_all();
}

/// How often the bell has been rung.
pub(super) fn rung() -> u64 {
    *BELL.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the bell is rung again after it had been rung `seen` times, but no longer than `limit`.
pub(super) fn wait(seen: u64, limit: Duration) {
    let rung = BELL.0.lock().unwrap_or_else(PoisonError::into_inner);
    // A spurious end of the wait costs one look at the outbox.
    drop(BELL.1.wait_timeout_while(rung, limit, |rung| *rung == seen));
}

#[cfg(test)]
mod tests;
