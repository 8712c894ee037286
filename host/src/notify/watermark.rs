//! Up to which run everybody has been told: `notified.json` of the state folder.
//!
//! The catalog says which runs there were; this says which of them are told. So a run that was killed is told by the
//! next one, once, and nothing is told twice but after a crash in between, under the same event id.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::Mode;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::outbox::{Entry, Message, Outbox, Signal};
use super::payload::{Payload, cut, event_id, event_of};
use crate::api::convert::status_word;
use crate::config::Config;
use crate::context::{Context, Exclusive};
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Error, Result};
use crate::text::{escape, shown};
use crate::{fsutil, staging};

const FILE: &str = "notified.json";
const FORMAT: u32 = 1;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Notified {
    /// Of this file.
    format: u32,
    /// Id of the last run that was told, for each backups folder that has used this state folder.
    through: BTreeMap<String, u64>,
}

/// Tells of every run that has ended since the last call.
///
/// # Errors
/// When the catalog can't be read or the state folder can't be written; what is not told then is told by the next
/// call.
pub(super) fn tell(context: &Context, exclusive: &Exclusive<'_>) -> Result<()> {
    let config = &context.config;
    let file = config.state_dir.join(FILE);
    if !is_configured(config) && std::fs::symlink_metadata(&file).is_err() {
        return Ok(());
    }
    let state = staging::open_state_dir(&config.state_dir)?;
    let mut notified = read(&state)?;
    let rows = exclusive.writer()?.list()?;
    let folder = shown(&config.backup_dir);
    let before = notified.through.get(&folder).copied();
    let through = advance(config, &rows, before)?;
    if before != Some(through) {
        notified.through.insert(folder, through);
        write(&state, &notified)?;
    }
    Ok(())
}

/// Whether anybody is to be told of anything.
pub(super) fn is_configured(config: &Config) -> bool {
    !config.webhooks.is_empty() || config.schedules.iter().any(|plan| plan.ping.is_some())
}

/// Puts what is new into the outbox; gives the id up to which everything is told now.
fn advance(config: &Config, rows: &[Backup], through: Option<u64>) -> Result<u64> {
    let ended = |row: &&Backup| event_of(row.status).is_some();
    let newest_ended = rows.iter().filter(ended).map(|row| row.id).max().unwrap_or(0);
    let Some(through) = through else {
        // Nobody wants to hear of all the runs before there was anybody to tell.
        return Ok(newest_ended);
    };
    let newest = rows.iter().map(|row| row.id).max().unwrap_or(0);
    if newest < through {
        // Ids never go back in one catalog: this is another in its place.
        // Or its newest run was deleted; ids are not given twice, so nothing is lost either way.
        tracing::info!("the catalog has fewer runs than before: runs are told from id {newest} on");
        return Ok(newest_ended);
    }
    let mut fresh: Vec<&Backup> = rows.iter().filter(|row| row.id > through).filter(ended).collect();
    fresh.sort_unstable_by_key(|row| row.id);
    let outbox = if fresh.is_empty() || !is_configured(config) {
        None
    } else {
        Some(Outbox::open(&config.state_dir)?)
    };
    for row in &fresh {
        if let Some(outbox) = &outbox {
            deliveries(config, row)
                .iter()
                .try_for_each(|entry| outbox.put(entry))?;
        }
    }
    Ok(fresh.last().map_or(through, |row| row.id))
}

/// Whom the end of a run is told.
fn deliveries(config: &Config, row: &Backup) -> Vec<Entry> {
    let Some(event) = event_of(row.status) else {
        return Vec::new();
    };
    let id = event_id(
        &config.repository,
        event.name(),
        &format!("{}\0{}", row.id, row.name),
    );
    let hooks = config.webhooks.iter().filter(|hook| hook.takes(event));
    let mut entries: Vec<Entry> = hooks
        .map(|hook| {
            let message = Message::Webhook {
                name: hook.name.clone(),
                payload: Box::new(Payload::of_run(event, &config.repository, row)),
            };
            Entry::new(id.clone(), message)
        })
        .collect();
    let plan = row.plan.as_deref().unwrap_or_default();
    if super::ping_of(config, plan).is_some() {
        let message = Message::Ping {
            plan: plan.to_owned(),
            run: row.id,
            signal: match row.status {
                Status::Completed => Signal::Success,
                _ => Signal::Fail,
            },
            text: line(row),
        };
        entries.push(Entry::new(id, message));
    }
    entries
}

/// One line for people: `failed backup_20261125_020000_automated: no space left`.
fn line(row: &Backup) -> String {
    let mut text = format!("{} {}", status_word(row.status), row.name);
    if let Some(error) = &row.error {
        text.push_str(": ");
        text.push_str(&cut(error));
    }
    escape(&text).into_owned()
}

fn read(state: &OwnedFd) -> Result<Notified> {
    let empty = || Notified {
        format: FORMAT,
        through: BTreeMap::new(),
    };
    let file = match fsutil::openat(state, FILE, fsutil::file_flags(), Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(empty()),
        Err(errno) => return Err(fsutil::error(format_args!("read {FILE}"), errno)),
    };
    let text = std::io::read_to_string(std::fs::File::from(file));
    let why = match text.map(|text| serde_json::from_str::<Notified>(&text)) {
        Ok(Ok(notified)) if notified.format == FORMAT => return Ok(notified),
        Ok(Ok(notified)) => format!("its format is {}, not {FORMAT}", notified.format),
        Ok(Err(error)) => error.to_string(),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => error.to_string(),
        Err(error) => return Err(Error::io(format_args!("read {FILE}"), &error)),
    };
    let aside = format!("{FILE}.corrupt");
    rustix::fs::renameat(state, FILE, state, &*aside)
        .map_err(|errno| fsutil::error(format_args!("move {FILE} aside"), errno))?;
    tracing::error!("{FILE} can't be read, and is kept aside as {aside}; runs are told from now on: {why}");
    Ok(empty())
}

fn write(state: &OwnedFd, notified: &Notified) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(notified)
        .map_err(|e| Error::new(Code::Internal, format!("write {FILE}: {e}")))?;
    fsutil::write_file(state.as_fd(), FILE, &bytes)
}

#[cfg(test)]
mod tests;
