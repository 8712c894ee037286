//! The log's file: appended to, never followed through a link, opened again when it was rotated away.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Code, Error, Result};
use crate::fsutil::{self, Identity};
use crate::text::{escape, shown};

/// A log file that is open.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    id: Identity,
    /// A failure was said, and is not said again until it has passed.
    complained: bool,
}

impl LogFile {
    /// Opens the file, made for the owner alone if need be. The folder has to exist.
    ///
    /// # Errors
    /// `Config` when it is no regular file, `AccessDenied`, or what the system says; each names the file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (file, id) = open(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            id,
            complained: false,
        })
    }

    /// Appends a line. A failure is said on standard error once; the work that is logged goes on.
    pub(super) fn write(&mut self, line: &[u8]) {
        let followed = self.follow();
        // Into the old file where there is no new one.
        let written = self
            .file
            .write_all(line)
            .map_err(|e| Error::io(format!("write to the log file {}", shown(&self.path)), &e));
        match followed.and(written) {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                // Not through the log, which is where this happened.
                let _ = writeln!(std::io::stderr(), "cofre: {}", escape(&error.to_string()));
            }
            Err(_) => {}
        }
    }

    /// Opens the path again when it is another file than the one that is open: logrotate has moved it away.
    /// Looked at before each line, which costs a microsecond and needs no signal.
    fn follow(&mut self) -> Result<()> {
        if Identity::of_path(&self.path) != Some(self.id) {
            (self.file, self.id) = open(&self.path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<(File, Identity)> {
    let what = || format!("open the log file {}", shown(path));
    // NONBLOCK: a FIFO without a reader must not hang the start.
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = fsutil::openat(rustix::fs::CWD, path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| fsutil::error(what(), errno).remedy("correct `log.file`, or make its folder"))?;
    let stat = rustix::fs::fstat(&file).map_err(|errno| fsutil::error(what(), errno))?;
    if fsutil::file_type(&stat) != FileType::RegularFile {
        return Err(Error::new(
            Code::Config,
            format!("the log file {} is not a regular file", shown(path)),
        )
        .remedy("name a file in `log.file`; standard error gets the log anyway"));
    }
    Ok((File::from(file), Identity::of(&stat)))
}
