//! The host's observations from a file of JSON lines, read as a stream with a bounded line.

use std::io::{BufRead, BufReader, Read};

use super::Collector;
use crate::archive::entry_path;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{READ_SIZE, Reader, Roots, STAGING};
use crate::types::{Kind, Observation, ObservationLine};

/// Longest line. A path and a link's target have 4 KiB each on Linux, and JSON makes at most six of each byte.
const LINE_MAX: u64 = 1024 * 1024;

/// Feeds the file `path`, relative to `/staging`, to `collector`.
pub(super) fn read(roots: &Roots, path: &str, collector: &mut Collector<'_>) -> Result<()> {
    entry_path::check(path)?;
    let file = roots.open(STAGING)?.open(path)?;
    let size = file.stat()?.size;
    let mut lines = BufReader::with_capacity(READ_SIZE, Reader::new(&file, size));
    let mut line = Vec::new();
    for number in 1_u64.. {
        let bad = |message: String| {
            Error::new(
                ErrorKind::InvalidInput,
                "read observations",
                format!("line {number}: {message}"),
            )
            .about(path)
        };
        line.clear();
        let n = (&mut lines)
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|e| Error::new(ErrorKind::Io, "read observations", e.to_string()).about(path))?;
        if n == 0 {
            break;
        }
        if line.last() != Some(&b'\n') && n as u64 == LINE_MAX {
            return Err(bad(format!("it is longer than {LINE_MAX} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let parsed: ObservationLine = serde_json::from_slice(&line).map_err(|e| bad(e.to_string()))?;
        collector.add(observation(parsed).map_err(bad)?)?;
    }
    Ok(())
}

fn observation(line: ObservationLine) -> std::result::Result<Observation, String> {
    let kind = match (line.kind.as_str(), line.target, line.reason) {
        ("file", None, None) => Kind::File,
        ("directory", None, None) => Kind::Directory,
        ("special", None, _) => Kind::Special,
        ("symlink", Some(target), None) => Kind::Symlink(target),
        ("unreadable", None, Some(reason)) => Kind::Unreadable(reason),
        ("left-out", None, Some(reason)) => Kind::LeftOut(reason),
        (kind, _, _) => {
            return Err(format!(
                "the kind `{}` is unknown, or `target` or `reason` don't fit it",
                kind.escape_debug()
            ));
        }
    };
    Ok(Observation {
        path: line.path,
        kind,
        size: line.size,
        mtime_ns: line.mtime_ns,
        ctime_ns: line.ctime_ns,
        inode: line.inode,
        mode: line.mode,
        uid: line.uid,
        gid: line.gid,
    })
}
