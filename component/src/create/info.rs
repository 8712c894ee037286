//! The last entry, `backup_info.json`: its header, then row by row what was packed, so that the list exists in
//! memory only once.

use super::Described;
use super::files::Files;
use super::pack::Packer;
use crate::archive::writer::{EntryKind, Finished, Meta};
use crate::catalog::{Record, Status};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    MANIFEST_FORMAT, MANIFEST_NAME, ManifestEntry, ManifestHeader, WIT_VERSION, format_crc, format_mode,
    format_time, parse_time,
};
use crate::scan::{Item, ItemKind};
use crate::types::{DatabaseInfo, REPORT_LIMIT};

/// Bytes that are gathered before they are packed.
const PIECE: usize = 32 * 1024;
/// What a row takes at most besides its path and target: 6 bytes for each of theirs are counted apart.
const ROW_MAX: usize = 300;

/// The manifest being written.
#[derive(Debug)]
pub(super) struct Info {
    packer: Packer,
    items: Vec<Item>,
    next: usize,
    first: bool,
    text: Vec<u8>,
    mtime_ns: Option<i64>,
    described: Described,
}

fn failed(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Io, "write manifest", e.to_string())
}

impl Info {
    /// Begins the manifest of a run whose files are all packed.
    pub(super) fn new(files: Files, row: &Record, databases: Vec<DatabaseInfo>) -> Result<Self> {
        let mut skips = files.selection.skips;
        skips.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        let items = files.selection.items;
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
        let mut packer = files.packer;
        let names: usize = items
            .iter()
            .map(|i| ROW_MAX + 6 * (i.path.len() + i.target.as_ref().map_or(0, |t| t.len())))
            .sum();
        packer.begin((text.len() + names) as u64);
        Ok(Self {
            packer,
            items,
            next: 0,
            first: true,
            text,
            mtime_ns: row.started_at.as_deref().and_then(parse_time),
            described,
        })
    }

    fn push_text(&mut self) -> Result<()> {
        self.packer.push(&meta(self.mtime_ns), &self.text)?;
        self.text.clear();
        Ok(())
    }

    /// Writes about `budget` bytes; false when everything is written.
    pub(super) fn write(&mut self, budget: u64) -> Result<bool> {
        let mut budget = budget.max(1);
        while let Some(item) = self.items.get(self.next) {
            if budget == 0 {
                return Ok(true);
            }
            self.next += 1;
            if item.dropped {
                continue;
            }
            let before = self.text.len();
            self.text
                .extend_from_slice(if self.first { b"\n    " } else { b",\n    " });
            self.first = false;
            serde_json::to_writer(&mut self.text, &row(item)).map_err(|e| failed(&e))?;
            budget = budget.saturating_sub((self.text.len() - before) as u64);
            if self.text.len() >= PIECE {
                self.push_text()?;
            }
        }
        Ok(false)
    }

    /// Ends manifest and archive.
    pub(super) fn finish(mut self) -> Result<(Described, Finished)> {
        self.text.extend_from_slice(b"\n  ]\n}\n");
        self.push_text()?;
        self.packer.end(&meta(self.mtime_ns))?;
        Ok((self.described, self.packer.finish()?))
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

fn row(item: &Item) -> ManifestEntry {
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
    }
}
