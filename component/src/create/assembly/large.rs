//! Large files: dealt out in parts, each compressed by itself, and written as one entry. One that changes
//! meanwhile is given up and read once more here, part by part, then kept and marked.

use super::{Assembly, Step, Work, meta};
use crate::archive::BLOCK;
use crate::archive::codec::Method;
use crate::create::messages::{Block, Done, Lost, Part, Task};
use crate::create::worker::{is_newer, lost, regular, time_of};
use crate::error::Result;
use crate::fs::{Roots, Stat};
use crate::scan::Item;
use crate::shards::{decode, encode, unexpected};

/// Larger files that changed are not read again: it would double the time of a run for a file that is always
/// being written, such as the disk of a virtual machine.
const RETRY_MAX: u64 = 256 * 1024 * 1024;

/// A large file on its way.
#[derive(Debug)]
pub(super) struct Large {
    of: PartOf,
    at_open: Stat,
    offset: u64,
    method: Option<Method>,
}

/// What a part belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartOf {
    pub(super) item: usize,
    /// Size that the scan saw, for the totals.
    observed_size: u64,
    /// Size when it was opened first.
    size: u64,
    /// Bytes of the part.
    length: u64,
    last: bool,
    /// What changed is kept and marked.
    lenient: bool,
}

/// A large entry being written.
#[derive(Debug)]
pub(super) struct Entry {
    method: Method,
    crc: crc32fast::Hasher,
    size: u64,
    blocks: Vec<u64>,
    changed: bool,
}

impl Large {
    /// The task of the next part.
    fn part(&mut self, item: &Item) -> Result<(Vec<u8>, PartOf)> {
        let length = (self.of.size - self.offset).min(BLOCK);
        let task = encode(&Task::Block(Part {
            path: &item.path,
            source: item.source,
            size: self.of.size,
            mtime_ns: self.at_open.mtime_ns,
            offset: self.offset,
            length,
            method: self.method,
        }))?;
        self.offset += length;
        let last = self.is_dealt();
        Ok((
            task,
            PartOf {
                length,
                last,
                ..self.of
            },
        ))
    }

    fn is_dealt(&self) -> bool {
        self.offset >= self.of.size
    }
}

impl Assembly {
    /// Opens a large file for its size and time. It may turn out not to be there any more.
    pub(super) fn begin_large(&mut self, item: usize, log: &mut Vec<String>) {
        match self.open_large(item, false) {
            Ok(large) => self.dealing = Some(large),
            Err(lost) => self.drop_item(item, lost, log),
        }
    }

    fn open_large(&mut self, at: usize, again: bool) -> std::result::Result<Large, Lost> {
        let item = &mut self.selection.items[at];
        let root = &self.selection.roots[usize::from(item.source)];
        let path = &item.path[root.folder.len() + 1..];
        let opened = root.dir.open(path).and_then(|file| regular(&file));
        let at_open = opened.map_err(|e| lost(&root.dir, path, &e))?;
        let of = PartOf {
            item: at,
            observed_size: item.size,
            size: at_open.size,
            length: 0,
            last: false,
            lenient: again || at_open.size > RETRY_MAX,
        };
        let another = again || item.size != at_open.size;
        if another || is_newer(item.mtime_ns(), &at_open) {
            item.forget_identity();
        }
        item.set_mtime_ns(time_of(item.mtime_ns(), &at_open, another));
        Ok(Large {
            of,
            at_open,
            offset: 0,
            method: None,
        })
    }

    /// The next part of the large file that is being dealt out.
    pub(super) fn deal_part(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(large) = &mut self.dealing else {
            return Ok(None);
        };
        let (task, part) = large.part(&self.selection.items[large.of.item])?;
        if large.is_dealt() {
            self.dealing = None;
        }
        self.steps.push_back(Step::Out(Work::Part(part)));
        Ok(Some(task))
    }

    /// Reads and compresses the next part of a large file here.
    pub(super) fn again(&mut self, roots: &Roots, mut large: Large, log: &mut Vec<String>) -> Result<u64> {
        let (task, part) = large.part(&self.selection.items[large.of.item])?;
        let piece = self.own.work(roots, &task)?;
        let done: Done = decode(&piece.head)?;
        if let Done::Block(block) = &done {
            large.method = Some(block.method);
        }
        // First, since what is written may have more to be done before it.
        if !large.is_dealt() {
            self.steps.push_front(Step::Again(large));
        }
        self.take_part(part, done, &piece.data, log)?;
        Ok(part.length)
    }

    /// Writes a part of a large file.
    pub(super) fn take_part(
        &mut self,
        part: PartOf,
        done: Done,
        data: &[u8],
        log: &mut Vec<String>,
    ) -> Result<()> {
        let block = match done {
            Done::Block(block) => block,
            Done::Lost(lost) => {
                self.give_up(part.item);
                self.drop_item(part.item, lost, log);
                self.current = part.item + 1;
                return Ok(());
            }
            Done::Batch(_) => return Err(unexpected("a batch where a part was out")),
        };
        let other_method = self.entry.as_ref().is_some_and(|e| e.method != block.method);
        if (block.changed && !part.lenient) || other_method {
            self.give_up(part.item);
            self.large_here(part.item, part.observed_size, log);
            return Ok(());
        }
        if self.entry.is_none() {
            self.begin_entry(part, block.method)?;
        }
        let ended = part.last || block.size < part.length;
        self.append_block(&block, data)?;
        self.bytes_done += block.size;
        if ended {
            self.forget_parts(part.item);
            self.end_entry(part, log)?;
        }
        Ok(())
    }

    fn begin_entry(&mut self, part: PartOf, method: Method) -> Result<()> {
        self.diverge()?;
        let item = &mut self.selection.items[part.item];
        item.start = self.writer.position();
        self.current = part.item;
        self.entry = Some(Entry {
            method,
            crc: crc32fast::Hasher::new(),
            size: 0,
            blocks: Vec::new(),
            changed: false,
        });
        self.writer.begin(&meta(item), method, part.size)
    }

    fn append_block(&mut self, block: &Block, data: &[u8]) -> Result<()> {
        let Some(entry) = &mut self.entry else {
            return Ok(());
        };
        entry
            .crc
            .combine(&crc32fast::Hasher::new_with_initial_len(block.crc32, block.size));
        entry.size += block.size;
        entry.changed |= block.changed;
        if block.size == 0 && !entry.blocks.is_empty() {
            // The file ended just behind the block before.
            return Ok(());
        }
        entry.blocks.push(data.len() as u64);
        self.writer.append(data)
    }

    fn end_entry(&mut self, part: PartOf, log: &mut Vec<String>) -> Result<()> {
        let Some(mut entry) = self.entry.take() else {
            return Ok(());
        };
        let tail = entry.method.tail();
        self.writer.append(tail)?;
        if let Some(last) = entry.blocks.last_mut() {
            *last += tail.len() as u64;
        }
        let item = &mut self.selection.items[part.item];
        item.size = entry.size;
        item.crc32 = entry.crc.finalize();
        item.method = entry.method;
        item.stored = self.writer.end(item.size, item.crc32)?;
        item.changed = entry.changed;
        if item.changed {
            log.push(super::changed_line(item));
        }
        if entry.method != Method::Store {
            self.blocks.insert(part.item, entry.blocks);
        }
        self.count_item(part.item, part.observed_size);
        Ok(())
    }

    /// Takes back what is written of an entry; what is out of it will be thrown away.
    fn give_up(&mut self, item: usize) {
        if let Some(entry) = self.entry.take() {
            self.bytes_done = self.bytes_done.saturating_sub(entry.size);
            self.writer.give_up();
        }
        self.forget_parts(item);
    }

    fn forget_parts(&mut self, item: usize) {
        let is_of = |work: &Work| matches!(work, Work::Part(part) if part.item == item);
        if self.dealing.as_ref().is_some_and(|large| large.of.item == item) {
            self.dealing = None;
        }
        self.steps.retain_mut(|step| match step {
            Step::Out(work) if is_of(work) => {
                *work = Work::Stale;
                true
            }
            Step::Held(work, ..) if is_of(work) => false,
            Step::Again(large) => large.of.item != item,
            _ => true,
        });
    }

    /// The file is read here, in its turn.
    pub(super) fn large_here(&mut self, item: usize, observed_size: u64, log: &mut Vec<String>) {
        match self.open_large(item, true) {
            Ok(mut large) => {
                large.of.observed_size = observed_size;
                self.steps.push_front(Step::Again(large));
            }
            Err(lost) => self.drop_item(item, lost, log),
        }
    }
}
