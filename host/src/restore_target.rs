//! The folder that a restore goes into: complete or not at all.
//!
//! The sandbox extracts into `.NAME.partial` beside the target; the host gives modes and times back, renames it,
//! and never replaces anything. Everything goes through handles, no link is followed: neither one that came out
//! of the archive nor one that somebody puts there.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, RenameFlags};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Identity, show};
use crate::source;

/// A partial folder's mode. The sticky bit, which nobody sets on such a folder by chance, says that cofre made
/// it and may remove it; it goes when the folder has its name. Whoever is killed in between leaves a complete folder
/// with it, where it means nothing.
const PARTIAL_MODE: u32 = 0o1700;

/// What one entry of the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file, extracted.
    File,
    /// A directory, extracted.
    Directory,
    /// A relative link, extracted.
    Symlink,
    /// An absolute link with its target: not extracted, made at the end.
    AbsoluteSymlink(String),
}

/// One entry of the archive, with what the sandbox can't restore by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path in the archive and below the target.
    pub path: String,
    /// What it is.
    pub kind: ItemKind,
    /// Permission bits, where known; the setuid and setgid bits are never restored.
    pub mode: Option<u32>,
    /// Modification time in nanoseconds since 1970, where known.
    pub mtime_ns: Option<i64>,
}

/// A restore target in the making. Dropped without [`Self::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct RestoreTarget {
    dest: PathBuf,
    parent: OwnedFd,
    name: OsString,
    partial: OsString,
    dir: OwnedFd,
    // Directories and absolute links, kept for the end.
    directories: Vec<Item>,
    links: Vec<Item>,
    done: bool,
}

impl RestoreTarget {
    /// Looks at the target and makes the partial folder beside it, mode 0700. The target must not exist, or be
    /// an empty folder; the folder above it must exist and be reached without a link.
    ///
    /// # Errors
    /// `AlreadyExists` for a target with something in it, or for something at the partial folder's place that
    /// cofre didn't make; `Busy` when another restore into it is running; those of opening.
    pub fn prepare(dest: &Path) -> Result<Self> {
        let Some(name) = dest.file_name() else {
            return Err(
                Error::new(Code::Usage, format!("{} can't be a restore target", show(dest)))
                    .remedy("name a new folder"),
            );
        };
        let parent = source::open_parent(dest).map_err(|error| match error.code {
            Code::SourceMissing => Error::new(Code::Usage, format!("restore: {}", error.message))
                .remedy("only the last folder of the target is made; make those above it first"),
            _ => error,
        })?;
        // Its handle is fsynced in the end, which a mere path handle can't be.
        let parent = fsutil::openat(&parent, ".", fsutil::dir_flags(), Mode::empty())
            .map_err(|e| fsutil::error(format_args!("open the folder above {}", show(dest)), e))?;
        check_free(parent.as_fd(), name, dest)?;
        let mut partial = OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        let dir = make_partial(parent.as_fd(), &partial, dest)?;
        Ok(Self {
            dest: dest.to_owned(),
            parent,
            name: name.to_owned(),
            partial,
            dir,
            directories: Vec::new(),
            links: Vec::new(),
            done: false,
        })
    }

    /// A new handle of the partial folder, for the sandbox.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> Result<OwnedFd> {
        fsutil::openat(&self.dir, ".", fsutil::dir_flags(), Mode::empty())
            .map_err(|e| fsutil::error(format_args!("open the partial folder of {}", show(&self.dest)), e))
    }

    /// Gives modes and times to the extracted files and links among `items`; may be called page by page.
    /// Directories and absolute links wait until [`Self::commit`].
    ///
    /// # Errors
    /// `Corrupt` when something is not what the archive says it is; what the system says.
    pub fn apply(&mut self, items: &[Item]) -> Result<()> {
        for item in items {
            match &item.kind {
                ItemKind::File => self.file(item)?,
                ItemKind::Symlink => self.symlink(item)?,
                ItemKind::Directory => self.directories.push(item.clone()),
                ItemKind::AbsoluteSymlink(_) => self.links.push(item.clone()),
            }
        }
        Ok(())
    }

    /// Whether there is something at an item's place. A restore of a part has not extracted every entry.
    #[must_use]
    pub fn holds(&self, item: &Item) -> bool {
        self.place(item)
            .is_ok_and(|(dir, name)| fsutil::stat_name(dir.as_fd(), name.as_bytes()).is_ok())
    }

    /// Finishes: absolute links, directories from the deepest up, everything to the disk, and the rename.
    ///
    /// # Errors
    /// As [`Self::apply`]; `AlreadyExists` when the target came into being meanwhile. Nothing is left then, unless the
    /// error says that the target is complete.
    pub fn commit(mut self) -> Result<()> {
        for item in std::mem::take(&mut self.links) {
            self.absolute_link(&item)?;
        }
        let mut directories = std::mem::take(&mut self.directories);
        directories.sort_by_key(|item| std::cmp::Reverse(item.path.bytes().filter(|b| *b == b'/').count()));
        for item in &directories {
            self.directory(item)?;
        }
        let fail = |e| fsutil::error(format_args!("finish {}", show(&self.dest)), e);
        fsutil::syncfs(&self.dir).map_err(fail)?;
        self.rename()?;
        self.done = true;
        // The mark goes last: a power cut may take the rename back, and the next restore has to know whose the folder is.
        fsutil::fsync(&self.parent)
            .and_then(|()| fsutil::fchmod(&self.dir, Mode::RWXU))
            .and_then(|()| fsutil::fsync(&self.dir))
            .map_err(|e| {
                let what = format_args!(
                    "make {} durable, which is complete and in its place",
                    show(&self.dest)
                );
                fsutil::error(what, e)
            })
    }

    /// Removes what was extracted.
    ///
    /// # Errors
    /// What the system says; the next restore to this target removes the rest.
    pub fn abandon(mut self) -> Result<()> {
        self.done = true;
        self.remove()
    }

    fn remove(&self) -> Result<()> {
        if self.partial_is_ours() {
            fsutil::remove_tree(self.parent.as_fd(), &self.partial)?;
        }
        Ok(())
    }

    fn partial_is_ours(&self) -> bool {
        let here = fsutil::stat_name(self.parent.as_fd(), self.partial.as_bytes());
        match (here, rustix::fs::fstat(&self.dir)) {
            (Ok(here), Ok(ours)) => Identity::of(&here) == Identity::of(&ours),
            _ => false,
        }
    }

    fn rename(&self) -> Result<()> {
        if !self.partial_is_ours() {
            return Err(Error::new(
                Code::Sandbox,
                format!("somebody exchanged the partial folder of {}", show(&self.dest)),
            ));
        }
        check_free(self.parent.as_fd(), &self.name, &self.dest)?;
        match rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                return Err(fsutil::error(
                    format_args!(
                        "put the restored folder in the place of the empty {}",
                        show(&self.dest)
                    ),
                    errno,
                ));
            }
        }
        let (parent, from, to) = (self.parent.as_fd(), &self.partial, &self.name);
        let renamed = match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
            // Some file systems don't know NOREPLACE. A folder never replaces anything but an empty folder.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(parent, from, parent, to),
            other => other,
        };
        renamed.map_err(|errno| match errno {
            Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR => exists(&self.dest),
            errno => fsutil::error(
                format_args!("rename the restored folder to {}", show(&self.dest)),
                errno,
            ),
        })
    }

    /// The folder that an item lies in, and its name there.
    fn place<'a>(&self, item: &'a Item) -> Result<(OwnedFd, &'a OsStr)> {
        let (parent, name) = fsutil::split_parent(item.path.as_bytes());
        if matches!(name, b"" | b"." | b"..") {
            return Err(mismatch(item, "has no usable name"));
        }
        match fsutil::open_beneath(self.dir.as_fd(), parent, fsutil::dir_flags()) {
            Ok(dir) => Ok((dir, OsStr::from_bytes(name))),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                Err(mismatch(item, "lies below something that is not a folder"))
            }
            Err(Errno::NOENT) => Err(mismatch(item, "was not extracted")),
            Err(errno) => Err(failed(item, errno)),
        }
    }

    fn file(&self, item: &Item) -> Result<()> {
        let (dir, name) = self.place(item)?;
        let file = match fsutil::openat(&dir, name, fsutil::file_flags(), Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::NXIO) => return Err(mismatch(item, "is not a regular file")),
            Err(Errno::NOENT) => return Err(mismatch(item, "was not extracted")),
            Err(errno) => return Err(failed(item, errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| failed(item, e))?;
        // A second name would be one outside the target.
        if fsutil::file_type(&stat) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(mismatch(item, "is not a regular file of its own"));
        }
        let fail = |errno| failed(item, errno);
        if let Some(mode) = item.mode {
            fsutil::fchmod(&file, Mode::from_raw_mode(mode & 0o777)).map_err(fail)?;
        }
        match item.mtime_ns {
            Some(time) => rustix::fs::futimens(&file, &fsutil::timestamps(time)).map_err(fail),
            None => Ok(()),
        }
    }

    fn directory(&self, item: &Item) -> Result<()> {
        let dir = match fsutil::open_beneath(self.dir.as_fd(), item.path.as_bytes(), fsutil::dir_flags()) {
            Ok(dir) if !item.path.is_empty() => dir,
            Ok(_) | Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                return Err(mismatch(item, "is not a folder"));
            }
            Err(Errno::NOENT) => return Err(mismatch(item, "was not extracted")),
            Err(errno) => return Err(failed(item, errno)),
        };
        let fail = |errno| failed(item, errno);
        if let Some(time) = item.mtime_ns {
            rustix::fs::futimens(&dir, &fsutil::timestamps(time)).map_err(fail)?;
        }
        match item.mode {
            Some(mode) => fsutil::fchmod(&dir, Mode::from_raw_mode(mode & 0o1777)).map_err(fail),
            None => Ok(()),
        }
    }

    fn symlink(&self, item: &Item) -> Result<()> {
        let (dir, name) = self.place(item)?;
        match fsutil::stat_name(dir.as_fd(), name.as_bytes()) {
            Ok(stat) if fsutil::file_type(&stat) == FileType::Symlink => {}
            Ok(_) => return Err(mismatch(item, "is not a symbolic link")),
            Err(Errno::NOENT) => return Err(mismatch(item, "was not extracted")),
            Err(errno) => return Err(failed(item, errno)),
        }
        link_time(&dir, name, item)
    }

    /// Makes what is missing of the folders above an absolute link: they may have nothing else in them, or nothing else
    /// that was asked for.
    fn make_folders(&self, item: &Item) -> Result<()> {
        for (at, _) in item.path.match_indices('/') {
            let (parent, name) = fsutil::split_parent(&item.path.as_bytes()[..at]);
            let made = fsutil::open_beneath(self.dir.as_fd(), parent, fsutil::dir_flags())
                .and_then(|dir| rustix::fs::mkdirat(dir, OsStr::from_bytes(name), Mode::RWXU));
            match made {
                Ok(()) | Err(Errno::EXIST) => {}
                // `place` says what is in the way.
                Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failed(item, errno)),
            }
        }
        Ok(())
    }

    fn absolute_link(&self, item: &Item) -> Result<()> {
        let ItemKind::AbsoluteSymlink(target) = &item.kind else {
            return Ok(());
        };
        self.make_folders(item)?;
        let (dir, name) = self.place(item)?;
        rustix::fs::symlinkat(target, &dir, name).map_err(|errno| match errno {
            Errno::EXIST => mismatch(item, "exists, where an absolute link was to be made"),
            errno => failed(item, errno),
        })?;
        link_time(&dir, name, item)
    }
}

impl Drop for RestoreTarget {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = self.remove()
        {
            tracing::warn!(
                "the partial folder of {} is left behind: {error}",
                show(&self.dest)
            );
        }
    }
}

fn link_time(dir: &OwnedFd, name: &OsStr, item: &Item) -> Result<()> {
    let Some(time) = item.mtime_ns else { return Ok(()) };
    rustix::fs::utimensat(dir, name, &fsutil::timestamps(time), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed(item, errno))
}

/// Fine if there is nothing at the target, or an empty folder.
fn check_free(parent: BorrowedFd<'_>, name: &OsStr, dest: &Path) -> Result<()> {
    let fail = |errno| fsutil::error(format_args!("look at {}", show(dest)), errno);
    match fsutil::stat_name(parent, name.as_bytes()) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(fail(errno)),
        Ok(stat) if fsutil::file_type(&stat) == FileType::Directory => {
            let dir = fsutil::openat(parent, name, fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
            if fsutil::is_empty(dir.as_fd()).map_err(fail)? {
                Ok(())
            } else {
                Err(exists(dest))
            }
        }
        Ok(_) => Err(exists(dest)),
    }
}

fn exists(dest: &Path) -> Error {
    Error::new(
        Code::AlreadyExists,
        format!("{} exists and is not an empty folder", show(dest)),
    )
    .remedy("restore into a new folder and move what you need; nothing was changed")
}

/// Makes the partial folder, and locks it against a second restore into the same target.
fn make_partial(parent: BorrowedFd<'_>, name: &OsStr, dest: &Path) -> Result<OwnedFd> {
    let fail = |errno| fsutil::error(format_args!("make {} beside {}", show(name), show(dest)), errno);
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            remove_stale(parent, name, dest)?;
            rustix::fs::mkdirat(parent, name, Mode::RWXU).map_err(fail)?;
        }
        Err(errno) => return Err(fail(errno)),
    }
    let dir = fsutil::openat(parent, name, fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
    let stat = rustix::fs::fstat(&dir).map_err(fail)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() || !fsutil::is_empty(dir.as_fd()).map_err(fail)? {
        return Err(not_ours(name, dest));
    }
    fsutil::fchmod(&dir, Mode::from_raw_mode(PARTIAL_MODE)).map_err(fail)?;
    let _ = rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive);
    Ok(dir)
}

/// Removes what a killed restore left behind.
fn remove_stale(parent: BorrowedFd<'_>, name: &OsStr, dest: &Path) -> Result<()> {
    let Ok(dir) = fsutil::openat(parent, name, fsutil::dir_flags(), Mode::empty()) else {
        return Err(not_ours(name, dest));
    };
    let stat = rustix::fs::fstat(&dir).map_err(|e| fsutil::error(format_args!("stat {}", show(name)), e))?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o7777 == PARTIAL_MODE;
    // Killed between making it and marking it, or between unmarking and renaming it: then it is not removed
    // unless empty, since it can't be told from a folder of the user's.
    if !ours && !fsutil::is_empty(dir.as_fd()).unwrap_or(false) {
        return Err(not_ours(name, dest));
    }
    if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        return Err(Error::new(
            Code::Busy,
            format!("another restore into {} is running", show(dest)),
        ));
    }
    fsutil::remove_tree(parent, name)
}

fn not_ours(name: &OsStr, dest: &Path) -> Error {
    Error::new(
        Code::AlreadyExists,
        format!(
            "{} is in the way beside {}, and cofre did not make it",
            show(name),
            show(dest)
        ),
    )
    .remedy("look at it and remove it, or restore to another place")
}

fn mismatch(item: &Item, what: &str) -> Error {
    Error::new(Code::Corrupt, format!("restored {} {what}", show(&item.path)))
}

fn failed(item: &Item, errno: Errno) -> Error {
    fsutil::error(
        format_args!("restore the attributes of {}", show(&item.path)),
        errno,
    )
}

#[cfg(test)]
mod tests;
