//! Before anything is sent: whose copies a remote holds, and that they are this repository's or nobody's.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use chrono::TimeDelta;

use super::fetch::{Fetched, Found};
use super::layout::{self, MARKER, Marker};
use super::state::{self, State};
use super::store::{Store, Tuning, Until};
use super::watch::Watch;
use super::{fetch, trust, whose};
use crate::config::Remote;
use crate::context::Context;
use crate::crypt::{SigningKey, VerifyKey};
use crate::error::{Code, Error, Result};
use crate::notify::now;
use crate::text::escape;

/// A remote that is ours, and what stays the same for all archives of one push.
pub(super) struct There {
    pub(super) store: Store,
    pub(super) key: SigningKey,
    /// Whose signatures count.
    pub(super) keys: Vec<VerifyKey>,
    pub(super) repository: String,
    /// Ids and names at the remote. Whoever can write there can give an id to several names.
    pub(super) names: BTreeSet<(u64, String)>,
    pub(super) backups: OwnedFd,
}

/// Opens a remote and makes sure that it is ours; one that nobody has used becomes it.
///
/// # Errors
/// `Refused` for another repository's, and for one whose copies have all gone; what keys and store say.
pub(super) fn meet(context: &Context, remote: &Remote, state: &mut State, watch: &Watch) -> Result<There> {
    let (key, keys) = trust::keys_to_push(&context.config)?;
    let store = super::open(remote, watch)?;
    can_lock(remote, &store)?;
    let rows = || fetch::rows(&store, &fetch::all_names(&store)?, &keys, watch);
    let own = whose::own(context, remote, state, rows)?;
    let own = match (fetch::marker(&store), own) {
        (Ok(Some((marker, Found::There))), Some(own)) if marker.repository == own => {
            keep_locked(&store, remote);
            own
        }
        (seen, own) => settle(context, remote, state, &store, seen, own, rows)?,
    };
    state.repository = Some(own.clone());
    let names = fetch::names(&store)?.into_iter().collect();
    Ok(There {
        store,
        key,
        keys,
        repository: own,
        names,
        backups: context.backups()?,
    })
}

/// Where the marker does not say that the remote is ours: nobody signs it, so the signed rows say whose it is. It is
/// written anew where they are ours, and for the first time where there are none. Gives the identity of this repository,
/// which gets one only here: one that was refused can still take over what is at the remote.
fn settle(
    context: &Context,
    remote: &Remote,
    state: &State,
    store: &Store,
    seen: Result<Option<(Marker, Found)>>,
    own: Option<String>,
    rows: impl FnOnce() -> Result<Vec<Fetched>>,
) -> Result<String> {
    let odd = match &seen {
        Ok(_) => None,
        Err(error) if matches!(error.code, Code::Corrupt | Code::Unsupported) => Some(error.clone()),
        Err(error) => return Err(error.clone()),
    };
    let seen = seen.ok().flatten().map(|(marker, _)| marker);
    let rows = rows()?;
    let proved: BTreeSet<&str> = rows
        .iter()
        .filter_map(|fetched| fetched.proved())
        .map(|row| row.repository.as_str())
        .collect();
    let is_ours = |repository: &str| own.as_deref() == Some(repository);
    let marked = seen.as_ref().is_some_and(|marker| is_ours(&marker.repository));
    if let Some(own) = &own
        && proved.iter().all(|repository| is_ours(repository))
        && (marked || !proved.is_empty())
    {
        tracing::error!(
            remote = remote.name,
            "{MARKER} was exchanged or deleted at the remote; it is written anew"
        );
        store.put(MARKER, &bytes_of(context, own)?, lock_until(remote).as_ref())?;
        return Ok(own.clone());
    }
    if let Some(marker) = seen {
        return Err(not_ours(remote, &marker.repository));
    }
    if let Some(other) = proved.iter().find(|repository| !is_ours(repository)) {
        return Err(not_ours(remote, other));
    }
    if let Some(error) = odd {
        return Err(error);
    }
    if !rows.is_empty() {
        return Err(nobodys(remote));
    }
    if state.copies.values().any(|copy| !copy.removed) {
        return Err(lost(remote));
    }
    let own = own.map_or_else(|| whose::mint(context), Ok)?;
    claim(context, remote, store, &own)?;
    Ok(own)
}

/// Whether this machine could copy to a remote: its keys can be read, it answers, and it is ours or nobody's. Sends
/// nothing.
///
/// # Errors
/// What is in the way.
pub fn can_push(context: &Context, remote: &Remote) -> Result<()> {
    let config = &context.config;
    trust::signing_key(config)?;
    if remote.encrypt {
        trust::recipients(config)?;
    }
    let store = Store::open_with(remote, Tuning::brief())?;
    can_lock(remote, &store)?;
    let known = state::peek(config, remote)?;
    match (fetch::marker(&store)?, known.repository) {
        (Some((marker, _)), Some(own)) if marker.repository != own => {
            Err(not_ours(remote, &marker.repository))
        }
        _ => Ok(()),
    }
}

/// Whether this machine could restore from a remote: it answers, and has copies.
///
/// # Errors
/// What is in the way.
pub fn can_read(remote: &Remote) -> Result<()> {
    let store = Store::open_with(remote, Tuning::brief())?;
    if fetch::all_names(&store)?.is_empty() {
        fetch::marker_of(&store, &remote.name)?;
    }
    Ok(())
}

/// That a lock is only asked for where the bucket has locks: they are switched on when it is made, and the server's own
/// answer to a locked object says nothing of that.
fn can_lock(remote: &Remote, store: &Store) -> Result<()> {
    if remote.lock.is_none() {
        return Ok(());
    }
    match store.has_object_lock() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!(
                "`{}` asks for a lock, and its bucket has no Object Lock",
                remote.name
            );
            Err(Error::new(Code::Config, message).remedy(
                "make a bucket with Object Lock switched on, or take `lock` and `lock_for` out of this remote",
            ))
        }
        // Whoever may put locked objects need not have the right to ask.
        Err(error) if error.code == Code::AccessDenied => Ok(()),
        Err(error) => Err(error),
    }
}

fn claim(context: &Context, remote: &Remote, store: &Store, own: &str) -> Result<()> {
    if store.put_new(MARKER, &bytes_of(context, own)?, lock_until(remote).as_ref())? {
        return Ok(());
    }
    // Another machine was there between the two calls.
    let marker = fetch::marker_of(store, &remote.name)?;
    if marker.repository == own {
        return Ok(());
    }
    Err(not_ours(remote, &marker.repository))
}

fn bytes_of(context: &Context, own: &str) -> Result<Vec<u8>> {
    let marker = Marker {
        format: layout::FORMAT,
        repository: own.to_owned(),
        created_at: context.now(),
    };
    let mut bytes = serde_json::to_vec_pretty(&marker)
        .map_err(|e| Error::new(Code::Internal, format!("write {MARKER}: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Until when the store is to refuse to delete what is put now.
pub(super) fn lock_until(remote: &Remote) -> Option<Until> {
    let lock = remote.lock?;
    let keep = TimeDelta::from_std(lock.keep).ok()?;
    Some(Until {
        mode: lock.mode,
        at: now().checked_add_signed(keep)?,
    })
}

/// The marker is written once, and stays locked as long as the copies that it stands for. A lock that can't be made longer
/// is no reason to make no copy.
fn keep_locked(store: &Store, remote: &Remote) {
    let Some(until) = lock_until(remote) else { return };
    let half = (until.at - now()) / 2;
    let extended = store.lock_of(MARKER, None).and_then(|lock| {
        if lock.is_some_and(|lock| lock.at > now() + half) {
            return Ok(());
        }
        store.extend_lock(MARKER, None, &until)
    });
    if let Err(error) = extended {
        tracing::warn!(
            remote = remote.name,
            "the lock of {MARKER} is not made longer: {error}"
        );
    }
}

/// A bare mount point, most likely: new copies would hide the old ones.
fn lost(remote: &Remote) -> Error {
    let name = &remote.name;
    let message = format!("`{name}` had copies, and now has none: is it mounted, and is `url` right?");
    Error::new(Code::Refused, message).remedy(format!(
        "if they were removed on purpose, remove `remotes/{name}.json` in the state folder"
    ))
}

fn not_ours(remote: &Remote, repository: &str) -> Error {
    let name = &remote.name;
    let message = format!(
        "`{name}` holds the copies of another repository ({}), and two are never mixed",
        escape(repository)
    );
    Error::new(Code::Refused, message).remedy(format!(
        "give this one a folder of its own in `url`; a machine that goes on from those copies begins with \
         `cofre rebuild --from {name}`"
    ))
}

fn nobodys(remote: &Remote) -> Error {
    let message = format!(
        "`{}` has rows of copies that no key here proves, and no {MARKER} that says whose they are",
        remote.name
    );
    Error::new(Code::Refused, message).remedy(
        "where they are this repository's, name the key that signed them in `encryption.verify_keys`; otherwise give this \
         one a folder of its own in `url`",
    )
}
