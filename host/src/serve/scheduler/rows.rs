//! The catalog's rows, read again only when the catalog has changed.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::engine::wit::types::Backup;

/// A catalog that can't be read is tried again after this time, changed or not.
const RETRY: Duration = Duration::from_secs(60);

/// Which state of the file it is: inode, size, and both times in nanoseconds.
type Mark = (u64, u64, (i64, i64), (i64, i64));

/// The newest rows that could be read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    list: Vec<Backup>,
    mark: Option<Mark>,
    failed: Option<(Instant, String)>,
}

impl Rows {
    /// Reads them again if there is something new. That they can't be read is logged, once; the old ones stay.
    pub(super) fn refresh(&mut self, context: &Context) {
        let file = context.config.backup_dir.join("backup_history.json");
        let Ok(meta) = std::fs::symlink_metadata(file) else {
            // No run yet, or the disk is gone: what was known before stays true.
            return;
        };
        let mark = (
            meta.ino(),
            meta.size(),
            (meta.mtime(), meta.mtime_nsec()),
            (meta.ctime(), meta.ctime_nsec()),
        );
        let recent = |(when, _): &(Instant, String)| when.elapsed() < RETRY;
        if self.mark == Some(mark) && self.failed.as_ref().is_none_or(recent) {
            return;
        }
        self.mark = Some(mark);
        match context.reader().and_then(|mut session| session.list()) {
            Ok(list) => {
                self.list = list;
                self.failed = None;
            }
            Err(error) => {
                let said = error.to_string();
                if self.failed.as_ref().is_none_or(|(_, before)| *before != said) {
                    tracing::error!("the schedule goes on without the catalog: {said}");
                }
                self.failed = Some((Instant::now(), said));
            }
        }
    }

    /// The rows, oldest first.
    pub(super) fn list(&self) -> &[Backup] {
        &self.list
    }
}
