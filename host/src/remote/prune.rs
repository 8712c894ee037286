//! Retention at a remote: its own policy, decided by the same engine as that of the backups folder, on a catalog made of
//! the remote's rows. What the store has locked stays, whatever the policy says.

mod lost;

use serde::Serialize;

use super::layout;
use super::objects::Objects;
use super::row::Row;
use super::state::{Copied, Desk, State, publish_totals};
use super::store::Store;
use super::watch::Watch;
use super::{bytes, check, fetch, push, trust};
use crate::api::convert::policy_of;
use crate::api::types::{Backup, Verdict};
use crate::config::Remote;
use crate::context::Context;
use crate::engine::Access;
use crate::error::{Code, Error, Result};
use crate::notify::now;
use crate::staging::Staging;

/// What a prune is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruning {
    /// Only say it.
    pub dry_run: bool,
    /// Also give up copies that are lost for good.
    pub lost: bool,
}

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
    /// It is no whole copy: its archive is gone or changed, or another has its id.
    pub bad: bool,
    /// Why.
    pub reasons: Vec<String>,
}

/// Removes what the remote's policy does not keep, or only says so. What is no whole copy is neither counted nor removed,
/// and nothing goes before the newest one that stays was read and compared; but for what is lost for good, on request.
///
/// # Errors
/// `Config` where the remote has no policy and nothing else is asked for; `Refused` where it is another repository's, or
/// its marker was removed; what the store says.
pub fn prune(context: &Context, remote: &Remote, what: Pruning, watch: &Watch) -> Result<Pruned> {
    let dry_run = what.dry_run;
    if remote.retention.is_none() && !what.lost {
        let message = format!("nothing says what is kept at `{}`", remote.name);
        return Err(Error::new(Code::Config, message)
            .remedy("set `max_backups` or a `keep_` of this remote; without one everything stays"));
    }
    let desk = Desk::open(&context.config, remote)?;
    let state = desk.load();
    let store = super::open(remote, watch)?;
    let objects = Objects::of(&store)?;
    let marker = match fetch::marker(&store)? {
        Some((marker, _)) => marker,
        None if objects.is_empty() => return Err(fetch::no_copies(&remote.name)),
        None => return Err(unmarked(&remote.name)),
    };
    if state.repository.as_ref() != Some(&marker.repository) {
        let message = format!(
            "`{}` holds the copies of another repository, or this one has never copied",
            remote.name
        );
        return Err(Error::new(Code::Refused, message).remedy("`cofre remote push` says whose it is"));
    }
    let mut prune = Prune {
        context,
        remote,
        watch,
        objects,
        store,
        desk,
        state,
        unfit: Vec::new(),
    };
    if !dry_run {
        prune.finish()?;
    }
    let rows = prune.rows(&marker.repository)?;
    let mut verdicts = prune.judge(rows, dry_run)?;
    if what.lost {
        verdicts.append(&mut prune.give_up(dry_run)?);
    }
    verdicts.append(&mut prune.unfit);
    verdicts.sort_by(|a, b| (a.id, &a.name).cmp(&(b.id, &b.name)));
    if let Ok(pending) = push::pending(context, &prune.state) {
        publish_totals(&context.config, remote, &prune.state, pending);
    }
    Ok(Pruned { dry_run, verdicts })
}

struct Prune<'a> {
    context: &'a Context,
    remote: &'a Remote,
    watch: &'a Watch,
    store: Store,
    objects: Objects,
    desk: Desk,
    state: State,
    /// What is no whole copy.
    unfit: Vec<Removal>,
}

impl Prune<'_> {
    /// Takes away what an earlier one began to remove and could not. What still has its row, or has it again because
    /// somebody brought it back, is for the policy to judge.
    fn finish(&self) -> Result<()> {
        let removed = self.state.copies.iter().filter(|(_, copy)| copy.removed);
        for (_, copy) in removed.filter(|(id, copy)| !self.objects.has(&layout::row(**id, &copy.name))) {
            self.remove_archive(&copy.name)?;
        }
        Ok(())
    }

    /// Removes what there is of the archive of this name.
    fn remove_archive(&self, name: &str) -> Result<()> {
        for encrypted in [true, false] {
            let archive = layout::archive(name, encrypted);
            for key in [layout::checksum(&archive), archive] {
                if self.objects.has(&key) {
                    self.watch.check()?;
                    self.store.delete(&key)?;
                }
            }
        }
        Ok(())
    }

    /// The rows of whole copies. What can't be read, or is not ours, is neither counted nor removed.
    fn rows(&mut self, repository: &str) -> Result<Vec<Row>> {
        let keys = trust::verify_keys(&self.context.config)?;
        let names = fetch::names(&self.store)?;
        let mut rows = Vec::new();
        for fetched in fetch::rows(&self.store, &names, &keys, self.watch)? {
            match fetched.proved() {
                Some(row) if row.repository == repository => rows.push(row.clone()),
                _ => tracing::warn!(
                    "{} at `{}` is not proved to be ours, and stays",
                    fetched.name,
                    self.remote.name
                ),
            }
        }
        let twice = |row: &Row| {
            let same =
                |other: &&Row| other.backup.id == row.backup.id || other.backup.name == row.backup.name;
            rows.iter().filter(same).count() > 1
        };
        let twice: Vec<bool> = rows.iter().map(twice).collect();
        let mut whole = Vec::new();
        for (row, twice) in rows.into_iter().zip(twice) {
            if twice {
                self.set_aside(&row, "another copy has its id or its name".to_owned());
            } else if let Some(why) = self.trouble(&row)? {
                self.lose(&row, why)?;
            } else {
                whole.push(row);
            }
        }
        Ok(whole)
    }

    /// Why the archive of a row is no copy of it.
    fn trouble(&mut self, row: &Row) -> Result<Option<String>> {
        let noted = self.state.copies.get(&row.backup.id);
        let noted = noted.filter(|copy| copy.name == row.backup.name && !copy.removed);
        if noted.is_some_and(|copy| copy.lost) {
            return Ok(Some(
                "its archive was found gone or changed, and is not copied again yet".to_owned(),
            ));
        }
        if let Some(error) = self.objects.trouble(&row.object) {
            return Ok(Some(error.message));
        }
        let etag = noted.and_then(|copy| copy.etag.as_deref());
        if self.objects.is_same(&self.store, &row.object.key, etag)? {
            return Ok(None);
        }
        // Written again since: perhaps the same bytes, and then they need not be read the next time.
        let why = self.read(row)?;
        if why.is_none()
            && let Some(copy) = self.state.copies.get_mut(&row.backup.id)
        {
            copy.etag = self.objects.etag(&row.object.key);
            self.desk.save(&self.state)?;
        }
        Ok(why)
    }

    /// Whether the store still calls the content what it did when that was compared with what was sent. To fetch the
    /// newest copy after each run would cost as much as to make it.
    fn is_as_copied(&self, row: &Row) -> Result<bool> {
        let noted = self.state.copies.get(&row.backup.id);
        let etag = noted.and_then(|copy| copy.etag.as_deref());
        Ok(etag.is_some() && self.objects.is_same(&self.store, &row.object.key, etag)?)
    }

    /// Reads a copy from end to end: why it is none.
    fn read(&self, row: &Row) -> Result<Option<String>> {
        match bytes::read(&self.store, &row.object, None, &mut std::io::sink(), self.watch) {
            Ok(()) => Ok(None),
            Err(error) if check::is_about_copy(error.code) => Ok(Some(error.message)),
            Err(error) => Err(error),
        }
    }

    fn set_aside(&mut self, row: &Row, why: String) {
        tracing::error!("{} at `{}`: {why}", row.backup.name, self.remote.name);
        self.unfit.push(Removal {
            id: row.backup.id,
            name: row.backup.name.clone(),
            size: row.object.size,
            keep: true,
            bad: true,
            reasons: vec![why, "neither counted nor removed".to_owned()],
        });
    }

    /// A copy that is none: the next push makes it again, if its archive is still here.
    fn lose(&mut self, row: &Row, why: String) -> Result<()> {
        self.set_aside(row, why);
        let copy = self.state.copies.entry(row.backup.id);
        let copy = copy.or_insert_with(|| Copied::of(row));
        copy.lost = !copy.removed;
        self.desk.save(&self.state)
    }

    /// Decides, proves the newest copy that stays, and removes the others.
    fn judge(&mut self, mut rows: Vec<Row>, dry_run: bool) -> Result<Vec<Removal>> {
        let mut verdicts = decide(self.context, self.remote, &rows)?;
        self.keep_locked(&rows, &mut verdicts)?;
        while !dry_run && verdicts.iter().any(|verdict| !verdict.keep) {
            let stays = |row: &&Row| {
                verdicts
                    .iter()
                    .any(|verdict| verdict.keep && verdict.id == row.backup.id)
            };
            let newest = rows
                .iter()
                .filter(stays)
                .max_by_key(|row| (!row.backup.partial, row.started_at(), row.backup.id));
            // Retention always keeps one; should it not, nothing goes.
            let Some(newest) = newest.cloned() else {
                return Ok(Vec::new());
            };
            let why = if self.is_as_copied(&newest)? {
                None
            } else {
                self.read(&newest)?
            };
            let Some(why) = why else {
                self.remove(&rows, &verdicts)?;
                break;
            };
            self.lose(&newest, why)?;
            rows.retain(|row| row.backup.id != newest.backup.id);
            verdicts = decide(self.context, self.remote, &rows)?;
            self.keep_locked(&rows, &mut verdicts)?;
        }
        Ok(verdicts)
    }

    /// What the store has locked stays, whatever the policy says.
    fn keep_locked(&self, rows: &[Row], verdicts: &mut [Removal]) -> Result<()> {
        for verdict in verdicts.iter_mut().filter(|verdict| !verdict.keep) {
            self.watch.check()?;
            let Some(row) = rows.iter().find(|row| row.backup.id == verdict.id) else {
                continue;
            };
            let lock = match self.store.lock_of(&row.object.key, None) {
                // Without locks here nobody has to have the right to ask for them; and what is locked all the same, a
                // removal only hides.
                Err(error) if error.code == Code::AccessDenied && self.remote.lock.is_none() => None,
                lock => lock?,
            };
            if let Some(until) = lock.filter(|until| until.at > now()) {
                verdict.keep = true;
                verdict.reasons = vec![format!("locked until {}", until.at.format("%Y-%m-%d %H:%M:%SZ"))];
            }
        }
        Ok(())
    }

    fn remove(&mut self, rows: &[Row], verdicts: &[Removal]) -> Result<()> {
        let goes = |row: &&Row| {
            verdicts
                .iter()
                .any(|verdict| !verdict.keep && verdict.id == row.backup.id)
        };
        for row in rows.iter().filter(goes) {
            self.watch.check()?;
            let id = row.backup.id;
            // Before the first byte goes: what is left over is finished by the next one, and copied again by none.
            let before = self.state.copies.get(&id).cloned();
            let copy = self.state.copies.entry(id).or_insert_with(|| Copied::of(row));
            copy.removed = true;
            self.desk.save(&self.state)?;
            // The row first: a row always has its archive.
            if let Err(error) = self.store.delete(&layout::row(id, &row.backup.name)) {
                match before {
                    Some(before) => drop(self.state.copies.insert(id, before)),
                    None => drop(self.state.copies.remove(&id)),
                }
                self.desk.save(&self.state)?;
                return Err(error);
            }
            self.store.delete(&layout::checksum(&row.object.key))?;
            self.store.delete(&row.object.key)?;
        }
        Ok(())
    }
}

/// Nothing is removed where somebody has removed something.
fn unmarked(remote: &str) -> Error {
    let message = format!(
        "{} is missing at `{remote}`: somebody has removed it",
        layout::MARKER
    );
    Error::new(Code::Refused, message).remedy(format!(
        "`cofre remote verify {remote}` says what else is wrong; `cofre remote push {remote}` writes it anew"
    ))
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
            bad: false,
            reasons,
        }
    };
    Ok(verdicts
        .into_iter()
        .map(|verdict| removal(verdict.into()))
        .collect())
}
