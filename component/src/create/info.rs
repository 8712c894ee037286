//! The last entry, `backup_info.json`: its header, then row by row what was packed, so that the list exists in
//! memory only once. Its text is compressed like everything else: in blocks, by workers.

use std::collections::BTreeMap;

use super::Described;
use super::assembly::Assembly;
use super::messages::{Bytes, Done, Task};
use crate::archive::BLOCK;
use crate::archive::writer::{Content, EntryKind, Finished, Meta, ZipWriter};
use crate::catalog::{Record, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    MANIFEST_FORMAT, MANIFEST_NAME, ManifestEntry, ManifestHeader, WIT_VERSION, format_crc, format_mode,
    format_time, parse_time,
};
use crate::scan::{Item, ItemKind};
use crate::shards::{Piece, Turn, decode, encode, unexpected};
use crate::types::{DatabaseInfo, REPORT_LIMIT};

/// What a row takes at most besides its path, target and blocks: 6 bytes for each byte of theirs are counted apart.
const ROW_MAX: usize = 300;
/// What one block's length takes at most.
const LENGTH_MAX: usize = 21;

/// The manifest being written.
#[derive(Debug)]
pub(super) struct Info {
    writer: ZipWriter,
    items: Vec<Item>,
    blocks: BTreeMap<usize, Vec<u64>>,
    next: usize,
    first: bool,
    text: Vec<u8>,
    mtime_ns: Option<i64>,
    described: Described,
    /// Most bytes that the manifest will have.
    hint: u64,
    /// Whether the text is complete.
    complete: bool,
    /// Tasks that are out.
    out: u64,
    /// Some text was dealt out.
    dealt: bool,
    /// All of the text is out as one task.
    whole: bool,
    /// The entry, once it is begun in blocks: its CRC and size.
    entry: Option<(crc32fast::Hasher, u64)>,
}

/// A finished archive.
pub(super) struct Written {
    pub(super) described: Described,
    pub(super) archive: Finished,
    pub(super) items: Vec<Item>,
    pub(super) blocks: BTreeMap<usize, Vec<u64>>,
}

fn failed(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Io, "write manifest", e.to_string())
}

impl Info {
    /// Begins the manifest of a run whose files are all packed.
    pub(super) fn new(packed: Assembly, row: &Record, databases: Vec<DatabaseInfo>) -> Result<Self> {
        let mut skips = packed.selection.skips;
        skips.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let items = packed.selection.items;
        let blocks = packed.blocks;
        let writer = packed.writer;
        let packed = || items.iter().filter(|i| i.kind == ItemKind::File && !i.dropped);
        let changed = || packed().filter(|i| i.changed);
        let mut described = Described {
            status: if skips.iter().any(|s| s.missing) {
                Status::Partial
            } else {
                Status::Completed
            },
            file_count: packed().count() as u64,
            source_bytes: packed().map(|i| i.size).fold(0, u64::saturating_add),
            skips: Vec::new(),
            changed: changed().count() as u64,
            changed_paths: changed().take(REPORT_LIMIT).map(|i| i.path.to_string()).collect(),
        };
        let header = ManifestHeader {
            format: MANIFEST_FORMAT,
            id: row.id,
            name: row.name.clone(),
            backup_type: row.backup_type.clone(),
            plan: row.plan.clone().unwrap_or_default(),
            timestamp: row.timestamp.clone(),
            started_at: row.started_at.clone().unwrap_or_default(),
            status: described.status,
            component_version: env!("CARGO_PKG_VERSION").to_owned(),
            wit_version: WIT_VERSION.to_owned(),
            file_count: described.file_count,
            source_bytes: described.source_bytes,
            databases,
            skipped: skips,
        };
        let mut text = serde_json::to_vec_pretty(&header).map_err(|e| failed(&e))?;
        described.skips = header.skipped;
        text.truncate(text.trim_ascii_end().len() - 1); // the closing brace: the rows come before it
        text.truncate(text.trim_ascii_end().len());
        text.extend_from_slice(b",\n  \"entries\": [");
        let names: usize = items
            .iter()
            .map(|i| ROW_MAX + 6 * (i.path.len() + i.target.as_ref().map_or(0, |t| t.len())))
            .sum();
        let lengths: usize = blocks.values().map(|lengths| lengths.len() * LENGTH_MAX).sum();
        Ok(Self {
            writer,
            items,
            blocks,
            next: 0,
            first: true,
            hint: (text.len() + names + lengths) as u64,
            text,
            mtime_ns: row.started_at.as_deref().and_then(parse_time),
            described,
            complete: false,
            out: 0,
            dealt: false,
            whole: false,
            entry: None,
        })
    }

    /// Writes rows, about `budget` bytes of them, until there is a block of text to be compressed; `None` when
    /// everything is written.
    pub(super) fn next(&mut self, budget: u64) -> Result<Option<Turn>> {
        let mut budget = budget.max(1);
        while (self.text.len() as u64) < BLOCK && !self.complete {
            if budget == 0 {
                return Ok(Some(Turn::Working));
            }
            let before = self.text.len();
            self.push_row()?;
            budget = budget.saturating_sub((self.text.len() - before) as u64 + 1);
        }
        if self.text.is_empty() {
            return Ok((self.out > 0).then_some(Turn::Waiting));
        }
        let length = usize::try_from(BLOCK).map_or(self.text.len(), |block| block.min(self.text.len()));
        self.whole = self.complete && !self.dealt && length == self.text.len();
        let task = Task::Text {
            text: Bytes(&self.text[..length]),
            whole: self.whole,
        };
        let task = encode(&task)?;
        self.text.drain(..length);
        self.dealt = true;
        self.out += 1;
        Ok(Some(Turn::Task(task)))
    }

    fn push_row(&mut self) -> Result<()> {
        let Some(item) = self.items.get(self.next) else {
            self.text.extend_from_slice(b"\n  ]\n}\n");
            self.complete = true;
            return Ok(());
        };
        let blocks = self.blocks.get(&self.next);
        self.next += 1;
        if item.dropped {
            return Ok(());
        }
        self.text
            .extend_from_slice(if self.first { b"\n    " } else { b",\n    " });
        self.first = false;
        serde_json::to_writer(&mut self.text, &row(item, blocks)).map_err(|e| failed(&e))
    }

    /// Takes compressed text.
    pub(super) fn take(&mut self, piece: &Piece) -> Result<()> {
        let Done::Block(block) = decode(&piece.head)? else {
            return Err(unexpected("no block where text was out"));
        };
        self.out = self
            .out
            .checked_sub(1)
            .ok_or_else(|| unexpected("no task is out"))?;
        let meta = meta(self.mtime_ns);
        if self.whole {
            let content = Content {
                method: block.method,
                crc32: block.crc32,
                size: block.size,
                stored: piece.data.len() as u64,
            };
            return self.writer.add(&meta, &content, &piece.data);
        }
        let (crc, size) = match &mut self.entry {
            Some(entry) => entry,
            none => {
                self.writer.begin(&meta, block.method, self.hint)?;
                none.insert((crc32fast::Hasher::new(), 0))
            }
        };
        crc.combine(&crc32fast::Hasher::new_with_initial_len(block.crc32, block.size));
        *size += block.size;
        self.writer.append(&piece.data)?;
        if self.complete && self.text.is_empty() && self.out == 0 {
            self.writer.append(block.method.tail())?;
            self.writer.end(*size, crc.clone().finalize())?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<Written> {
        Ok(Written {
            described: self.described,
            archive: self.writer.finish()?,
            items: self.items,
            blocks: self.blocks,
        })
    }
}

/// The manifest's own headers: nothing of the running host is in them.
fn meta(mtime_ns: Option<i64>) -> Meta<'static> {
    Meta {
        path: MANIFEST_NAME,
        kind: EntryKind::File,
        mode: Some(0o600),
        mtime_ns,
    }
}

fn row(item: &Item, blocks: Option<&Vec<u64>>) -> ManifestEntry {
    ManifestEntry {
        path: item.path.to_string(),
        kind: match item.kind {
            ItemKind::File => "file",
            ItemKind::Directory => "directory",
            ItemKind::Symlink => "symlink",
            ItemKind::AbsoluteSymlink => "absolute-symlink",
        }
        .to_owned(),
        size: item.size,
        mtime: item.mtime_ns().map(format_time),
        mode: item.mode().map(format_mode),
        crc32: (item.kind != ItemKind::Directory).then(|| format_crc(item.crc32)),
        target: item.target.as_deref().map(str::to_owned),
        changed: item.changed,
        blocks: blocks.cloned(),
    }
}
