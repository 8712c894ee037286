//! How the copies are, from what this machine remembers: nothing is asked of the remote.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{push, state};
use crate::config::{Place, Remote};
use crate::context::Context;

/// One remote in `cofre status` and the API.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RemoteStatus {
    /// Its name.
    pub name: String,
    /// Where it is, without what is secret.
    pub place: String,
    /// Copies there, as far as this machine made them.
    pub copies: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Copies that are gone there, or not what was copied.
    pub lost: u64,
    /// Archives that are still to be copied.
    pub pending: u64,
    /// When a backup was last copied (RFC 3339, UTC).
    pub last_success: Option<String>,
    /// Why the last try failed; null since one succeeded.
    pub last_error: Option<String>,
    /// Tries that failed in a row.
    pub failures: u32,
    /// When the service tries again (RFC 3339, UTC).
    pub next_attempt: Option<String>,
}

/// The configured remotes.
#[must_use]
pub fn status(context: &Context) -> Vec<RemoteStatus> {
    context
        .config
        .remotes
        .iter()
        .map(|remote| of(context, remote))
        .collect()
}

fn of(context: &Context, remote: &Remote) -> RemoteStatus {
    let (state, problem) = match state::peek(&context.config, remote) {
        Ok(state) => (state, None),
        Err(error) => (state::State::default(), Some(error.to_string())),
    };
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let here = || state.copies.values().filter(|copy| copy.is_there());
    RemoteStatus {
        name: remote.name.clone(),
        place: place(remote),
        copies: here().count() as u64,
        size_bytes: here().map(|copy| copy.size).sum(),
        lost: state.copies.values().filter(|copy| copy.lost).count() as u64,
        pending: push::pending(context, &state).unwrap_or_default(),
        last_success: state.copies.values().map(|copy| copy.at).max().map(text),
        last_error: problem.or(state.last_error.clone()),
        failures: state.in_a_row,
        next_attempt: state.not_before.map(text),
    }
}

/// Where a remote is, for people.
#[must_use]
pub fn place(remote: &Remote) -> String {
    match &remote.place {
        Place::Folder(path) => crate::text::shown(path),
        Place::Bucket(bucket) => bucket.url(),
    }
}
