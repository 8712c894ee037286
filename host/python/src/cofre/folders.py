"""Opening folders and files without following a link anywhere in the path: a link that the application's user swaps in
must not lead a process of more rights elsewhere. What is opened here is handed on as a handle."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import AccessDenied, CofreError, SandboxRefused, SourceMissing, clean, from_os

DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a directory that will be listed."""
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""For a file that will be read: never blocks on a FIFO, never becomes the controlling terminal."""
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

def shown(path: str | bytes | os.PathLike[str]) -> str:
    """A path for a message."""
    return clean(os.fsdecode(path))


def open_folder(path: str | os.PathLike[str]) -> int:
    """A handle of a folder; the caller closes it.

    Raises `SourceMissing` when there is nothing or something else, `SandboxRefused` for a link, `AccessDenied`.
    """
    return _walk(os.fspath(path), DIR_FLAGS)


def open_parent(path: str | os.PathLike[str]) -> int:
    """A handle of the folder that `path` lies in; listing it need not be allowed."""
    return _walk(os.path.dirname(os.fspath(path)) or ".", _STEP)


def open_file(path: str | os.PathLike[str]) -> int:
    """A handle of a regular file, for reading. Devices are not opened, FIFOs don't block."""
    path = os.fspath(path)
    name = os.path.basename(path)
    with opened(open_parent(path)) as parent:
        try:
            info = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                raise _link(path, path)
            if not stat.S_ISREG(info.st_mode):
                raise SourceMissing(f"{shown(path)} is {kind_name(info.st_mode)}, not a regular file")
            handle = os.open(name, FILE_FLAGS, dir_fd=parent)
        except FileNotFoundError as error:
            raise _missing("file", path) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _link(path, path) from error
            raise from_os(f"open {shown(path)}", error) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise SourceMissing(f"{shown(path)} is no longer a regular file")
    return handle


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file of the administrator's, links followed. What is no file is an error; a FIFO would make the program wait.

    Raises `OSError` and `UnicodeDecodeError`.
    """
    with os.fdopen(os.open(path, FILE_FLAGS & ~os.O_NOFOLLOW), encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {kind_name(mode)}, not a file")
        return file.read()


def open_beneath(root: int, path: bytes, flags: int) -> int:
    """Opens `path` below the handle `root`, one component at a time: no link, no `..`, nothing outside.

    Raises `OSError` with `ELOOP` or `ENOTDIR` where a link is met, `EXDEV` for a path that leads out.
    """
    names = [name for name in path.split(b"/") if name]
    if path.startswith(b"/") or b".." in names:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    if not names:
        return os.open(".", flags, dir_fd=root)
    at = root
    try:
        for name in names[:-1]:
            below = os.open(name, _STEP, dir_fd=at)
            if at != root:
                os.close(at)
            at = below
        return os.open(names[-1], flags | os.O_NOFOLLOW, dir_fd=at)
    finally:
        if at != root:
            os.close(at)


@contextmanager
def opened(handle: int) -> Iterator[int]:
    """Closes a handle at the end."""
    try:
        yield handle
    finally:
        os.close(handle)


def identity(info: os.stat_result) -> tuple[int, int]:
    """What a file is, whatever it is called."""
    return info.st_dev, info.st_ino


def kind_name(mode: int) -> str:
    """A kind of file for a message."""
    for test, name in (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return name
    return "a device"


def _walk(path: str, flags: int) -> int:
    """Opens one component after another."""
    at = os.open("/" if path.startswith("/") else ".", _STEP)
    so_far = "/" if path.startswith("/") else ""
    try:
        for name in path.split("/"):
            if name in ("", "."):
                continue
            so_far = os.path.join(so_far, name)
            try:
                below = os.open(name, _STEP, dir_fd=at)
            except OSError as error:
                raise _explain(path, so_far, error) from error
            os.close(at)
            at = below
        try:
            return os.open(".", flags, dir_fd=at)
        except OSError as error:
            raise _explain(path, so_far or ".", error) from error
    finally:
        os.close(at)


def _explain(path: str, at: str, error: OSError) -> CofreError:
    try:
        mode = os.lstat(at).st_mode
    except OSError:
        mode = 0
    if stat.S_ISLNK(mode):
        return _link(path, at)
    if mode and not stat.S_ISDIR(mode):
        where = "" if at == path else f"{shown(path)}: "
        return SourceMissing(
            f"{where}{shown(at)} is {kind_name(mode)}, not a folder",
            "name the folder that it is in, or list it under `files`",
        )
    if error.errno == errno.ENOENT:
        return _missing("folder", path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(
            f"the folder {shown(path)} may not be read by this user ({shown(at)})",
            "give the user that runs cofre read access, or run cofre as the owner",
        )
    return from_os(f"open {shown(path)}", error)


def _missing(thing: str, path: str) -> SourceMissing:
    return SourceMissing(
        f"the {thing} {shown(path)} does not exist",
        "check the path in the configuration, and whether the disk is mounted",
    )


def _link(path: str, at: str) -> SandboxRefused:
    try:
        target = os.readlink(at)
    except OSError:
        target = "?"
    where = "" if at == path else f"{shown(path)}: "
    return SandboxRefused(
        f"{where}{shown(at)} is a symbolic link (to {shown(target)}), and links are not followed",
        f"if that is what you mean, write the real path: {shown(os.path.realpath(path))}",
    )
