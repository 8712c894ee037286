//! Results of tasks: kept until their turn comes, then written.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Assembly, Step, Work, content, meta};
use crate::create::messages::{Done, Packed};
use crate::create::reuse::Copying;
use crate::error::Result;
use crate::fs::Roots;
use crate::scan::ItemKind;
use crate::shards::{Piece, decode, unexpected};

impl Assembly {
    /// Takes the result of the oldest task that is out.
    pub(in crate::create) fn take(&mut self, piece: Piece, log: &mut Vec<String>) -> Result<()> {
        let at = self
            .steps
            .iter()
            .position(|step| matches!(step, Step::Out(..)))
            .ok_or_else(|| unexpected("no task is out"))?;
        let done = decode(&piece.head)?;
        let Some(Step::Out(work)) = self.steps.remove(at) else {
            return Ok(());
        };
        match work {
            Work::Stale => {}
            work if at == 0 => return self.write(work, done, piece.data, log),
            work => self.steps.insert(at, Step::Held(work, done, piece.data)),
        }
        Ok(())
    }

    /// Does about `budget` bytes of what is first in turn and can be done here. Says whether anything was done.
    pub(super) fn work_off(&mut self, roots: &Roots, budget: u64, log: &mut Vec<String>) -> Copying<bool> {
        let mut left = budget.max(1);
        let mut worked = false;
        while left > 0 {
            let spent = match self.steps.pop_front() {
                Some(Step::Held(work, done, data)) => {
                    let size = data.len() as u64;
                    self.write(work, done, data, log)?;
                    size
                }
                Some(Step::Rest(items, packed, data)) => {
                    let size = data.len() as u64;
                    self.write_batch(items, packed, data, log)?;
                    size
                }
                Some(Step::Again(large)) => self.again(roots, large, log)?,
                Some(Step::Copy(items)) => self.copy(items, left)?,
                Some(Step::CheckPrevious) => self.check_previous(left)?,
                Some(out @ Step::Out(..)) => {
                    self.steps.push_front(out);
                    break;
                }
                None => break,
            };
            worked = true;
            left = left.saturating_sub(spent.max(1));
        }
        Ok(worked)
    }

    /// Told before something else than a copy is written.
    pub(super) fn diverge(&mut self) -> Result<()> {
        match &mut self.previous {
            Some(previous) => previous.diverge(&mut self.writer).map(drop),
            None => Ok(()),
        }
    }

    fn write(&mut self, work: Work, done: Done, data: Vec<u8>, log: &mut Vec<String>) -> Result<()> {
        match (work, done) {
            (Work::Batch(items), Done::Batch(packed)) => self.write_batch(items, packed.into(), data, log),
            (Work::Part(part), done) => self.take_part(part, done, &data, log),
            (Work::Stale, _) => Ok(()),
            (Work::Batch(_), _) => Err(unexpected("no batch where a batch was out")),
        }
    }

    /// Writes the entries of a batch, up to one that has to be read here first.
    fn write_batch(
        &mut self,
        mut items: Range<usize>,
        mut packed: VecDeque<Packed>,
        data: Vec<u8>,
        log: &mut Vec<String>,
    ) -> Result<()> {
        self.diverge()?;
        let base = self.writer.position();
        let mut at = 0_u64;
        while let Some(index) = items.next() {
            self.current = index;
            let item = &mut self.selection.items[index];
            if item.kind == ItemKind::AbsoluteSymlink {
                continue;
            }
            let observed_size = item.size;
            match packed.pop_front() {
                Some(Packed::Entry {
                    size,
                    stored,
                    crc32,
                    method,
                    mtime_ns,
                    changed,
                    another,
                }) => {
                    (item.size, item.stored, item.crc32) = (size, stored, crc32);
                    (item.method, item.changed, item.start) = (method, changed, base + at);
                    item.set_mtime_ns(mtime_ns);
                    if another || changed {
                        item.forget_identity();
                    }
                    if changed {
                        log.push(super::changed_line(item));
                    }
                    let length = self.writer.note(&meta(item), &content(item), base + at);
                    at += length + stored;
                    if item.kind == ItemKind::File {
                        self.bytes_done += size;
                    }
                    self.count_item(index, observed_size);
                }
                Some(Packed::Lost(lost)) => {
                    self.drop_item(index, lost, log);
                    self.current = index + 1;
                }
                Some(Packed::Large) => {
                    let cut = usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
                    self.writer.append(&data[..cut])?;
                    if !items.is_empty() {
                        self.steps
                            .push_front(Step::Rest(items, packed, data[cut..].to_vec()));
                    }
                    self.large_here(index, observed_size, log);
                    return Ok(());
                }
                None => return Err(unexpected("fewer results than things in the batch")),
            }
        }
        if at != data.len() as u64 || !packed.is_empty() {
            return Err(unexpected("its data is not what its head says"));
        }
        self.writer.append(&data)
    }
}
