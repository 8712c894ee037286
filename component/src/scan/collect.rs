//! Takes what was seen in one source, checks and filters it, and puts it into the table or among the skips.
//! Where the observations come from is `walk`'s and `observed`'s business.

use std::collections::BTreeSet;

use super::filter::{self, Filter};
use super::{Item, ItemKind, NO_INODE, NO_MODE, NO_TIME, invalid, missing};
use crate::archive::codec::Method;
use crate::archive::entry_path;
use crate::entries::MAX_TARGET;
use crate::error::Result;
use crate::fs::{Dir, FileKind};
use crate::types::{Kind, Observation, Skip};

/// Longest path in an archive, in bytes: a ZIP could hold more, but a restore could not create it.
const LONGEST_PATH: usize = 4095;

/// Takes what was seen in one source, filters it and puts it into the table.
pub(super) struct Collector<'a> {
    pub(super) folder: &'a str,
    pub(super) source: u16,
    pub(super) filter: Filter,
    pub(super) dir: &'a Dir,
    pub(super) first: usize,
    pub(super) has_root: bool,
    pub(super) has_content: bool,
    pub(super) items: &'a mut Vec<Item>,
    pub(super) skips: &'a mut Vec<Skip>,
}

impl Collector<'_> {
    pub(super) fn full_path(&self, path: &str) -> String {
        if path.is_empty() {
            self.folder.to_owned()
        } else {
            format!("{}/{path}", self.folder)
        }
    }

    pub(super) fn skip(&mut self, path: String, reason: impl Into<String>, missing: bool) {
        self.skips.push(Skip {
            path,
            reason: reason.into(),
            missing,
        });
    }

    /// Takes one observation, in any order.
    pub(super) fn add(&mut self, mut seen: Observation) -> Result<()> {
        if self.filter.excluded(&seen.path) {
            return Ok(());
        }
        let full = self.full_path(&seen.path);
        let included = seen.path.is_empty() || self.filter.included(&seen.path);
        if full.len() > LONGEST_PATH {
            if included {
                let cut: String = full.chars().take(LONGEST_PATH).collect();
                self.has_content = true;
                self.skip(format!("{cut}…"), "the path is too long to be restored", true);
            }
            return Ok(());
        }
        entry_path::check(&full)?;
        let (kind, target) = match std::mem::replace(&mut seen.kind, Kind::File) {
            Kind::File => (ItemKind::File, None),
            Kind::Directory => (ItemKind::Directory, None),
            Kind::Symlink(target) if target.starts_with('/') => (ItemKind::AbsoluteSymlink, Some(target)),
            Kind::Symlink(target) => (ItemKind::Symlink, Some(target)),
            Kind::LeftOut(reason) => {
                self.skip(full, reason, false);
                return Ok(());
            }
            Kind::Special => {
                if included {
                    self.skip(full, "a FIFO, socket or device", false);
                }
                return Ok(());
            }
            Kind::Unreadable(reason) => {
                if included || self.may_hold_included(&seen.path) {
                    self.has_content = true;
                    self.skip(full, reason, true);
                }
                return Ok(());
            }
        };
        if seen.path.is_empty() {
            if kind != ItemKind::Directory {
                return Err(invalid(self.folder, "the source's root is not a directory"));
            }
            self.has_root = true;
        }
        if kind != ItemKind::Directory {
            if !included {
                return Ok(());
            }
            self.has_content = true;
        }
        if let Some(target) = &target
            && (target.is_empty() || target.len() > MAX_TARGET || target.contains('\0'))
        {
            let message =
                "the link's target is empty, too long or contains a NUL, so it could not be restored";
            return Err(invalid(&full, message));
        }
        let size = match kind {
            ItemKind::File => seen.size,
            ItemKind::Directory => 0,
            _ => target.as_ref().map_or(0, |t| t.len() as u64),
        };
        self.push(&seen, full, kind, target, size);
        Ok(())
    }

    fn push(&mut self, seen: &Observation, path: String, kind: ItemKind, target: Option<String>, size: u64) {
        self.items.push(Item {
            path: path.into_boxed_str(),
            target: target.map(String::into_boxed_str),
            size,
            mtime_ns: seen.mtime_ns.unwrap_or(NO_TIME),
            ctime_ns: seen.ctime_ns.unwrap_or(NO_TIME),
            inode: seen.inode.unwrap_or(NO_INODE),
            start: 0,
            stored: 0,
            method: Method::Store,
            crc32: 0,
            mode: seen.mode.map_or(NO_MODE, |m| (m & 0o7777) as u16),
            source: self.source,
            kind,
            changed: false,
            dropped: false,
        });
    }

    /// Whether something unreadable that no include glob matches could hide what one would match: a directory,
    /// or something that can't even be looked at.
    fn may_hold_included(&self, path: &str) -> bool {
        match self.dir.stat(path) {
            Ok(Some(stat)) => stat.kind == FileKind::Directory,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Ends the source: its own folder is an item, directories that only led to what is not included go, and
    /// an empty one is an error.
    pub(super) fn close(self, allow_empty: bool) -> Result<()> {
        let mut this = self;
        if !this.has_content && !allow_empty {
            return Err(missing(this.folder, "the source has not a single file to back up")
                .remedy("is its disk mounted, and do its globs match? If it may be empty, set `allow_empty = true`"));
        }
        if !this.has_root {
            let unseen = Observation::new(String::new(), Kind::Directory);
            this.push(&unseen, this.folder.to_owned(), ItemKind::Directory, None, 0);
        }
        if this.filter.selects() {
            this.drop_bare_directories();
        }
        Ok(())
    }

    fn drop_bare_directories(&mut self) {
        let mut mine = self.items.split_off(self.first);
        let mut used: BTreeSet<Box<str>> = BTreeSet::new();
        for item in &mine {
            if item.kind == ItemKind::Directory && !self.filter.included(self.relative(&item.path)) {
                continue;
            }
            let mut folder = filter::parent(&item.path);
            while !folder.is_empty() && used.insert(folder.into()) {
                folder = filter::parent(folder);
            }
        }
        mine.retain(|item| {
            item.kind != ItemKind::Directory
                || &*item.path == self.folder
                || used.contains(&item.path)
                || self.filter.included(self.relative(&item.path))
        });
        self.items.append(&mut mine);
    }

    fn relative<'p>(&self, path: &'p str) -> &'p str {
        path.get(self.folder.len() + 1..).unwrap_or("")
    }
}
