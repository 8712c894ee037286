//! Restoring into a SQLite file: loaded in staging, copied aside in the target's own folder, made durable, and renamed
//! into its place. What was there stays until then.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;

use super::{Replaced, Work, may_replace, must_be_whole};
use crate::dump;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Identity, show};
use crate::load::{self, DumpFolder, Loaded};
use crate::source;

/// A file that may be replaced, and what is in it.
pub(super) struct Target {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    /// The file that is there.
    old: Option<Stat>,
    replaced: Vec<Replaced>,
}

impl Target {
    /// Looks at the target: nothing, an empty file, or a database.
    ///
    /// # Errors
    /// `AlreadyExists` for one with tables, unless forced, and for files of another database beside it.
    pub(super) fn look(path: &Path, work: &Work<'_>) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(Error::new(
                Code::Usage,
                format!("{} is not the name of a file", show(path)),
            ));
        };
        // Its handle is fsynced in the end, which a mere path handle can't be.
        let parent = source::open_parent(path)
            .and_then(|parent| {
                fsutil::openat(&parent, ".", fsutil::dir_flags(), Mode::empty())
                    .map_err(|e| fsutil::error(format_args!("open the folder of {}", show(path)), e))
            })
            .map_err(|error| match error.code {
                Code::SourceMissing => Error::new(Code::Usage, format!("--into: {}", error.message))
                    .remedy("make the folder first"),
                _ => error,
            })?;
        let mut target = Self {
            path: path.to_owned(),
            name: name.to_owned(),
            parent,
            old: None,
            replaced: Vec::new(),
        };
        target.old = target.stat()?;
        target.nothing_beside()?;
        if target.old.is_some_and(|stat| stat.st_size > 0) {
            target.replaced = tables(path, work)?;
            may_replace(&target.replaced, &show(path), work.options)?;
        }
        Ok(target)
    }

    fn stat(&self) -> Result<Option<Stat>> {
        match fsutil::stat_name(self.parent.as_fd(), self.name.as_bytes()) {
            Ok(stat) if fsutil::file_type(&stat) == FileType::RegularFile => Ok(Some(stat)),
            Ok(_) => Err(
                Error::new(Code::Usage, format!("{} is not a regular file", show(&self.path)))
                    .remedy("name the database's file itself"),
            ),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(fsutil::error(format_args!("look at {}", show(&self.path)), errno)),
        }
    }

    /// Files of the old database beside it would be taken for those of the new one.
    fn nothing_beside(&self) -> Result<()> {
        for suffix in ["-wal", "-shm", "-journal"] {
            let name = [self.name.as_bytes(), suffix.as_bytes()].concat();
            match fsutil::stat_name(self.parent.as_fd(), &name) {
                Err(Errno::NOENT) => {}
                Ok(_) => {
                    return Err(Error::new(
                        Code::AlreadyExists,
                        format!(
                            "there is {}{suffix}: a program has the database open, or was killed while it had",
                            show(&self.path)
                        ),
                    )
                    .remedy(
                        "stop the program; if the file stays, open and close the database with `sqlite3`, or move \
                         both away",
                    ));
                }
                Err(errno) => {
                    return Err(fsutil::error(
                        format_args!("look at {}{suffix}", show(&self.path)),
                        errno,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Loads the dump, and puts it into the target's place.
    pub(super) fn restore(self, dump: &DumpFolder<'_>, work: &Work<'_>) -> Result<(Loaded, Vec<Replaced>)> {
        let made = work.staging.folder("loaded")?.join("new.db");
        let loaded = load::sqlite::load(dump, &made, &work.stop).map_err(|problem| problem.error)?;
        let mut loaded = must_be_whole(loaded, "nothing was changed")?;
        if work.stop.is_due() {
            return Err(Error::new(
                Code::Cancelled,
                "stopped on request; nothing was changed",
            ));
        }
        let aside = OsString::from_vec([b".", self.name.as_bytes(), b".partial"].concat());
        let published = self.copy(&made, &aside).and_then(|()| self.rename(&aside));
        if let Err(error) = published {
            let _ = rustix::fs::unlinkat(&self.parent, &aside, AtFlags::empty());
            return Err(error);
        }
        if self.old.is_none() {
            loaded.notes.push(format!(
                "{} belongs to the user that ran cofre, mode 0600: `chown` it for the application",
                show(&self.path)
            ));
        }
        Ok((loaded, self.replaced))
    }

    /// Copies the finished file beside the target, with the old one's owner and mode.
    fn copy(&self, made: &Path, aside: &OsString) -> Result<()> {
        let what = || format!("write {}", show(&self.path));
        fsutil::clear(self.parent.as_fd(), aside)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = fsutil::openat(&self.parent, aside, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| fsutil::error(what(), e))?;
        let mut to = File::from(to);
        let mut from = source::open_file_nofollow(made)?;
        fsutil::copy(&mut from, u64::MAX, &mut to).map_err(|e| Error::io(what(), &e))?;
        if let Some(old) = &self.old {
            // Only root can give a file away; for others the owner is the same anyway.
            let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            let given = rustix::fs::fchown(&to, Some(uid), Some(gid));
            let mode = if given.is_ok() { old.st_mode & 0o777 } else { 0o600 };
            fsutil::fchmod(&to, Mode::from_raw_mode(mode)).map_err(|e| fsutil::error(what(), e))?;
        }
        to.sync_all().map_err(|e| Error::io(what(), &e))
    }

    /// The very file that was looked at gives way, and nothing else.
    fn rename(&self, aside: &OsString) -> Result<()> {
        let fail = |e| fsutil::error(format_args!("put {} into its place", show(&self.path)), e);
        let changed = || {
            Error::new(
                Code::AlreadyExists,
                format!(
                    "{} changed while the restore went on; it was left as it is",
                    show(&self.path)
                ),
            )
            .remedy("stop the program that uses it, and restore again")
        };
        let parent = self.parent.as_fd();
        self.nothing_beside()?;
        match (&self.old, self.stat()?) {
            (None, None) => {
                match rustix::fs::renameat_with(parent, aside, parent, &self.name, RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => return Err(changed()),
                    // Some file systems don't know NOREPLACE; it was free a moment ago.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        rustix::fs::renameat(parent, aside, parent, &self.name).map_err(fail)?;
                    }
                    other => other.map_err(fail)?,
                }
            }
            (Some(old), Some(now)) if is_same(old, &now) => {
                rustix::fs::renameat(parent, aside, parent, &self.name).map_err(fail)?;
            }
            _ => return Err(changed()),
        }
        fsutil::fsync(parent).map_err(fail)
    }
}

/// Whether a file is still the one that was looked at, and as it was.
fn is_same(old: &Stat, now: &Stat) -> bool {
    Identity::of(old) == Identity::of(now)
        && old.st_size == now.st_size
        && fsutil::mtime_ns(old) == fsutil::mtime_ns(now)
}

/// What is in a database that would be replaced.
fn tables(path: &Path, work: &Work<'_>) -> Result<Vec<Replaced>> {
    let out = work.staging.folder("looked")?;
    let request = dump::Request {
        name: &work.options.database,
        folder: load::folder::DATABASE,
        out: &out,
        private: &out,
        tables: &crate::dump::tables::TableFilter::default(),
        tools: None,
        stall: work.stop.left(),
        cancel: work.cancel,
    };
    let found = dump::sqlite::tables(path, &request).map_err(|error| match error.code {
        Code::DumpFailed => error.remedy("move it away, and restore into its place"),
        _ => error,
    })?;
    Ok(found
        .into_iter()
        .map(|(table, rows)| Replaced { table, rows })
        .collect())
}
