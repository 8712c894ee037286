//! What became of deliveries: `deliveries.json` of the state folder, counters that survive a restart. Written by
//! whoever holds the outbox's lock, read by the exporter, whose group may.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::Mode;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::outbox::Lane;
use super::payload::rfc3339;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::{fsutil, share, staging};

const FILE: &str = "deliveries.json";
const FORMAT: u32 = 1;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Of this file: 1.
    pub format: u32,
    /// By the webhook's name.
    pub webhooks: BTreeMap<String, Counts>,
    /// By the plan's name.
    pub pings: BTreeMap<String, Counts>,
}

/// What became of the deliveries to one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Deliveries that were given up.
    pub given_up: u64,
    /// When one last arrived (RFC 3339, UTC).
    pub last_delivered_at: Option<String>,
    /// When a try last failed (RFC 3339, UTC).
    pub last_failure_at: Option<String>,
    /// Why.
    pub last_error: Option<String>,
}

impl Counts {
    pub(super) fn arrived(&mut self) {
        self.delivered += 1;
        self.last_delivered_at = Some(rfc3339(super::now()));
    }

    pub(super) fn failed(&mut self, why: &str) {
        self.failures += 1;
        self.last_failure_at = Some(rfc3339(super::now()));
        self.last_error = Some(why.to_owned());
    }
}

impl Deliveries {
    fn empty() -> Self {
        Self {
            format: FORMAT,
            webhooks: BTreeMap::new(),
            pings: BTreeMap::new(),
        }
    }

    /// What the state folder says; nothing before the first delivery.
    ///
    /// # Errors
    /// When there is a file that can't be read.
    pub fn read(state_dir: &Path) -> Result<Self> {
        match std::fs::read(state_dir.join(FILE)) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::empty()),
            Err(error) => Err(Error::io(format_args!("read {FILE}"), &error)),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Deliveries> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::new(Code::Io, format!("read {FILE}: {e}")).remedy("remove it: it only holds counters")
    })
}

/// The counters, for those who send.
#[derive(Debug)]
pub(super) struct Tally {
    state: Mutex<OwnedFd>,
    group: Option<String>,
}

impl Tally {
    /// # Errors
    /// As [`staging::open_state_dir`].
    pub(super) fn open(config: &Config) -> Result<Self> {
        let state = staging::open_state_dir(&config.state_dir)?;
        // One of before the group was configured may not be written again for long.
        if let Ok(file) = fsutil::openat(&state, FILE, fsutil::file_flags(), Mode::empty()) {
            open_to_group(state.as_fd(), file.as_fd(), config.group.as_deref());
        }
        Ok(Self {
            state: Mutex::new(state),
            group: config.group.clone(),
        })
    }

    /// Changes the counts of one receiver. A failure is logged: a counter holds up no delivery.
    pub(super) fn count(&self, lane: &Lane, change: impl FnOnce(&mut Counts)) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = read(&state).and_then(|mut all| {
            let counts = match lane {
                Lane::Webhook(name) => all.webhooks.entry(name.clone()).or_default(),
                Lane::Ping(plan) => all.pings.entry(plan.clone()).or_default(),
            };
            change(counts);
            let bytes = serde_json::to_vec_pretty(&all)
                .map_err(|e| Error::new(Code::Internal, format!("write {FILE}: {e}")))?;
            fsutil::write_file_with(state.as_fd(), FILE, &bytes, |file| {
                open_to_group(state.as_fd(), file, self.group.as_deref());
            })
        });
        if let Err(error) = changed {
            tracing::warn!("a delivery is not counted: {error}");
        }
    }
}

/// Lets the configured group read the counters. A failure is logged, as with the schedule's state.
fn open_to_group(state: BorrowedFd<'_>, file: BorrowedFd<'_>, group: Option<&str>) {
    if let Some(group) = group
        && let Err(error) = share::state(state, file, group)
    {
        tracing::warn!("the group can't read the counters of deliveries: {error}");
    }
}

fn read(state: &OwnedFd) -> Result<Deliveries> {
    let fail = |errno| fsutil::error(format_args!("read {FILE}"), errno);
    let file = match fsutil::openat(state, FILE, fsutil::file_flags(), Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Deliveries::empty()),
        Err(errno) => return Err(fail(errno)),
    };
    let text = std::io::read_to_string(std::fs::File::from(file))
        .map_err(|e| Error::io(format_args!("read {FILE}"), &e))?;
    // Counters that can't be read begin again; that shows in a graph, and nothing depends on them.
    Ok(parse(text.as_bytes()).unwrap_or_else(|error| {
        tracing::warn!("{error}; counting from zero");
        Deliveries::empty()
    }))
}
