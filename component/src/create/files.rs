//! Reads what was selected, one item after another, and packs it. A file is read up to the size that it has when
//! it is opened; one that changed meanwhile is read once more, then kept and marked. Nothing that goes wrong
//! with one file ends the run: it becomes a skip with its reason.

use super::pack::{Packer, Plain, SMALL};
use crate::archive::writer::{EntryKind, Meta};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{File, FileKind, READ_SIZE, Stat};
use crate::scan::{Item, ItemKind, Selection};
use crate::types::Skip;

/// What an item counts against a step's budget besides its bytes: opening and asking takes time as well.
const ITEM_COST: u64 = 4096;

/// Larger files that changed are not read again: it would double the time of a run for a file that is always
/// being written, such as the disk of a virtual machine.
const RETRY_MAX: u64 = 256 * 1024 * 1024;

/// The reason of a file that was there when the source was looked at, and not when it was to be read.
const VANISHED: &str = "it vanished during the run";

/// The items of a run on their way into the archive.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) selection: Selection,
    pub(super) packer: Packer,
    next: usize,
    open: Option<OpenFile>,
    piece: Vec<u8>,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) bytes_done: u64,
    pub(super) bytes_total: u64,
}

/// The file being read; its item is the one at `Files::next`.
#[derive(Debug)]
struct OpenFile {
    file: File,
    at_open: Stat,
    offset: u64,
    again: bool,
}

/// What became of a file.
enum Outcome {
    /// All of it was read, and it had not changed.
    Whole,
    /// It changed, or ended early.
    Changed,
    /// The step's budget is used up; there is more.
    Pause,
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

fn meta<'a>(item: &'a Item, kind: EntryKind) -> Meta<'a> {
    Meta {
        path: &item.path,
        kind,
        mode: item.mode(),
        mtime_ns: item.mtime_ns(),
    }
}

impl Files {
    pub(super) fn new(selection: Selection, packer: Packer) -> Self {
        let files = || selection.items.iter().filter(|i| i.kind == ItemKind::File);
        Self {
            total: files().count() as u64,
            bytes_total: files().map(|i| i.size).fold(0, u64::saturating_add),
            selection,
            packer,
            next: 0,
            open: None,
            piece: Vec::new(),
            done: 0,
            bytes_done: 0,
        }
    }

    /// Path of the item that comes next.
    pub(super) fn current(&self) -> Option<String> {
        self.selection.items.get(self.next).map(|i| i.path.to_string())
    }

    /// Packs about `budget` bytes; false when nothing is left. Lines for the log go to `log`.
    pub(super) fn pack(&mut self, budget: u64, log: &mut Vec<String>) -> Result<bool> {
        let mut budget = budget.max(1);
        while budget > 0 {
            let Some(item) = self.selection.items.get(self.next) else {
                return Ok(false);
            };
            if self.open.is_none() {
                budget = budget.saturating_sub(ITEM_COST);
            }
            match item.kind {
                ItemKind::File => self.file(&mut budget, log)?,
                kind => self.other(kind)?,
            }
        }
        Ok(self.next < self.selection.items.len())
    }

    fn other(&mut self, kind: ItemKind) -> Result<()> {
        let item = &mut self.selection.items[self.next];
        let target = item.target.clone();
        let content = target.as_deref().unwrap_or("").as_bytes();
        if kind == ItemKind::AbsoluteSymlink {
            item.crc32 = crc32fast::hash(content);
        } else {
            let kind = if kind == ItemKind::Directory {
                EntryKind::Directory
            } else {
                EntryKind::Symlink
            };
            item.crc32 = self.packer.add_stored(&meta(item, kind), content)?.crc32;
        }
        self.next += 1;
        Ok(())
    }

    /// Reads the current file on; an error that is only this file's makes it a skip.
    fn file(&mut self, budget: &mut u64, log: &mut Vec<String>) -> Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => match self.open_file(false) {
                Ok(open) => open,
                Err(e) => return self.drop_file(&e, log),
            },
        };
        match self.read(&mut open, budget)? {
            Ok(Outcome::Pause) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Outcome::Whole) => self.keep(&open, false, log),
            Ok(Outcome::Changed) if open.again || open.at_open.size > RETRY_MAX => {
                self.keep(&open, true, log)
            }
            Ok(Outcome::Changed) => {
                self.forget(open.offset);
                match self.open_file(true) {
                    Ok(again) => {
                        self.open = Some(again);
                        Ok(())
                    }
                    Err(e) => self.drop_file(&e, log),
                }
            }
            Err(e) => {
                self.forget(open.offset);
                self.drop_file(&e, log)
            }
        }
    }

    fn forget(&mut self, read: u64) {
        self.packer.give_up();
        self.bytes_done = self.bytes_done.saturating_sub(read);
    }

    fn open_file(&mut self, again: bool) -> Result<OpenFile> {
        let item = &mut self.selection.items[self.next];
        let root = &self.selection.roots[usize::from(item.source)];
        let path = &item.path[root.folder.len() + 1..];
        let file = root.dir.open(path)?;
        let at_open = file.stat()?;
        if at_open.kind != FileKind::File {
            return Err(Error::new(ErrorKind::Io, "open", "not a regular file"));
        }
        // The host's word counts, so that the same observations give the same bytes; not where the file is
        // plainly another one by now, or nobody looked.
        let another = again || item.size != at_open.size;
        if item.mtime_ns().is_none() || (another && at_open.mtime_ns.is_some()) {
            item.set_mtime_ns(at_open.mtime_ns);
        }
        self.packer.begin(at_open.size);
        Ok(OpenFile {
            file,
            at_open,
            offset: 0,
            again,
        })
    }

    /// Reads until the end, the budget's end or an error. The outer error is the archive's (it ends the run),
    /// the inner one the file's.
    fn read(&mut self, open: &mut OpenFile, budget: &mut u64) -> Result<Result<Outcome>> {
        let size = open.at_open.size;
        let item = &self.selection.items[self.next];
        let meta = meta(item, EntryKind::File);
        while open.offset < size {
            if *budget == 0 && open.offset > SMALL as u64 {
                return Ok(Ok(Outcome::Pause));
            }
            let wanted = usize::try_from(size - open.offset).map_or(READ_SIZE, |rest| rest.min(READ_SIZE));
            if let Err(e) = open.file.read_at(&mut self.piece, wanted, open.offset) {
                return Ok(Err(e));
            }
            if self.piece.is_empty() {
                return Ok(Ok(Outcome::Changed));
            }
            let n = self.piece.len() as u64;
            self.packer.push(&meta, &self.piece)?;
            open.offset += n;
            self.bytes_done += n;
            *budget = budget.saturating_sub(n);
        }
        Ok(open.file.stat().map(|now| {
            if now.size == size && now.mtime_ns == open.at_open.mtime_ns {
                Outcome::Whole
            } else {
                Outcome::Changed
            }
        }))
    }

    fn keep(&mut self, open: &OpenFile, changed: bool, log: &mut Vec<String>) -> Result<()> {
        let item = &mut self.selection.items[self.next];
        let Plain { size, crc32 } = self.packer.end(&meta(item, EntryKind::File))?;
        debug_assert_eq!(size, open.offset);
        self.bytes_total = self.bytes_total.saturating_sub(item.size).saturating_add(size);
        item.size = size;
        item.crc32 = crc32;
        item.changed = changed;
        if changed {
            log.push(format!("changed while it was read: {}", item.path.escape_debug()));
        }
        self.done += 1;
        self.next += 1;
        Ok(())
    }

    fn drop_file(&mut self, e: &Error, log: &mut Vec<String>) -> Result<()> {
        let item = &mut self.selection.items[self.next];
        let root = &self.selection.roots[usize::from(item.source)];
        let there = root.dir.stat(&item.path[root.folder.len() + 1..]);
        let (reason, missing) = match (e.kind, there) {
            (ErrorKind::NotFound, _) | (_, Ok(None)) => (VANISHED.to_owned(), false),
            (_, Ok(Some(stat))) if stat.kind != FileKind::File => (
                "it was no regular file any more when it was read".to_owned(),
                false,
            ),
            (ErrorKind::AccessDenied, _) => ("access denied".to_owned(), true),
            _ => (e.message.clone(), true),
        };
        let skip = Skip {
            path: item.path.to_string(),
            reason,
            missing,
        };
        log.push(skip_line(&skip));
        self.selection.skips.push(skip);
        self.bytes_total = self.bytes_total.saturating_sub(item.size);
        self.total = self.total.saturating_sub(1);
        item.dropped = true;
        self.next += 1;
        Ok(())
    }
}
