//! What a store is asked with and what it answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::LockMode;

/// How patient a store is. The defaults are for real networks.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Longest time until a connection stands.
    pub connect: Duration,
    /// Longest time in which nothing moves, or no answer comes.
    pub idle: Duration,
    /// The same for a request without a large body, whose answer needs no time to be made.
    pub idle_small: Duration,
    /// How often a request is sent again.
    pub retries: usize,
    /// How long a request is sent again at most.
    pub retry_time: Duration,
    /// The pause before the second attempt; it doubles each time.
    pub first_wait: Duration,
    /// The longest pause, also where the server asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(120),
            idle_small: Duration::from_secs(30),
            retries: 8,
            retry_time: Duration::from_secs(180),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl Tuning {
    /// For whoever waits at a screen and only wants to know whether it answers.
    #[must_use]
    pub fn brief() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            retries: 2,
            retry_time: Duration::from_secs(15),
            longest_wait: Duration::from_secs(5),
            ..Self::default()
        }
    }

    /// The pause after so many attempts.
    pub(super) fn back_off(&self, tries: usize) -> Duration {
        let doubled = u32::try_from(tries.saturating_sub(1)).unwrap_or(16).min(16);
        let wait = self
            .first_wait
            .saturating_mul(1 << doubled)
            .min(self.longest_wait);
        let mut jitter = [0];
        // Without random numbers all wait alike, which is no reason to fail.
        let _ = crate::fsutil::fill_random(&mut jitter);
        wait.mul_f64(0.5 + f64::from(jitter[0]) / 512.0)
    }
}

/// Something stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key, relative to the remote's prefix.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its version, where the store has versions and says it; a list never does.
    pub version: Option<String>,
    /// What the store calls this content.
    pub etag: Option<String>,
    /// When it was stored.
    pub modified: DateTime<Utc>,
}

/// One version of an object in a bucket with versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its name; `null` in a bucket without versions.
    pub version: String,
    /// Its size in bytes.
    pub size: u64,
    /// What the store calls this content.
    pub etag: Option<String>,
    /// When it was stored.
    pub modified: DateTime<Utc>,
    /// Whether it is what the key now leads to.
    pub latest: bool,
    /// A mark that the object was deleted, without content; older versions are still there.
    pub deleted: bool,
}

/// Until when the store itself refuses to delete or to replace a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// Who may lift it.
    pub mode: LockMode,
    /// The date.
    pub at: DateTime<Utc>,
}

/// An upload that was neither finished nor aborted: it costs space, and nobody sees it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that it was for.
    pub key: String,
    /// What the store calls it.
    pub upload_id: String,
    /// When it was begun, if the store says it.
    pub started: Option<DateTime<Utc>>,
}

/// How far an upload is: what a restart needs to go on. Holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The key that it is for; another one starts anew.
    pub key: String,
    /// The size of the whole; another one starts anew.
    pub size: u64,
    /// The size of each part but the last.
    pub part_bytes: u64,
    /// What the store calls the upload.
    pub upload_id: Option<String>,
    /// The parts that the store has, in no order.
    pub parts: Vec<Part>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place, from zero.
    pub number: usize,
    /// What the store calls it, in words of `object_store`.
    pub etag: String,
    /// Its SHA-256 in base64.
    pub sha256: String,
    /// Its MD5 in hexadecimal digits, for servers that know nothing newer; empty where it was not needed.
    pub md5: String,
}

/// What was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// What the store calls the content, where that stays the same as long as the content does.
    pub etag: Option<String>,
    /// Its version, where the store has versions.
    pub version: Option<String>,
    /// What the store's own account of it was compared with.
    pub checked: Checked,
}

/// How sure it is that the store has what was sent, without reading it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The store says the same SHA-256.
    Sha256,
    /// The store says the same MD5.
    Md5,
    /// The store only says the same size.
    Size,
}
