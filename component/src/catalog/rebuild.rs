//! `rebuild`: recreates the catalog from the archives' manifests, and from whatever the old file still says.
//!
//! A row that can be read wins over the manifest, since it knows more (pins, results of checks). Deleted
//! backups are not resurrected. The old file is kept aside before it is replaced.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, FixedOffset};

use super::files::{self, Form};
use super::from_archive::{Facts, checksum};
use super::parse::{self, HISTORY_NAME};
use super::state::{STATE_NAME, State};
use super::{Catalog, Record, Status, store, time};
use crate::error::{ErrorKind, Result};
use crate::fs::{self, BACKUPS, Dir, FileKind, Roots};
use crate::run::{self, INTERRUPTED};
use crate::types::{Backup, RebuildReport};

#[cfg(test)]
mod tests;

/// Recreates the catalog of a backups folder. `zip_path_prefix` stands in front of the archives' names in rows
/// that are new.
///
/// # Errors
/// `InvalidInput` for a bad time, `Unsupported` when a newer version wrote the catalog's state, or an I/O error.
/// An archive that can't be read is a problem in the report.
pub fn rebuild(roots: &Roots, now: &str, zip_path_prefix: &str) -> Result<RebuildReport> {
    let now = time::parse_instant(now, "time of the rebuild")?;
    run::check_prefix(zip_path_prefix)?;
    let dir = roots.open(BACKUPS)?;
    let files = store::list(&dir)?;
    let old = Old::read(&dir, &files)?;
    let mut work = Work {
        dir: &dir,
        prefix: zip_path_prefix,
        candidates: Vec::new(),
        problems: old.problems.clone(),
        left_out: Vec::new(),
        refused: Vec::new(),
    };
    work.collect(&old, &files);
    let rows = number(work.candidates, &old.state, *now.offset());

    let mut catalog = Catalog::assemble(rows, old.stored_state(), files.clone());
    catalog.note_refused(work.refused);
    let unchanged = old.is_good && old.rows == catalog.records();
    let mut kept_aside = None;
    if !unchanged {
        kept_aside = keep_aside(&dir, &files, HISTORY_NAME, now)?;
    }
    if old.state_is_broken {
        keep_aside(&dir, &files, STATE_NAME, now)?;
    }
    if unchanged {
        catalog.publish_state(&dir)?;
    } else {
        catalog.publish(&dir)?;
    }
    Ok(RebuildReport {
        backups: catalog
            .records()
            .iter()
            .map(|r| Backup::of(r, &catalog))
            .collect(),
        kept_aside,
        problems: work.problems,
        left_out: work.left_out,
    })
}

/// What is there before.
struct Old {
    /// Rows that could be saved.
    rows: Vec<Record>,
    /// Whether these are all rows of a valid catalog.
    is_good: bool,
    state: State,
    has_state: bool,
    state_is_broken: bool,
    problems: Vec<String>,
}

impl Old {
    fn read(dir: &Dir, files: &BTreeMap<String, FileKind>) -> Result<Self> {
        let mut problems = Vec::new();
        let bytes = match files.get(HISTORY_NAME) {
            Some(FileKind::File) => match fs::read_all(dir, HISTORY_NAME, parse::LIMIT) {
                Ok(bytes) => Some(bytes),
                // Too large: kept aside unread.
                Err(e) if e.kind == ErrorKind::Corrupt => None,
                Err(e) => return Err(e),
            },
            _ => None,
        };
        let good = bytes.as_deref().and_then(|b| parse::parse(b).ok());
        let is_good = good.is_some();
        let rows = good
            .or_else(|| bytes.as_deref().map(parse::salvage))
            .unwrap_or_default();
        let (state, state_is_broken) = match State::load(dir) {
            Ok(state) => (state, false),
            Err(e) if e.kind == ErrorKind::CatalogInvalid => {
                problems.push(format!(
                    "{STATE_NAME} could not be read, so deleted backups whose archive is there may come back: {}",
                    e.message
                ));
                (None, true)
            }
            Err(e) => return Err(e),
        };
        let state = state.map(|mut state| {
            state.tame();
            state
        });
        Ok(Self {
            rows,
            is_good,
            has_state: state.is_some(),
            state: state.unwrap_or_default(),
            state_is_broken,
            problems,
        })
    }

    fn stored_state(&self) -> Option<State> {
        self.has_state.then(|| self.state.clone())
    }
}

/// A row without its final id.
struct Candidate {
    row: Record,
    /// Ids that it may have, the best first.
    wanted: Vec<u64>,
}

struct Work<'a> {
    dir: &'a Dir,
    prefix: &'a str,
    candidates: Vec<Candidate>,
    problems: Vec<String>,
    left_out: Vec<String>,
    /// Names of archives that are of no use here.
    refused: Vec<String>,
}

impl Work<'_> {
    /// A candidate for each saved row and for each archive without one.
    fn collect(&mut self, old: &Old, in_folder: &BTreeMap<String, FileKind>) {
        let mut seen = HashMap::new();
        for row in &old.rows {
            if let Some(first) = seen.insert(row.name.as_str(), row.id) {
                let problem = format!("{}: has two rows; that with id {first} was kept", row.name);
                self.problems.push(problem);
                continue;
            }
            self.saved(row, files::form_in(in_folder, &row.name));
        }
        let deleted: HashMap<&str, bool> = old
            .state
            .tombstones
            .iter()
            .map(|t| (t.name.as_str(), t.pending))
            .collect();
        for name in files::archives_in(in_folder) {
            if seen.contains_key(name) {
                continue;
            }
            if let Some(pending) = deleted.get(name) {
                self.left_out.push(if *pending {
                    format!(
                        "{name}: was deleted, and the next run removes its file; rename it now to keep it"
                    )
                } else {
                    format!("{name}: was deleted, so it is left out; rename it to have it back")
                });
                continue;
            }
            match files::form_in(in_folder, name) {
                // The host may have the identity, and take it in by `import-rows`.
                Some(Form::Sealed) => {
                    self.problems.push(format!(
                        "{name}: its archive is encrypted and has no row: `cofre rebuild --identity FILE` opens it and \
                         takes it in"
                    ));
                    self.refused.push(name.to_owned());
                }
                Some(Form::Plain) | None => self.unknown(name),
            }
        }
    }

    /// A row that could be saved from the old catalog.
    fn saved(&mut self, row: &Record, form: Option<Form>) {
        let mut candidate = Candidate {
            row: row.clone(),
            wanted: vec![row.id],
        };
        let facts = (form == Some(Form::Plain)).then(|| Facts::read(self.dir, &row.name));
        match facts {
            Some(Ok(facts)) => {
                candidate.wanted.extend(facts.header.as_ref().map(|h| h.id));
                if row.status == Status::InProgress {
                    candidate.row = self.with_checksum(facts.close(row), facts.header.is_some());
                }
            }
            Some(Err(e)) => {
                self.problems.push(e.to_string());
                candidate.row = interrupted(row);
            }
            None => candidate.row = interrupted(row),
        }
        self.candidates.push(candidate);
    }

    /// An archive that has no row.
    fn unknown(&mut self, name: &str) {
        let made = Facts::read(self.dir, name).and_then(|f| Ok((f.row(name, self.prefix)?, f)));
        match made {
            Ok((row, facts)) => {
                let header = facts.header.as_ref();
                if let Some(other) = header.filter(|h| h.name != name) {
                    let shown: String = other.name.chars().take(100).collect();
                    self.problems.push(format!(
                        "{name}: its manifest is that of `{}`, so it was copied or renamed; it gets an id of its own",
                        shown.escape_debug()
                    ));
                }
                let wanted = header.filter(|h| h.name == name).map(|h| h.id);
                let row = self.with_checksum(row, header.is_some());
                self.candidates.push(Candidate {
                    row,
                    wanted: wanted.into_iter().collect(),
                });
            }
            Err(e) => {
                self.problems.push(e.to_string());
                // What can't be read today may be read tomorrow.
                if matches!(e.kind, ErrorKind::Corrupt | ErrorKind::Unsupported) {
                    self.refused.push(name.to_owned());
                }
            }
        }
    }

    /// Sets the checksum: an archive of the original system never had one, and all of them would have to be
    /// read for it.
    fn with_checksum(&mut self, mut row: Record, has_manifest: bool) -> Record {
        if has_manifest {
            match checksum(self.dir, &row.name) {
                Ok(sha256) => row.sha256 = Some(sha256),
                Err(e) => self.problems.push(e.to_string()),
            }
        }
        row
    }
}

/// The row of a run that did not end, as failed; any other as it is.
fn interrupted(row: &Record) -> Record {
    match row.status {
        Status::InProgress => run::close(row, Status::Failed, INTERRUPTED),
        _ => row.clone(),
    }
}

/// Gives each row an id: the one that it had where that is free, else one above all others. Oldest first.
fn number(mut candidates: Vec<Candidate>, state: &State, offset: FixedOffset) -> Vec<Record> {
    candidates.sort_by_key(|c| (time::start_of(&c.row, offset), c.row.id));
    let mut used: HashSet<u64> = state.tombstones.iter().map(|t| t.id).collect();
    // A row that is still there was not deleted, so its own tombstone does not count against it.
    let names: HashSet<&str> = candidates.iter().map(|c| c.row.name.as_str()).collect();
    for t in state
        .tombstones
        .iter()
        .filter(|t| names.contains(t.name.as_str()))
    {
        used.remove(&t.id);
    }
    // Nor does one of another name that has its id: whoever knows the row by its id finds it again.
    for candidate in &candidates {
        used.remove(&candidate.row.id);
    }
    let mut homeless = Vec::new();
    for (i, candidate) in candidates.iter_mut().enumerate() {
        let free = candidate
            .wanted
            .iter()
            .copied()
            .find(|id| *id <= parse::SANE_ID && !used.contains(id));
        match free {
            Some(id) => {
                used.insert(id);
                candidate.row.id = id;
            }
            None => homeless.push(i),
        }
    }
    let highest = used.iter().copied().max().unwrap_or(0);
    for (id, i) in (state.next_id.max(highest + 1)..).zip(homeless) {
        candidates[i].row.id = id;
    }
    candidates.into_iter().map(|c| c.row).collect()
}

/// Keeps a file of the catalog under a name that says when it was replaced, and gives that name. A small one is
/// copied, so that it is in its place until the new one is; anything else is moved.
fn keep_aside(
    dir: &Dir,
    files: &BTreeMap<String, FileKind>,
    name: &str,
    now: DateTime<FixedOffset>,
) -> Result<Option<String>> {
    let Some(kind) = files.get(name) else {
        return Ok(None);
    };
    let base = format!("{name}.broken-{}", now.format("%Y%m%d_%H%M%S"));
    let mut aside = base.clone();
    let mut n = 1;
    while files.contains_key(&aside) {
        n += 1;
        aside = format!("{base}-{n}");
    }
    let bytes = match kind {
        FileKind::File => fs::read_all(dir, name, parse::LIMIT).ok(),
        _ => None,
    };
    match bytes {
        Some(bytes) => {
            let copy = dir.create(&aside)?;
            copy.write_all_at(&bytes, 0)?;
            copy.sync()?;
        }
        None => dir.rename(name, &aside)?,
    }
    dir.sync()?;
    Ok(Some(aside))
}
