//! Sending: every archive of the backups folder that is not at the remote yet, the newest first, one after another. What
//! a crash or a cut connection stopped goes on where it was.

mod already;
mod outcome;
mod send;

use std::os::fd::AsFd as _;

use serde::Serialize;

use self::already::Found;
use super::layout;
use super::meet::{There, lock_until, meet};
use super::objects::Objects;
use super::row::{self, BackupRow, Row};
use super::sealing;
use super::state::{Copied, Desk, PlanCopied, Sending, State};
use super::store::{Store, Uploaded};
use super::watch::Watch;
use crate::config::Remote;
use crate::context::Context;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::sealed;

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// What is at the remote now.
    pub copied: Vec<Sent>,
    /// Archives that could not be copied, for a reason of their own.
    pub problems: Vec<String>,
    /// What kind of problem the first one is.
    #[serde(skip)]
    pub code: Option<Code>,
    /// Archives that are still to be copied.
    pub pending: u64,
    /// Copies that are gone or bad at the remote, and whose archive is no longer here.
    pub lost: u64,
}

/// One archive that is at the remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Id of the backup.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes at the remote.
    pub size: u64,
    /// It was there before.
    pub already: bool,
}

/// Copies what is not copied yet; with `wanted` (ids, names, `latest`) these alone. The end of it is noted in the state
/// folder, and a failure told to whom the configuration says.
///
/// # Errors
/// `Busy` while another process copies there; `Refused` where the remote belongs to another repository; what the store
/// says. What was copied before stays copied. What is wrong with one archive alone is in the result.
pub fn push(context: &Context, remote: &Remote, wanted: &[String], watch: &Watch) -> Result<Pushed> {
    let desk = Desk::open(&context.config, remote)?;
    let mut push = Push {
        context,
        remote,
        watch,
        state: desk.load(),
        desk,
    };
    let result = push.all(wanted);
    push.settle(&result);
    result
}

struct Push<'a> {
    context: &'a Context,
    remote: &'a Remote,
    watch: &'a Watch,
    desk: Desk,
    state: State,
}

impl Push<'_> {
    fn all(&mut self, wanted: &[String]) -> Result<Pushed> {
        let mut pushed = Pushed::default();
        let there = meet(self.context, self.remote, &mut self.state, self.watch)?;
        let objects = Objects::of(&there.store)?;
        self.mark_lost(&there.store, &objects)?;
        let rows = self.rows(wanted)?;
        if wanted.is_empty() {
            self.give_up_abandoned(&rows, &objects)?;
        }
        self.abort_orphans(&there.store);
        for backup in &rows {
            self.watch.check()?;
            match self.one(&there, &objects, backup) {
                Ok(sent) => pushed.copied.extend(sent),
                // About this archive, not about the remote: the others can still go.
                Err(error) if matches!(error.code, Code::Corrupt | Code::Refused | Code::Unsupported) => {
                    tracing::error!(remote = self.remote.name, "{error}");
                    pushed.code.get_or_insert(error.code);
                    pushed.problems.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        self.mend_checksums(&there, &objects);
        self.desk.sweep(
            self.state
                .sending
                .as_ref()
                .and_then(|sending| sending.staged.as_deref()),
        );
        let waiting = waiting(self.context, &self.state)?;
        pushed.pending = waiting.len() as u64;
        // Of those that were deleted here nothing need be known.
        self.state
            .suspects
            .retain(|id| waiting.iter().any(|row| row.id == *id));
        let lost = self.state.copies.iter().filter(|(_, copy)| copy.lost);
        // Those whose archive is here wait to be made again.
        let for_good = lost.filter(|(id, copy)| {
            waiting
                .iter()
                .all(|row| (row.id, &row.name) != (**id, &copy.name))
        });
        pushed.lost = for_good.count() as u64;
        Ok(pushed)
    }

    /// What is to be copied, in order: what is on its way, then from the newest on.
    fn rows(&self, wanted: &[String]) -> Result<Vec<BackupRow>> {
        let mut session = self.context.reader()?;
        if !wanted.is_empty() {
            let rows = wanted.iter().map(|selector| {
                let backup = session.find(selector.clone())?;
                let name = backup.name.clone();
                copyable(backup).ok_or_else(|| {
                    let message = format!("{name} has no archive here that could be copied");
                    Error::new(Code::NotFound, message)
                })
            });
            return rows.collect();
        }
        let mut rows: Vec<_> = session.list()?.into_iter().filter_map(copyable).collect();
        rows.retain(|row| !is_copied(&self.state, row));
        let under_way = self.state.sending.as_ref().map(|sending| sending.id);
        rows.sort_by_key(|row| (Some(row.id) != under_way, std::cmp::Reverse(row.id)));
        Ok(rows)
    }

    /// Uploads of ours that nobody goes on with cost money and show up nowhere.
    fn abort_orphans(&self, store: &Store) {
        let ours = self
            .state
            .sending
            .as_ref()
            .filter(|sending| sending.is_whole())
            .and_then(|sending| sending.upload.upload_id.clone());
        let aborted = store.unfinished(layout::ARCHIVES).and_then(|unfinished| {
            unfinished
                .iter()
                .filter(|upload| Some(&upload.upload_id) != ours.as_ref())
                .try_for_each(|upload| store.abort(upload))
        });
        if let Err(error) = aborted {
            tracing::warn!(
                remote = self.remote.name,
                "left-over uploads are not removed: {error}"
            );
        }
    }

    /// Copies one archive; nothing where retention was quicker.
    fn one(&mut self, there: &There, objects: &Objects, backup: &BackupRow) -> Result<Option<Sent>> {
        let sent = |size, already| Sent {
            id: backup.id,
            name: backup.name.clone(),
            size,
            already,
        };
        let found = self.look(there, objects, backup)?;
        if let Found::Good(row) = &found {
            let known = self.state.copies.get(&backup.id);
            let etag = known.filter(|copy| copy.name == backup.name);
            let etag = etag.and_then(|copy| copy.etag.clone());
            self.note(row, etag)?;
            return Ok(Some(sent(row.object.size, true)));
        }
        let archive = sealed::open_archive(there.backups.as_fd(), &backup.name, backup.size)
            .map_err(|error| sealing::unreadable(backup, &error))?;
        let Some(archive) = archive else {
            tracing::info!(remote = self.remote.name, name = %backup.name, "removed here before it was copied");
            return Ok(None);
        };
        if let Found::Broken(row) = &found {
            self.note_broken(backup, row.as_deref())?;
        }
        let (sending, Uploaded { etag, .. }) = self.send(there, &archive, backup)?;
        let row = self.publish(there, backup, &sending, matches!(found, Found::Broken(_)))?;
        self.note(&row, etag)?;
        if let Some(file) = &sending.staged {
            self.desk.unstage(file);
        }
        tracing::info!(remote = self.remote.name, id = backup.id, name = %backup.name, "copied");
        Ok(Some(sent(sending.object.size, false)))
    }

    /// Checksum and row: from here on it is a copy. `replace` where there is a row whose archive was no longer one.
    fn publish(&self, there: &There, backup: &BackupRow, sending: &Sending, replace: bool) -> Result<Row> {
        let until = lock_until(self.remote);
        let object = &sending.object;
        self.put_checksum(there, object)?;
        let row = Row {
            repository: there.repository.clone(),
            backup: backup.clone(),
            object: object.clone(),
            copied_at: self.context.now(),
        };
        let bytes = row::seal(&row, &there.key)?;
        let key = layout::row(backup.id, &backup.name);
        if replace {
            there.store.put(&key, &bytes, until.as_ref())?;
            return Ok(row);
        }
        if there.store.put_new(&key, &bytes, until.as_ref())? {
            return Ok(row);
        }
        // It was not there a moment ago.
        let message = format!("`{}` got {key} from another machine meanwhile", self.remote.name);
        Err(Error::new(Code::Refused, message).remedy("give each machine a remote of its own"))
    }

    /// Notes a copy, durably. One that was there before keeps its time: nothing was proved of it today.
    fn note(&mut self, row: &Row, etag: Option<String>) -> Result<()> {
        let backup = &row.backup;
        self.state.sending = None;
        self.state.suspects.remove(&backup.id);
        let copied = Copied {
            etag,
            ..Copied::of(row)
        };
        let (at, started_at) = (copied.at, row.started_at());
        self.state.copies.insert(backup.id, copied);
        let plan = backup.plan.clone().unwrap_or_else(|| "manual".to_owned());
        let known = self.state.plans.get(&plan);
        // The oldest ones go last: an older backup does not make the plan's newest copy older.
        if known.is_none_or(|known| known.started_at <= started_at) && !backup.partial {
            self.state.plans.insert(plan, PlanCopied { at, started_at });
        }
        self.desk.save(&self.state)?;
        self.publish_totals();
        Ok(())
    }
}

/// What of a row is copied, where its archive is here.
fn copyable(backup: Backup) -> Option<BackupRow> {
    BackupRow::of(&backup).filter(|_| backup.archive_present)
}

fn is_copied(state: &State, row: &BackupRow) -> bool {
    state
        .copies
        .get(&row.id)
        .is_some_and(|copied| !copied.lost && copied.name == row.name && copied.sha256 == row.sha256)
}

/// How many archives are here and not at the remote.
///
/// # Errors
/// What reading the catalog says.
pub(super) fn pending(context: &Context, state: &State) -> Result<u64> {
    waiting(context, state).map(|rows| rows.len() as u64)
}

/// Those archives, in the order of the catalog.
///
/// # Errors
/// As [`pending`].
pub(super) fn waiting(context: &Context, state: &State) -> Result<Vec<BackupRow>> {
    if context.is_fresh() {
        return Ok(Vec::new());
    }
    let rows = context.reader()?.list()?;
    let waiting = rows.into_iter().filter_map(copyable);
    Ok(waiting.filter(|row| !is_copied(state, row)).collect())
}
