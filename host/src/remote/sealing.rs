//! The bytes that are sent: the archive itself, or its encrypted form in a staged file, with their SHA-256. They are
//! made, and compared with the catalog from end to end, while the first of them are sent already; the last ones go only
//! once all of them are right, so that a damaged archive never becomes a copy.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::layout;
use super::row::{BackupRow, Object};
use super::state::{Desk, staged_front};
use super::watch::Watch;
use crate::config::Remote;
use crate::crypt::{self, HEADER_LIMIT, Recipients, WRITE_SIZE};
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Named};
use crate::hashing::{Hashing, digest};
use crate::sealed::{self, ArchiveFile, Form};
use crate::staging;

/// How soon it is looked again whether a header is there.
const LOOK: Duration = Duration::from_millis(5);

/// An archive that is becoming an object.
pub(super) struct Sealing<'a> {
    backups: BorrowedFd<'a>,
    backup: &'a BackupRow,
    archive: &'a ArchiveFile,
    staged: Option<Staged>,
    /// Bytes that are there, from the beginning on.
    far: AtomicU64,
    outcome: Mutex<Option<Result<Object>>>,
}

/// A file for the encrypted form.
struct Staged {
    name: String,
    file: File,
    recipients: Recipients,
}

impl<'a> Sealing<'a> {
    /// Of an archive that is sent as it lies in the backups folder, or with `recipients` encrypted for them.
    ///
    /// # Errors
    /// `Corrupt` for an archive of another size than the catalog says; `NoSpace` where the encrypted form has no room; what
    /// making the staged file says.
    pub(super) fn new(
        desk: &Desk,
        remote: &Remote,
        backups: BorrowedFd<'a>,
        backup: &'a BackupRow,
        archive: &'a ArchiveFile,
        recipients: Option<Recipients>,
    ) -> Result<Self> {
        // What can be known before the first byte goes.
        if archive.form == Form::Plain && archive.size != backup.size {
            return Err(other(backup));
        }
        let stage = |recipients| -> Result<Staged> {
            let need = crypt::encrypted_size(HEADER_LIMIT as u64, backup.size);
            let doing = format!("encrypting {} for `{}`", backup.name, remote.name);
            staging::room(fsutil::space_at(desk.dir()), need, &doing, "state_dir")?;
            let name = format!("{}{}.age", staged_front(&remote.name), backup.id);
            // Named as what a sweep removes, should this process die before its end.
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let path = fsutil::path_in(desk.dir(), &name);
            let fail = |errno| fsutil::error(format_args!("stage {} as {path}", backup.name), errno);
            let file =
                fsutil::openat(desk.dir(), name.as_str(), flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
            Ok(Staged {
                name,
                file: File::from(file),
                recipients,
            })
        };
        Ok(Self {
            backups,
            backup,
            archive,
            staged: recipients.map(stage).transpose()?,
            far: AtomicU64::new(0),
            outcome: Mutex::new(None),
        })
    }

    /// The file whose bytes are sent.
    pub(super) fn file(&self) -> &File {
        self.staged
            .as_ref()
            .map_or(&self.archive.file, |staged| &staged.file)
    }

    /// The name of the staged file.
    pub(super) fn staged(&self) -> Option<&str> {
        self.staged.as_ref().map(|staged| staged.name.as_str())
    }

    /// What the object will be, as far as that is known before it is whole: without its SHA-256. Waits for the header of
    /// an encrypted one.
    ///
    /// # Errors
    /// That the work has failed.
    pub(super) fn outline(&self) -> Result<Object> {
        let size = match &self.staged {
            None if self.archive.form == Form::Sealed => self.archive.size,
            None => self.backup.size,
            Some(staged) => loop {
                if let Some(outcome) = &*self.outcome() {
                    break outcome.clone()?.size;
                }
                if self.far.load(Ordering::Acquire) > 0 {
                    let mut head = vec![0; HEADER_LIMIT];
                    let read = staged
                        .file
                        .read_at(&mut head, 0)
                        .map_err(|e| Error::io(format_args!("read {}", staged.name), &e))?;
                    let header = crypt::check_header(&mut head.get(..read).unwrap_or_default())?;
                    break crypt::encrypted_size(header, self.backup.size);
                }
                std::thread::sleep(LOOK);
            },
        };
        Ok(self.object(size, String::new()))
    }

    /// Whether the bytes up to `end` of an object of this size may be sent.
    ///
    /// # Errors
    /// That the work has failed.
    pub(super) fn ready(&self, end: u64, size: u64) -> Result<bool> {
        match &*self.outcome() {
            Some(Ok(object)) if object.size != size => Err(other(self.backup)),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(end < size && (self.staged.is_none() || end <= self.far.load(Ordering::Acquire))),
        }
    }

    /// Whether what was sent, by its SHA-256, is the object.
    ///
    /// # Errors
    /// `Corrupt` where it is not; that the work has failed.
    pub(super) fn right(&self, sha256: &str) -> Result<()> {
        match &*self.outcome() {
            Some(Ok(object)) => right(&self.backup.name, object, sha256),
            Some(Err(error)) => Err(error.clone()),
            None => Err(died()),
        }
    }

    /// The object, once all of it is right.
    pub(super) fn whole(&self) -> Option<Object> {
        self.outcome().as_ref()?.as_ref().ok().cloned()
    }

    /// Does the work, on a thread of its own.
    pub(super) fn work(&self, watch: &Watch) {
        // Whoever waits for an outcome gets one, whatever happens here.
        let _ended = Ended(self);
        let begun = (&self.archive.file)
            .rewind()
            .map_err(|e| Error::io(format_args!("read {}", self.archive.file_name), &e));
        let outcome = begun.and_then(|()| match (&self.staged, self.archive.form) {
            (Some(staged), _) => self.encrypt(staged, watch),
            (None, Form::Sealed) => self.look(watch),
            (None, Form::Plain) => self.read(watch),
        });
        let outcome = outcome.map_err(|error| watch.check().err().unwrap_or(error));
        *self.outcome() = Some(outcome);
    }

    /// What came of the work.
    ///
    /// # Errors
    /// `Corrupt` when the archive is not what the catalog says; what reading and writing say.
    pub(super) fn end(self) -> Result<Object> {
        let outcome = self.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.unwrap_or_else(|| Err(died()))
    }

    /// The archive as it is.
    fn read(&self, watch: &Watch) -> Result<Object> {
        let (size, sha256) = digest(&self.archive.file, &self.archive.file_name, &|_| watch.check())
            .map_err(|error| unreadable(self.backup, &error))?;
        self.compare(size, &sha256)?;
        Ok(self.object(size, sha256))
    }

    /// The archive that is encrypted in the backups folder already: it is the object.
    fn look(&self, watch: &Watch) -> Result<Object> {
        let found = sealed::look(self.backups, &self.backup.name, self.backup.size, &|_| {
            watch.check()
        })
        .map_err(|error| unreadable(self.backup, &error))?;
        if let Some(problem) = found.problems.first() {
            let message = format!("{} is not copied: {problem}", self.backup.name);
            return Err(Error::new(Code::Corrupt, message));
        }
        Ok(self.object(found.bytes, found.sha256))
    }

    /// Into the staged file. It need not outlive a power cut: nobody goes on with one that is not what was noted of it.
    fn encrypt(&self, staged: &Staged, watch: &Watch) -> Result<Object> {
        let unread = Cell::new(false);
        let mut from = Hashing::new(Noting(&self.archive.file, &unread));
        let written = Cell::new(0);
        let counted = Counted(Named(&staged.file), &written);
        let mut to = Hashing::new(BufWriter::with_capacity(WRITE_SIZE, counted));
        // Told of what is written: the header is smaller than the first of it.
        let control = |_| {
            self.far.store(written.get(), Ordering::Release);
            watch.check()
        };
        crypt::encrypt(&staged.recipients, &mut from, &mut to, &control).map_err(|error| {
            match unread.get() {
                true => unreadable(self.backup, &error),
                false => error,
            }
        })?;
        let ((read, plain), (size, sha256)) = (from.finish(), to.finish());
        self.compare(read, &plain)?;
        Ok(self.object(size, sha256))
    }

    fn object(&self, size: u64, sha256: String) -> Object {
        let encrypted = self.staged.is_some() || self.archive.form == Form::Sealed;
        Object {
            key: layout::archive(&self.backup.name, encrypted),
            size,
            sha256,
            encrypted,
        }
    }

    fn compare(&self, size: u64, sha256: &str) -> Result<()> {
        if size == self.backup.size && sha256 == self.backup.sha256 {
            return Ok(());
        }
        Err(other(self.backup))
    }

    fn outcome(&self) -> MutexGuard<'_, Option<Result<Object>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was sent, by its SHA-256, is this object.
///
/// # Errors
/// `Corrupt`.
pub(super) fn right(name: &str, object: &Object, sha256: &str) -> Result<()> {
    if sha256 == object.sha256 {
        return Ok(());
    }
    let message = format!("{name} was changed while it was sent, and is not copied");
    Err(Error::new(Code::Corrupt, message).remedy("look who writes to the backups folder, and at its disk"))
}

fn other(backup: &BackupRow) -> Error {
    let BackupRow { id, name, .. } = backup;
    let message = format!("{name} is not what the catalog says, and is not copied");
    Error::new(Code::Corrupt, message).remedy(format!("`cofre verify {id}` says what is wrong"))
}

/// That an archive can't be read, which is no reason not to copy another.
pub(super) fn unreadable(backup: &BackupRow, error: &Error) -> Error {
    let message = format!(
        "{} can't be read, and is not copied: {}",
        backup.name, error.message
    );
    Error::new(Code::Corrupt, message)
        .remedy("look at the disk of the backups folder, and who may read there")
}

/// A file, and whether reading it failed.
struct Noting<'a>(&'a File, &'a Cell<bool>);

impl Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer);
        self.1.set(read.is_err());
        read
    }
}

/// Sees to it that there is an outcome.
struct Ended<'a, 'b>(&'a Sealing<'b>);

impl Drop for Ended<'_, '_> {
    fn drop(&mut self) {
        self.0.outcome().get_or_insert_with(|| Err(died()));
    }
}

fn died() -> Error {
    Error::new(Code::Internal, "the thread that encrypts an archive has died")
}

/// A file, and how much was written to it.
struct Counted<'a>(Named<&'a File>, &'a Cell<u64>);

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.set(self.1.get() + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
