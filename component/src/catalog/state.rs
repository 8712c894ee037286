//! `.catalog.json`: the next id, tombstones of deleted backups so that `rebuild` does not resurrect them, and the
//! counters.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names;
use super::parse::{MAX_ID, SANE_ID, shorten};
use super::totals::Totals;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Dir};

/// Name of the file.
pub(crate) const STATE_NAME: &str = ".catalog.json";

/// Version of the file's format.
const FORMAT: u32 = 1;

/// Largest file that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// Most tombstones kept; beyond that the oldest go. Decades of daily runs fit.
const MAX_TOMBSTONES: usize = 20_000;

/// A backup that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    /// Its id, never given again.
    pub id: u64,
    /// Its name, never given again.
    pub name: String,
    /// Whether its files may still be there because the delete was interrupted; the next run removes them.
    /// Otherwise a file of that name was put back by hand, and is left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
}

/// The content of `.catalog.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Version of the format.
    pub format: u32,
    /// Identity of the repository, where a host gave it one.
    #[serde(default)]
    pub repository: Option<String>,
    /// The id that the next run gets.
    pub next_id: u64,
    /// What was deleted, oldest first.
    #[serde(default)]
    pub tombstones: Vec<Tombstone>,
    /// Counters of runs and checks.
    #[serde(default)]
    pub totals: Totals,
    /// Names of the archives that the last rebuild could not take in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What later versions wrote.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            repository: None,
            next_id: 1,
            tombstones: Vec::new(),
            totals: Totals::default(),
            refused: Vec::new(),
            extra: Map::new(),
        }
    }
}

impl State {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// `CatalogInvalid` when it can't be parsed, `Unsupported` for a newer format, or an I/O error.
    pub(super) fn load(dir: &Dir) -> Result<Option<Self>> {
        let bytes = match fs::read_all(dir, STATE_NAME, LIMIT) {
            Ok(bytes) => bytes,
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind == ErrorKind::Corrupt => return Err(invalid(&e.message)),
            Err(e) => return Err(e),
        };
        let state: Self = serde_json::from_slice(&bytes).map_err(|e| invalid(&e.to_string()))?;
        if state.format > FORMAT {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "read catalog state",
                format!("format {} is newer than this version of cofre", state.format),
            )
            .about(STATE_NAME)
            .remedy("use the cofre that wrote it, or a newer one"));
        }
        // A tombstone's name leads to files that are removed.
        let odd = |t: &Tombstone| t.id > MAX_ID || names::parse(&t.name).is_none();
        if let Some(t) = state.tombstones.iter().find(|t| odd(t)) {
            let message = format!("`{}` (id {}) can't have been a backup", t.name, t.id);
            return Err(invalid(&message));
        }
        if state.next_id > MAX_ID {
            return Err(invalid("the next id is too large"));
        }
        Ok(Some(state))
    }

    /// Publishes the file durably.
    ///
    /// # Errors
    /// Whatever writing says; the old content is still there then.
    pub(super) fn publish(&self, dir: &Dir) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Io, "write catalog state", e.to_string()).about(STATE_NAME))?;
        fs::publish(dir, STATE_NAME, &bytes)
    }

    /// Notes that a backup was deleted; its files are about to be removed.
    pub(super) fn bury(&mut self, id: u64, name: &str) {
        self.tombstones.retain(|t| t.name != name);
        self.tombstones.push(Tombstone {
            id,
            name: name.to_owned(),
            pending: true,
        });
        let over = self.tombstones.len().saturating_sub(MAX_TOMBSTONES);
        self.tombstones.drain(..over);
    }

    /// Forgets ids beyond what is sane, so that there are enough left to give out; for `rebuild`.
    pub(super) fn tame(&mut self) {
        if self.next_id > SANE_ID {
            self.next_id = 1;
        }
        if self.totals.through > SANE_ID {
            self.totals.through = 0;
        }
        for t in self.tombstones.iter_mut().filter(|t| t.id > SANE_ID) {
            t.id = 0; // the name is what matters
        }
    }

    /// Raises the next id above `id`, where there is one above it.
    pub(super) fn see_id(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1)).min(MAX_ID);
    }
}

fn invalid(message: &str) -> Error {
    Error::new(
        ErrorKind::CatalogInvalid,
        "read catalog state",
        shorten(message, 300),
    )
    .about(STATE_NAME)
    .remedy("run `cofre rebuild`; nothing was changed")
}
