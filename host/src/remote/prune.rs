//! Retention at a remote: its own policy, decided by the same engine as that of the backups folder, on a catalog made of
//! the remote's rows. What the store has locked stays, whatever the policy says.

use serde::Serialize;

use super::layout;
use super::row::{Row, Signed};
use super::state::{Desk, publish_totals};
use super::store::Store;
use super::watch::Watch;
use super::{fetch, push, trust};
use crate::api::convert::policy_of;
use crate::api::types::{Backup, Verdict};
use crate::config::Remote;
use crate::context::Context;
use crate::engine::Access;
use crate::error::{Code, Error, Result};
use crate::notify::now;
use crate::staging::Staging;

/// What a prune of a remote did, or would do.
#[derive(Debug, Serialize)]
pub struct Pruned {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Each copy with its verdict, oldest first.
    pub verdicts: Vec<Removal>,
}

/// The verdict on one copy.
#[derive(Debug, Serialize)]
pub struct Removal {
    /// Id of the backup.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes at the remote.
    pub size: u64,
    /// Whether it stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// Removes what the remote's policy does not keep, or only says so.
///
/// # Errors
/// `Config` where the remote has no policy; `Refused` where it is another repository's; what the store says.
pub fn prune(context: &Context, remote: &Remote, dry_run: bool, watch: &Watch) -> Result<Pruned> {
    if remote.retention.is_none() {
        let message = format!("nothing says what is kept at `{}`", remote.name);
        return Err(Error::new(Code::Config, message)
            .remedy("set `max_backups` or a `keep_` of this remote; without one everything stays"));
    }
    let desk = Desk::open(&context.config, remote)?;
    let mut state = desk.load();
    let store = Store::open(remote)?;
    let marker = fetch::marker_of(&store, &remote.name)?;
    if state.repository.as_ref() != Some(&marker.repository) {
        let message = format!(
            "`{}` holds the copies of another repository, or this one has never copied",
            remote.name
        );
        return Err(Error::new(Code::Refused, message).remedy("`cofre remote push` says whose it is"));
    }
    let keys = trust::verify_keys(&context.config)?;
    let names = fetch::names(&store)?;
    // What can't be read, or is not ours, is neither counted nor removed.
    let rows: Vec<Row> = fetch::rows(&store, &names, &keys, watch)?
        .into_iter()
        .filter_map(|fetched| match fetched.row {
            Ok((row, Signed::Good)) => Some(row),
            Ok(_) | Err(_) => {
                tracing::warn!(
                    "{} at `{}` is not proved to be ours, and stays",
                    fetched.name,
                    remote.name
                );
                None
            }
        })
        .collect();
    let mut verdicts = decide(context, remote, &rows)?;
    for verdict in verdicts.iter_mut().filter(|verdict| !verdict.keep) {
        watch.check()?;
        let encrypted = rows
            .iter()
            .any(|row| row.backup.id == verdict.id && row.object.encrypted);
        let object = layout::archive(&verdict.name, encrypted);
        if let Some(until) = store.lock_of(&object, None)?.filter(|until| until.at > now()) {
            verdict.keep = true;
            verdict.reasons = vec![format!("locked until {}", until.at.format("%Y-%m-%d %H:%M:%SZ"))];
            continue;
        }
        if dry_run {
            continue;
        }
        // The row first: a row always has its archive.
        store.delete(&layout::row(verdict.id, &verdict.name))?;
        store.delete(&layout::checksum(&object))?;
        store.delete(&object)?;
        if let Some(copy) = state.copies.get_mut(&verdict.id) {
            copy.removed = true;
            desk.save(&state)?;
        }
    }
    if let Ok(pending) = push::pending(context, &state) {
        publish_totals(&context.config, remote, &state, pending);
    }
    Ok(Pruned { dry_run, verdicts })
}

/// The engine's verdicts on a catalog of these rows.
fn decide(context: &Context, remote: &Remote, rows: &[Row]) -> Result<Vec<Removal>> {
    let Some(retention) = &remote.retention else {
        return Ok(Vec::new());
    };
    let staging = Staging::new(&context.config.state_dir)?;
    staging.folder("catalog")?;
    let catalog = || {
        Ok(context
            .mounts()
            .backups(staging.open_folder("catalog")?, Access::ReadWrite))
    };
    let backups = rows.iter().map(|row| row.backup.to_backup()).collect();
    context
        .engine
        .open(catalog()?)?
        .import_rows(backups, String::new(), false)?;
    // A copy counts as an archive that is there.
    for row in rows {
        staging.create(&format!("catalog/{}.zip", row.backup.name))?;
    }
    let verdicts = context
        .engine
        .open(catalog()?)?
        .prune(policy_of(retention), context.now(), true)?;
    let size_of = |id| {
        rows.iter()
            .find(|row| row.backup.id == id)
            .map_or(0, |row| row.object.size)
    };
    let removal = |verdict: Verdict| {
        let Verdict {
            backup,
            keep,
            reasons,
        } = verdict;
        let Backup { id, name, .. } = backup;
        Removal {
            id,
            name,
            size: size_of(id),
            keep,
            reasons,
        }
    };
    Ok(verdicts
        .into_iter()
        .map(|verdict| removal(verdict.into()))
        .collect())
}
