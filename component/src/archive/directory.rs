//! The central directory of a ZIP, parsed strictly into a compact table (about 70 bytes an entry and its name).
//!
//! Written by hand rather than with a ZIP library because a backup must have one meaning only: every byte of the
//! file belongs to exactly one entry or to the directory, and every name is there once. A library that opens what
//! it can is right for other programs.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::ends::{self, Ends};
use super::entry_path;
use super::fields::{parse_extra, u16_at, u32_at, widen};
use super::local::LOCAL_SIZE;
use super::reader::{corrupt, shown, unsupported};
use super::window::Window;
use super::writer::EntryKind;
use crate::error::Result;
use crate::fs::{File, READ_SIZE};
use crate::manifest::MANIFEST_NAME;

/// Most bytes that all names together may have.
pub(crate) const MAX_NAMES: usize = 96 << 20;

const CENTRAL: u32 = 0x0201_4b50;
/// Length of a central header without name, extra field and comment.
pub(super) const CENTRAL_SIZE: usize = 46;

/// ZIP's number for "stored".
pub(super) const STORED: u16 = 0;
/// ZIP's number for Deflate.
pub(super) const DEFLATED: u16 = 8;
/// ZIP's number for Zstandard.
pub(super) const ZSTD: u16 = 93;

const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const PATCHED: u16 = 1 << 5;

/// One entry of an archive, as its central directory describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// Path without a trailing `/`.
    pub path: &'a str,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes before compression.
    pub size: u64,
    /// Bytes in the archive.
    pub compressed_size: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Permission bits, where the archive was made on a Unix.
    pub mode: Option<u32>,
    /// Modification time in seconds since 1970, from the extended timestamp field.
    pub mtime: Option<i64>,
}

/// Where an entry lies and what its headers have to say: besides its path all that reading it takes, so that
/// another instance can do it without the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Location {
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) kind: EntryKind,
    pub(super) crc32: u32,
    /// Bytes before compression.
    pub(crate) size: u64,
    /// Bytes in the archive.
    pub(crate) compressed_size: u64,
    /// Of the local header.
    pub(super) offset: u64,
    /// Where the next entry, or the central directory, begins.
    pub(super) limit: u64,
}

impl Location {
    /// Whether the content is the target of a link.
    pub(crate) fn is_link(&self) -> bool {
        self.kind == EntryKind::Symlink
    }
}

/// One entry in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    name_start: u32,
    name_len: u16,
    mode: Option<u16>,
    pub(super) at: Location,
    mtime: Option<i64>,
}

/// The table of all entries, in the order of the central directory.
#[derive(Debug)]
pub(super) struct Directory {
    names: String,
    pub(super) rows: Vec<Row>,
    by_name: Vec<u32>,
}

impl Directory {
    /// Parses and checks the directory of `file`, which has `size` bytes.
    pub(super) fn read(file: &Rc<File>, size: u64) -> Result<Self> {
        let mut window = Window::new(Rc::clone(file), size, READ_SIZE);
        let ends = ends::find(&mut window, size)?;
        let mut directory = Self::parse(&mut window, &ends)?;
        directory.check_layout(ends.start)?;
        directory.check_names()?;
        Ok(directory)
    }

    fn parse(window: &mut Window, ends: &Ends) -> Result<Self> {
        let mut directory = Self {
            names: String::new(),
            rows: Vec::with_capacity(usize::try_from(ends.entries).unwrap_or(0)),
            by_name: Vec::new(),
        };
        let mut at = ends.start;
        for number in 1..=ends.entries {
            at = directory.parse_entry(window, at, ends.end).map_err(|mut e| {
                e.message = format!("entry {number} of the central directory: {}", e.message);
                e
            })?;
        }
        if at != ends.end {
            return Err(corrupt(format!(
                "the central directory has {} bytes more than its {} entries need",
                ends.end - at,
                ends.entries
            )));
        }
        Ok(directory)
    }

    /// Parses the entry at `at`; gives where the next begins.
    fn parse_entry(&mut self, window: &mut Window, at: u64, end: u64) -> Result<u64> {
        let fixed = window.exact(at, CENTRAL_SIZE)?;
        if u32_at(fixed, 0) != CENTRAL {
            return Err(corrupt("it does not begin with its signature"));
        }
        let [name_len, extra_len, comment_len] = [28, 30, 32].map(|i| usize::from(u16_at(fixed, i)));
        let length = CENTRAL_SIZE + name_len + extra_len + comment_len;
        let next = at + length as u64;
        if next > end {
            return Err(corrupt("it reaches beyond the directory's end"));
        }
        let bytes = window.exact(at, length)?;
        let (fixed, rest) = bytes.split_at(CENTRAL_SIZE);
        let (raw_name, rest) = rest.split_at(name_len);
        let row = parse_row(fixed, raw_name, &rest[..extra_len])?;
        let name = std::str::from_utf8(raw_name)
            .map_err(|_| corrupt(format!("the name {} is not UTF-8", raw_name.escape_ascii())))?;
        let name = match row.at.kind {
            EntryKind::Directory => name.strip_suffix('/').unwrap_or(name),
            EntryKind::File | EntryKind::Symlink => name,
        };
        entry_path::check(name).map_err(|e| corrupt(format!("{}: {}", shown(name), e.message)))?;
        self.push(name, row)?;
        Ok(next)
    }

    fn push(&mut self, name: &str, row: Row) -> Result<()> {
        if self.names.len() + name.len() > MAX_NAMES {
            return Err(unsupported("the names need more memory than the sandbox has"));
        }
        self.rows.push(Row {
            name_start: u32::try_from(self.names.len()).unwrap_or(u32::MAX),
            name_len: u16::try_from(name.len()).unwrap_or(u16::MAX),
            ..row
        });
        self.names.push_str(name);
        Ok(())
    }

    /// Entries may lie in any order, but the first begins the file, none overlaps the next, and the last ends
    /// where the directory begins. The exact end of each is checked when it is read.
    fn check_layout(&mut self, directory_start: u64) -> Result<()> {
        let mut order: Vec<u32> = (0..).take(self.rows.len()).collect();
        order.sort_by_key(|&i| self.rows[i as usize].at.offset);
        let first = order
            .first()
            .map_or(directory_start, |&i| self.rows[i as usize].at.offset);
        if first != 0 {
            return Err(corrupt(format!(
                "{first} bytes stand before the first entry and belong to none"
            )));
        }
        let mut limit = directory_start;
        for &i in order.iter().rev() {
            let row = &mut self.rows[i as usize];
            let least = (LOCAL_SIZE as u64 + u64::from(row.name_len))
                .checked_add(row.at.compressed_size)
                .and_then(|n| n.checked_add(row.at.offset));
            if least.is_none_or(|end| end > limit) {
                return Err(corrupt(format!(
                    "the entry {} overlaps what follows it, or lies beyond the end",
                    shown(self.name(i as usize))
                )));
            }
            row.at.limit = limit;
            limit = row.at.offset;
        }
        Ok(())
    }

    /// Every name once, and none both a file and a folder of another.
    fn check_names(&mut self) -> Result<()> {
        let mut order: Vec<u32> = (0..).take(self.rows.len()).collect();
        order.sort_unstable_by(|&a, &b| self.name(a as usize).cmp(self.name(b as usize)));
        for pair in order.windows(2) {
            let name = self.name(pair[0] as usize);
            if name == self.name(pair[1] as usize) {
                return Err(corrupt(format!("the entry {} is there twice", shown(name))));
            }
        }
        self.by_name = order;
        let mut last_parent = "";
        for index in 0..self.rows.len() {
            let parent = self.name(index).rsplit_once('/').map_or("", |(parent, _)| parent);
            if parent != last_parent {
                self.check_ancestors(index)?;
                last_parent = parent;
            }
        }
        match self.find(MANIFEST_NAME) {
            Some(i) if self.rows[i].at.kind != EntryKind::File => Err(corrupt(format!(
                "the entry {MANIFEST_NAME} is not a regular file"
            ))),
            _ => Ok(()),
        }
    }

    fn check_ancestors(&self, index: usize) -> Result<()> {
        let mut path = self.name(index);
        while let Some((parent, _)) = path.rsplit_once('/') {
            if let Some(found) = self.find(parent)
                && self.rows[found].at.kind != EntryKind::Directory
            {
                return Err(corrupt(format!(
                    "the entry {} is not a folder, but {} lies in it",
                    shown(parent),
                    shown(self.name(index))
                )));
            }
            path = parent;
        }
        Ok(())
    }

    /// Path of the entry `index`.
    pub(super) fn name(&self, index: usize) -> &str {
        let row = &self.rows[index];
        let start = row.name_start as usize;
        &self.names[start..start + usize::from(row.name_len)]
    }

    /// Index of the entry with this path.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.by_name
            .binary_search_by(|&i| self.name(i as usize).cmp(path))
            .ok()
            .map(|at| self.by_name[at] as usize)
    }

    /// An entry that lies in `folder`, at any depth.
    pub(super) fn below(&self, folder: &str) -> Option<usize> {
        let inside = format!("{folder}/");
        let at = self
            .by_name
            .partition_point(|&i| self.name(i as usize) < inside.as_str());
        let index = *self.by_name.get(at)? as usize;
        self.name(index).starts_with(&inside).then_some(index)
    }

    pub(super) fn view(&self, index: usize) -> EntryView<'_> {
        let row = &self.rows[index];
        EntryView {
            path: self.name(index),
            kind: row.at.kind,
            size: row.at.size,
            compressed_size: row.at.compressed_size,
            crc32: row.at.crc32,
            mode: row.mode.map(u32::from),
            mtime: row.mtime,
        }
    }
}

/// The row of a central header; its name, layout and the like come later.
fn parse_row(fixed: &[u8], raw_name: &[u8], extra: &[u8]) -> Result<Row> {
    let named = || shown(&String::from_utf8_lossy(raw_name)).into_owned();
    let (made_by, flags, method) = (u16_at(fixed, 4), u16_at(fixed, 8), u16_at(fixed, 10));
    if flags & ENCRYPTED != 0 {
        return Err(unsupported(format!("{} is encrypted", named())));
    }
    if flags & PATCHED != 0 || !matches!(method, STORED | DEFLATED | ZSTD) {
        return Err(unsupported(format!(
            "{} is compressed by method {method}, which cofre does not read",
            named()
        )));
    }
    if u16_at(fixed, 34) != 0 {
        return Err(unsupported("the archive is one part of several"));
    }
    let extra = parse_extra(extra, raw_name)?;
    let [size, compressed_size, offset] = widen([24, 20, 42].map(|i| u32_at(fixed, i)), extra.zip64)?;
    let crc32 = u32_at(fixed, 16);
    let mode = if made_by >> 8 == 3 { u16_at(fixed, 40) } else { 0 };
    let kind = kind_of(mode, raw_name.ends_with(b"/"))
        .ok_or_else(|| unsupported(format!("{} is neither file, folder nor link", named())))?;
    if kind == EntryKind::Directory && (size != 0 || crc32 != 0) {
        return Err(corrupt(format!("the folder {} has content", named())));
    }
    if method == STORED && size != compressed_size {
        return Err(corrupt(format!("{} is stored, but has two sizes", named())));
    }
    Ok(Row {
        name_start: 0,
        name_len: 0,
        // 0 is what programs write that know no mode.
        mode: (mode != 0).then_some(mode & 0o7777),
        at: Location {
            flags,
            method,
            kind,
            crc32,
            size,
            compressed_size,
            offset,
            limit: 0,
        },
        mtime: extra.mtime,
    })
}

/// The kind that the Unix type bits and the trailing `/` agree on.
fn kind_of(mode: u16, slash: bool) -> Option<EntryKind> {
    match (mode & 0o170_000, slash) {
        (0 | 0o040_000, true) => Some(EntryKind::Directory),
        (0 | 0o100_000, false) => Some(EntryKind::File),
        (0o120_000, false) => Some(EntryKind::Symlink),
        _ => None,
    }
}
