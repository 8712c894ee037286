//! The rows at a remote, read and proved. Where the bucket keeps versions, one that was exchanged or deleted behind our
//! back is found among the older ones.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::layout::{self, MARKER, Marker, SMALL};
use super::row::{self, Row, Signed};
use super::store::Store;
use super::watch::Watch;
use crate::crypt::VerifyKey;
use crate::error::{Code, Error, Result};
use crate::notify::now;

/// Rows that are read at the same time: each costs a round trip.
const AT_ONCE: usize = 8;

/// What the store shows where a row should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The row itself.
    There,
    /// Something else: the row is an older version.
    Exchanged,
    /// Nothing: it was deleted while the store still has a lock on it, and is an older version.
    Hidden,
    /// Nothing, and no lock says that it is too early for that: a prune does the same.
    Removed,
}

impl Found {
    /// Whether somebody did what nobody of ours does.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::Exchanged | Self::Hidden)
    }
}

/// What stands for one backup at the remote.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) found: Found,
    pub(super) row: Result<(Row, Signed)>,
}

impl Fetched {
    /// The row, where a trusted key signed it.
    pub(super) fn proved(&self) -> Option<&Row> {
        match &self.row {
            Ok((row, Signed::Good)) => Some(row),
            Ok(_) | Err(_) => None,
        }
    }
}

/// The marker, or an older version of it where it was exchanged or deleted; none where nobody has copied anything yet.
///
/// # Errors
/// `Corrupt` for what is no marker, `Unsupported` for one of a later format; what the store says.
pub(super) fn marker(store: &Store) -> Result<Option<(Marker, Found)>> {
    let newest = match store.get(MARKER, SMALL) {
        Ok(Some(bytes)) => Some(read_marker(&bytes)),
        Ok(None) => None,
        Err(error) if error.code == Code::Corrupt => Some(Err(error)),
        Err(error) => return Err(error),
    };
    if let Some(Ok(marker)) = newest {
        return Ok(Some((marker, Found::There)));
    }
    match older(store, MARKER, read_marker) {
        Ok(Some((_, marker))) => {
            tracing::warn!("{MARKER} was exchanged or deleted at the remote; an older version of it is read");
            return Ok(Some((marker, Found::Exchanged)));
        }
        Ok(None) => {}
        Err(error) if error.code == Code::Cancelled => return Err(error),
        Err(error) => tracing::warn!("{error}; no older version of {MARKER} is looked at"),
    }
    Ok(newest.transpose()?.map(|marker| (marker, Found::There)))
}

fn read_marker(bytes: &[u8]) -> Result<Marker> {
    let marker: Marker = serde_json::from_slice(bytes).map_err(|e| {
        Error::new(
            Code::Corrupt,
            format!("{MARKER} at the remote is not cofre's: {e}"),
        )
    })?;
    if marker.format > layout::FORMAT {
        let message = format!(
            "{MARKER} has the format {}, and this version knows {}",
            marker.format,
            layout::FORMAT
        );
        return Err(Error::new(Code::Unsupported, message).remedy("use a newer cofre"));
    }
    Ok(marker)
}

/// Whose the copies at a remote are.
#[derive(Debug)]
pub(super) struct Whose {
    /// The repository; none where nothing says it.
    pub(super) repository: Option<String>,
    /// What is wrong with the marker.
    pub(super) odd: Option<String>,
}

/// Whose these rows are. Nobody signs the marker, and whoever can write there can exchange it: where it does not say what
/// the signed rows say, those count, and that is logged.
///
/// # Errors
/// `Refused` where trusted keys signed rows of several repositories and the marker is none of them; what the store says.
pub(super) fn whose(store: &Store, remote: &str, rows: &[Fetched]) -> Result<Whose> {
    let proved: BTreeSet<&str> = rows
        .iter()
        .filter_map(Fetched::proved)
        .map(|row| row.repository.as_str())
        .collect();
    let (marked, odd) = match marker(store) {
        Ok(Some((marker, Found::There))) => (Some(marker.repository), None),
        Ok(Some((marker, _))) => {
            let odd =
                format!("{MARKER} at `{remote}` was exchanged or deleted; an older version of it is read");
            (Some(marker.repository), Some(odd))
        }
        Ok(None) => (None, Some(format!("{MARKER} is missing at `{remote}`"))),
        Err(error) if matches!(error.code, Code::Corrupt | Code::Unsupported) => {
            (None, Some(format!("`{remote}`: {error}")))
        }
        Err(error) => return Err(error),
    };
    let fits = marked.as_deref().is_some_and(|marked| proved.contains(marked));
    let mut proved = proved.into_iter();
    let whose = match (proved.next(), proved.next()) {
        (Some(_), _) if fits => Whose {
            repository: marked,
            odd,
        },
        (None, _) => Whose {
            repository: marked,
            odd,
        },
        (Some(repository), None) => Whose {
            odd: odd.or_else(|| {
                Some(format!(
                    "{MARKER} at `{remote}` names another repository than the signed rows: it was exchanged"
                ))
            }),
            repository: Some(repository.to_owned()),
        },
        (Some(_), Some(_)) => {
            let message = format!("`{remote}` holds copies of several repositories that use the same keys");
            return Err(Error::new(Code::Refused, message)
                .remedy("put those of each into a folder of its own, with its own cofre-repository.json"));
        }
    };
    if let Some(odd) = &whose.odd {
        tracing::warn!("{odd}");
    }
    Ok(whose)
}

/// The marker, which has to be there.
///
/// # Errors
/// `NotFound`.
pub(super) fn marker_of(store: &Store, remote: &str) -> Result<Marker> {
    let (marker, _) = marker(store)?.ok_or_else(|| no_copies(remote))?;
    Ok(marker)
}

/// That there is nothing at a remote.
pub(super) fn no_copies(remote: &str) -> Error {
    Error::new(
        Code::NotFound,
        format!("there are no copies of cofre's at `{remote}`"),
    )
    .remedy("check url and endpoint; `cofre remote push` makes the first copy")
}

/// Ids and names of the rows that a list shows, oldest first.
///
/// # Errors
/// What the store says.
pub(super) fn names(store: &Store) -> Result<Vec<(u64, String)>> {
    let objects = store.list(layout::ROWS)?;
    let mut names: Vec<_> = objects
        .iter()
        .filter_map(|object| layout::of_row(&object.key))
        .collect();
    names.sort();
    Ok(names)
}

/// The same with those that were deleted and that a bucket with versions still has: a lock keeps nobody from deleting,
/// which only hides.
///
/// # Errors
/// What the store says of its list. Where its versions can't be looked at, that is only logged.
pub(super) fn all_names(store: &Store) -> Result<Vec<(u64, String)>> {
    let mut names = names(store)?;
    match store.versions_below(layout::ROWS) {
        Ok(versions) => {
            let there = versions.iter().filter(|(_, version)| !version.deleted);
            names.extend(there.filter_map(|(key, _)| layout::of_row(key)));
            names.sort();
            names.dedup();
        }
        Err(error) if error.code == Code::Cancelled => return Err(error),
        Err(error) => tracing::warn!("{error}; a copy that somebody deleted would not be found"),
    }
    Ok(names)
}

/// The rows that stand for the copies: those that were removed only count where no other is proved, for then they were
/// hardly removed by retention.
pub(super) fn standing(rows: Vec<Fetched>) -> Vec<Fetched> {
    let is_good = |fetched: &Fetched| matches!(fetched.row, Ok((_, Signed::Good | Signed::Unknown)));
    let all = !rows
        .iter()
        .any(|fetched| fetched.found != Found::Removed && is_good(fetched));
    rows.into_iter()
        .filter(|fetched| all || fetched.found != Found::Removed)
        .collect()
}

/// Reads all of these rows. A row that can't be had is a result, not an error.
///
/// # Errors
/// `Cancelled`.
pub(super) fn rows(
    store: &Store,
    names: &[(u64, String)],
    keys: &[VerifyKey],
    watch: &Watch,
) -> Result<Vec<Fetched>> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::with_capacity(names.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(names.len()) {
            scope.spawn(|| {
                while let Some((id, name)) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if watch.check().is_err() {
                        return;
                    }
                    let (row, found) = match find(store, *id, name, keys) {
                        Ok((row, signed, found)) => (Ok((row, signed)), found),
                        Err(error) => (Err(error), Found::There),
                    };
                    let fetched = Fetched {
                        id: *id,
                        name: name.clone(),
                        found,
                        row,
                    };
                    all.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(fetched);
                }
            });
        }
    });
    watch.check()?;
    let mut all = all
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by(|a, b| (a.id, &a.name).cmp(&(b.id, &b.name)));
    Ok(all)
}

/// One row; an older version of it where the newest is not what was signed.
///
/// # Errors
/// `NotFound`, `Corrupt`; what the store says.
pub(super) fn one(store: &Store, id: u64, name: &str, keys: &[VerifyKey]) -> Result<(Row, Signed)> {
    find(store, id, name, keys).map(|(row, signed, _)| (row, signed))
}

/// The same, and what the store shows in its place.
fn find(store: &Store, id: u64, name: &str, keys: &[VerifyKey]) -> Result<(Row, Signed, Found)> {
    let path = layout::row(id, name);
    let newest = match store.get(&path, SMALL) {
        Ok(Some(bytes)) => Some(read(&bytes, id, name, keys)),
        Ok(None) => None,
        // Too large for a row.
        Err(error) if error.code == Code::Corrupt => Some(Err(error)),
        Err(error) => return Err(error),
    };
    if let Some(Ok((row, signed @ (Signed::Good | Signed::Unknown)))) = newest {
        return Ok((row, signed, Found::There));
    }
    let good = |bytes: &[u8]| match read(bytes, id, name, keys)? {
        (_, Signed::Bad) => Err(Error::new(Code::Refused, "somebody else wrote it")),
        good => Ok(good),
    };
    match older(store, &path, good) {
        Ok(Some((version, (row, signed)))) => {
            let found = match &newest {
                Some(_) => Found::Exchanged,
                None if is_locked(store, &path, &version) => Found::Hidden,
                None => Found::Removed,
            };
            if found != Found::Removed {
                tracing::warn!(
                    "{path} was exchanged or deleted at the remote; an older version of it is good"
                );
            }
            return Ok((row, signed, found));
        }
        Ok(None) => {}
        Err(error) if error.code == Code::Cancelled => return Err(error),
        // What is wrong with the newest says more.
        Err(error) => tracing::warn!("{error}; no older version of {path} is looked at"),
    }
    let missing = || Err(Error::new(Code::NotFound, format!("{path} is not at the remote")));
    newest
        .unwrap_or_else(missing)
        .map(|(row, signed)| (row, signed, Found::There))
}

/// The newest version that can be read as what it should be, with its name.
fn older<T>(store: &Store, path: &str, read: impl Fn(&[u8]) -> Result<T>) -> Result<Option<(String, T)>> {
    for version in store
        .versions(path)?
        .into_iter()
        .filter(|version| !version.deleted)
    {
        let bytes = match store.get_version(path, &version.version, SMALL) {
            Err(error) if error.code == Code::Corrupt => continue,
            found => found?,
        };
        if let Some(Ok(content)) = bytes.map(|bytes| read(&bytes)) {
            return Ok(Some((version.version, content)));
        }
    }
    Ok(None)
}

/// Whether the store refuses to remove this version for good. One that can't say so has not promised it.
fn is_locked(store: &Store, path: &str, version: &str) -> bool {
    let lock = store.lock_of(path, Some(version)).unwrap_or(None);
    lock.is_some_and(|until| until.at > now())
}

/// A row that says of itself what its key says.
fn read(bytes: &[u8], id: u64, name: &str, keys: &[VerifyKey]) -> Result<(Row, Signed)> {
    let path = layout::row(id, name);
    let (row, signed) = row::open(bytes, &path, keys)?;
    let backup = &row.backup;
    let archive = layout::archive(name, row.object.encrypted);
    if backup.id != id || backup.name != name || row.object.key != archive {
        let message = format!(
            "{path} is the row of {} {}: it was put in another's place",
            backup.id, backup.name
        );
        return Err(Error::new(Code::Corrupt, message));
    }
    Ok((row, signed))
}
