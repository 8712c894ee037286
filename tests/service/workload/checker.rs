//! Looks at the files all the time, as another program would, and compares what it sees with what it saw before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::Rng;

use super::KEPT;
use super::shared::Shared;
use super::sources::digest;

/// Archives of a look that are read to their end, beside the new ones.
const READ: u64 = 2;

pub(super) struct Checker<'a, 'b> {
    shared: &'a Shared<'b>,
    /// The rows of the look before.
    before: BTreeMap<u64, Value>,
    /// Every id that there ever was, with its name.
    names: BTreeMap<u64, String>,
    /// The checksums of finished ones.
    sums: BTreeMap<u64, String>,
    looks: u64,
    read: u64,
}

impl<'a, 'b> Checker<'a, 'b> {
    pub(super) fn new(shared: &'a Shared<'b>) -> Self {
        Self {
            shared,
            before: BTreeMap::new(),
            names: BTreeMap::new(),
            sums: BTreeMap::new(),
            looks: 0,
            read: 0,
        }
    }

    pub(super) fn look(&mut self, rng: &mut Rng) {
        let Some(rows) = self.rows() else { return };
        let new: BTreeSet<u64> = rows
            .keys()
            .filter(|id| !self.sums.contains_key(id))
            .copied()
            .collect();
        self.compare(&rows);
        let finished: Vec<u64> = rows
            .iter()
            .filter(|(_, row)| is_published(row))
            .map(|(id, _)| *id)
            .collect();
        let mut chosen: BTreeSet<u64> = finished.iter().filter(|id| new.contains(id)).copied().collect();
        for _ in 0..READ.min(finished.len() as u64) {
            chosen.insert(finished[usize::try_from(rng.below(finished.len() as u64)).unwrap()]);
        }
        for id in &finished {
            self.check_archive(&rows[id], chosen.contains(id));
        }
        self.before = rows;
        self.looks += 1;
    }

    /// Once more, with every archive read.
    pub(super) fn look_at_all(&mut self) {
        let Some(rows) = self.rows() else { return };
        self.compare(&rows);
        for row in rows.values().filter(|row| is_published(row)) {
            self.check_archive(row, true);
        }
        self.before = rows.clone();
        let on_disk = self.shared.site.app.archives().len();
        let listed = rows.values().filter(|row| is_published(row)).count();
        if on_disk != listed {
            self.shared
                .violation(format!("{on_disk} archives, {listed} in the catalog"));
        }
    }

    pub(super) fn report(&self) -> String {
        let Self {
            looks, read, names, ..
        } = self;
        let last = names.last_key_value().map_or(0, |(id, _)| *id);
        format!(
            "{looks} looks of the checker, {read} archives read, ids up to {last}, {} of them seen",
            names.len()
        )
    }

    /// The catalog as it is, each id once. None before the first backup.
    fn rows(&self) -> Option<BTreeMap<u64, Value>> {
        let text = std::fs::read(self.shared.site.app.history_path()).ok();
        if text.is_none() && !self.names.is_empty() {
            self.shared.violation("the catalog has gone".to_owned());
        }
        let text = text?;
        let rows: Vec<Value> = match serde_json::from_slice(&text) {
            Ok(rows) => rows,
            Err(error) => {
                self.shared
                    .violation(format!("the catalog does not parse: {error}"));
                return None;
            }
        };
        let count = rows.len();
        let by_id: BTreeMap<u64, Value> = rows
            .into_iter()
            .filter_map(|row| Some((row["id"].as_u64()?, row)))
            .collect();
        if by_id.len() != count {
            self.shared
                .violation(format!("{count} rows with {} ids", by_id.len()));
        }
        Some(by_id)
    }

    fn compare(&mut self, rows: &BTreeMap<u64, Value>) {
        let before = std::mem::take(&mut self.before);
        let last = self.names.last_key_value().map_or(0, |(id, _)| *id);
        let running = rows.values().filter(|row| row["status"] == "in_progress").count();
        if running > 1 {
            self.shared.violation(format!("{running} runs at once"));
        }
        for (id, row) in rows {
            self.compare_row(*id, row, before.get(id), last);
        }
        for (id, row) in &before {
            if !rows.contains_key(id) {
                self.check_gone(*id, row, &before, rows);
            }
        }
    }

    fn compare_row(&mut self, id: u64, row: &Value, before: Option<&Value>, last: u64) {
        let name = row["name"].as_str().unwrap_or_default().to_owned();
        match self.names.get(&id) {
            Some(known) if *known != name => self
                .shared
                .violation(format!("id {id} was {known} and is {name}")),
            Some(_) => {}
            None if id < last && before.is_none() => {
                // Made and gone between two looks, and back again?
                self.shared.violation(format!("id {id} comes after id {last}"));
            }
            None => {
                if self.names.values().any(|known| *known == name) {
                    self.shared
                        .violation(format!("the name {name} comes back with id {id}"));
                }
                self.names.insert(id, name);
            }
        }
        let was = before.map_or("in_progress", |row| row["status"].as_str().unwrap_or_default());
        let is = row["status"].as_str().unwrap_or_default();
        if was != is && was != "in_progress" {
            self.shared.violation(format!("id {id} was {was} and is {is}"));
        }
        if !["in_progress", "completed", "partial"].contains(&is) && was != is {
            self.shared.violation(format!("a run ended {is}: {row}"));
        }
        if let Some(sum) = row["sha256"].as_str().filter(|_| is_published(row)) {
            let known = self.sums.entry(id).or_insert_with(|| sum.to_owned());
            if known != sum {
                self.shared
                    .violation(format!("the checksum of id {id} was {known} and is {sum}"));
            }
        }
    }

    /// A row that has gone was deleted on demand, or retention may take it.
    fn check_gone(&self, id: u64, row: &Value, before: &BTreeMap<u64, Value>, rows: &BTreeMap<u64, Value>) {
        if self.shared.is_condemned(id) || row["status"] != "completed" {
            return;
        }
        let may_count = |(other, row): (&u64, &Value)| {
            *other > id && ["completed", "in_progress"].contains(&row["status"].as_str().unwrap_or_default())
        };
        let known = before.iter().filter(|(id, row)| may_count((id, row))).count();
        let last = before.last_key_value().map_or(0, |(id, _)| *id);
        // What came and went between the two looks counts in favour of cofre.
        let newest = rows.last_key_value().map_or(last, |(id, _)| *id);
        let newer = known + usize::try_from(newest.saturating_sub(last)).unwrap();
        if newer < KEPT {
            self.shared
                .violation(format!("retention took id {id} with {newer} newer ones: {row}"));
        }
        let is_newer_of_plan = |(other, other_row): (&u64, &Value)| {
            *other > id && other_row["plan"] == row["plan"] && other_row["status"] == "completed"
        };
        if !rows.iter().any(is_newer_of_plan) && !before.iter().any(is_newer_of_plan) {
            self.shared
                .violation(format!("retention took the newest of its plan: {row}"));
        }
        if row["pinned"] == true && !self.shared.may_be_unpinned(id) {
            self.shared
                .violation(format!("retention took a pinned one: {row}"));
        }
    }

    /// The archive of a finished backup is there with its checksum beside it; read to its end it is that one. What
    /// does not fit is looked up again: it may have been deleted since the catalog was read.
    fn check_archive(&mut self, row: &Value, whole: bool) {
        let archive = self.shared.site.app.archive(row);
        self.read += u64::from(whole);
        let Err(problem) = archive_is_good(&archive, row, whole) else {
            return;
        };
        let id = row["id"].as_u64().unwrap_or_default();
        if self.rows().is_some_and(|rows| rows.contains_key(&id)) {
            // Deletes take the row first and the files after it.
            self.shared.violation(format!("id {id} is listed, and {problem}"));
        }
    }
}

fn is_published(row: &Value) -> bool {
    ["completed", "partial"].contains(&row["status"].as_str().unwrap_or_default())
}

fn archive_is_good(archive: &Path, row: &Value, whole: bool) -> Result<(), String> {
    let shown = archive.display();
    let sum = row["sha256"].as_str().ok_or("has no sha256")?;
    let name = row["name"].as_str().unwrap_or_default();
    let size = std::fs::metadata(archive)
        .map_err(|error| format!("{shown}: {error}"))?
        .len();
    if row["size"].as_u64() != Some(size) {
        return Err(format!("{shown} has {size} bytes, its row says {}", row["size"]));
    }
    let sidecar = archive.with_extension("zip.sha256");
    let text =
        std::fs::read_to_string(&sidecar).map_err(|error| format!("{}: {error}", sidecar.display()))?;
    if text != format!("{sum}  {name}.zip\n") {
        return Err(format!("{} says {text:?}, its row {sum}", sidecar.display()));
    }
    if whole {
        let bytes = std::fs::read(archive).map_err(|error| format!("{shown}: {error}"))?;
        let found = digest(&bytes);
        if found != sum {
            return Err(format!("{shown} is {found}, its row says {sum}"));
        }
    }
    Ok(())
}
