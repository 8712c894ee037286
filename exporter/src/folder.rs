//! The backups folder as the file system shows it: archives and their sizes, space, and a fingerprint that tells
//! whether anything changed since the last look.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cofre_component::catalog::files;

use crate::small_file::Stamp;
use crate::snapshot::Space;

/// The files that make up the catalog.
pub(crate) const HISTORY: &str = "backup_history.json";
const IDS: &str = ".catalog.json";

/// File systems stamp times in steps of some milliseconds (some of two seconds): a change within the same step as
/// the last look would go unseen, so a younger state is not remembered.
const SETTLED: Duration = Duration::from_secs(3);

/// What the folder itself is.
///
/// # Errors
/// What the file system says; `NotADirectory` for anything else than a folder.
pub(crate) fn open(path: &Path) -> io::Result<Metadata> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        Ok(meta)
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// Bytes of all archives in the folder. One that vanishes meanwhile doesn't count.
///
/// # Errors
/// What the file system says of the folder or of one archive.
pub(crate) fn archives_size(path: &Path) -> io::Result<u64> {
    let mut size = 0_u64;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().and_then(files::of_file).is_none() {
            continue;
        }
        match entry.metadata() {
            Ok(meta) if meta.is_file() => size = size.saturating_add(meta.len()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(size)
}

/// Space on the folder's file system, as far as it is open to ordinary users.
pub(crate) fn space(path: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        capacity: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// Identity, size and times of the folder and its catalog files. Every writer replaces those by a rename, so any
/// change shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint([Option<Stamp>; 3]);

impl Fingerprint {
    /// Of the folder now. `None` for a state too young to be told from the next one.
    pub(crate) fn of(path: &Path, folder: &Metadata) -> Option<Self> {
        let history = fs::symlink_metadata(path.join(HISTORY)).ok();
        let ids = fs::symlink_metadata(path.join(IDS)).ok();
        let all = [Some(folder), history.as_ref(), ids.as_ref()];
        let settled = |meta: &Metadata| {
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.ctime().try_into().unwrap_or(0));
            changed.elapsed().is_ok_and(|age| age > SETTLED)
        };
        all.iter()
            .flatten()
            .all(|meta| settled(meta))
            .then(|| Self(all.map(|meta| meta.map(Stamp::of))))
    }
}
