//! `.scan.json`: one JSON document with one row a line, sorted by path like the archive, so that it is read and
//! written as a stream. Anything odd in it means that there is no cache.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::BLOCK;
use crate::archive::codec::Method;
use crate::archive::parts::blocks_fit;
use crate::catalog::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File, READ_SIZE};
use crate::scan::{Item, ItemKind};
use crate::types::Compression;

/// Name of the file.
const NAME: &str = ".scan.json";
/// Where it is written aside.
const ASIDE: &str = ".scan.json.partial";
/// Version of the file's format, and of the way in which entries are packed: what was packed in another way is
/// not copied, so that the same input gives the same bytes whether something is copied or not.
const FORMAT: u32 = 1;
/// What ends the first line.
const HEAD_END: &str = ",\"rows\":[";
/// Longest line; a path and the blocks of a file of some TiB fit.
const LINE_MAX: usize = 16 << 20;
/// Bytes gathered before they are written.
const PIECE: usize = 256 * 1024;
/// A file whose times are nearer to the start of the run that read it, in nanoseconds, may have changed unseen.
const SETTLED_NS: i64 = 2_000_000_000;

/// How entries are packed. Only what was packed in the same way is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::create) struct Settings {
    format: u32,
    component: String,
    compression: String,
    level: u8,
}

impl Settings {
    /// The settings of a run.
    pub(in crate::create) fn new(compression: Compression, level: u8) -> Self {
        let (compression, level) = match compression {
            Compression::Deflate => ("deflate", level),
            Compression::Zstd => ("zstd", level),
            Compression::Store => ("store", 0),
        };
        Self {
            format: FORMAT,
            component: env!("CARGO_PKG_VERSION").to_owned(),
            compression: compression.to_owned(),
            level,
        }
    }
}

/// The first line, without its opening brace's counterpart.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    settings: Settings,
    id: u64,
    name: String,
    sha256: String,
}

/// A row: path, size, modification time, ctime, inode, CRC-32, stored bytes, method, offset, blocks.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a>(
    #[serde(borrow)] Cow<'a, str>,
    u64,
    i64,
    i64,
    u64,
    u32,
    u64,
    Method,
    u64,
    Option<Box<[u64]>>,
);

/// Where the content of an unchanged file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::create) struct Row {
    pub(in crate::create) offset: u64,
    pub(in crate::create) stored: u64,
    pub(in crate::create) crc32: u32,
    pub(in crate::create) method: Method,
    pub(in crate::create) blocks: Option<Box<[u64]>>,
}

/// What the cache says of some items.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) sha256: String,
    /// By item.
    pub(super) rows: Vec<Option<Box<Row>>>,
}

/// Reads the cache; `None` where there is none that can be used.
pub(super) fn read(dir: &Dir, settings: &Settings, items: &[Item]) -> Result<Option<Cache>> {
    let file = match dir.open(NAME) {
        Ok(file) => file,
        Err(e) if e.kind == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut lines = Lines::new(file);
    let Some(head) = lines.next()?.and_then(head) else {
        return Ok(None);
    };
    if head.settings != *settings {
        return Ok(None);
    }
    let mut cache = Cache {
        id: head.id,
        name: head.name,
        sha256: head.sha256,
        rows: vec![None; items.len()],
    };
    let mut at = 0;
    loop {
        let Some(line) = lines.next()? else {
            // It ended without its last line.
            return Ok(None);
        };
        if line == b"]}" {
            return Ok(Some(cache));
        }
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line.strip_suffix(b",").unwrap_or(line)) else {
            return Ok(None);
        };
        // Both are sorted by path.
        while items
            .get(at)
            .is_some_and(|item| item.path.as_bytes() < line.0.as_bytes())
        {
            at += 1;
        }
        if let Some(item) = items.get(at)
            && let Some(row) = matching(item, line)
        {
            cache.rows[at] = Some(Box::new(row));
        }
    }
}

fn head(line: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix(HEAD_END)?;
    serde_json::from_str(&format!("{text}}}")).ok()
}

/// The row of an item, when it is still the very file.
fn matching(item: &Item, line: Line<'_>) -> Option<Row> {
    let Line(path, size, mtime, ctime, inode, crc32, stored, method, offset, blocks) = line;
    let same = item.kind == ItemKind::File
        && *item.path == *path
        && item.size == size
        && item.mtime_ns() == Some(mtime)
        && item.identity() == Some((ctime, inode));
    let in_blocks = size > BLOCK && method != Method::Store;
    // Nothing else vouches for them, and a manifest with wrong ones makes a good archive look damaged.
    let fit = match &blocks {
        Some(blocks) => in_blocks && blocks_fit(size, stored, blocks),
        None => !in_blocks,
    };
    (same && fit).then_some(Row {
        offset,
        stored,
        crc32,
        method,
        blocks,
    })
}

/// Writes the cache of an archive that is published, in place of the one before. `started_ns` is the start of the
/// run in nanoseconds since 1970. Where nothing could be copied by it the old one stays.
///
/// # Errors
/// What writing says; the old one is still there then.
pub(in crate::create) fn record(
    dir: &Dir,
    settings: &Settings,
    row: &Record,
    items: &[Item],
    blocks: &BTreeMap<usize, Vec<u64>>,
    started_ns: i64,
) -> Result<()> {
    let settled = |item: &Item| is_settled(item, started_ns);
    if !items.iter().any(settled) {
        return Ok(());
    }
    dir.unlink_if_exists(ASIDE)?;
    let rows = items.iter().enumerate().filter(|(_, item)| settled(item));
    let rows = rows.map(|(at, item)| (item, blocks.get(&at)));
    let written = write(&dir.create(ASIDE)?, settings, row, rows);
    match written.and_then(|()| dir.rename(ASIDE, NAME)) {
        Ok(()) => dir.sync(),
        Err(e) => {
            let _ = dir.unlink_if_exists(ASIDE);
            Err(e)
        }
    }
}

/// Whether a file that looks the same at the next run is the same.
fn is_settled(item: &Item, started_ns: i64) -> bool {
    let before = started_ns.saturating_sub(SETTLED_NS);
    item.kind == ItemKind::File
        && !item.dropped
        && !item.changed
        && item.mtime_ns().is_some_and(|mtime| mtime < before)
        && item.identity().is_some_and(|(ctime, _)| ctime < before)
}

fn write<'a>(
    file: &File,
    settings: &Settings,
    row: &Record,
    rows: impl Iterator<Item = (&'a Item, Option<&'a Vec<u64>>)>,
) -> Result<()> {
    let head = Head {
        settings: settings.clone(),
        id: row.id,
        name: row.name.clone(),
        sha256: row.sha256.clone().unwrap_or_default(),
    };
    let failed = |e: serde_json::Error| Error::new(ErrorKind::Io, "write cache", e.to_string()).about(NAME);
    let mut text = serde_json::to_vec(&head).map_err(failed)?;
    text.pop(); // the closing brace: the rows come before it
    text.extend_from_slice(HEAD_END.as_bytes());
    let mut at = 0;
    let mut first = true;
    for (item, blocks) in rows {
        let Some((ctime, inode)) = item.identity() else {
            continue;
        };
        text.extend_from_slice(if std::mem::take(&mut first) { b"\n" } else { b",\n" });
        let line = Line(
            Cow::Borrowed(&item.path),
            item.size,
            item.mtime_ns().unwrap_or(0),
            ctime,
            inode,
            item.crc32,
            item.stored,
            item.method,
            item.start,
            blocks.map(|blocks| blocks.clone().into_boxed_slice()),
        );
        serde_json::to_writer(&mut text, &line).map_err(failed)?;
        if text.len() >= PIECE {
            file.write_all_at(&text, at)?;
            at += text.len() as u64;
            text.clear();
        }
    }
    text.extend_from_slice(b"\n]}\n");
    file.write_all_at(&text, at)?;
    file.sync()
}

/// A file's lines, without what ends them.
struct Lines {
    file: File,
    at: u64,
    buffer: Vec<u8>,
    /// Where the next line begins in the buffer.
    begin: usize,
    piece: Vec<u8>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self {
            file,
            at: 0,
            buffer: Vec::new(),
            begin: 0,
            piece: Vec::new(),
        }
    }

    /// The next line; `None` at the end, for one that is not ended, and for one that is too long.
    fn next(&mut self) -> Result<Option<&[u8]>> {
        let mut searched = self.begin;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.begin..searched + end;
                self.begin = line.end + 1;
                return Ok(Some(&self.buffer[line]));
            }
            self.buffer.drain(..self.begin);
            self.begin = 0;
            searched = self.buffer.len();
            if searched > LINE_MAX {
                return Ok(None);
            }
            self.file.read_at(&mut self.piece, READ_SIZE, self.at)?;
            if self.piece.is_empty() {
                return Ok(None);
            }
            self.at += self.piece.len() as u64;
            self.buffer.extend_from_slice(&self.piece);
        }
    }
}
