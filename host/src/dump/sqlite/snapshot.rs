//! A consistent copy of a live SQLite database, its WAL included, that leaves the original alone.
//!
//! Where others use the database, SQLite's online backup reads it through a read-only connection, which can't
//! checkpoint. Opening a WAL database that nobody has open would create `-wal` and `-shm` beside it; such a one
//! (and one with a hot journal) is copied file by file instead, and copied again if anything moved meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::sql_error;
use crate::dump::Request;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Identity, show};
use crate::source;

/// How long to wait for a database that others keep locked or keep changing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pages copied between two looks at the cancel flag; 16 MiB at the usual page size.
const STEP_PAGES: i32 = 4096;
/// A database without WAL is copied in steps, so that writers get in between; each of them starts it anew.
/// After this many the copy holds the read lock to its end.
const RESTARTS: u32 = 3;

/// The files that make up a database, beside the main one.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a database was before it was copied.
#[derive(Debug)]
pub(super) struct Original {
    /// Whether its journal mode is WAL.
    pub(super) wal: bool,
}

/// What the files of a database look like at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    main: Mark,
    beside: [Option<Mark>; 3],
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Mark {
    id: Identity,
    size: i64,
    mtime: i64,
    ctime: i64,
}

impl Mark {
    fn of(stat: &Stat) -> Self {
        Self {
            id: Identity::of(stat),
            size: stat.st_size,
            mtime: fsutil::mtime_ns(stat),
            ctime: fsutil::nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

struct Database<'a> {
    path: &'a Path,
    parent: OwnedFd,
    name: Vec<u8>,
}

/// Copies the database at `path` to `to`, which must not exist. The copy is in rollback mode and complete.
pub(super) fn take(path: &Path, to: &Path, request: &Request<'_>) -> Result<Original> {
    let name = path
        .file_name()
        .map(|name| name.as_bytes().to_vec())
        .unwrap_or_default();
    let database = Database {
        path,
        parent: source::open_parent(path)?,
        name,
    };
    let wal = database.header()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        request.check_cancelled()?;
        let look = database.look()?;
        let [has_wal, has_shm, has_journal] = look.beside.map(|m| m.is_some_and(|m| m.size > 0 || !wal));
        let quiet = wal && !(has_wal && has_shm);
        let done = if quiet {
            database.copy(to)?
        } else {
            match database.back_up(&look, to, request) {
                Ok(done) => done,
                // Needs recovery, or files that a read-only connection may not make.
                Err(Refused::ReadOnly(_)) if has_journal || has_wal || wal => database.copy(to)?,
                Err(Refused::ReadOnly(error) | Refused::Other(error)) => return Err(error),
            }
        };
        if done {
            settle(to)?;
            return Ok(Original { wal });
        }
        if Instant::now() > deadline {
            return Err(Error::new(
                Code::DumpFailed,
                format!("the database {} kept changing while it was copied", show(path)),
            )
            .remedy(
                "try again; where the application opens and closes it all the time, let it keep it open",
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Why the online backup did not work.
enum Refused {
    /// A read-only connection is not enough.
    ReadOnly(Error),
    Other(Error),
}

impl Database<'_> {
    /// Looks at the first bytes: whether it is a SQLite database, and in WAL mode.
    fn header(&self) -> Result<bool> {
        let mut file = source::open_file_nofollow(self.path)?;
        let mut header = [0_u8; 100];
        match file.read_exact(&mut header) {
            Ok(()) if header.starts_with(b"SQLite format 3\0") => Ok(header[18] == 2 || header[19] == 2),
            Err(e) if e.kind() != ErrorKind::UnexpectedEof => {
                Err(Error::io(format_args!("read {}", show(self.path)), &e))
            }
            Err(_) if file.metadata().is_ok_and(|meta| meta.size() == 0) => Err(Error::new(
                Code::SourceMissing,
                format!("the database {} is an empty file", show(self.path)),
            )
            .remedy("check the path and whether the disk is mounted")),
            _ => Err(Error::new(
                Code::DumpFailed,
                format!(
                    "{} is not a SQLite database (or it is encrypted)",
                    show(self.path)
                ),
            )),
        }
    }

    fn look(&self) -> Result<Look> {
        let stat = |suffix: &str| {
            let name = [&self.name, suffix.as_bytes()].concat();
            match fsutil::stat_name(self.parent.as_fd(), &name) {
                Ok(stat) if fsutil::file_type(&stat) == FileType::RegularFile => Ok(Some(Mark::of(&stat))),
                Ok(_) => Err(Error::new(
                    Code::Sandbox,
                    format!("{}{suffix} is not a regular file", show(self.path)),
                )),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(fsutil::error(
                    format_args!("look at {}{suffix}", show(self.path)),
                    errno,
                )),
            }
        };
        let main = stat("")?.ok_or_else(|| {
            Error::new(
                Code::SourceMissing,
                format!("the database {} vanished", show(self.path)),
            )
        })?;
        Ok(Look {
            main,
            beside: [stat(BESIDE[0])?, stat(BESIDE[1])?, stat(BESIDE[2])?],
        })
    }

    /// Copies the files; false if anything moved meanwhile.
    fn copy(&self, to: &Path) -> Result<bool> {
        clear(to);
        // Looked at anew: an attempt to open them has perhaps set their owner again, to what it was.
        let look = self.look()?;
        if !self.copy_file("", look.main, to)? {
            return Ok(false);
        }
        // -shm is only an index of -wal; the copy makes its own.
        for (suffix, mark) in [(BESIDE[0], look.beside[0]), (BESIDE[2], look.beside[2])] {
            if let Some(mark) = mark
                && !self.copy_file(suffix, mark, to)?
            {
                return Ok(false);
            }
        }
        Ok(self.look()? == look)
    }

    fn copy_file(&self, suffix: &str, mark: Mark, to: &Path) -> Result<bool> {
        let name = [&self.name, suffix.as_bytes()].concat();
        let what = || format!("copy {}{suffix}", show(self.path));
        let name = std::ffi::OsStr::from_bytes(&name);
        let mut file = match fsutil::openat(&self.parent, name, fsutil::file_flags(), Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(fsutil::error(what(), errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| fsutil::error(what(), e))?;
        if Mark::of(&stat) != mark {
            return Ok(false);
        }
        let mut copy = create(&with_suffix(to, suffix))?;
        fsutil::copy(&mut file, u64::try_from(mark.size).unwrap_or(0), &mut copy)
            .map_err(|e| Error::io(what(), &e))?;
        Ok(true)
    }

    /// SQLite's online backup; false if SQLite opened other files than those that were looked at.
    fn back_up(&self, look: &Look, to: &Path, request: &Request<'_>) -> std::result::Result<bool, Refused> {
        let refused = |error: rusqlite::Error| {
            let read_only = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
            );
            let error = sql_error(format_args!("copy the database {}", show(self.path)), &error);
            if read_only {
                Refused::ReadOnly(error)
            } else {
                Refused::Other(error)
            }
        };
        clear(to);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let from = Connection::open_with_flags(self.path, flags).map_err(refused)?;
        from.busy_timeout(PATIENCE).map_err(refused)?;
        // The first read opens the files.
        from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
            .map_err(refused)?;
        let wal: String = from
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(refused)?;
        let steady = wal == "wal";
        let mut opened = vec![look.main.id];
        opened.extend(look.beside[0].filter(|_| steady).map(|mark| mark.id));
        if !all_open(&opened).map_err(Refused::Other)? {
            return Ok(false);
        }
        if !steady {
            from.execute_batch("COMMIT").map_err(refused)?;
        }
        drop(create(to).map_err(Refused::Other)?);
        let mut copy = Connection::open(to).map_err(refused)?;
        copy.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")
            .map_err(refused)?;
        let backup = Backup::new(&from, &mut copy).map_err(refused)?;
        run(&backup, &from, steady, request)
            .map(|()| true)
            .map_err(|stop| match stop {
                Stop::Sql(error) => refused(error),
                Stop::Other(error) => Refused::Other(error),
            })
    }
}

/// Whether this process has all these files open: the path may have been swapped for a link between the look and
/// SQLite's opening.
///
/// Opening the files once more to compare would, on closing, drop SQLite's locks in this process.
fn all_open(files: &[Identity]) -> Result<bool> {
    let fail = |e: std::io::Error| Error::io("look at the open files in /proc/self/fd", &e);
    let mut missing: Vec<_> = files.to_vec();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if let Ok(meta) = std::fs::metadata(&path) {
            missing.retain(|id| {
                *id != Identity {
                    dev: meta.dev(),
                    ino: meta.ino(),
                }
            });
        }
    }
    Ok(missing.is_empty())
}

enum Stop {
    Sql(rusqlite::Error),
    Other(Error),
}

fn run(
    backup: &Backup<'_, '_>,
    from: &Connection,
    mut steady: bool,
    request: &Request<'_>,
) -> std::result::Result<(), Stop> {
    let mut deadline = Instant::now() + PATIENCE;
    let (mut remaining, mut restarts) = (i32::MAX, 0);
    loop {
        request.check_cancelled().map_err(Stop::Other)?;
        match backup.step(STEP_PAGES).map_err(Stop::Sql)? {
            StepResult::Done => return Ok(()),
            StepResult::More => deadline = Instant::now() + PATIENCE,
            _ if Instant::now() > deadline => {
                return Err(Stop::Other(
                    Error::new(
                        Code::DumpFailed,
                        format!("the database {} stayed locked for 30 seconds", show(request.name)),
                    )
                    .remedy("look for a program that keeps a write transaction open"),
                ));
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
        let now = backup.progress().remaining;
        restarts += u32::from(now > remaining);
        remaining = now;
        if restarts >= RESTARTS && !steady {
            from.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
                .map_err(Stop::Sql)?;
            steady = true;
        }
        if !steady {
            // Lets a writer that waits have its turn.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Lets SQLite recover the copy (its WAL, or a hot journal) and takes it out of WAL mode.
fn settle(copy: &Path) -> Result<()> {
    let fail = |e: rusqlite::Error| sql_error("recover the copy of the database", &e);
    let db = Connection::open(copy).map_err(fail)?;
    db.execute_batch("PRAGMA synchronous = OFF").map_err(fail)?;
    let mode: String = db
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .map_err(fail)?;
    if mode == "delete" {
        return Ok(());
    }
    Err(Error::new(
        Code::DumpFailed,
        format!("the copy of the database stays in journal mode {mode}"),
    ))
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(path)
        .map_err(|e| Error::io(format_args!("create {}", show(path)), &e))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a copy and the files beside it.
pub(super) fn clear(copy: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(with_suffix(copy, suffix));
    }
}
