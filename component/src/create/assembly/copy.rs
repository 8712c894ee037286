//! Entries that are copied from the previous archive, in compressed form, neighbours as one range.

use std::ops::Range;

use super::{Assembly, Step, content, meta};
use crate::archive::BLOCK;
use crate::archive::codec::Method;
use crate::archive::writer::{EntryKind, local_header, streamed_frame};
use crate::create::reuse::{Copying, Previous, Stop};
use crate::scan::ItemKind;

/// What an item counts besides its bytes.
const ITEM_COST: u64 = 256;

impl Assembly {
    /// Copies about `budget` bytes of these items; what is left comes first again. Gives the bytes.
    pub(super) fn copy(&mut self, mut items: Range<usize>, budget: u64) -> Copying<u64> {
        let Some(mut previous) = self.previous.take() else {
            return Ok(0);
        };
        let mut spent = 0;
        while spent < budget {
            if previous.is_within() {
                // The middle of a large entry.
                let bytes = previous.copy_on(&mut self.writer, budget - spent)?;
                spent += bytes.max(1);
                self.count_copied(bytes, &mut previous);
                continue;
            }
            let Some(index) = items.next() else {
                break;
            };
            spent += ITEM_COST;
            self.copy_item(index, &mut previous)?;
        }
        if !items.is_empty() || previous.is_within() {
            self.steps.push_front(Step::Copy(items));
        }
        self.previous = Some(previous);
        Ok(spent)
    }

    /// Writes a folder or link, or begins to copy a file.
    fn copy_item(&mut self, index: usize, previous: &mut Previous) -> Copying<()> {
        self.current = index;
        let item = &mut self.selection.items[index];
        let start = self.writer.position();
        match item.kind {
            ItemKind::AbsoluteSymlink => return Ok(()),
            ItemKind::Directory | ItemKind::Symlink => {
                let stored = item.target.as_deref().unwrap_or("").as_bytes();
                item.crc32 = crc32fast::hash(stored);
                item.stored = stored.len() as u64;
                (item.method, item.start) = (Method::Store, start);
                let (meta, content) = (meta(item), content(item));
                debug_assert!(meta.kind != EntryKind::File);
                let mut bytes = Vec::new();
                local_header(&meta, &content, &mut bytes);
                bytes.extend_from_slice(stored);
                previous.pass(&mut self.writer, &bytes)?;
                self.writer.note(&meta, &content, start);
                self.writer.append(&bytes)?;
                self.count_item(index, 0);
                return Ok(());
            }
            ItemKind::File => {}
        }
        let Some(row) = previous.row(index) else {
            return Err(Stop::Damaged("a row of its cache is gone".to_owned()));
        };
        (item.crc32, item.stored, item.method, item.start) = (row.crc32, row.stored, row.method, start);
        let streamed = item.size > BLOCK;
        let (meta, content) = (meta(item), content(item));
        let (header, tail) = if streamed {
            streamed_frame(&meta, &content)
        } else {
            let mut header = Vec::new();
            local_header(&meta, &content, &mut header);
            (header, Vec::new())
        };
        if let Some(blocks) = &row.blocks {
            self.blocks.insert(index, blocks.to_vec());
        }
        let offset = row.offset;
        previous.begin(offset, header, content.stored, tail);
        if streamed {
            self.writer.note_streamed(&meta, &content, start);
        } else {
            self.writer.note(&meta, &content, start);
        }
        self.reused = self.reused.saturating_add(content.stored);
        self.uncounted = content.size;
        self.count_item(index, content.size);
        // Its content is still to be copied.
        self.current = index;
        Ok(())
    }

    /// Counts bytes of the previous archive. Each step has to be seen, also in the middle of an entry and where
    /// nothing is written: who watches takes a run that stands still for a stuck one.
    fn count_copied(&mut self, bytes: u64, previous: &mut Previous) {
        let skipped = previous.take_skipped();
        self.count_skipped(skipped);
        let rest = self.uncounted;
        let counted = if previous.is_within() {
            bytes.saturating_sub(skipped).min(rest)
        } else {
            rest
        };
        self.uncounted -= counted;
        self.bytes_done = self.bytes_done.saturating_add(counted);
    }

    /// Counts bytes that are read for the checksum alone: work that nobody knew of before.
    fn count_skipped(&mut self, bytes: u64) {
        self.bytes_total = self.bytes_total.saturating_add(bytes);
        self.bytes_done = self.bytes_done.saturating_add(bytes);
    }

    /// Reads about `budget` bytes of what is left of the previous archive.
    pub(super) fn check_previous(&mut self, budget: u64) -> Copying<u64> {
        let Some(mut previous) = self.previous.take() else {
            return Ok(0);
        };
        let (spent, ended) = previous.check_rest(&mut self.writer, budget)?;
        self.count_skipped(spent);
        if !ended {
            self.previous = Some(previous);
            self.steps.push_front(Step::CheckPrevious);
        }
        Ok(spent)
    }
}
