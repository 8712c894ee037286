//! The one seam to the file system: directories as capabilities, files read and written at an offset.
//!
//! In the sandbox this is `wasi:filesystem` called directly (`fs/wasi.rs`), since `std::fs` there makes several
//! host calls for each small write and drops its stream at every seek. Natively it is `std::fs`
//! (`fs/native.rs`), for unit tests, fuzzing, the exporter and the benchmark of the sandbox's cost.
//! What is built on the seam (durable publishing, bounded reads, a buffered reader) stands here, once.

use std::io::{self, Read, Seek, SeekFrom};

use crate::error::{Error, ErrorKind, Result};

#[cfg(not(target_os = "wasi"))]
mod native;
#[cfg(target_os = "wasi")]
mod wasi;

#[cfg(not(target_os = "wasi"))]
pub use native::{Dir, File, Roots};
#[cfg(target_os = "wasi")]
pub use wasi::{Dir, File, Roots};

/// The backups folder's preopen.
pub const BACKUPS: &str = "/backups";
/// The staging folder's preopen.
pub const STAGING: &str = "/staging";
/// The restore target's preopen.
pub const TARGET: &str = "/target";

/// Largest piece that one read gives: the limit of wasmtime-wasi's `descriptor.read`.
pub const READ_SIZE: usize = 64 * 1024;

/// The reason given for a name that is not UTF-8.
pub const NOT_UTF8: &str = "the name is not UTF-8";

/// What to do about a failure of the file system, where that is the same whatever was done.
fn remedy(kind: ErrorKind, too_large: bool) -> Option<&'static str> {
    match kind {
        ErrorKind::NoSpace if too_large => {
            Some("it is beyond a limit on the size of files: raise it (`ulimit -f`, systemd's LimitFSIZE)")
        }
        ErrorKind::NoSpace => Some("free space on its disk, or raise the quota"),
        _ => None,
    }
}

/// The error for a directory that the host did not preopen.
fn missing_preopen(path: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        "open",
        "the host preopened no directory under this name",
    )
    .about(path)
    .remedy("preopen it, or one above it")
}

impl Dir {
    /// Removes a file; that it isn't there is fine.
    ///
    /// # Errors
    /// What the file system says, apart from "not found".
    pub fn unlink_if_exists(&self, path: &str) -> Result<()> {
        match self.unlink(path) {
            Err(e) if e.kind == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Special,
}

/// What the file system says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970; `None` where WASI can't say it (before 1970).
    pub mtime_ns: Option<i64>,
}

/// One name in a directory. A name that is not UTF-8 is escaped (`\xNN`) and marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Why it can't be used, where it can't.
    pub problem: Option<String>,
}

/// Writes `bytes` as `name` so that a crash leaves the old or the new content, never a mix: written aside,
/// synced, renamed over, and the folder synced.
///
/// # Errors
/// Whatever the file system says; the old content is still there then.
pub fn publish(dir: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let temp = format!(".{name}.partial");
    dir.unlink_if_exists(&temp).map_err(|e| {
        e.remedy("cofre writes there before it renames: move what is in the way to another place")
    })?;
    let write = || {
        let file = dir.create(&temp)?;
        file.write_all_at(bytes, 0)?;
        file.sync()?;
        drop(file);
        dir.rename(&temp, name)
    };
    match write() {
        Ok(()) => dir.sync(),
        Err(mut error) => {
            // The first error is the one to tell, and it is about the file that was to be written.
            let _ = dir.unlink_if_exists(&temp);
            error.subject = error.subject.map(|subject| subject.replace(&temp, name));
            Err(error)
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// `NotFound`, `Corrupt` when the file is larger, or an I/O error.
pub fn read_all(dir: &Dir, name: &str, limit: u64) -> Result<Vec<u8>> {
    let file = dir.open(name)?;
    let size = file.stat()?.size;
    if size > limit {
        return Err(Error::new(
            ErrorKind::Corrupt,
            "read",
            format!("the file has {size} bytes, more than the {limit} that it may have"),
        )
        .about(name));
    }
    let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut piece = Vec::new();
    loop {
        file.read_at(&mut piece, READ_SIZE, out.len() as u64)?;
        if piece.is_empty() {
            return Ok(out);
        }
        out.extend_from_slice(&piece);
        if out.len() as u64 > limit {
            return Err(
                Error::new(ErrorKind::Corrupt, "read", "the file grew while it was read").about(name),
            );
        }
    }
}

/// A buffered `Read + Seek` over a [`File`], for libraries that want one. Seeking within the buffer is free.
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    size: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl<'a> Reader<'a> {
    /// A reader at offset 0 of `file`, which has `size` bytes.
    #[must_use]
    pub fn new(file: &'a File, size: u64) -> Self {
        Self {
            file,
            size,
            position: 0,
            buffer: Vec::new(),
            buffer_start: 0,
        }
    }

    /// The bytes at the current position, at least one unless the end is reached.
    fn fill(&mut self) -> io::Result<&[u8]> {
        let end = self.buffer_start + self.buffer.len() as u64;
        if self.position < self.buffer_start || self.position >= end {
            self.buffer.clear();
            if self.position < self.size {
                self.file
                    .read_at(&mut self.buffer, READ_SIZE, self.position)
                    .map_err(io::Error::other)?;
            }
            self.buffer_start = self.position;
        }
        let skip = usize::try_from(self.position - self.buffer_start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(skip..).unwrap_or(&[]))
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill()?;
        let n = available.len().min(out.len());
        out[..n].copy_from_slice(&available[..n]);
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.size.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position =
            position.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.position)
    }
}
