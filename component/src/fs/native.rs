//! The seam over `std::fs`. Used natively only; the sandbox has `wasi.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{DirEntry, FileKind, Stat};
use crate::error::{Error, ErrorKind, Result};

/// The directories an operation was given, by preopen name.
#[derive(Debug, Clone, Default)]
pub struct Roots(BTreeMap<String, PathBuf>);

impl Roots {
    /// No directory at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the directory `path` the preopen name `name`.
    #[must_use]
    pub fn with(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.0.insert(name.to_owned(), path.into());
        self
    }

    /// Opens the directory `path`: a preopen, or a folder below one.
    ///
    /// # Errors
    /// `NotFound` when no preopen covers it, or what opening says.
    pub fn open(&self, path: &str) -> Result<Dir> {
        for (name, root) in self.0.iter().rev() {
            if path == name {
                return Ok(Dir(root.clone()));
            }
            if let Some(rest) = path.strip_prefix(name).and_then(|r| r.strip_prefix('/')) {
                return Dir(root.clone()).open_dir(rest);
            }
        }
        Err(super::missing_preopen(path))
    }
}

/// An open directory.
#[derive(Debug, Clone)]
pub struct Dir(PathBuf);

/// An open file.
#[derive(Debug)]
pub struct File {
    file: fs::File,
    name: String,
}

fn error(operation: &str, path: impl Into<String>, e: &io::Error) -> Error {
    let kind = match e.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::AccessDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ErrorKind::NoSpace
        }
        _ => ErrorKind::Io,
    };
    let too_large = e.kind() == io::ErrorKind::FileTooLarge;
    Error {
        remedy: super::remedy(kind, too_large).map(str::to_owned),
        ..Error::new(kind, operation, e.to_string()).about(path)
    }
}

fn stat_of(meta: &fs::Metadata) -> Stat {
    let t = meta.file_type();
    Stat {
        kind: if t.is_file() {
            FileKind::File
        } else if t.is_dir() {
            FileKind::Directory
        } else if t.is_symlink() {
            FileKind::Symlink
        } else {
            FileKind::Special
        },
        size: meta.len(),
        mtime_ns: Some(
            meta.mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(meta.mtime_nsec()),
        ),
    }
}

impl Dir {
    /// Opens a directory below this one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_dir(&self, path: &str) -> Result<Self> {
        let full = self.0.join(path);
        let meta = fs::symlink_metadata(&full).map_err(|e| error("open", path, &e))?;
        if !meta.is_dir() {
            return Err(Error::new(ErrorKind::Io, "open", "not a directory").about(path));
        }
        Ok(Self(full))
    }

    /// Opens a regular file for reading, without following a link in its last component.
    ///
    /// # Errors
    /// What the file system says; `Io` for what is not a regular file.
    pub fn open(&self, path: &str) -> Result<File> {
        self.open_as(path, fs::OpenOptions::new().read(true))
    }

    fn open_as(&self, path: &str, options: &mut fs::OpenOptions) -> Result<File> {
        // 0x20000 is O_NOFOLLOW, 0x800 O_NONBLOCK on Linux: a FIFO must not block.
        let file = options
            .custom_flags(0x20000 | 0x800)
            .open(self.0.join(path))
            .map_err(|e| error("open", path, &e))?;
        let file = File {
            file,
            name: path.to_owned(),
        };
        if file.stat()?.kind != FileKind::File {
            return Err(Error::new(ErrorKind::Io, "open", "not a regular file").about(path));
        }
        Ok(file)
    }

    /// Opens a regular file that exists for writing, without following a link in its last component.
    ///
    /// # Errors
    /// What the file system says; `Io` for what is not a regular file.
    pub fn open_to_write(&self, path: &str) -> Result<File> {
        self.open_as(path, fs::OpenOptions::new().write(true))
    }

    /// Creates a file that must not exist, for writing.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn create(&self, path: &str) -> Result<File> {
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.0.join(path))
            .map(|file| File {
                file,
                name: path.to_owned(),
            })
            .map_err(|e| error("create", path, &e))
    }

    /// What a path is, without following a link; `None` when there is nothing.
    ///
    /// # Errors
    /// What the file system says, apart from "not found".
    pub fn stat(&self, path: &str) -> Result<Option<Stat>> {
        match fs::symlink_metadata(self.0.join(path)) {
            Ok(meta) => Ok(Some(stat_of(&meta))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(error("stat", path, &e)),
        }
    }

    /// The names in this directory, in no order. One odd entry never ends the listing.
    ///
    /// # Errors
    /// What the file system says of the directory itself.
    pub fn list(&self) -> Result<Vec<DirEntry>> {
        let shown = || self.0.display().to_string();
        let mut out = Vec::new();
        for item in fs::read_dir(&self.0).map_err(|e| error("list", shown(), &e))? {
            let item = item.map_err(|e| error("list", shown(), &e))?;
            let kind = match item.metadata() {
                Ok(metadata) => stat_of(&metadata).kind,
                // Gone since its name was read.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => FileKind::Special,
            };
            let raw = item.file_name();
            let (name, problem) = match raw.to_str() {
                Some(name) => (name.to_owned(), None),
                None => (
                    raw.as_bytes().escape_ascii().to_string(),
                    Some(super::NOT_UTF8.to_owned()),
                ),
            };
            out.push(DirEntry { name, kind, problem });
        }
        Ok(out)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// What the file system says; `Io` for a target that is not UTF-8.
    pub fn read_link(&self, path: &str) -> Result<String> {
        let target = fs::read_link(self.0.join(path)).map_err(|e| error("read link", path, &e))?;
        target
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Io, "read link", "the target is not UTF-8").about(path))
    }

    /// Creates a directory that must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn make_dir(&self, path: &str) -> Result<()> {
        fs::create_dir(self.0.join(path)).map_err(|e| error("create directory", path, &e))
    }

    /// Creates a symbolic link with a relative target.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        std::os::unix::fs::symlink(Path::new(target), self.0.join(path))
            .map_err(|e| error("create link", path, &e))
    }

    /// Renames within this directory; an existing `to` is replaced, as by POSIX `rename`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.0.join(from), self.0.join(to)).map_err(|e| error("rename", from, &e))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn unlink(&self, path: &str) -> Result<()> {
        fs::remove_file(self.0.join(path)).map_err(|e| error("remove", path, &e))
    }

    /// Makes the directory's own entries durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> Result<()> {
        fs::File::open(&self.0)
            .and_then(|d| d.sync_all())
            .map_err(|e| error("sync", self.0.display().to_string(), &e))
    }
}

impl File {
    /// Reads at most `len` bytes (and at most [`super::READ_SIZE`]) at `offset` into `buffer`, replacing what
    /// was in it; empty at the end of the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> Result<()> {
        let len = len.min(super::READ_SIZE);
        buffer.resize(len, 0);
        let n = loop {
            match self.file.read_at(buffer, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|e| error("read", &self.name, &e))?,
            }
        };
        buffer.truncate(n);
        Ok(())
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|e| error("write", &self.name, &e))
    }

    /// What the file system says of the open file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat(&self) -> Result<Stat> {
        self.file
            .metadata()
            .map(|m| stat_of(&m))
            .map_err(|e| error("stat", &self.name, &e))
    }

    /// Makes content and size durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| error("sync", &self.name, &e))
    }

    /// Cuts the file (or extends it with zeros) to `size` bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_size(&self, size: u64) -> Result<()> {
        self.file
            .set_len(size)
            .map_err(|e| error("set size", &self.name, &e))
    }
}
