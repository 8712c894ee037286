//! The one who deals out the work and puts the archive together: what was selected is cut into tasks, in archive
//! order, and their results are written in the same order. What is unchanged since the last archive is copied from
//! there (`reuse`) instead.

use std::collections::{BTreeMap, VecDeque};

use super::messages::{Done, Kind, Lost, Packed, Task, ToPack};
use super::reuse::{Copying, Previous};
use super::worker::CreateWorker;
use crate::archive::BLOCK;
use crate::archive::writer::{Content, EntryKind, Meta, ZipWriter};
use crate::error::Result;
use crate::fs::Roots;
use crate::scan::{Item, ItemKind, Selection};
use crate::shards::{Turn, encode};
use crate::types::Skip;

mod copy;
mod large;
mod take;

use large::{Entry, Large, PartOf};

/// What an item counts against a budget besides its bytes: opening and asking takes time as well.
const ITEM_COST: u64 = 4096;
/// Most things in one batch.
const BATCH_MAX: usize = 1024;
/// Most results that wait for something before them, so that memory is bounded.
const HELD_MAX: usize = 4;
/// Most results that are here or to come while something before them is done here, however many workers there are.
const BEHIND_MAX: usize = 16;

/// An archive being put together.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) selection: Selection,
    pub(super) writer: ZipWriter,
    /// Compressed lengths of the blocks of large entries, by item.
    pub(super) blocks: BTreeMap<usize, Vec<u64>>,
    pub(super) reused: u64,
    /// What is being done, in archive order.
    steps: VecDeque<Step>,
    /// First item that no step is about yet.
    planned: usize,
    /// The large file that is being dealt out.
    dealing: Option<Large>,
    /// The large entry that is being written.
    entry: Option<Entry>,
    own: CreateWorker,
    previous: Option<Previous>,
    /// Bytes of the file being copied that are not in `bytes_done` yet.
    uncounted: u64,
    first_skip: usize,
    current: usize,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) bytes_done: u64,
    pub(super) bytes_total: u64,
}

/// One thing to be written, in its turn.
#[derive(Debug)]
enum Step {
    /// A task is out.
    Out(Work),
    /// Its result is here; something before it is not yet.
    Held(Work, Done, Vec<u8>),
    /// The rest of a result: a thing before it has to be read here.
    Rest(std::ops::Range<usize>, VecDeque<Packed>, Vec<u8>),
    /// A large file that changed while it was dealt out is read here, from its beginning.
    Again(Large),
    /// Items that are copied from the previous archive.
    Copy(std::ops::Range<usize>),
    /// The rest of the previous archive is read for its checksum.
    CheckPrevious,
}

/// What a task is about.
#[derive(Debug)]
enum Work {
    Batch(std::ops::Range<usize>),
    Part(PartOf),
    /// What it was about is given up.
    Stale,
}

/// What is said of a skip in the log.
pub(super) fn skip_line(skip: &Skip) -> String {
    format!(
        "{} {}: {}",
        if skip.missing { "missing" } else { "left out" },
        skip.path.escape_debug(),
        skip.reason
    )
}

/// What is said of a file that changed in the log.
fn changed_line(item: &Item) -> String {
    format!("changed while it was read: {}", item.path.escape_debug())
}

fn meta(item: &Item) -> Meta<'_> {
    Meta {
        path: &item.path,
        kind: match item.kind {
            ItemKind::File => EntryKind::File,
            ItemKind::Directory => EntryKind::Directory,
            ItemKind::Symlink | ItemKind::AbsoluteSymlink => EntryKind::Symlink,
        },
        mode: item.mode(),
        mtime_ns: item.mtime_ns(),
    }
}

fn content(item: &Item) -> Content {
    Content {
        method: item.method,
        crc32: item.crc32,
        size: item.size,
        stored: item.stored,
    }
}

impl Assembly {
    pub(super) fn new(
        mut selection: Selection,
        writer: ZipWriter,
        own: CreateWorker,
        previous: Option<Previous>,
    ) -> Self {
        for item in &mut selection.items {
            if item.kind == ItemKind::AbsoluteSymlink {
                item.crc32 = crc32fast::hash(item.target.as_deref().unwrap_or("").as_bytes());
            }
        }
        let mut this = Self {
            first_skip: selection.skips.len(),
            selection,
            writer,
            blocks: BTreeMap::new(),
            reused: 0,
            steps: VecDeque::new(),
            planned: 0,
            dealing: None,
            entry: None,
            own,
            previous,
            uncounted: 0,
            current: 0,
            done: 0,
            total: 0,
            bytes_done: 0,
            bytes_total: 0,
        };
        this.count();
        this
    }

    fn count(&mut self) {
        let files = || self.selection.items.iter().filter(|i| i.kind == ItemKind::File);
        self.total = files().count() as u64;
        self.bytes_total = files().map(|i| i.size).fold(0, u64::saturating_add);
        self.done = 0;
        self.bytes_done = 0;
        self.uncounted = 0;
    }

    /// Begins anew, without the previous archive. Results of tasks that are out come back and are thrown away.
    pub(super) fn restart(mut self) -> Self {
        self.steps.retain_mut(|step| {
            if let Step::Out(work) = step {
                *work = Work::Stale;
                return true;
            }
            false
        });
        self.writer = self.writer.restart();
        self.blocks.clear();
        (self.reused, self.planned, self.current) = (0, 0, 0);
        (self.dealing, self.entry, self.previous) = (None, None, None);
        self.selection.skips.truncate(self.first_skip);
        for item in &mut self.selection.items {
            item.dropped = false;
            item.changed = false;
        }
        self.count();
        self
    }

    /// Path of the item being written.
    pub(super) fn current(&self) -> Option<String> {
        self.selection
            .items
            .get(self.current)
            .map(|item| item.path.to_string())
    }

    /// Does about `budget` bytes of what can be done here, then gives a task of about so many, if there is one;
    /// `None` when everything is written. Lines for the log go to `log`.
    pub(super) fn next(
        &mut self,
        roots: &Roots,
        budget: u64,
        log: &mut Vec<String>,
    ) -> Copying<Option<Turn>> {
        let worked = self.work_off(roots, budget, log)?;
        if self.held() < HELD_MAX
            && self.behind() < BEHIND_MAX
            && let Some(task) = self.deal(budget, log)?
        {
            return Ok(Some(Turn::Task(task)));
        }
        Ok(match self.steps.front() {
            None if self.planned == self.selection.items.len() && self.dealing.is_none() && !worked => None,
            Some(Step::Out(..)) if !worked => Some(Turn::Waiting),
            _ => Some(Turn::Working),
        })
    }

    /// Results that wait for something before them.
    fn held(&self) -> usize {
        let held = self.steps.iter().filter(|step| matches!(step, Step::Held(..)));
        held.count()
    }

    /// Results, here or to come, that have to wait for something that is done here.
    fn behind(&self) -> usize {
        let is_out = |step: &&Step| matches!(step, Step::Out(..));
        let behind = self.steps.iter().skip_while(is_out);
        behind
            .filter(|step| matches!(step, Step::Out(..) | Step::Held(..)))
            .count()
    }

    /// The next task; steps without one are only noted.
    fn deal(&mut self, budget: u64, log: &mut Vec<String>) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(task) = self.deal_part()? {
                return Ok(Some(task));
            }
            let first = self.planned;
            let Some(kind) = self.group(first) else {
                if first < self.selection.items.len() {
                    // Only folders and links are left: they go with the next group, or make the last one.
                    return self.deal_batch(first, self.selection.items.len()).map(Some);
                }
                if self.previous.is_some() && !self.steps.iter().any(|s| matches!(s, Step::CheckPrevious)) {
                    self.steps.push_back(Step::CheckPrevious);
                }
                return Ok(None);
            };
            match kind {
                Group::Copied => {
                    let end = self.end_of_copy(first);
                    self.steps.push_back(Step::Copy(first..end));
                    self.planned = end;
                }
                Group::Small => {
                    let end = self.end_of_batch(first, budget);
                    return self.deal_batch(first, end).map(Some);
                }
                Group::Large(item) if item > first => {
                    return self.deal_batch(first, item).map(Some);
                }
                Group::Large(item) => {
                    self.planned = item + 1;
                    self.begin_large(item, log);
                }
            }
        }
    }

    /// What the next items are, by the first file among them.
    fn group(&self, first: usize) -> Option<Group> {
        let items = self.selection.items.get(first..)?;
        let at = items.iter().position(|i| i.kind == ItemKind::File)?;
        Some(if self.is_copied(first + at) {
            Group::Copied
        } else if items[at].size > BLOCK {
            Group::Large(first + at)
        } else {
            Group::Small
        })
    }

    fn is_copied(&self, item: usize) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.has(item))
    }

    fn end_of_copy(&self, first: usize) -> usize {
        let items = &self.selection.items[first..];
        let end = items
            .iter()
            .enumerate()
            .position(|(at, item)| item.kind == ItemKind::File && !self.is_copied(first + at));
        end.map_or(self.selection.items.len(), |at| first + at)
    }

    fn end_of_batch(&self, first: usize, budget: u64) -> usize {
        let mut left = budget.clamp(1, BLOCK);
        let mut end = first;
        for item in &self.selection.items[first..] {
            let is_file = item.kind == ItemKind::File;
            if left == 0
                || end - first == BATCH_MAX
                || (is_file && (item.size > BLOCK || self.is_copied(end)))
            {
                break;
            }
            // At least one, whatever its size, but not one that makes a full batch much larger.
            if is_file && end > first && item.size > left {
                break;
            }
            left = left.saturating_sub(ITEM_COST + if is_file { item.size } else { 0 });
            end += 1;
        }
        end
    }

    fn deal_batch(&mut self, first: usize, end: usize) -> Result<Vec<u8>> {
        let end = end.min(first + BATCH_MAX);
        let things = self.selection.items[first..end].iter().filter_map(|item| {
            Some(ToPack {
                path: &item.path,
                source: item.source,
                kind: match item.kind {
                    ItemKind::File => Kind::File,
                    ItemKind::Directory => Kind::Directory,
                    ItemKind::Symlink => Kind::Symlink(item.target.as_deref().unwrap_or("")),
                    // Only the manifest has it.
                    ItemKind::AbsoluteSymlink => return None,
                },
                size: item.size,
                mtime_ns: item.mtime_ns(),
                mode: item.mode(),
            })
        });
        let task = encode(&Task::Batch(things.collect()))?;
        self.steps.push_back(Step::Out(Work::Batch(first..end)));
        self.planned = end;
        Ok(task)
    }

    /// A file that is not in the archive after all.
    fn drop_item(&mut self, at: usize, lost: Lost, log: &mut Vec<String>) {
        let item = &mut self.selection.items[at];
        let skip = Skip {
            path: item.path.to_string(),
            reason: lost.reason,
            missing: lost.missing,
        };
        log.push(skip_line(&skip));
        self.bytes_total = self.bytes_total.saturating_sub(item.size);
        self.total = self.total.saturating_sub(1);
        item.dropped = true;
        self.selection.skips.push(skip);
    }

    /// Counts an item whose content is written.
    fn count_item(&mut self, at: usize, observed_size: u64) {
        let item = &self.selection.items[at];
        if item.kind == ItemKind::File {
            self.bytes_total = self
                .bytes_total
                .saturating_sub(observed_size)
                .saturating_add(item.size);
            self.done += 1;
        }
        self.current = at + 1;
    }
}

/// What the next items are.
enum Group {
    /// Unchanged since the previous archive.
    Copied,
    /// To be packed whole.
    Small,
    /// This one is to be cut into parts; what is before it is neither file nor copied.
    Large(usize),
}
