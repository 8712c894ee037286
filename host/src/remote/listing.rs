//! What is at a remote, and whether it is this repository's.

use serde::Serialize;

use super::fetch::Found;
use super::objects::{Lies, Objects, OlderSizes};
use super::row::{Row, Signed};
use super::watch::Watch;
use super::{fetch, trust};
use crate::config::Remote;
use crate::context::Context;
use crate::error::Result;

/// One copy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Id of the backup.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What its signed row says; none where that can't be read.
    #[serde(flatten)]
    pub row: Option<Row>,
    /// Whether the row is signed by this repository; none where it can't be read.
    pub signed: Option<Signed>,
    /// What the store shows where the row should be.
    pub found: Found,
    /// How its archive lies there, by its size; none where the row can't be read, or was removed with it.
    pub archive: Option<Lies>,
    /// Why the row can't be read.
    pub error: Option<String>,
    /// The archive is in the backups folder too.
    pub here: bool,
}

/// The copies at a remote, oldest first.
///
/// # Errors
/// `NotFound` where there are none of cofre's; what the store and the keys say.
pub fn list(context: &Context, remote: &Remote, watch: &Watch) -> Result<Vec<Listed>> {
    let keys = trust::verify_keys(&context.config)?;
    let store = super::open(remote, watch)?;
    let names = fetch::all_names(&store)?;
    let rows = fetch::rows(&store, &names, &keys, watch)?;
    let whose = fetch::whose(&store, &remote.name, &rows)?;
    if rows.is_empty() && whose.repository.is_none() {
        return Err(fetch::no_copies(&remote.name));
    }
    let objects = Objects::of(&store)?;
    // A catalog that can't be read is no reason not to look elsewhere.
    let here: Vec<(u64, String)> = context
        .reader()
        .and_then(|mut session| session.list())
        .map(|rows| {
            rows.into_iter()
                .filter(|row| row.archive_present)
                .map(|row| (row.id, row.name))
                .collect()
        })
        .unwrap_or_default();
    let lies = |fetched: &fetch::Fetched| {
        let row = fetched
            .row
            .as_ref()
            .ok()
            .filter(|_| fetched.found != Found::Removed);
        row.map(|(row, _)| objects.lies(&row.object))
    };
    // A list of all versions is asked for only where it has something to say.
    let older = match rows.iter().filter_map(lies).any(Lies::is_trouble) {
        true => OlderSizes::of(&store)?,
        false => OlderSizes::default(),
    };
    let listed = rows.into_iter().map(|fetched| {
        let lies = lies(&fetched);
        let here = here.contains(&(fetched.id, fetched.name.clone()));
        let (row, signed, error) = match fetched.row {
            Ok((row, signed)) => (Some(row), Some(signed), None),
            Err(error) => (None, None, Some(error.to_string())),
        };
        Listed {
            id: fetched.id,
            name: fetched.name,
            archive: row
                .as_ref()
                .zip(lies)
                .map(|(row, lies)| older.seen(&row.object, lies)),
            row,
            signed,
            found: fetched.found,
            error,
            here,
        }
    });
    Ok(listed.collect())
}
