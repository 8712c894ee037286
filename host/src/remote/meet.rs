//! Before anything is sent: whose copies a remote holds, and that they are this repository's or nobody's.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::layout::{self, MARKER, Marker};
use super::state::{self, State};
use super::store::Store;
use super::{fetch, trust};
use crate::config::Remote;
use crate::context::Context;
use crate::crypt::SigningKey;
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::text::hex;

/// A remote that is ours, and what stays the same for all archives of one push.
pub(super) struct There {
    pub(super) store: Store,
    pub(super) key: SigningKey,
    pub(super) repository: String,
    /// Ids at the remote, with their names.
    pub(super) names: BTreeMap<u64, String>,
    pub(super) backups: OwnedFd,
}

/// Opens a remote and makes sure that it is ours; one that nobody has used becomes it.
///
/// # Errors
/// `Refused` for another repository's, and for one whose copies have all gone; what keys and store say.
pub(super) fn meet(context: &Context, remote: &Remote, state: &mut State) -> Result<There> {
    let key = trust::signing_key(&context.config)?;
    let store = Store::open(remote)?;
    let own = identity_of(context)?;
    let marker = match fetch::marker(&store)? {
        Some(marker) => marker,
        None if state.copies.values().any(|copy| !copy.removed) => return Err(lost(remote)),
        None => claim(context, remote, &store, &own)?,
    };
    if marker.repository != own {
        return Err(not_ours(remote, &marker));
    }
    state.repository = Some(own.clone());
    let names = fetch::names(&store)?.into_iter().collect();
    Ok(There {
        store,
        key,
        repository: own,
        names,
        backups: context.backups()?,
    })
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
    let store = Store::open(remote)?;
    let known = state::peek(config, remote)?;
    match (fetch::marker(&store)?, known.repository) {
        (Some(marker), Some(own)) if marker.repository != own => Err(not_ours(remote, &marker)),
        _ => Ok(()),
    }
}

/// Identity of this repository, which gets one where it has none.
fn identity_of(context: &Context) -> Result<String> {
    let mut random = [0; 16];
    fsutil::fill_random(&mut random)?;
    let new = hex(&random);
    // Where it has one nothing is written, and no run has to be waited for.
    match context.reader()?.identify(new.clone()) {
        Ok(id) => Ok(id),
        Err(_) => context.exclusive()?.writer()?.identify(new),
    }
}

fn claim(context: &Context, remote: &Remote, store: &Store, own: &str) -> Result<Marker> {
    let marker = Marker {
        format: layout::FORMAT,
        repository: own.to_owned(),
        created_at: context.now(),
    };
    let mut bytes = serde_json::to_vec_pretty(&marker)
        .map_err(|e| Error::new(Code::Internal, format!("write {MARKER}: {e}")))?;
    bytes.push(b'\n');
    if store.put_new(MARKER, &bytes, None)? {
        return Ok(marker);
    }
    // Another machine was there between the two calls.
    fetch::marker_of(store, &remote.name)
}

/// A bare mount point, most likely: new copies would hide the old ones.
fn lost(remote: &Remote) -> Error {
    let name = &remote.name;
    let message = format!("`{name}` had copies, and now has none: is it mounted, and is `url` right?");
    Error::new(Code::Refused, message).remedy(format!(
        "if they were removed on purpose, remove `remotes/{name}.json` in the state folder"
    ))
}

fn not_ours(remote: &Remote, marker: &Marker) -> Error {
    let name = &remote.name;
    let message = format!(
        "`{name}` holds the copies of another repository ({}, since {}), and two are never mixed",
        marker.repository, marker.created_at
    );
    Error::new(Code::Refused, message).remedy(format!(
        "give this one a folder of its own in `url`; a machine that goes on from those copies begins with \
         `cofre rebuild --from {name}`"
    ))
}
