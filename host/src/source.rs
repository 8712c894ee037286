//! Opening what the configuration names, without following a link anywhere in the path: a link that the
//! application's user swaps in must not lead a root process elsewhere.
//!
//! What is opened here is handed on as a handle; nobody opens the path a second time.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::fsutil::{self, show};

/// What a path has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Folder,
    File,
}

/// Opens a folder. Relative paths start at the working directory; `..` is fine, a link is not.
///
/// # Errors
/// `SourceMissing` when there is nothing or something else, `Sandbox` for a link (the message names it and
/// where it leads), `AccessDenied` when it can't be read.
pub fn open_dir_nofollow(path: &Path) -> Result<OwnedFd> {
    open(path, fsutil::dir_flags(), Want::Folder)
}

/// Opens a regular file for reading. FIFOs don't block, devices are not opened.
///
/// # Errors
/// As [`open_dir_nofollow`].
pub fn open_file_nofollow(path: &Path) -> Result<File> {
    let Some(name) = path.file_name() else {
        return Err(not_a_file(path, "a folder"));
    };
    let parent = open_parent(path)?;
    match fsutil::stat_name(parent.as_fd(), name.as_bytes()) {
        // Looked at before it is opened, since opening a device can do things.
        Ok(stat)
            if !matches!(
                fsutil::file_type(&stat),
                FileType::RegularFile | FileType::Symlink
            ) =>
        {
            return Err(not_a_file(path, kind_name(fsutil::file_type(&stat))));
        }
        _ => {}
    }
    let file = fsutil::openat(&parent, name, fsutil::file_flags(), Mode::empty())
        .map_err(|errno| explain(path, Want::File, errno))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| fsutil::error(format_args!("open {}", show(path)), e))?;
    match fsutil::file_type(&stat) {
        FileType::RegularFile => Ok(File::from(file)),
        other => Err(not_a_file(path, kind_name(other))),
    }
}

/// Opens the folder that `path` lies in, without following a link; listing it need not be allowed.
///
/// # Errors
/// As [`open_dir_nofollow`].
pub fn open_parent(path: &Path) -> Result<OwnedFd> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(parent, flags, Want::Folder)
}

fn open(path: &Path, flags: OFlags, want: Want) -> Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::io::retry_on_intr(|| rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve)) {
        Ok(fd) => Ok(fd),
        // No openat2 here (an old kernel, a container's filter): the same, one component at a time.
        Err(Errno::NOSYS | Errno::PERM) => {
            walk(path, flags).map_err(|(at, errno)| explain_at(path, &at, want, errno))
        }
        Err(errno) => Err(explain(path, want, errno)),
    }
}

/// Opens one component after another; on failure also says at which path.
fn walk(path: &Path, flags: OFlags) -> std::result::Result<OwnedFd, (PathBuf, Errno)> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let start = if path.is_absolute() { "/" } else { "." };
    let mut so_far = PathBuf::new();
    let mut at = fsutil::openat(CWD, start, step, Mode::empty()).map_err(|e| (PathBuf::from(start), e))?;
    for component in path.components() {
        so_far.push(component);
        if matches!(component, Component::Normal(_) | Component::ParentDir) {
            at = fsutil::openat(&at, component.as_os_str(), step, Mode::empty())
                .map_err(|e| (so_far.clone(), e))?;
        }
    }
    fsutil::openat(&at, ".", flags, Mode::empty()).map_err(|e| (so_far, e))
}

/// Turns a failure into a sentence about the very component that caused it.
fn explain(path: &Path, want: Want, errno: Errno) -> Error {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match walk(path, flags) {
        // That a file is no folder is no news.
        Err((at, _)) if want == Want::File && at == path => explain_at(path, path, want, errno),
        Err((at, found)) => explain_at(path, &at, want, found),
        Ok(_) => explain_at(path, path, want, errno),
    }
}

fn explain_at(path: &Path, at: &Path, want: Want, errno: Errno) -> Error {
    let thing = match want {
        Want::Folder => "folder",
        Want::File => "file",
    };
    let stat = rustix::fs::lstat(at);
    match stat.map(|stat| fsutil::file_type(&stat)) {
        Ok(FileType::Symlink) => link(path, at),
        Ok(kind) if kind != FileType::Directory && at != path => Error::new(
            Code::SourceMissing,
            format!(
                "{}: {} is {}, not a folder",
                show(path),
                show(at),
                kind_name(kind)
            ),
        ),
        Ok(kind) if kind != FileType::Directory && want == Want::Folder => Error::new(
            Code::SourceMissing,
            format!("{} is {}, not a folder", show(path), kind_name(kind)),
        )
        .remedy("name the folder that it is in, or list it under `files`"),
        _ => match errno {
            Errno::NOENT => Error::new(
                Code::SourceMissing,
                format!("the {thing} {} does not exist", show(path)),
            )
            .remedy("check the path in the configuration, and whether the disk is mounted"),
            Errno::ACCESS | Errno::PERM => Error::new(
                Code::AccessDenied,
                format!(
                    "the {thing} {} may not be read by this user ({})",
                    show(path),
                    show(at)
                ),
            )
            .remedy("give the user that runs cofre read access, or run cofre as the owner"),
            errno => fsutil::error(format_args!("open {}", show(path)), errno),
        },
    }
}

fn link(path: &Path, at: &Path) -> Error {
    let target = std::fs::read_link(at).map_or_else(|_| "?".to_owned(), show);
    let on_the_way = if at == path {
        String::new()
    } else {
        format!("{}: ", show(path))
    };
    let error = Error::new(
        Code::Sandbox,
        format!(
            "{on_the_way}{} is a symbolic link (to {target}), and links are not followed",
            show(at)
        ),
    );
    match std::fs::canonicalize(path) {
        Ok(real) => error.remedy(format!(
            "if that is what you mean, write the real path: {}",
            show(real)
        )),
        Err(_) => error.remedy("write the real path"),
    }
}

fn not_a_file(path: &Path, kind: &str) -> Error {
    Error::new(
        Code::SourceMissing,
        format!("{} is {kind}, not a regular file", show(path)),
    )
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::fsutil::Identity;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    #[test]
    fn a_plain_folder_and_file_are_opened() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        std::fs::write(temp.path().join("a/f"), "content").unwrap();
        let dir = open_dir_nofollow(&temp.path().join("a/b/../b/")).unwrap();
        let id = Identity::of(&rustix::fs::fstat(&dir).unwrap());
        assert_eq!(Some(id), Identity::of_path(temp.path().join("a/b")));
        let mut text = String::new();
        open_file_nofollow(&temp.path().join("a/f"))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "content");
    }

    #[test]
    fn opening_component_by_component_gives_the_same_as_openat2() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("a/b")).unwrap();
        symlink("a", temp.path().join("link")).unwrap();
        assert!(walk(&temp.path().join("a/./b"), fsutil::dir_flags()).is_ok());
        let (at, _) = walk(&temp.path().join("link/b"), fsutil::dir_flags()).unwrap_err();
        assert_eq!(at, temp.path().join("link"));
    }

    #[test]
    fn each_failure_names_the_path_and_the_cause() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        std::fs::create_dir_all(root.join("real/sub")).unwrap();
        std::fs::write(root.join("file"), "x").unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("file", root.join("filelink")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let dir = |p: &str| open_dir_nofollow(&root.join(p)).unwrap_err();
        let file = |p: &str| open_file_nofollow(&root.join(p)).unwrap_err();
        let real = format!(
            "write the real path: {}",
            show(std::fs::canonicalize(root).unwrap().join("real/sub"))
        );
        for (error, code, text) in [
            (dir("nothing"), Code::SourceMissing, "does not exist"),
            (dir("file"), Code::SourceMissing, "is a file, not a folder"),
            (
                dir("file/sub"),
                Code::SourceMissing,
                "file is a file, not a folder",
            ),
            (dir("link"), Code::Sandbox, "is a symbolic link (to real)"),
            (dir("link/sub"), Code::Sandbox, real.as_str()),
            (dir("dangling"), Code::Sandbox, "is a symbolic link (to nowhere)"),
            (dir("fifo"), Code::SourceMissing, "is a FIFO"),
            (file("nothing"), Code::SourceMissing, "does not exist"),
            (
                file("real"),
                Code::SourceMissing,
                "is a folder, not a regular file",
            ),
            (file("filelink"), Code::Sandbox, "is a symbolic link (to file)"),
            (file("link/sub/f"), Code::Sandbox, "is a symbolic link"),
            (file("fifo"), Code::SourceMissing, "is a FIFO"),
            (file("socket"), Code::SourceMissing, "is a socket"),
            (file(".."), Code::SourceMissing, "is a folder"),
        ] {
            assert_eq!(error.code, code, "{error}");
            assert!(error.to_string().contains(text), "{error} lacks {text}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_said_to_be_so() {
        crate::testing::as_nobody("source::tests::what_may_not_be_read_is_said_to_be_so", |temp| {
            std::fs::create_dir_all(temp.join("closed/sub")).unwrap();
            std::fs::write(temp.join("secret"), "x").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode;
            std::fs::set_permissions(temp.join("secret"), mode(0o000)).unwrap();
            std::fs::set_permissions(temp.join("closed"), mode(0o000)).unwrap();
            for error in [
                open_dir_nofollow(&temp.join("closed")).unwrap_err(),
                open_dir_nofollow(&temp.join("closed/sub")).unwrap_err(),
                open_file_nofollow(&temp.join("secret")).unwrap_err(),
                open_file_nofollow(&temp.join("closed/sub/f")).unwrap_err(),
            ] {
                assert_eq!(error.code, Code::AccessDenied, "{error}");
            }
            std::fs::set_permissions(temp.join("closed"), mode(0o700)).unwrap();
        });
    }

    /// A folder is exchanged with a link to a foreign one, as fast as the disk allows.
    #[test]
    fn a_link_swapped_in_never_gives_a_foreign_byte() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        std::fs::create_dir_all(root.join("app/data/sub")).unwrap();
        std::fs::create_dir_all(root.join("foreign/sub")).unwrap();
        std::fs::write(root.join("app/data/sub/f"), "mine").unwrap();
        std::fs::write(root.join("foreign/sub/f"), "FOREIGN").unwrap();
        symlink(root.join("foreign"), root.join("app/link")).unwrap();
        let stop = AtomicBool::new(false);
        let (opened, refused) = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (a, b) = (root.join("app/data"), root.join("app/link"));
                while !stop.load(Ordering::Relaxed) {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(CWD, &a, CWD, &b, exchange).unwrap();
                }
            });
            let end = Instant::now() + Duration::from_secs(3);
            let (mut opened, mut refused) = (0_u32, 0_u32);
            while Instant::now() < end {
                match open_file_nofollow(&root.join("app/data/sub/f")) {
                    Ok(mut file) => {
                        let mut text = String::new();
                        file.read_to_string(&mut text).unwrap();
                        assert_eq!(text, "mine");
                        opened += 1;
                    }
                    Err(_) => refused += 1,
                }
                if let Ok(dir) = open_dir_nofollow(&root.join("app/data/sub")) {
                    let file = fsutil::open_beneath(dir.as_fd(), b"f", fsutil::file_flags()).unwrap();
                    let mut text = String::new();
                    File::from(file).read_to_string(&mut text).unwrap();
                    assert_eq!(text, "mine");
                }
            }
            stop.store(true, Ordering::Relaxed);
            (opened, refused)
        });
        assert!(
            opened > 0 && refused > 0,
            "the race was run: {opened} opened, {refused} refused"
        );
    }
}
