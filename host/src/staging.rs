//! A private folder for one run: dumps, copies of single files and observations, seen read-only by the sandbox.
//!
//! It lies in the state folder as `staging/run-PID-N`, mode 0700, is locked with `flock(2)` while its run lives,
//! and is removed when dropped. What dead runs left behind is swept by the next one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Space, show};
use crate::{source, text};

const PREFIX: &str = "run-";

/// The staging folder of one run.
#[derive(Debug)]
pub struct Staging {
    parent: OwnedFd,
    name: String,
    path: PathBuf,
    // Holds the lock that says that this run lives.
    dir: OwnedFd,
    // The newest modification time of the files staged into each folder.
    newest: Mutex<HashMap<String, i64>>,
}

/// A single file that was copied into staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// Path below the staging folder.
    pub path: String,
    /// Bytes copied.
    pub size: u64,
    /// It changed while it was copied, twice: this is what was read.
    pub changed: bool,
}

impl Staging {
    /// Makes the folder for this run, and the state folder with it if needed.
    ///
    /// # Errors
    /// `AccessDenied` when the state folder belongs to another user or others can write to it; what the system
    /// says.
    pub fn new(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("staging");
        let parent = open_private(state_dir, "staging")?;
        let fail = |errno| fsutil::error(format_args!("open {}", show(&path)), errno);
        // A dry run holds no lock of the backups: it must not sweep a folder that another run has made and not
        // yet locked. The kernel ends this lock with the handle; a file system without locks has no sweeping.
        let gate = fsutil::openat(&parent, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        if rustix::fs::flock(&gate, FlockOperation::LockExclusive).is_ok() {
            sweep(parent.as_fd());
        }
        Self::make(parent, &path)
    }

    fn make(parent: OwnedFd, path: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let fail = |errno| fsutil::error(format_args!("make a folder in {}", show(path)), errno);
        loop {
            let name = format!(
                "{PREFIX}{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            match rustix::fs::mkdirat(&parent, &name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(fail(errno)),
            }
            let dir = fsutil::openat(&parent, &name, fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
            // A file system without locks only costs the sweeping.
            let _ = rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive);
            let path = path.join(&name);
            return Ok(Self {
                parent,
                name,
                path,
                dir,
                newest: Mutex::default(),
            });
        }
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new handle of the folder, for the sandbox.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> Result<OwnedFd> {
        self.open_folder("")
    }

    /// A new handle of a folder in it (an empty path is the staging folder itself).
    ///
    /// # Errors
    /// What the system says.
    pub fn open_folder(&self, folder: &str) -> Result<OwnedFd> {
        fsutil::open_beneath(self.dir.as_fd(), folder.as_bytes(), fsutil::dir_flags())
            .map_err(|e| fsutil::error(format_args!("open {}", show(self.path.join(folder))), e))
    }

    /// Makes a folder (and those above it); that it exists is fine.
    ///
    /// # Errors
    /// What the system says.
    pub fn folder(&self, folder: &str) -> Result<PathBuf> {
        let fail = |e| fsutil::error(format_args!("make {}", show(self.path.join(folder))), e);
        let mut at = self.open()?;
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            match rustix::fs::mkdirat(&at, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(fail(errno)),
            }
            at = fsutil::openat(&at, name, fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
        }
        Ok(self.path.join(folder))
    }

    /// Removes a folder of the top with everything in it; that there is none is fine.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, folder: &str) -> Result<()> {
        fsutil::remove_tree(self.dir.as_fd(), OsStr::new(folder))
    }

    /// Makes a file that must not exist, mode 0600.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    pub fn create(&self, path: &str) -> Result<File> {
        create(self.dir.as_fd(), path)
    }

    /// Copies one file of a source into `folder` under its own name, with its mode and modification time, so
    /// that the sandbox sees this file and nothing beside it. The time of a folder is that of the newest file below it.
    ///
    /// # Errors
    /// Those of [`source::open_file_nofollow`]; `Config` when two files have the same name.
    pub fn stage_file(&self, folder: &str, path: &Path) -> Result<StagedFile> {
        let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
            Error::new(
                Code::Config,
                format!("{}: the file's name is not UTF-8", show(path)),
            )
        })?;
        self.folder(folder)?;
        let dir = self.open_folder(folder)?;
        let mut source = source::open_file_nofollow(path)?;
        let mut copy = create(dir.as_fd(), name).map_err(|error| match error.code {
            Code::AlreadyExists => Error::new(
                Code::Config,
                format!("two files named {} are to go into {}", show(name), show(folder)),
            )
            .remedy("put them into sources of their own"),
            _ => error,
        })?;
        let mut taken = copy_once(path, &mut source, &mut copy)?;
        if taken.changed {
            copy.set_len(0)
                .map_err(|e| Error::io(format_args!("stage {}", show(path)), &e))?;
            copy = rewound(copy)?;
            source = rewound(source)?;
            taken = copy_once(path, &mut source, &mut copy)?;
        }
        let fail = |e| fsutil::error(format_args!("stage {}", show(path)), e);
        fsutil::fchmod(&copy, Mode::from_raw_mode(taken.stat.st_mode & 0o777)).map_err(fail)?;
        let mtime = fsutil::mtime_ns(&taken.stat);
        rustix::fs::futimens(&copy, &fsutil::timestamps(mtime)).map_err(fail)?;
        self.settle_folders(folder, mtime)?;
        Ok(StagedFile {
            path: format!("{folder}/{name}"),
            size: taken.size,
            changed: taken.changed,
        })
    }

    /// Gives the folder of a file, and those above it, the time of the newest file at or below them: making a folder
    /// has changed the one above, and the archive would have the time of the run in it.
    fn settle_folders(&self, folder: &str, mtime: i64) -> Result<()> {
        let mut newest = self
            .newest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut at = folder;
        while !at.is_empty() {
            let time = newest.entry(at.to_owned()).or_insert(mtime);
            *time = mtime.max(*time);
            rustix::fs::futimens(self.open_folder(at)?, &fsutil::timestamps(*time)).map_err(|e| {
                fsutil::error(format_args!("set the time of {}", show(self.path.join(at))), e)
            })?;
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
        Ok(())
    }

    /// Gives everything in `folder`, and itself, one modification time: dumps are as old as their run, so that
    /// the same run gives the same archive.
    ///
    /// # Errors
    /// What the system says.
    pub fn settle(&self, folder: &str, mtime_ns: i64) -> Result<()> {
        settle(self.open_folder(folder)?.as_fd(), mtime_ns)
            .map_err(|e| fsutil::error(format_args!("set times in {}", show(self.path.join(folder))), e))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fsutil::remove_tree(self.parent.as_fd(), OsStr::new(&self.name)) {
            tracing::warn!("the staging folder {} is left behind: {error}", show(&self.path));
        }
    }
}

struct Taken {
    size: u64,
    stat: Stat,
    changed: bool,
}

/// Copies as many bytes as the file has at the start, and looks whether it stayed as it was.
fn copy_once(path: &Path, source: &mut File, copy: &mut File) -> Result<Taken> {
    let fail = |e: &std::io::Error| Error::io(format_args!("stage {}", show(path)), e);
    let before = rustix::fs::fstat(&*source).map_err(|e| fail(&e.into()))?;
    let size = u64::try_from(before.st_size).unwrap_or(0);
    let copied = fsutil::copy(source, size, copy).map_err(|e| fail(&e))?;
    let after = rustix::fs::fstat(&*source).map_err(|e| fail(&e.into()))?;
    let same = copied == size
        && before.st_size == after.st_size
        && fsutil::mtime_ns(&before) == fsutil::mtime_ns(&after);
    Ok(Taken {
        size: copied,
        stat: after,
        changed: !same,
    })
}

fn rewound(mut file: File) -> Result<File> {
    use std::io::Seek;
    file.rewind().map_err(|e| Error::io("stage a file again", &e))?;
    Ok(file)
}

fn create(dir: BorrowedFd<'_>, path: &str) -> Result<File> {
    let (parent, name) = fsutil::split_parent(path.as_bytes());
    let fail = |e| fsutil::error(format_args!("create {}", fsutil::path_in(dir, path)), e);
    let parent = fsutil::open_beneath(dir, parent, fsutil::dir_flags()).map_err(fail)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fsutil::openat(&parent, OsStr::from_bytes(name), flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .map_err(fail)
}

/// Opens the state folder, which is made where it is missing.
///
/// # Errors
/// `AccessDenied` when it belongs to another user or others can write to it; what the system says.
pub(crate) fn open_state_dir(state_dir: &Path) -> Result<OwnedFd> {
    make_state_dir(state_dir)?;
    let state = source::open_dir_nofollow(state_dir)?;
    own(&state, state_dir)?;
    Ok(state)
}

/// Opens a folder of the state folder, made where it is missing.
///
/// # Errors
/// As [`open_state_dir`].
pub(crate) fn open_private(state_dir: &Path, name: &str) -> Result<OwnedFd> {
    let state = open_state_dir(state_dir)?;
    let path = state_dir.join(name);
    let fail = |errno| fsutil::error(format_args!("make {}", show(&path)), errno);
    match rustix::fs::mkdirat(&state, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail(errno)),
    }
    let dir = fsutil::openat(&state, name, fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
    own(&dir, &path)?;
    Ok(dir)
}

/// Makes the state folder and what is missing above it, each with mode 0700.
fn make_state_dir(state_dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)
        .map_err(|e| Error::io(format_args!("make the state folder {}", show(state_dir)), &e))
}

/// What cofre keeps privately must be its own: another user who can write there could exchange it.
pub(crate) fn own(dir: &OwnedFd, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(dir).map_err(|e| fsutil::error(format_args!("stat {}", show(path)), e))?;
    let me = rustix::process::geteuid().as_raw();
    let problem = if stat.st_uid != me {
        format!(
            "belongs to user {}, not to the user that runs cofre ({me})",
            stat.st_uid
        )
    } else if stat.st_mode & 0o022 != 0 {
        "can be written to by other users".to_owned()
    } else {
        return Ok(());
    };
    Err(
        Error::new(Code::AccessDenied, format!("the folder {} {problem}", show(path)))
            .remedy("run `chown` and `chmod 700` on it, or set another state_dir"),
    )
}

/// Removes the folders of runs that are dead: their lock is free.
fn sweep(parent: BorrowedFd<'_>) {
    let mut stale = Vec::new();
    let listed = fsutil::openat(parent, ".", fsutil::dir_flags(), Mode::empty()).and_then(|fresh| {
        fsutil::list::<Errno>(fresh.as_fd(), |name| {
            if name.to_bytes().starts_with(PREFIX.as_bytes()) {
                stale.push(name.to_owned());
            }
            Ok(())
        })
    });
    if let Err(errno) = listed {
        tracing::warn!("can't look for left-over staging folders: {errno}");
    }
    for name in stale {
        let Ok(dir) = fsutil::openat(parent, &*name, fsutil::dir_flags(), Mode::empty()) else {
            continue;
        };
        if rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
            && let Err(error) = fsutil::remove_tree(parent, OsStr::from_bytes(name.to_bytes()))
        {
            tracing::warn!("a left-over staging folder stays: {error}");
        }
    }
}

fn settle(dir: BorrowedFd<'_>, mtime_ns: i64) -> rustix::io::Result<()> {
    let times = fsutil::timestamps(mtime_ns);
    fsutil::list::<Errno>(dir, |name| {
        if fsutil::file_type(&fsutil::stat_name(dir, name.to_bytes())?) == FileType::Directory {
            // Staging is the host's own and at most three folders deep.
            let below = fsutil::openat(dir, name, fsutil::dir_flags(), Mode::empty())?;
            return settle(below.as_fd(), mtime_ns);
        }
        rustix::fs::utimensat(dir, name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
    })?;
    rustix::fs::futimens(dir, &times)
}

/// Refuses what a disk has no room for, before it is begun; `doing` is what needs it, `key` the setting that names the
/// folder. Where nothing says what is free, nothing is refused.
///
/// # Errors
/// `NoSpace`.
pub(crate) fn room(space: Option<Space>, need: u64, doing: &str, key: &str) -> Result<()> {
    let Some(free) = space.map(|space| space.free).filter(|free| need > *free) else {
        return Ok(());
    };
    let message = format!(
        "{doing} needs {}, and {} are free on the disk of {key}",
        text::size(need),
        text::size(free)
    );
    Err(Error::new(Code::NoSpace, message).remedy(format!("free space, or set {key} to a larger disk")))
}

#[cfg(test)]
mod tests;
