//! Whose the catalog of this machine is. The catalog says it; where it was lost and made anew from the archives, what this
//! machine knows of its copies and the signed rows still do.

use std::collections::{BTreeSet, HashMap};

use super::fetch::Fetched;
use super::row::BackupRow;
use super::state::{self, State};
use crate::config::Remote;
use crate::context::Context;
use crate::engine::Session;
use crate::engine::wit::types::Backup;
use crate::error::Result;
use crate::fsutil;
use crate::text::hex;

/// Identity that a catalog has; none where it has none. `session` may only read: nothing gets one by being asked.
pub(super) fn identity(session: &mut Session) -> Option<String> {
    session.identify("none".to_owned()).ok()
}

/// Identity of this repository, which has it again where it can be told which it had; none where it can't, and there is
/// none yet. `rows` are those of the remote, which are only read where they are needed.
///
/// # Errors
/// What reading and writing the catalog and `rows` say.
pub(super) fn own(
    context: &Context,
    remote: &Remote,
    state: &State,
    rows: impl FnOnce() -> Result<Vec<Fetched>>,
) -> Result<Option<String>> {
    let mut session = context.reader()?;
    let catalog = session.list()?;
    if let Some(own) = identity(&mut session) {
        return Ok(Some(own));
    }
    drop(session);
    let had = match noted(context, remote, state, &catalog) {
        None if catalog.is_empty() => None,
        None => proved(&catalog, &rows()?),
        noted => noted,
    };
    let Some(had) = had else { return Ok(None) };
    tracing::warn!(
        "the catalog has lost the identity of this repository; what was copied says that it is {had}, and it is noted again"
    );
    context.exclusive()?.writer()?.identify(had).map(Some)
}

/// Gives this repository an identity.
///
/// # Errors
/// What the system and the catalog say.
pub(super) fn mint(context: &Context) -> Result<String> {
    let mut random = [0; 16];
    fsutil::fill_random(&mut random)?;
    context.exclusive()?.writer()?.identify(hex(&random))
}

/// What this machine noted when it copied these backups, to this remote or to another.
fn noted(context: &Context, remote: &Remote, state: &State, catalog: &[Backup]) -> Option<String> {
    let others = context
        .config
        .remotes
        .iter()
        .filter(|other| other.name != remote.name)
        .filter_map(|other| state::peek(&context.config, other).ok());
    std::iter::once(state.clone()).chain(others).find_map(|state| {
        let copies = state
            .copies
            .iter()
            .map(|(id, copy)| (*id, &*copy.name, &*copy.sha256));
        state.repository.filter(|_| is_one_history(catalog, copies))
    })
}

/// What the signed rows say, where they are all of one repository.
fn proved(catalog: &[Backup], rows: &[Fetched]) -> Option<String> {
    let rows = || rows.iter().filter_map(Fetched::proved);
    let of: BTreeSet<&str> = rows().map(|row| row.repository.as_str()).collect();
    let copies = rows().map(|row| copy_of(&row.backup));
    match of.into_iter().collect::<Vec<_>>()[..] {
        [one] if is_one_history(catalog, copies) => Some(one.to_owned()),
        _ => None,
    }
}

/// Id, name and SHA-256 of a backup that was copied.
pub(super) type Copy<'a> = (u64, &'a str, &'a str);

/// What identifies the backup of a row.
pub(super) fn copy_of(row: &BackupRow) -> Copy<'_> {
    (row.id, &row.name, &row.sha256)
}

/// Whether a catalog and copies are of one history: a backup is in both, and none has another id there or another name.
/// Machines with one schedule give the same names, so that only the same archive says that a backup is in both; another
/// one may be damaged here, and says nothing.
pub(super) fn is_one_history<'a>(catalog: &[Backup], copies: impl IntoIterator<Item = Copy<'a>>) -> bool {
    let by_id: HashMap<u64, &Backup> = catalog.iter().map(|row| (row.id, row)).collect();
    let by_name: HashMap<&str, &Backup> = catalog.iter().map(|row| (row.name.as_str(), row)).collect();
    let mut common = false;
    for (id, name, sha256) in copies {
        match (by_id.get(&id), by_name.get(name)) {
            (None, None) => {}
            (Some(row), _) if row.name == name => common |= row.sha256.as_deref() == Some(sha256),
            _ => return false,
        }
    }
    common
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn backup(id: u64, name: &str, sha256: &str) -> Backup {
        let row = serde_json::json!({"id": id, "name": name, "type": "manual", "timestamp": "", "partial": false,
            "size": 1, "sha256": sha256, "pinned": false});
        serde_json::from_value::<BackupRow>(row).unwrap().to_backup()
    }

    #[test]
    fn one_history_has_a_backup_in_common_and_none_that_contradicts() {
        let catalog = [backup(1, "one", "a"), backup(3, "three", "c")];
        for (copies, expected) in [
            (&[(1, "one", "a")][..], true),
            (&[(1, "one", "a"), (2, "two", "b")], true),
            // It was damaged here, or is another machine's of the same minute.
            (&[(1, "one", "x"), (3, "three", "c")], true),
            (&[(1, "one", "x"), (3, "three", "y")], false),
            (&[(2, "two", "b")], false),
            (&[], false),
            (&[(1, "one", "a"), (3, "other", "c")], false),
            (&[(1, "one", "a"), (2, "three", "c")], false),
        ] {
            assert_eq!(
                is_one_history(&catalog, copies.iter().copied()),
                expected,
                "{copies:?}"
            );
        }
        assert!(!is_one_history(&[], [(1, "one", "a")]));
    }
}
