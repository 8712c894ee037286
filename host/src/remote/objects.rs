//! What lies at a remote, listed at once. A row alone is no copy: its archive can be deleted, cut or exchanged behind our
//! back, which no look at the rows shows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::is_about_copy;
use super::layout;
use super::row;
use super::state::Copied;
use super::store::{Object, Store};
use crate::error::{Code, Error, Result};

/// How the archive of a copy lies at the remote, as far as its size tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lies {
    /// With as many bytes as were copied.
    Whole,
    /// Not as it was left, but an older version that the bucket still has has as many bytes.
    Behind,
    /// With another size.
    Changed,
    /// Not at all.
    Gone,
}

impl Lies {
    /// Whether it is no copy.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        self != Self::Whole
    }
}

/// Everything below the folders of archives and of rows.
#[derive(Debug)]
pub(super) struct Objects(BTreeMap<String, Object>);

/// The sizes of what the older versions of archives have, by key.
#[derive(Debug, Default)]
pub(super) struct OlderSizes(BTreeMap<String, Vec<u64>>);

impl OlderSizes {
    /// Lists them; of a store that can't say there are none, which is only logged.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) fn of(store: &Store) -> Result<Self> {
        let mut sizes = BTreeMap::<_, Vec<_>>::new();
        match store.versions_below(layout::ARCHIVES) {
            Ok(versions) => {
                for (key, version) in versions.into_iter().filter(|(_, version)| !version.deleted) {
                    sizes.entry(key).or_default().push(version.size);
                }
            }
            Err(error) if error.code == Code::Cancelled => return Err(error),
            Err(error) => tracing::warn!("{error}; an archive that somebody deleted would not be found"),
        }
        Ok(Self(sizes))
    }

    /// The same of how an archive lies, where an older version of it may be good.
    pub(super) fn seen(&self, object: &row::Object, lies: Lies) -> Lies {
        let fits = |sizes: &Vec<u64>| sizes.contains(&object.size);
        match lies {
            Lies::Whole => lies,
            _ if self.0.get(&object.key).is_some_and(fits) => Lies::Behind,
            _ => lies,
        }
    }
}

/// The versions of an archive that may be what its row says, the newest first: those with as many bytes. A store that
/// can't say has none, which is only logged.
///
/// # Errors
/// `Cancelled`.
pub(super) fn older(store: &Store, object: &row::Object) -> Result<Vec<String>> {
    match store.versions(&object.key) {
        Ok(versions) => {
            let fits = versions
                .into_iter()
                .filter(|version| !version.deleted && version.size == object.size);
            Ok(fits.map(|version| version.version).collect())
        }
        Err(error) if error.code == Code::Cancelled => Err(error),
        // What is wrong with the newest says more.
        Err(error) => {
            tracing::warn!("{error}; no older version of {} is looked at", object.key);
            Ok(Vec::new())
        }
    }
}

/// Whether one of these versions is good, by what `read` says of each; none where there is none to look at.
///
/// # Errors
/// `Cancelled`; what keeps one from being looked at, which says nothing of it.
pub(super) fn older_is_good(
    store: &Store,
    object: &row::Object,
    read: impl Fn(&str) -> Result<()>,
) -> Result<Option<bool>> {
    let versions = older(store, object)?;
    for version in &versions {
        match read(version) {
            Ok(()) => return Ok(Some(true)),
            Err(error) if is_about_copy(error.code) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((!versions.is_empty()).then_some(false))
}

impl Objects {
    /// Lists them.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn of(store: &Store) -> Result<Self> {
        let mut all = store.list(layout::ARCHIVES)?;
        all.extend(store.list(layout::ROWS)?);
        Ok(Self(
            all.into_iter()
                .map(|object| (object.key.clone(), object))
                .collect(),
        ))
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is something under a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// What the store calls what lies under a key.
    pub(super) fn etag(&self, key: &str) -> Option<String> {
        self.0.get(key)?.etag.clone()
    }

    /// How the archive of a row lies.
    pub(super) fn lies(&self, object: &row::Object) -> Lies {
        match self.0.get(&object.key) {
            None => Lies::Gone,
            Some(found) if found.size == object.size => Lies::Whole,
            Some(_) => Lies::Changed,
        }
    }

    /// What is wrong with the archive of a row; none where its size is right.
    pub(super) fn trouble(&self, object: &row::Object) -> Option<Error> {
        let found = self.0.get(&object.key).map(|found| found.size);
        match found {
            Some(size) if size == object.size => None,
            Some(size) => {
                let message = format!(
                    "its archive was changed or exchanged: it has {size} bytes instead of {}",
                    object.size
                );
                Some(Error::new(Code::Corrupt, message))
            }
            None => Some(Error::new(Code::NotFound, "its archive is gone from the remote")),
        }
    }

    /// Whether a copy that was noted here still lies there as it was left: row, archive, size, and what the store calls
    /// the content.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn holds(&self, store: &Store, id: u64, copy: &Copied) -> Result<bool> {
        if !self.has(&layout::row(id, &copy.name)) {
            return Ok(false);
        }
        for encrypted in [true, false] {
            let key = layout::archive(&copy.name, encrypted);
            if self.0.get(&key).is_some_and(|found| found.size == copy.size)
                && self.is_same(store, &key, copy.etag.as_deref())?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the store calls what lies under a key as it did when that was copied; where nothing was noted, it does.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn is_same(&self, store: &Store, key: &str, noted: Option<&str>) -> Result<bool> {
        let Some(noted) = noted.map(bare) else {
            return Ok(true);
        };
        let listed = self.0.get(key).and_then(|found| found.etag.as_deref());
        if listed.map(bare) == Some(noted) {
            return Ok(true);
        }
        // A list may say it otherwise than the object itself does.
        let found = store.head(key)?;
        Ok(found.is_some_and(|found| found.etag.as_deref().map(bare) == Some(noted)))
    }
}

fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}
