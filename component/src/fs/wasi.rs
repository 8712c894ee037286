//! The seam over `wasi:filesystem`, called directly. Used in the sandbox only; see `native.rs` for the twin.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};

use super::{DirEntry, FileKind, Stat};
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of one write: the host copies them into memory of its own, which is the same again and still in the
/// cache where it is not too much.
const WRITE_SIZE: usize = 256 * 1024;

/// The directories that the host preopened.
#[derive(Debug)]
pub struct Roots(Vec<(String, Descriptor)>);

impl Roots {
    /// All preopens of this instance.
    #[must_use]
    pub fn new() -> Self {
        let mut list: Vec<_> = get_directories().into_iter().map(|(d, name)| (name, d)).collect();
        list.sort_by(|a, b| b.0.cmp(&a.0));
        Self(list)
    }

    /// Opens the directory `path`: a preopen, or a folder below one.
    ///
    /// # Errors
    /// `NotFound` when no preopen covers it, or what opening says.
    pub fn open(&self, path: &str) -> Result<Dir> {
        for (name, root) in &self.0 {
            // "." has to be opened: the Node shim refuses to list the preopen itself.
            if path == name {
                return open_dir(root, name, ".");
            }
            if let Some(rest) = path.strip_prefix(name.as_str()).and_then(|r| r.strip_prefix('/')) {
                return open_dir(root, name, rest);
            }
        }
        Err(super::missing_preopen(path))
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::new()
    }
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    descriptor: Descriptor,
    // Preopen and path below it, for messages only.
    path: String,
}

/// An open file.
#[derive(Debug)]
pub struct File {
    descriptor: Descriptor,
    name: String,
}

/// The one table from WASI's error codes to ours.
fn error(operation: &str, path: &str, code: ErrorCode) -> Error {
    let kind = match code {
        ErrorCode::NoEntry => ErrorKind::NotFound,
        ErrorCode::Exist | ErrorCode::NotEmpty => ErrorKind::AlreadyExists,
        ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly => ErrorKind::AccessDenied,
        ErrorCode::InsufficientSpace | ErrorCode::Quota | ErrorCode::FileTooLarge => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    // WASI's text goes on with the POSIX name of the code, which helps nobody at this point.
    let text = code.message();
    let text = text.split(", similar to").next().unwrap_or(text);
    let too_large = matches!(code, ErrorCode::FileTooLarge);
    Error {
        remedy: super::remedy(kind, too_large).map(str::to_owned),
        ..Error::new(kind, operation, text).about(path)
    }
}

/// Makes a call again for as long as a signal interrupts it, as `std::fs` does natively: that is no failure.
fn again<T>(
    mut call: impl FnMut() -> std::result::Result<T, ErrorCode>,
) -> std::result::Result<T, ErrorCode> {
    loop {
        match call() {
            Err(ErrorCode::Interrupted) => {}
            other => return other,
        }
    }
}

fn kind_of(t: DescriptorType) -> FileKind {
    match t {
        DescriptorType::RegularFile => FileKind::File,
        DescriptorType::Directory => FileKind::Directory,
        DescriptorType::SymbolicLink => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

fn stat_of(stat: &DescriptorStat) -> Stat {
    Stat {
        kind: kind_of(stat.type_),
        size: stat.size,
        mtime_ns: stat.data_modification_timestamp.and_then(|t| {
            i64::try_from(t.seconds)
                .ok()?
                .checked_mul(1_000_000_000)?
                .checked_add(i64::from(t.nanoseconds))
        }),
    }
}

/// A path below a directory as messages show it.
fn below(dir: &str, path: &str) -> String {
    match path {
        "." => dir.to_owned(),
        _ => format!("{dir}/{path}"),
    }
}

fn open_dir(root: &Descriptor, shown: &str, path: &str) -> Result<Dir> {
    // MUTATE_DIRECTORY is what creating and renaming below it need; a read-only preopen refuses it, so it is
    // asked for first and done without when refused.
    let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    let open = |flags| again(|| root.open_at(PathFlags::empty(), path, OpenFlags::DIRECTORY, flags));
    open(flags)
        .or_else(|_| open(DescriptorFlags::READ))
        .map(|descriptor| Dir {
            descriptor,
            path: below(shown, path),
        })
        .map_err(|code| error("open", &below(shown, path), code))
}

impl Dir {
    /// Opens a directory below this one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_dir(&self, path: &str) -> Result<Self> {
        open_dir(&self.descriptor, &self.path, path)
    }

    /// Opens a regular file for reading, without following a link in its last component.
    ///
    /// # Errors
    /// What the file system says; `Io` for what is not a regular file.
    pub fn open(&self, path: &str) -> Result<File> {
        self.open_as(path, DescriptorFlags::READ)
    }

    fn open_as(&self, path: &str, flags: DescriptorFlags) -> Result<File> {
        let open = || {
            self.descriptor
                .open_at(PathFlags::empty(), path, OpenFlags::empty(), flags)
        };
        let descriptor = again(open).map_err(|code| error("open", &below(&self.path, path), code))?;
        Ok(File {
            descriptor,
            name: below(&self.path, path),
        })
    }

    /// Opens a regular file that exists for writing, without following a link in its last component.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_to_write(&self, path: &str) -> Result<File> {
        self.open_as(path, DescriptorFlags::WRITE)
    }

    /// Creates a file that must not exist, for writing.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn create(&self, path: &str) -> Result<File> {
        let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
        let new = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        again(|| self.descriptor.open_at(PathFlags::empty(), path, new, flags))
            .map(|descriptor| File {
                descriptor,
                name: below(&self.path, path),
            })
            .map_err(|code| error("create", &below(&self.path, path), code))
    }

    /// What a path is, without following a link; `None` when there is nothing.
    ///
    /// # Errors
    /// What the file system says, apart from "not found".
    pub fn stat(&self, path: &str) -> Result<Option<Stat>> {
        match again(|| self.descriptor.stat_at(PathFlags::empty(), path)) {
            Ok(stat) => Ok(Some(stat_of(&stat))),
            Err(ErrorCode::NoEntry) => Ok(None),
            Err(code) => Err(error("stat", &below(&self.path, path), code)),
        }
    }

    /// The names in this directory, in no order. One odd entry never ends the listing.
    ///
    /// # Errors
    /// What the file system says of the directory itself.
    pub fn list(&self) -> Result<Vec<DirEntry>> {
        let stream = again(|| self.descriptor.read_directory())
            .map_err(|code| error("list", &below(&self.path, "."), code))?;
        let mut out = Vec::new();
        let mut odd = 0usize;
        loop {
            match stream.read_directory_entry() {
                Ok(Some(entry)) => out.push(DirEntry {
                    name: entry.name,
                    kind: kind_of(entry.type_),
                    problem: None,
                }),
                Ok(None) => return Ok(out),
                // Gone between its name and its type, which the host looks up one after the other: a run beside
                // this reader exchanges the catalog, or removes an archive.
                Err(ErrorCode::NoEntry) => {}
                // A name that is not UTF-8: the listing goes on behind it.
                Err(ErrorCode::IllegalByteSequence) => {
                    odd += 1;
                    out.push(DirEntry {
                        name: format!("(name {odd} that is not UTF-8)"),
                        kind: FileKind::Special,
                        problem: Some(super::NOT_UTF8.to_owned()),
                    });
                }
                Err(code) => return Err(error("list", &below(&self.path, "."), code)),
            }
        }
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// What the file system says (absolute targets can't be read through WASI).
    pub fn read_link(&self, path: &str) -> Result<String> {
        again(|| self.descriptor.readlink_at(path))
            .map_err(|code| error("read link", &below(&self.path, path), code))
    }

    /// Creates a directory that must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn make_dir(&self, path: &str) -> Result<()> {
        again(|| self.descriptor.create_directory_at(path))
            .map_err(|code| error("create directory", &below(&self.path, path), code))
    }

    /// Creates a symbolic link with a relative target.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the file system says.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        again(|| self.descriptor.symlink_at(target, path))
            .map_err(|code| error("create link", &below(&self.path, path), code))
    }

    /// Renames within this directory; an existing `to` is replaced, as by POSIX `rename`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        again(|| self.descriptor.rename_at(from, &self.descriptor, to))
            .map_err(|code| error("rename", &below(&self.path, from), code))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn unlink(&self, path: &str) -> Result<()> {
        again(|| self.descriptor.unlink_file_at(path))
            .map_err(|code| error("remove", &below(&self.path, path), code))
    }

    /// Makes the directory's own entries durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> Result<()> {
        again(|| self.descriptor.sync()).map_err(|code| error("sync", &below(&self.path, "."), code))
    }
}

impl File {
    /// Reads at most `len` bytes (and at most [`super::READ_SIZE`]) at `offset` into `buffer`, replacing what
    /// was in it; empty at the end of the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> Result<()> {
        match again(|| self.descriptor.read(len.min(super::READ_SIZE) as u64, offset)) {
            Ok((bytes, _end)) => {
                *buffer = bytes;
                Ok(())
            }
            Err(code) => Err(error("read", &self.name, code)),
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0usize;
        while done < bytes.len() {
            let piece = &bytes[done..bytes.len().min(done + WRITE_SIZE)];
            let n = again(|| self.descriptor.write(piece, offset + done as u64))
                .map_err(|code| error("write", &self.name, code))?;
            if n == 0 {
                return Err(error("write", &self.name, ErrorCode::InsufficientSpace));
            }
            done += usize::try_from(n).unwrap_or(usize::MAX);
        }
        Ok(())
    }

    /// What the file system says of the open file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat(&self) -> Result<Stat> {
        again(|| self.descriptor.stat())
            .map(|s| stat_of(&s))
            .map_err(|code| error("stat", &self.name, code))
    }

    /// Makes content and size durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> Result<()> {
        again(|| self.descriptor.sync()).map_err(|code| error("sync", &self.name, code))
    }

    /// Cuts the file (or extends it with zeros) to `size` bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn set_size(&self, size: u64) -> Result<()> {
        again(|| self.descriptor.set_size(size)).map_err(|code| error("set size", &self.name, code))
    }
}
