//! What changed from one backup to another, entry by entry, as their manifests say.

use std::cmp::Ordering;

use crate::entries::{for_each, open};
use crate::error::Result;
use crate::fs::Roots;
use crate::manifest::MANIFEST_NAME;
use crate::types::{Change, Difference, Entry};

/// What changed from the backup `a` to the backup `b`, in order of the paths. The manifests themselves, which
/// always differ, are not compared; a mode or time that only one of them knows is no difference.
///
/// # Errors
/// `NotFound` for a backup or its archive; `Corrupt`, or an I/O error.
pub fn diff(roots: &Roots, a: u64, b: u64) -> Result<Vec<Difference>> {
    let (a, b) = (sorted(roots, a)?, sorted(roots, b)?);
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut out = Vec::new();
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => l.path.cmp(&r.path),
        };
        let first = if order == Ordering::Greater {
            None
        } else {
            left.next()
        };
        let second = if order == Ordering::Less {
            None
        } else {
            right.next()
        };
        let (entry, change) = match (first, second) {
            (Some(l), Some(r)) => (l, change(l, r)),
            (Some(l), None) => (l, Some(Change::Removed)),
            (None, Some(r)) => (r, Some(Change::Added)),
            (None, None) => return Ok(out),
        };
        if let Some(change) = change {
            out.push(Difference {
                path: entry.path.clone(),
                change,
            });
        }
    }
}

fn sorted(roots: &Roots, id: u64) -> Result<Vec<Entry>> {
    let (_, archive) = open(roots, id, "compare")?;
    let mut list = Vec::with_capacity(archive.len());
    for_each(&archive, &mut |entry| {
        if entry.path != MANIFEST_NAME {
            list.push(entry);
        }
        Ok(())
    })?;
    list.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(list)
}

fn change(a: &Entry, b: &Entry) -> Option<Change> {
    let differ = |a: Option<i64>, b: Option<i64>| a.zip(b).is_some_and(|(a, b)| a != b);
    if a.kind != b.kind || a.size != b.size || a.crc32 != b.crc32 {
        Some(Change::Modified)
    } else if differ(a.mtime_ns, b.mtime_ns) || differ(a.mode.map(i64::from), b.mode.map(i64::from)) {
        Some(Change::Metadata)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
