//! The rows at a remote, read and proved. Where the bucket keeps versions, one that was exchanged or deleted behind our
//! back is found among the older ones.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::layout::{self, MARKER, Marker, SMALL};
use super::row::{self, Row, Signed};
use super::store::Store;
use super::watch::Watch;
use crate::crypt::VerifyKey;
use crate::error::{Code, Error, Result};

/// Rows that are read at the same time: each costs a round trip.
const AT_ONCE: usize = 8;

/// What stands for one backup at the remote.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) row: Result<(Row, Signed)>,
}

/// The marker; none where nobody has copied anything yet.
///
/// # Errors
/// `Corrupt` for what is no marker; what the store says.
pub(super) fn marker(store: &Store) -> Result<Option<Marker>> {
    let Some(bytes) = store.get(MARKER, SMALL)? else {
        return Ok(None);
    };
    let marker: Marker = serde_json::from_slice(&bytes).map_err(|e| {
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
    Ok(Some(marker))
}

/// The marker, which has to be there.
///
/// # Errors
/// `NotFound`.
pub(super) fn marker_of(store: &Store, remote: &str) -> Result<Marker> {
    marker(store)?.ok_or_else(|| {
        Error::new(
            Code::NotFound,
            format!("there are no copies of cofre's at `{remote}`"),
        )
        .remedy("check url and endpoint; `cofre remote push` makes the first copy")
    })
}

/// Ids and names of the rows, oldest first.
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
    let found = Mutex::new(Vec::with_capacity(names.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(names.len()) {
            scope.spawn(|| {
                while let Some((id, name)) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if watch.check().is_err() {
                        return;
                    }
                    let fetched = Fetched {
                        id: *id,
                        name: name.clone(),
                        row: one(store, *id, name, keys),
                    };
                    found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(fetched);
                }
            });
        }
    });
    watch.check()?;
    let mut found = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|fetched| fetched.id);
    Ok(found)
}

/// One row; an older version of it where the newest is not what was signed.
///
/// # Errors
/// `NotFound`, `Corrupt`; what the store says.
pub(super) fn one(store: &Store, id: u64, name: &str, keys: &[VerifyKey]) -> Result<(Row, Signed)> {
    let path = layout::row(id, name);
    let newest = match store.get(&path, SMALL)? {
        Some(bytes) => read(&bytes, id, name, keys),
        None => Err(Error::new(Code::NotFound, format!("{path} is not at the remote"))),
    };
    if matches!(newest, Ok((_, Signed::Good | Signed::Unknown))) {
        return newest;
    }
    for version in store.versions(&path)?.iter().filter(|version| !version.deleted) {
        let older = store.get_version(&path, &version.version, SMALL)?;
        if let Some(Ok((row, Signed::Good))) = older.map(|bytes| read(&bytes, id, name, keys)) {
            tracing::warn!("{path} was exchanged or deleted at the remote; an older version of it is good");
            return Ok((row, Signed::Good));
        }
    }
    newest
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
