//! Small tools over directory handles, for the modules that must not be led astray by a link: opening below a
//! handle, listing, identity, times, names fit for a message, and removing a whole tree.
//!
//! Nothing here takes a path from the root of the file system; that is `source`.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, StatVfs, Timespec, Timestamps,
};
use rustix::io::Errno;

use crate::error::{Error, Result};

mod calls;
mod write;

pub use calls::{copy, fchmod, fsync, openat, syncfs};
pub use write::{Named, clear, trouble, write_file, write_file_with, write_new_file};

pub use crate::text::{shown as show, shown_bytes as show_bytes};

/// Longest path that the kernel takes in one call, without its NUL.
pub const PATH_LIMIT: usize = 4095;

/// Sets the process's umask to 077: whatever cofre makes is for its own user alone until a mode is given.
pub fn set_umask() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// A name that is not UTF-8, written with `\xNN`; the component's own scan writes it the same way.
#[must_use]
pub fn escape_name(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

/// Which file a path or handle leads to, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
}

impl Identity {
    /// The identity in a `stat`.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }

    /// The identity of what `path` is, without following a link in its last component; `None` if there is
    /// nothing or it can't be looked at.
    pub fn of_path(path: impl AsRef<Path>) -> Option<Self> {
        rustix::fs::lstat(path.as_ref()).ok().map(|stat| Self::of(&stat))
    }
}

/// What kind of file a `stat` is about.
#[must_use]
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Seconds and nanoseconds as nanoseconds since 1970, at most what 64 bits hold (the year 2262).
#[must_use]
pub fn nanoseconds(seconds: i64, nanos: u64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(nanos).unwrap_or(0))
}

/// The modification time of a `stat` in nanoseconds since 1970.
#[must_use]
pub fn mtime_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_mtime, stat.st_mtime_nsec)
}

/// Both times of a file, for `utimensat`: the access time as it is, the modification time given.
#[must_use]
pub fn timestamps(mtime_ns: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        },
    }
}

/// Flags for a directory that will be listed.
#[must_use]
pub fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Flags for a file that will be read: never blocks on a FIFO, never becomes the controlling terminal.
#[must_use]
pub fn file_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

/// Opens `path` below `dir` without following any link and without leaving `dir`.
///
/// # Errors
/// `LOOP` or `NOTDIR` where a link is met, `XDEV` for an absolute path or `..`, or what the system says.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open = || rustix::fs::openat2(dir, Path::new(path), flags, Mode::empty(), resolve);
    match rustix::io::retry_on_intr(open) {
        // Old kernels and some container filters don't know openat2 (some of these say "not permitted").
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(dir, path.as_bytes(), flags),
        other => other,
    }
}

/// [`open_beneath`] one component at a time.
fn open_stepwise(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    if path.first() == Some(&b'/') || path.split(|b| *b == b'/').any(|name| name == b"..") {
        return Err(Errno::XDEV);
    }
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut names = path
        .split(|b| *b == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    let mut at = openat(dir, ".", step, Mode::empty())?;
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() {
            step
        } else {
            flags | OFlags::NOFOLLOW
        };
        at = openat(&at, OsStr::from_bytes(name), flags, Mode::empty())?;
    }
    Ok(at)
}

/// The folder part and the name of a relative path; the folder of a plain name is empty.
#[must_use]
pub fn split_parent(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// `stat` of one name in `dir`, links not followed.
///
/// # Errors
/// What the system says.
pub fn stat_name(dir: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Stat> {
    rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)
}

/// Calls `each` with every name in `dir` but `.` and `..`, in no order and in constant memory.
///
/// # Errors
/// What listing says, or the first error of `each`.
pub fn list<E: From<Errno>>(
    dir: BorrowedFd<'_>,
    mut each: impl FnMut(&CStr) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut buffer = [MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            each(entry.file_name())?;
        }
    }
    Ok(())
}

/// Whether a directory has nothing in it.
///
/// # Errors
/// What listing says.
pub fn is_empty(dir: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let mut empty = true;
    list::<Errno>(dir, |_| {
        empty = false;
        Ok(())
    })?;
    Ok(empty)
}

/// The room on a file system, for an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub all: u64,
    /// Whether no further file can be made, however small.
    pub no_files: bool,
}

impl Space {
    /// None where the file system does not say: in memory without a limit, and some in user space.
    fn of(stat: &StatVfs) -> Option<Self> {
        (stat.f_blocks > 0).then(|| Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            all: stat.f_blocks.saturating_mul(stat.f_frsize),
            no_files: stat.f_files > 0 && stat.f_favail == 0,
        })
    }
}

/// The room on the file system of `path`; `None` where that is not known, so that nothing may be refused for it.
///
/// # Errors
/// What the system says.
pub fn space(path: &Path) -> Result<Option<Space>> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| error(format_args!("look at the space of {}", show(path)), errno))?;
    Ok(Space::of(&stat))
}

/// [`space`] of the file system that a handle is on; `None` also where it can't be looked at.
pub(crate) fn space_at(handle: BorrowedFd<'_>) -> Option<Space> {
    rustix::fs::fstatvfs(handle)
        .ok()
        .and_then(|stat| Space::of(&stat))
}

/// The path that the kernel shows for a handle; only for messages.
#[must_use]
pub fn fd_path(fd: BorrowedFd<'_>) -> String {
    std::fs::read_link(proc_path(fd)).map_or_else(|_| "(unknown folder)".to_owned(), show)
}

/// The path of a name in a folder that is open; only for messages.
#[must_use]
pub fn path_in(dir: BorrowedFd<'_>, name: impl AsRef<Path>) -> String {
    format!("{}/{}", fd_path(dir), show(name))
}

/// The way to a handle through `/proc`, for interfaces that only take paths.
#[must_use]
pub fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Fills the buffer from the kernel's random numbers.
///
/// # Errors
/// When the system has none.
pub(crate) fn fill_random(mut buffer: &mut [u8]) -> Result<()> {
    while !buffer.is_empty() {
        let filled = rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| error("get random numbers", errno))?;
        buffer = &mut buffer[filled..];
    }
    Ok(())
}

/// An [`Error`] from an [`Errno`].
pub fn error(what: impl fmt::Display, errno: Errno) -> Error {
    Error::io(what, &io::Error::from(errno))
}

/// Removes the tree `name` in `parent`, following no link, however deep it is and whatever its modes are.
///
/// Folders found inside are first moved up into the top of the tree, so that neither the call stack nor the
/// number of open files nor the length of a path grows with the depth.
///
/// # Errors
/// What the system says. That there is nothing is fine.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let fail = |errno| error(format_args!("remove {}", path_in(parent, name)), errno);
    match stat_name(parent, name.as_bytes()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(fail(errno)),
        Ok(stat) if file_type(&stat) != FileType::Directory => {
            return rustix::fs::unlinkat(parent, name, AtFlags::empty()).map_err(fail);
        }
        Ok(_) => {}
    }
    let top = open_for_removal(parent, name).map_err(fail)?;
    let mut moved = 0_u64;
    loop {
        let mut left = false;
        for child in names(top.as_fd()).map_err(fail)? {
            left |= remove_child(top.as_fd(), &child, &mut moved).map_err(fail)?;
        }
        if !left {
            break;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(fail)
}

/// Removes one thing of the tree's top; true if folders came up out of it.
fn remove_child(top: BorrowedFd<'_>, name: &CStr, moved: &mut u64) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(top, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(false),
        // Linux says ISDIR for a directory, POSIX PERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let dir = open_for_removal(top, OsStr::from_bytes(name.to_bytes()))?;
    let mut left = false;
    for child in names(dir.as_fd())? {
        match rustix::fs::unlinkat(&dir, &*child, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                // Moving a directory changes its `..`, for which it has to be writable.
                drop(open_for_removal(
                    dir.as_fd(),
                    OsStr::from_bytes(child.to_bytes()),
                )?);
                move_up(dir.as_fd(), &child, top, moved)?;
                left = true;
            }
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR)?;
    Ok(left)
}

/// Moves a folder into the top of the tree under a name that is free there.
fn move_up(dir: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> rustix::io::Result<()> {
    loop {
        *moved += 1;
        let to = format!(".cofre-removed-{moved}");
        match rustix::fs::renameat_with(dir, name, top, &to, rustix::fs::RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            // Without NOREPLACE a directory still replaces nothing but an empty directory.
            Err(Errno::INVAL | Errno::NOSYS) => return rustix::fs::renameat(dir, name, top, &to),
            other => return other,
        }
    }
}

/// Opens a directory that is about to be emptied, made accessible if its mode is in the way.
fn open_for_removal(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let path = openat(
        parent,
        name,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&path)?;
    if stat.st_mode & 0o700 != 0o700 {
        rustix::fs::chmod(proc_path(path.as_fd()), Mode::RWXU)?;
    }
    openat(&path, ".", dir_flags(), Mode::empty())
}

/// All names in a directory, for loops that change it.
fn names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let fresh = openat(dir, ".", dir_flags(), Mode::empty())?;
    let mut out = Vec::new();
    list::<Errno>(fresh.as_fd(), |name| {
        out.push(name.to_owned());
        Ok(())
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests;
