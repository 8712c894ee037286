//! Loading, checking and publishing the catalog. What the bytes mean is `parse`'s, ids and tombstones `state`'s.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, FixedOffset, Offset, Utc};

use super::files::{self, Form};
use super::parse::{self, HISTORY_NAME};
use super::state::{State, Tombstone};
use super::totals::{Totals, up};
use super::{Record, Status, going, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Dir, FileKind};
use crate::types::Check;

#[cfg(test)]
mod tests;

/// The rows, the ids that were given out, and which archives are in the folder.
#[derive(Debug, Clone)]
pub struct Catalog {
    rows: Vec<Record>,
    state: State,
    /// As it is on the disk; `None` where there is none.
    stored_state: Option<State>,
    /// Every name in the folder.
    files: BTreeMap<String, FileKind>,
    /// Names of the backups of which the encrypted archive counts though something has the plain one's name.
    usurped: HashSet<String>,
}

impl Catalog {
    /// Loads the catalog of a backups folder; an empty one where there is none yet.
    ///
    /// # Errors
    /// `CatalogInvalid` when it can't be parsed or breaks a rule; nothing is changed.
    pub fn load(dir: &Dir) -> Result<Self> {
        let catalog = Self::load_to_fill(dir)?;
        catalog.check_emptied()?;
        Ok(catalog)
    }

    /// The same for who brings rows for the archives in the folder: the catalog may have lost its own. To be followed by
    /// [`Self::check_emptied`].
    ///
    /// # Errors
    /// As [`Self::load`], but for a catalog that was emptied.
    pub(crate) fn load_to_fill(dir: &Dir) -> Result<Self> {
        let files = list(dir)?;
        let rows = load_rows(dir, &files)?;
        let stored_state = State::load(dir)?;
        let usurped = files::usurped(dir, &files, &rows)?;
        Ok(Self {
            usurped,
            ..Self::assemble(rows, stored_state, files)
        })
    }

    /// A catalog without a row beside archives that nobody deleted was emptied by something else. Whoever went on from
    /// it would give their ids again. Those that a rebuild has looked at and refused are known to be of no use.
    ///
    /// # Errors
    /// `CatalogInvalid`.
    pub(crate) fn check_emptied(&self) -> Result<()> {
        let refused = |name: &str| self.state.refused.iter().any(|other| other == name);
        let strangers = self
            .archives()
            .filter(|name| !self.was_deleted(name) && !refused(name))
            .count();
        if self.rows.is_empty() && strangers > 0 {
            return Err(parse::invalid(format!(
                "the catalog is empty although the folder has {strangers} archives"
            )));
        }
        Ok(())
    }

    /// Notes which archives a rebuild could not take in.
    pub(super) fn note_refused(&mut self, names: Vec<String>) {
        self.state.refused = names;
    }

    /// A catalog of checked `rows`; `rebuild` and [`Self::load`] come here.
    pub(super) fn assemble(
        rows: Vec<Record>,
        stored_state: Option<State>,
        files: BTreeMap<String, FileKind>,
    ) -> Self {
        let mut state = stored_state.clone().unwrap_or_default();
        // A row that is still there was not deleted: the state is written first, and the run ended in between.
        if !state.tombstones.is_empty() {
            let names: HashSet<&str> = rows.iter().map(|r| r.name.as_str()).collect();
            state.tombstones.retain(|t| !names.contains(t.name.as_str()));
        }
        let dead = state.tombstones.iter().map(|t| t.id).max();
        let live = rows.iter().map(|r| r.id).max();
        for id in [dead, live].into_iter().flatten() {
            state.see_id(id);
        }
        let mut catalog = Self {
            rows,
            state,
            stored_state,
            files,
            usurped: HashSet::new(),
        };
        catalog.bury_going();
        catalog
    }

    /// Takes out the rows of backups that have a mark: they were given up on a full disk.
    fn bury_going(&mut self) {
        for name in self.going() {
            let known = self.state.tombstones.iter().find(|t| t.name == name);
            let mut id = known.map_or(0, |t| t.id); // the name is what matters
            if let Some(at) = self.rows.iter().position(|r| r.name == name) {
                self.state.totals.count(&self.rows);
                id = self.rows.remove(at).id;
            }
            self.state.bury(id, &name);
        }
    }

    /// Names of the backups of which a mark may be the only trace that they are going.
    fn going(&self) -> Vec<String> {
        going::marked(&self.files).map(str::to_owned).collect()
    }

    /// Makes the catalog durable where only marks in the folder tell of deletes, so that these may go.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub(crate) fn settle(&mut self, dir: &Dir) -> Result<()> {
        if self.going().is_empty() {
            return Ok(());
        }
        self.publish(dir)
    }

    /// The rows, oldest first.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.rows
    }

    /// Whether the archive of `record` was in the folder when the catalog was loaded.
    #[must_use]
    pub fn archive_present(&self, record: &Record) -> bool {
        self.form(record).is_some()
    }

    /// Whether the archive of `record` is there, but encrypted: only who has the identity can read it.
    #[must_use]
    pub fn is_sealed(&self, record: &Record) -> bool {
        self.form(record) == Some(Form::Sealed)
    }

    fn form(&self, record: &Record) -> Option<Form> {
        if self.usurped.contains(&record.name) {
            return Some(Form::Sealed);
        }
        files::form_in(&self.files, &record.name)
    }

    /// Whether a backup of this name was deleted here.
    #[must_use]
    pub fn was_deleted(&self, name: &str) -> bool {
        self.state.tombstones.iter().any(|t| t.name == name)
    }

    /// Adds checked rows of another copy of this catalog, those that were deleted here included.
    pub fn take_in(&mut self, rows: Vec<Record>) {
        if rows.is_empty() {
            return;
        }
        for row in rows {
            self.see(&row);
            self.rows.push(row);
        }
        self.rows.sort_by_key(|row| row.id);
    }

    /// Adds a checked row of an archive whose id is somebody else's by now: with the next id, among the others by its
    /// start.
    pub(crate) fn take_in_anew(&mut self, mut row: Record) {
        row.id = self.state.next_id;
        self.see(&row);
        let offset = self.legacy_offset();
        let start = time::start_of(&row, offset);
        let later = self.rows.iter().position(|r| time::start_of(r, offset) > start);
        self.rows.insert(later.unwrap_or(self.rows.len()), row);
    }

    /// Notes that a row comes in.
    fn see(&mut self, row: &Record) {
        self.state.tombstones.retain(|t| t.name != row.name);
        self.state.refused.retain(|name| *name != row.name);
        self.state.see_id(row.id);
    }

    /// Identity of the repository, if it was given one.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.state.repository.as_deref()
    }

    /// Sets the identity; [`Self::publish_state`] makes that durable.
    pub fn set_repository(&mut self, id: &str) {
        self.state.repository = Some(id.to_owned());
    }

    /// The row with this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, id: u64) -> Result<&Record> {
        self.rows.iter().find(|r| r.id == id).ok_or_else(|| missing(id))
    }

    /// The row with this id, to change it; [`Self::publish`] makes that durable.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get_mut(&mut self, id: u64) -> Result<&mut Record> {
        self.rows
            .iter_mut()
            .find(|r| r.id == id)
            .ok_or_else(|| missing(id))
    }

    /// Archives in the folder that have no row and are not about to be removed, in order of their names.
    #[must_use]
    pub fn unknown_archives(&self) -> Vec<String> {
        let known: HashSet<&str> = self.rows.iter().map(|r| r.name.as_str()).collect();
        self.archives()
            .filter(|name| !known.contains(name))
            .filter(|name| !self.pending().any(|t| t.name == *name))
            .map(str::to_owned)
            .collect()
    }

    /// Names (without `.zip`) of the archives in the folder.
    fn archives(&self) -> impl Iterator<Item = &str> {
        files::archives_in(&self.files)
    }

    /// Whether a new run may not have this name.
    #[must_use]
    pub fn is_taken(&self, name: &str) -> bool {
        self.rows.iter().any(|r| r.name == name)
            || self.was_deleted(name)
            || files::is_placed(&self.files, name)
    }

    /// The offset for rows that know only local time: that of the first row that has one, else UTC.
    #[must_use]
    pub fn legacy_offset(&self) -> FixedOffset {
        self.rows
            .iter()
            .filter_map(|r| DateTime::parse_from_rfc3339(r.started_at.as_deref()?).ok())
            .map(|t| *t.offset())
            .next()
            .unwrap_or_else(|| Utc.fix())
    }

    /// The newest row, by start and then id, of those that `accept` takes.
    pub fn newest(&self, offset: FixedOffset, accept: impl Fn(&Record) -> bool) -> Option<&Record> {
        self.rows
            .iter()
            .filter(|r| accept(r))
            .max_by_key(|r| (time::start_of(r, offset), r.id))
    }

    /// Appends the row that `make` fills, with the next id.
    ///
    /// # Errors
    /// `CatalogInvalid` when the last id is given out: somebody wrote it there.
    pub fn append(&mut self, make: impl FnOnce(u64) -> Record) -> Result<&Record> {
        let id = self.state.next_id;
        if id >= parse::MAX_ID {
            return Err(parse::invalid(format!(
                "the ids are used up: one as high as {} is given out already",
                id - 1
            )));
        }
        self.state.see_id(id);
        self.rows.push(make(id));
        Ok(&self.rows[self.rows.len() - 1])
    }

    /// Takes a row out and, unless it never had an archive, leaves a tombstone.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove(&mut self, id: u64) -> Result<Record> {
        let index = self
            .rows
            .iter()
            .position(|r| r.id == id)
            .ok_or_else(|| missing(id))?;
        self.state.totals.count(&self.rows);
        let row = self.rows.remove(index);
        let never_had_one = matches!(row.status, Status::Failed | Status::Cancelled);
        if !never_had_one || self.archive_present(&row) {
            self.state.bury(row.id, &row.name);
        }
        Ok(row)
    }

    /// Tombstones whose files have yet to be removed.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Tombstone> {
        self.state.tombstones.iter().filter(|t| t.pending)
    }

    /// Notes that the files of a deleted backup are gone.
    pub fn mark_removed(&mut self, name: &str) {
        for t in &mut self.state.tombstones {
            if t.name == name {
                t.pending = false;
            }
        }
        for form in [Form::Plain, Form::Sealed] {
            self.files.remove(&form.file(name));
            self.files.remove(&form.sidecar(name));
        }
        self.files.remove(&going::mark_of(name));
    }

    /// Kind of what has this name in the folder.
    #[must_use]
    pub fn file_kind(&self, file_name: &str) -> Option<FileKind> {
        self.files.get(file_name).copied()
    }

    /// Names in the folder, with their kinds.
    pub fn files(&self) -> impl Iterator<Item = (&str, FileKind)> {
        self.files.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// The counters as of now: what is stored, and the runs that have ended since.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = self.state.totals.clone();
        totals.count(&self.rows);
        totals
    }

    /// Counts a verification or drill of this row that found something wrong; [`Self::publish`] makes that durable.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn count_failed(&mut self, id: u64, check: Check) -> Result<()> {
        let row = self.rows.iter().find(|r| r.id == id).ok_or_else(|| missing(id))?;
        let plan = self.state.totals.of(row);
        match check {
            Check::Verify => up(&mut plan.verify_failures),
            Check::Drill => up(&mut plan.drill_failures),
            Check::Restore => {}
        }
        Ok(())
    }

    /// Makes the catalog durable: ids and tombstones first (an id that is lost is harmless, one that is given
    /// twice is not), then the rows.
    ///
    /// # Errors
    /// Whatever writing says; the old rows are still there then.
    pub fn publish(&mut self, dir: &Dir) -> Result<()> {
        let bytes = parse::render(&self.rows)?;
        self.state.totals.count(&self.rows);
        self.publish_state(dir)?;
        fs::publish(dir, HISTORY_NAME, &bytes)?;
        self.files.insert(HISTORY_NAME.to_owned(), FileKind::File);
        Ok(())
    }

    /// Makes ids and tombstones durable, where they changed.
    ///
    /// # Errors
    /// Whatever writing says.
    pub fn publish_state(&mut self, dir: &Dir) -> Result<()> {
        if self.stored_state.as_ref() != Some(&self.state) {
            self.state.publish(dir)?;
            self.stored_state = Some(self.state.clone());
        }
        Ok(())
    }
}

/// The names in the backups folder, with their kinds.
pub(super) fn list(dir: &Dir) -> Result<BTreeMap<String, FileKind>> {
    let entries = dir.list()?.into_iter();
    Ok(entries
        .filter(|e| e.problem.is_none())
        .map(|e| (e.name, e.kind))
        .collect())
}

fn load_rows(dir: &Dir, files: &BTreeMap<String, FileKind>) -> Result<Vec<Record>> {
    match files.get(HISTORY_NAME) {
        Some(FileKind::File) => match fs::read_all(dir, HISTORY_NAME, parse::LIMIT) {
            Ok(bytes) => parse::parse(&bytes),
            Err(e) if e.kind == ErrorKind::Corrupt => Err(parse::invalid(e.message)),
            Err(e) => Err(e),
        },
        Some(_) => Err(parse::invalid("it is not a regular file")),
        None => match files::archives_in(files).count() {
            0 => Ok(Vec::new()),
            n => Err(parse::invalid(format!(
                "the catalog is missing although the folder has {n} archives"
            ))),
        },
    }
}

fn missing(id: u64) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "find backup",
        "there is no backup with this id",
    )
    .about(id.to_string())
    .remedy("`cofre list` shows those that there are")
}
