//! The way of one archive from the remote into the backups folder: room first, then the bytes into a private folder, the
//! proof, and at last its name. Nothing that does not fit gets near the backups.

use std::fs::File;
use std::io::Seek as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::here::Aside;
use super::objects::older;
use super::row::Row;
use super::store::Store;
use super::watch::Watch;
use super::{bytes, layout, trust};
use crate::config::Config;
use crate::context::Exclusive;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Named};
use crate::sealed::{self, Form};
use crate::staging::{Staging, room};

/// The archive in the staging folder.
const ARCHIVE: &str = "archive.zip";

/// An archive that was fetched and proved, still aside.
pub(super) struct Arrived {
    staging: Staging,
    /// Its name there.
    name: String,
    file: File,
}

/// Fetches the object of a row and opens it.
///
/// # Errors
/// `NoSpace` before anything comes; `Corrupt` where no version of the object is what the row says; what the store, the
/// identity and the system say.
pub(super) fn fetch(
    config: &Config,
    backups: BorrowedFd<'_>,
    store: &Store,
    row: &Row,
    watch: &Watch,
) -> Result<Arrived> {
    // Before an hour of transfer.
    let identity = match row.object.encrypted {
        true => Some(trust::identity(config)?),
        false => None,
    };
    let staging = Staging::new(&config.state_dir)?;
    check_room(backups, &staging, row)?;
    let (name, file) = download(store, row, &staging, watch)?;
    let Some(identity) = identity else {
        return Ok(Arrived { staging, name, file });
    };
    let mut archive = staging.create(ARCHIVE)?;
    let means = sealed::Means {
        name: &row.backup.name,
        size: Some(row.backup.size),
        sha256: Some(&row.backup.sha256),
    };
    let mut to = Named(&mut archive);
    sealed::decrypt(&identity, &file, &row.object.key, &mut to, &means, &|_| {
        watch.check()
    })?;
    // The disk needs to hold it no longer.
    drop(file);
    staging.remove(&name)?;
    Ok(Arrived {
        staging,
        name: ARCHIVE.to_owned(),
        file: archive,
    })
}

/// Refuses to begin what the disks can't hold.
fn check_room(backups: BorrowedFd<'_>, staging: &Staging, row: &Row) -> Result<()> {
    let opened = if row.object.encrypted { row.backup.size } else { 0 };
    let stage = row.object.size.saturating_add(opened);
    let dir = staging.open()?;
    let doing = "fetching the archive";
    room(fsutil::space_at(dir.as_fd()), stage, doing, "state_dir")?;
    // Within one file system it is only renamed.
    if !same_disk(dir.as_fd(), backups) {
        room(fsutil::space_at(backups), row.backup.size, doing, "backup_dir")?;
    }
    Ok(())
}

fn same_disk(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    let of = |dir| rustix::fs::fstat(dir).ok().map(|stat| stat.st_dev);
    of(a).is_some() && of(a) == of(b)
}

/// The bytes that the row means: the newest version of the object, or the one among the older ones that fits.
fn download(store: &Store, row: &Row, staging: &Staging, watch: &Watch) -> Result<(String, File)> {
    let object = &row.object;
    let mut versions = vec![None];
    let mut tried = 0;
    let mut why = None;
    while let Some(version) = versions.get(tried).cloned() {
        let name = format!("object-{tried}");
        let mut staged = staging.create(&name)?;
        match bytes::read(store, object, version.as_deref(), &mut Named(&mut staged), watch) {
            Ok(()) => {
                if tried > 0 {
                    tracing::warn!(
                        "{} was exchanged or deleted at the remote; an older version is good",
                        object.key
                    );
                }
                staged
                    .rewind()
                    .map_err(|e| Error::io("read a staged object", &e))?;
                return Ok((name, staged));
            }
            Err(error) if matches!(error.code, Code::Corrupt | Code::NotFound) => {
                staging.remove(&name)?;
                if tried == 0 {
                    versions.extend(older(store, object)?.into_iter().map(Some));
                }
                why.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        tried += 1;
    }
    Err(why.unwrap_or_else(|| Error::new(Code::NotFound, format!("{} is not at the remote", object.key))))
}

impl Arrived {
    /// Gives the archive its name, durably, and never over anything, with its checksum beside it. What was `found` in its
    /// place is put aside.
    ///
    /// # Errors
    /// `AlreadyExists`; what the system says.
    pub(super) fn place(mut self, exclusive: &Exclusive<'_>, row: &Row, found: &[Aside]) -> Result<()> {
        let backups = exclusive.folder();
        let name = Form::Plain.file(&row.backup.name);
        let path = fsutil::path_in(backups.as_fd(), &name);
        let fail = |path: &str, errno| fsutil::error(format_args!("write {path}"), errno);
        fsutil::fsync(&self.file).map_err(|errno| fail(&fsutil::fd_path(self.file.as_fd()), errno))?;
        for aside in found {
            aside.put(backups)?;
        }
        let staged = self.staging.open()?;
        match rustix::fs::renameat_with(&staged, &self.name, backups, &name, RenameFlags::NOREPLACE) {
            Err(Errno::XDEV) => self.copy(backups, &name)?,
            renamed => renamed.map_err(|errno| taken(&path, errno))?,
        }
        write_checksum(backups, row)?;
        fsutil::fsync(backups).map_err(|errno| fail(&path, errno))
    }

    /// From one disk to another.
    fn copy(&mut self, backups: &OwnedFd, name: &str) -> Result<()> {
        // As the engine calls what it has not finished: the next run removes it.
        let partial = format!(".{name}.partial");
        let path = fsutil::path_in(backups.as_fd(), name);
        let fail = |errno| fsutil::error(format_args!("write {path}"), errno);
        self.file
            .rewind()
            .map_err(|e| Error::io("read a staged archive", &e))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut copy = fsutil::openat(backups, partial.as_str(), flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(fail)?;
        let copied = fsutil::copy(&mut self.file, u64::MAX, &mut copy)
            .map_err(|e| Error::io(format_args!("write {path}"), &e))
            .and_then(|_| fsutil::fsync(&copy).map_err(fail))
            .and_then(|()| {
                rustix::fs::renameat_with(backups, &partial, backups, name, RenameFlags::NOREPLACE)
                    .map_err(|errno| taken(&path, errno))
            });
        if copied.is_err() {
            // Best effort: the engine removes it too.
            let _ = rustix::fs::unlinkat(backups, &partial, AtFlags::empty());
        }
        copied
    }
}

/// Writes the checksum beside a plain archive.
///
/// # Errors
/// What the system says.
pub(super) fn write_checksum(backups: &OwnedFd, row: &Row) -> Result<()> {
    let name = Form::Plain.file(&row.backup.name);
    let line = format!("{}  {name}\n", row.backup.sha256);
    fsutil::write_file(backups.as_fd(), &layout::checksum(&name), line.as_bytes())
}

fn taken(path: &str, errno: Errno) -> Error {
    match errno {
        Errno::EXIST => Error::new(Code::AlreadyExists, format!("{path} is there already"))
            .remedy("`cofre rebuild` takes it in if it is good; otherwise move it away"),
        errno => fsutil::error(format_args!("write {path}"), errno),
    }
}
