//! The component's own scan, for embedders that supply no observations. It sees no modes, and through WASI no
//! absolute links and no times before 1970. Links are never followed.

use super::Collector;
use crate::error::{ErrorKind, Result};
use crate::fs::{DirEntry, FileKind, Stat};
use crate::types::{Kind, Observation};

fn observation(path: String, kind: Kind, stat: Option<Stat>) -> Observation {
    Observation {
        size: stat.map_or(0, |s| s.size),
        mtime_ns: stat.and_then(|s| s.mtime_ns),
        ..Observation::new(path, kind)
    }
}

/// Feeds everything below the collector's directory to it.
///
/// Directories are opened from the root by their path and closed again, so that neither the depth of a tree
/// nor its width costs more than the waiting paths.
pub(super) fn walk(collector: &mut Collector<'_>) -> Result<()> {
    let root = collector.dir.stat(".")?;
    collector.add(observation(String::new(), Kind::Directory, root))?;
    let mut waiting = vec![String::new()];
    while let Some(folder) = waiting.pop() {
        let listing = if folder.is_empty() {
            Ok(collector.dir.list()?)
        } else {
            collector.dir.open_dir(&folder).and_then(|dir| dir.list())
        };
        match listing {
            Ok(names) => {
                for name in names {
                    visit(collector, &folder, name, &mut waiting)?;
                }
            }
            Err(e) if e.kind == ErrorKind::NotFound => {}
            Err(e) => {
                // The directory itself was already taken; its content is what is missing.
                let path = collector.full_path(&folder);
                collector.has_content = true;
                collector.skip(path, format!("can't be listed: {}", e.message), true);
            }
        }
    }
    Ok(())
}

fn visit(
    collector: &mut Collector<'_>,
    folder: &str,
    entry: DirEntry,
    waiting: &mut Vec<String>,
) -> Result<()> {
    let path = if folder.is_empty() {
        entry.name
    } else {
        format!("{folder}/{}", entry.name)
    };
    if let Some(problem) = entry.problem {
        return collector.add(observation(path, Kind::Unreadable(problem), None));
    }
    if collector.filter.excluded(&path) {
        return Ok(());
    }
    let stat = match collector.dir.stat(&path) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Ok(()), // it vanished
        Err(e) => return collector.add(observation(path, Kind::Unreadable(e.message), None)),
    };
    let kind = match stat.kind {
        FileKind::File => Kind::File,
        FileKind::Special => Kind::Special,
        FileKind::Directory => {
            waiting.push(path.clone());
            Kind::Directory
        }
        FileKind::Symlink => match collector.dir.read_link(&path) {
            Ok(target) => Kind::Symlink(target),
            Err(e) if e.kind == ErrorKind::NotFound => return Ok(()),
            // WASI refuses to show where an absolute link leads.
            Err(e) if e.kind == ErrorKind::AccessDenied => {
                Kind::LeftOut("a link that can't be read in the sandbox (absolute)".to_owned())
            }
            Err(e) => Kind::Unreadable(e.message),
        },
    };
    collector.add(observation(path, kind, Some(stat)))
}
