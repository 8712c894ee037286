//! What the host sees in a source and the sandbox can't: modes, ctimes, absolute links, names that are not
//! UTF-8. One JSON line a path, written to staging, made through the same handle that becomes the preopen.
//!
//! Nothing is opened here but directories; which paths end up in the archive is the component's decision.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cofre_exporter::component::types::ObservationLine;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::fsutil::{self, Identity};

/// How often a folder that turns into something else between listing and opening is looked at again.
const RETRIES: u8 = 3;

/// What is left out of every source, by identity and not by name: the backups and state folders, and live
/// databases with the files beside them.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    things: HashMap<Identity, String>,
    // A journal may come and go during the walk, so that these go by the folder's identity and the name.
    names: HashMap<(Identity, Vec<u8>), String>,
}

impl LeftOut {
    /// Leaves out what `path` is now, if it exists.
    pub fn add(&mut self, path: &Path, reason: &str) {
        if let Some(id) = Identity::of_path(path) {
            self.things.insert(id, reason.to_owned());
        }
    }

    /// Leaves out a database file and the files that its engine keeps beside it.
    pub fn add_database(&mut self, path: &Path, reason: &str) {
        self.add(path, reason);
        let parent = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if let (Some(parent), Some(name)) = (Identity::of_path(parent), path.file_name()) {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                let name = [name.as_bytes(), suffix.as_bytes()].concat();
                self.names.insert((parent, name), reason.to_owned());
            }
        }
    }

    fn reason(&self, folder: Identity, name: &[u8], stat: &Stat) -> Option<&String> {
        self.things
            .get(&Identity::of(stat))
            .or_else(|| self.names.get(&(folder, name.to_vec())))
    }
}

/// What a walk came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Lines written.
    pub lines: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Things that should be in the archive and can't be read or named.
    pub unreadable: u64,
    /// Things left out by [`LeftOut`].
    pub left_out: u64,
    /// Modification times that nanoseconds in 64 bits can't hold, and that are the nearest they can.
    pub clamped: u64,
    /// The first path with such a time.
    pub first_clamped: Option<String>,
}

/// Writes one line for every path below `root`, and one with an empty path for the root itself.
///
/// A path that vanishes meanwhile is left away, one that can't be read is a line that says so: neither ends
/// the walk. Memory is a path for each folder not yet visited; two directories are open at a time.
///
/// # Errors
/// When the root itself can't be listed, or `out` can't be written.
pub fn observe(root: BorrowedFd<'_>, left_out: &LeftOut, out: &mut dyn Write) -> Result<Observed> {
    let mut walk = Walk {
        root,
        left_out,
        out,
        pending: Vec::new(),
        seen: Observed::default(),
    };
    walk.folder(Vec::new(), 0)?;
    while let Some((path, tries)) = walk.pending.pop() {
        walk.folder(path, tries)?;
    }
    Ok(walk.seen)
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    left_out: &'a LeftOut,
    out: &'a mut dyn Write,
    // Relative paths of folders to visit, and how often each was found to be something else.
    pending: Vec<(Vec<u8>, u8)>,
    seen: Observed,
}

/// Why a walk stopped: listing failed, or writing.
enum Stop {
    List(Errno),
    Write(Error),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::List(errno)
    }
}

impl Walk<'_> {
    /// Visits one folder: its own line, one for each thing in it, and its folders put aside for later.
    fn folder(&mut self, path: Vec<u8>, tries: u8) -> Result<()> {
        if path.len() > fsutil::PATH_LIMIT {
            return self.unreadable(&path, "the path is longer than 4095 bytes");
        }
        match fsutil::open_beneath(self.root, &path, fsutil::dir_flags()) {
            Ok(dir) => self.list(&path, &dir),
            Err(errno) if path.is_empty() => Err(fsutil::error(
                format_args!("list {}", fsutil::fd_path(self.root)),
                errno,
            )),
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => self.look_again(&path, tries),
            Err(errno) => self.unreadable_folder(&path, errno),
        }
    }

    fn list(&mut self, path: &[u8], dir: &OwnedFd) -> Result<()> {
        let what = || format!("list {}", fsutil::show_bytes(path));
        let stat = rustix::fs::fstat(dir).map_err(|e| fsutil::error(what(), e))?;
        let id = Identity::of(&stat);
        // The root's own name is unknown here; a root that is itself left out is the caller's mistake.
        if let (false, Some(reason)) = (path.is_empty(), self.left_out.things.get(&id)) {
            return self.left_out(path, reason);
        }
        self.line(path, "directory", &stat, None)?;
        let listed = fsutil::list::<Stop>(dir.as_fd(), |name| {
            let name = name.to_bytes();
            let mut full = path.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(name);
            self.entry(dir.as_fd(), id, name, full, 0).map_err(Stop::Write)
        });
        match listed {
            Ok(()) => Ok(()),
            // The folder was removed while it was listed: what it had is gone.
            Err(Stop::List(Errno::NOENT)) => Ok(()),
            Err(Stop::List(errno)) if path.is_empty() => Err(fsutil::error(
                format_args!("list {}", fsutil::fd_path(self.root)),
                errno,
            )),
            Err(Stop::List(errno)) => self.unreadable_folder(path, errno),
            Err(Stop::Write(error)) => Err(error),
        }
    }

    /// One name in an open folder.
    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        id: Identity,
        name: &[u8],
        path: Vec<u8>,
        tries: u8,
    ) -> Result<()> {
        let stat = match fsutil::stat_name(dir, name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return self.unreadable(&path, &describe(errno)),
        };
        if let Some(reason) = self.left_out.reason(id, name, &stat) {
            return self.left_out(&path, reason);
        }
        let kind = fsutil::file_type(&stat);
        if std::str::from_utf8(name).is_err() {
            return self.unreadable(
                &path,
                match kind {
                    FileType::Directory => "the name is not UTF-8, nothing in this folder is saved",
                    _ => cofre_exporter::component::fs::NOT_UTF8,
                },
            );
        }
        match kind {
            FileType::RegularFile => {
                self.seen.files += 1;
                self.seen.bytes += u64::try_from(stat.st_size).unwrap_or(0);
                self.line(&path, "file", &stat, None)
            }
            FileType::Directory => {
                self.pending.push((path, tries));
                Ok(())
            }
            FileType::Symlink => self.link(dir, name, &path, &stat),
            _ => self.line(&path, "special", &stat, None),
        }
    }

    fn link(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
        match rustix::fs::readlinkat(dir, OsStr::from_bytes(name), Vec::new()) {
            Ok(target) => match target.into_string() {
                Ok(target) => self.line(path, "symlink", stat, Some(target)),
                Err(_) => self.unreadable(path, "the target of the link is not UTF-8"),
            },
            Err(Errno::NOENT) => Ok(()),
            // No link any more.
            Err(Errno::INVAL) => self.look_again(path, 0),
            Err(errno) => self.unreadable(path, &describe(errno)),
        }
    }

    /// Something else than at first sight: seen once more through its folder.
    fn look_again(&mut self, path: &[u8], tries: u8) -> Result<()> {
        let (parent, name) = fsutil::split_parent(path);
        if tries >= RETRIES {
            return self.unreadable(path, "it keeps changing into something else");
        }
        match fsutil::open_beneath(self.root, parent, fsutil::dir_flags()) {
            Ok(dir) => {
                let stat = rustix::fs::fstat(&dir)
                    .map_err(|e| fsutil::error(format_args!("stat {}", fsutil::show_bytes(parent)), e))?;
                self.entry(dir.as_fd(), Identity::of(&stat), name, path.to_vec(), tries + 1)
            }
            Err(Errno::NOENT) => Ok(()),
            Err(_) => self.unreadable(path, "a folder above it was replaced by something else meanwhile"),
        }
    }

    fn unreadable_folder(&mut self, path: &[u8], errno: Errno) -> Result<()> {
        self.unreadable(path, &format!("the folder can't be listed: {}", describe(errno)))
    }

    fn unreadable(&mut self, path: &[u8], reason: &str) -> Result<()> {
        self.seen.unreadable += 1;
        self.write(&bare(path, "unreadable", reason))
    }

    fn left_out(&mut self, path: &[u8], reason: &str) -> Result<()> {
        self.seen.left_out += 1;
        self.write(&bare(path, "left-out", reason))
    }

    fn line(&mut self, path: &[u8], kind: &str, stat: &Stat, target: Option<String>) -> Result<()> {
        let mtime_ns = fsutil::mtime_ns(stat);
        if mtime_ns.div_euclid(1_000_000_000) != stat.st_mtime {
            self.seen.clamped += 1;
            self.seen.first_clamped.get_or_insert_with(|| shown(path));
        }
        self.write(&ObservationLine {
            path: shown(path),
            kind: kind.to_owned(),
            target,
            reason: None,
            size: if kind == "file" {
                u64::try_from(stat.st_size).unwrap_or(0)
            } else {
                0
            },
            mtime_ns: Some(mtime_ns),
            ctime_ns: Some(fsutil::nanoseconds(stat.st_ctime, stat.st_ctime_nsec)),
            inode: Some(stat.st_ino),
            mode: Some(stat.st_mode & 0o7777),
            uid: Some(stat.st_uid),
            gid: Some(stat.st_gid),
        })
    }

    fn write(&mut self, line: &ObservationLine) -> Result<()> {
        self.seen.lines += 1;
        serde_json::to_writer(&mut *self.out, line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|e| Error::io("write the observations into the state folder's staging", &e))
    }
}

fn bare(path: &[u8], kind: &str, reason: &str) -> ObservationLine {
    ObservationLine {
        path: shown(path),
        kind: kind.to_owned(),
        target: None,
        reason: Some(reason.to_owned()),
        size: 0,
        mtime_ns: None,
        ctime_ns: None,
        inode: None,
        mode: None,
        uid: None,
        gid: None,
    }
}

/// A path for a line: as it is, or with the components that are not UTF-8 escaped.
fn shown(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(path) => path.to_owned(),
        Err(_) => path
            .split(|b| *b == b'/')
            .map(|name| std::str::from_utf8(name).map_or_else(|_| fsutil::escape_name(name), str::to_owned))
            .collect::<Vec<_>>()
            .join("/"),
    }
}

fn describe(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

#[cfg(test)]
mod tests;
