//! A folder as a place for copies: of another disk, or of another machine by NFS or SMB.
//!
//! What is written stands aside until it is whole and durable, as `.NAME.part` or `.NAME.tmp`; a name that begins with
//! a dot is never a copy. Links are not followed below the folder itself, for others may write there.

mod upload;

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use chrono::DateTime;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::pace::Pace;
use super::{Object, Unfinished, Until, Version, doing, no_locks, no_versions};
use crate::config::Remote;
use crate::error::{Code, Error, Result};
use crate::{fsutil, text};

/// Largest part that is read at once.
const PART: u64 = 16 * 1024 * 1024;

/// Deepest folder that a list looks into.
const DEEPEST: usize = 8;

/// What a file aside is called after its name.
const ASIDE: [&str; 2] = [".part", ".tmp"];

/// What a folder calls all its uploads.
const UPLOAD_ID: &str = "folder";

pub(super) struct Folder {
    remote: String,
    root: PathBuf,
    part_bytes: u64,
    pace: Pace,
}

impl Folder {
    pub(super) fn new(remote: &Remote, root: &Path) -> Self {
        Self {
            remote: remote.name.clone(),
            root: root.to_owned(),
            part_bytes: remote.part_bytes.clamp(1, PART),
            pace: Pace::new(remote.rate),
        }
    }

    /// What an error says first: who looks for the cause needs the whole path.
    fn doing(&self, operation: &str, key: &str) -> String {
        let path = if key.is_empty() {
            text::shown(&self.root)
        } else {
            text::shown(self.root.join(key))
        };
        doing(&self.remote, operation, &path)
    }

    fn fail(&self, operation: &str, key: &str, errno: Errno) -> Error {
        fsutil::error(self.doing(operation, key), errno)
    }

    /// The folder itself, which has to be there: where it is missing, a disk is not mounted.
    fn root(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fsutil::openat(rustix::fs::CWD, &*self.root, flags, Mode::empty()).map_err(|errno| {
            let error = fsutil::error(self.doing("open the folder", ""), errno);
            match errno {
                Errno::NOENT | Errno::NOTDIR => Error {
                    code: Code::NotFound,
                    ..error
                }
                .remedy("mount it, or make it; cofre doesn't, for then copies would land on this disk"),
                _ => error,
            }
        })
    }

    /// The folder of a key; `None` if there is none.
    fn parent(&self, operation: &str, key: &str) -> Result<Option<OwnedFd>> {
        let (parent, _) = fsutil::split_parent(key.as_bytes());
        match fsutil::open_beneath(self.root()?.as_fd(), parent, fsutil::dir_flags()) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(self.blocked(
                operation,
                key,
                "a link or a file stands in the place of its folder",
            )),
            Err(errno) => Err(self.fail(operation, key, errno)),
        }
    }

    fn blocked(&self, operation: &str, key: &str, by: &str) -> Error {
        let message = format!("{}: {by}, and is not followed", self.doing(operation, key));
        Error::new(Code::Refused, message).remedy("look who can write there, and move away what stands there")
    }

    /// The folder of a key, made if there is none.
    fn make_parent(&self, key: &str) -> Result<OwnedFd> {
        if let Some(dir) = self.parent("open the folder of", key)? {
            return Ok(dir);
        }
        let (parent, _) = key.rsplit_once('/').unwrap_or_default();
        let mut at = self.root()?;
        let mut end = 0;
        for name in parent.split('/') {
            end += name.len();
            let fail = |errno| self.fail("make the folder", parent.get(..end).unwrap_or_default(), errno);
            match rustix::fs::mkdirat(&at, name, Mode::RWXU) {
                Ok(()) => fsutil::fsync(&at).map_err(fail)?,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(fail(errno)),
            }
            at = fsutil::open_beneath(at.as_fd(), name.as_bytes(), fsutil::dir_flags()).map_err(fail)?;
            end += 1;
        }
        Ok(at)
    }

    /// Opens what is stored under a key.
    fn open(&self, operation: &str, key: &str, version: Option<&str>) -> Result<Option<(File, Stat)>> {
        if version.is_some() {
            return Err(no_versions(&self.doing(operation, key)));
        }
        let fail = |errno| self.fail(operation, key, errno);
        let root = self.root()?;
        let file = match fsutil::open_beneath(root.as_fd(), key.as_bytes(), fsutil::file_flags()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.blocked(operation, key, "a link stands in its place")),
            Err(errno) => return Err(fail(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(fail)?;
        if fsutil::file_type(&stat) != FileType::RegularFile {
            let message = format!("{}: it is not a plain file", self.doing(operation, key));
            return Err(Error::new(Code::Refused, message));
        }
        Ok(Some((file.into(), stat)))
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        self.each_file("list", folder, &mut |key, stat| {
            if !is_hidden(&key) {
                found.push(object(key, stat));
            }
        })?;
        Ok(found)
    }

    /// Calls `each` with every plain file below a folder whose name is text.
    fn each_file(&self, operation: &str, folder: &str, each: &mut dyn FnMut(String, &Stat)) -> Result<()> {
        let root = self.root()?;
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let fail = |errno| self.fail(operation, &folder, errno);
            let dir = match fsutil::open_beneath(root.as_fd(), folder.as_bytes(), fsutil::dir_flags()) {
                Ok(dir) => dir,
                Err(Errno::NOENT) => continue,
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(self.blocked(operation, &folder, "a link or a file stands in its place"));
                }
                Err(errno) => return Err(fail(errno)),
            };
            let mut names = Vec::new();
            fsutil::list::<Errno>(dir.as_fd(), |name| {
                names.extend(name.to_str().ok().map(str::to_owned));
                Ok(())
            })
            .map_err(fail)?;
            for name in names {
                let stat = match fsutil::stat_name(dir.as_fd(), name.as_bytes()) {
                    Ok(stat) => stat,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(fail(errno)),
                };
                let key = if folder.is_empty() {
                    name
                } else {
                    format!("{folder}/{name}")
                };
                match fsutil::file_type(&stat) {
                    FileType::RegularFile => each(key, &stat),
                    FileType::Directory if !is_hidden(&key) && depth < DEEPEST => {
                        folders.push((key, depth + 1))
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<Object>> {
        let found = self.open("look at", key, None)?;
        Ok(found.map(|(_, stat)| object(key.to_owned(), &stat)))
    }

    pub(super) fn get(&self, key: &str, version: Option<&str>, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, _)) = self.open("read", key, version)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Error::io(self.doing("read", key), &error))?;
        if bytes.len() as u64 > limit {
            let message = format!("{}: it is larger than {limit} bytes", self.doing("read", key));
            return Err(Error::new(Code::Corrupt, message));
        }
        Ok(Some(bytes))
    }

    pub(super) fn put(&self, key: &str, bytes: &[u8], lock: Option<&Until>, new: bool) -> Result<bool> {
        if lock.is_some() {
            return Err(no_locks(&self.doing("write", key)));
        }
        let dir = self.make_parent(key)?;
        let name = name_of(key);
        let written = if new {
            fsutil::write_new_file(dir.as_fd(), name, bytes)
        } else {
            fsutil::write_file(dir.as_fd(), name, bytes)
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if new && error.code == Code::AlreadyExists => Ok(false),
            // It names the file.
            Err(error) => Err(Error {
                message: format!("remote {}: {}", text::escape(&self.remote), error.message),
                ..error
            }),
        }
    }

    pub(super) fn download(
        &self,
        key: &str,
        version: Option<&str>,
        to: &mut dyn Write,
        control: &dyn Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        let what = || self.doing("download", key);
        let Some((mut file, stat)) = self.open("download", key, version)? else {
            return Err(Error::new(
                Code::NotFound,
                format!("{}: there is no such object", what()),
            ));
        };
        let mut buffer = vec![0; 256 * 1024];
        let mut done = 0;
        loop {
            control(done)?;
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(what(), &error)),
            };
            let piece = buffer.get(..read).unwrap_or_default();
            to.write_all(piece)
                .map_err(|error| Error::io(self.doing("write the download of", key), &error))?;
            done += read as u64;
        }
        if i64::try_from(done).ok() != Some(stat.st_size) {
            let message = format!("{}: its size changed meanwhile", what());
            return Err(Error::new(Code::Io, message).remedy("what came is of no use; download it again"));
        }
        Ok(done)
    }

    pub(super) fn delete(&self, key: &str, version: Option<&str>) -> Result<()> {
        if version.is_some() {
            return Err(no_versions(&self.doing("delete", key)));
        }
        self.remove(key, name_of(key))
    }

    /// Removes a name in the folder of a key.
    fn remove(&self, key: &str, name: &str) -> Result<()> {
        let Some(dir) = self.parent("delete", key)? else {
            return Ok(());
        };
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                fsutil::fsync(&dir).map_err(|errno| self.fail("delete", key, errno))
            }
            Err(errno) => Err(self.fail("delete", key, errno)),
        }
    }

    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the same calls as a bucket's"
    )]
    pub(super) fn versions(&self, _key: &str) -> Result<Vec<Version>> {
        Ok(Vec::new())
    }

    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the same calls as a bucket's"
    )]
    pub(super) fn versions_below(&self, _folder: &str) -> Result<Vec<(String, Version)>> {
        Ok(Vec::new())
    }

    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the same calls as a bucket's"
    )]
    pub(super) fn lock_of(&self, _key: &str, _version: Option<&str>) -> Result<Option<Until>> {
        Ok(None)
    }

    pub(super) fn set_lock(&self, key: &str, _version: Option<&str>, _until: &Until) -> Result<()> {
        Err(no_locks(&self.doing("lock", key)))
    }

    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the same calls as a bucket's"
    )]
    pub(super) fn has_object_lock(&self) -> Result<bool> {
        Ok(false)
    }

    pub(super) fn unfinished(&self, folder: &str) -> Result<Vec<Unfinished>> {
        let mut found = Vec::new();
        self.each_file("list the unfinished uploads of", folder, &mut |path, stat| {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            if let Some(key) = name_behind(name) {
                found.push(Unfinished {
                    key: if parent.is_empty() {
                        key.to_owned()
                    } else {
                        format!("{parent}/{key}")
                    },
                    upload_id: name.to_owned(),
                    started: DateTime::from_timestamp(stat.st_mtime, 0),
                });
            }
        })?;
        Ok(found)
    }

    pub(super) fn abort(&self, unfinished: &Unfinished) -> Result<()> {
        let Unfinished { key, upload_id, .. } = unfinished;
        let name = if upload_id == UPLOAD_ID {
            format!(".{}.part", name_of(key))
        } else {
            upload_id.clone()
        };
        if name_behind(&name) != Some(name_of(key)) {
            let message = format!(
                "{}: there is no such upload",
                self.doing("abort the upload of", key)
            );
            return Err(Error::new(Code::Usage, message));
        }
        self.remove(key, &name)
    }
}

/// The name that a file aside is for.
fn name_behind(aside: &str) -> Option<&str> {
    let name = aside.strip_prefix('.')?;
    ASIDE
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .filter(|name| !name.is_empty())
}

fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

fn is_hidden(key: &str) -> bool {
    name_of(key).starts_with('.')
}

fn object(key: String, stat: &Stat) -> Object {
    Object {
        key,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        version: None,
        etag: None,
        modified: DateTime::from_timestamp(stat.st_mtime, 0).unwrap_or_default(),
    }
}
