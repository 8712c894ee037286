"""The folder that a restore goes into: complete or not at all.

The sandbox extracts into `.NAME.partial` beside the target; the host gives modes and times back, renames it, and never
replaces anything. Everything goes through handles, no link is followed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import AlreadyExists, Busy, CofreError, Corrupt, InvalidInput, SandboxRefused, SourceMissing, from_os
from .folders import DIR_FLAGS, FILE_FLAGS, identity, open_beneath, open_parent, opened, shown

PARTIAL_MODE = 0o1700
"""The sticky bit, which nobody sets on such a folder by chance, says that cofre made it and may remove it."""

_RENAME_NOREPLACE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class RestoreTarget:
    """A restore target in the making; a context manager that leaves nothing behind without `commit`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.name = target.name
        if not self.name or self.name == "..":
            raise InvalidInput(f"{shown(target)} can't be a restore target", "name a new folder")
        try:
            with opened(open_parent(target)) as handle:
                self.parent = os.open(".", DIR_FLAGS, dir_fd=handle)
        except SourceMissing as error:
            raise InvalidInput(
                f"restore: {error.message}", "only the last folder of the target is made; make those above it first"
            ) from error
        except OSError as error:
            raise from_os(f"open the folder above {shown(target)}", error) from error
        self.partial = f".{self.name}.partial"
        self.directories: list[dict[str, Any]] = []
        self.done = False
        try:
            self._check_free()
            self.handle = self._make_partial()
        except BaseException:
            os.close(self.parent)
            raise

    def __enter__(self) -> RestoreTarget:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self.done and self._is_ours():
                _remove(self.parent, self.partial)
        finally:
            os.close(self.handle)
            os.close(self.parent)

    def _fail(self, error: OSError) -> CofreError:
        return from_os(f"restore into {shown(self.target)}", error)

    def _exists(self) -> AlreadyExists:
        return AlreadyExists(
            f"{shown(self.target)} exists and is not an empty folder",
            "restore into a new folder and move what you need; nothing was changed",
        )

    def _not_ours(self) -> AlreadyExists:
        return AlreadyExists(
            f"{shown(self.partial)} is in the way beside {shown(self.target)}, and cofre did not make it",
            "look at it and remove it, or restore to another place",
        )

    def _check_free(self) -> None:
        try:
            info = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._fail(error) from error
        if not stat.S_ISDIR(info.st_mode):
            raise self._exists()
        with opened(os.open(self.name, DIR_FLAGS, dir_fd=self.parent)) as handle:
            if os.listdir(handle):
                raise self._exists()

    def _make_partial(self) -> int:
        try:
            try:
                os.mkdir(self.partial, 0o700, dir_fd=self.parent)
            except FileExistsError:
                self._remove_stale()
                os.mkdir(self.partial, 0o700, dir_fd=self.parent)
            handle = os.open(self.partial, DIR_FLAGS, dir_fd=self.parent)
        except OSError as error:
            raise self._fail(error) from error
        if os.fstat(handle).st_uid != os.geteuid() or os.listdir(handle):
            os.close(handle)
            raise self._not_ours()
        os.fchmod(handle, PARTIAL_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # A file system without locks.
        return handle

    def _remove_stale(self) -> None:
        """Removes what a killed restore left behind."""
        try:
            handle = os.open(self.partial, DIR_FLAGS, dir_fd=self.parent)
        except OSError:
            raise self._not_ours() from None
        with opened(handle):
            info = os.fstat(handle)
            ours = info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) == PARTIAL_MODE
            if not ours and os.listdir(handle):
                raise self._not_ours()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"another restore into {shown(self.target)} is running") from None
            except OSError:
                pass
            _remove(self.parent, self.partial)

    def _is_ours(self) -> bool:
        try:
            here = os.stat(self.partial, dir_fd=self.parent, follow_symlinks=False)
        except OSError:
            return False
        return identity(here) == identity(os.fstat(self.handle))

    # Entries are the contract's, as plain data.

    def holds(self, entry: dict[str, Any]) -> bool:
        """Whether there is something at an entry's place: a restore of a part has not extracted every entry."""
        parent, _, name = entry["path"].encode().rpartition(b"/")
        try:
            with opened(open_beneath(self.handle, parent, DIR_FLAGS)) as folder:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def apply(self, entries: Iterable[dict[str, Any]]) -> None:
        """Gives modes and times to extracted files and relative links; directories wait for `commit`.

        Raises `Corrupt` when something is not what the archive says it is.
        """
        for entry in entries:
            kind = entry["kind"].tag
            if kind == "file":
                self._guarded(entry, self._file)
            elif kind == "directory":
                self.directories.append(entry)
            elif kind == "symlink" and not entry["kind"].payload.startswith("/"):
                self._guarded(entry, self._link)

    def absolute_links(self, entries: Iterable[dict[str, Any]]) -> None:
        """Makes the links that the sandbox may not make."""
        for entry in entries:
            self._guarded(entry, self._absolute_link)

    def _guarded(self, entry: dict[str, Any], work: Any) -> None:
        path = entry["path"].encode()
        parent, _, name = path.rpartition(b"/")
        try:
            if name in (b"", b".", b".."):
                raise OSError(errno.ELOOP, "has no usable name")
            with opened(open_beneath(self.handle, parent, DIR_FLAGS)) as folder:
                work(entry, folder, name)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.ENXIO):
                raise Corrupt(f"restored {shown(path)} is not what the archive says it is") from error
            if error.errno == errno.ENOENT:
                raise Corrupt(f"restored {shown(path)} was not extracted") from error
            raise from_os(f"restore the attributes of {shown(path)}", error) from error

    def _file(self, entry: dict[str, Any], folder: int, name: bytes) -> None:
        with opened(os.open(name, FILE_FLAGS, dir_fd=folder)) as file:
            info = os.fstat(file)
            # A second name would be one outside the target.
            if not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
                raise Corrupt(f"restored {shown(entry['path'])} is not a regular file of its own")
            if entry["mode"] is not None:
                os.fchmod(file, entry["mode"] & 0o777)
            if entry["mtime_ns"] is not None:
                os.utime(file, ns=(entry["mtime_ns"],) * 2)

    def _link(self, entry: dict[str, Any], folder: int, name: bytes) -> None:
        if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise Corrupt(f"restored {shown(entry['path'])} is not a symbolic link")
        if entry["mtime_ns"] is not None:
            os.utime(name, ns=(entry["mtime_ns"],) * 2, dir_fd=folder, follow_symlinks=False)

    def _absolute_link(self, entry: dict[str, Any], folder: int, name: bytes) -> None:
        os.symlink(entry["kind"].payload, name, dir_fd=folder)
        self._link(entry, folder, name)

    def _directory(self, entry: dict[str, Any], folder: int, name: bytes) -> None:
        with opened(os.open(name, DIR_FLAGS, dir_fd=folder)) as handle:
            if entry["mtime_ns"] is not None:
                os.utime(handle, ns=(entry["mtime_ns"],) * 2)
            if entry["mode"] is not None:
                os.fchmod(handle, entry["mode"] & 0o1777)

    def commit(self) -> None:
        """Finishes: directories from the deepest up, everything to the disk, and the rename."""
        for entry in sorted(self.directories, key=lambda e: -e["path"].count("/")):
            self._guarded(entry, self._directory)
        try:
            os.fchmod(self.handle, 0o700)
            if _libc.syncfs(self.handle) != 0:
                os.sync()
            if not self._is_ours():
                raise SandboxRefused(f"somebody exchanged the partial folder of {shown(self.target)}")
            self._check_free()
            try:
                os.rmdir(self.name, dir_fd=self.parent)
            except FileNotFoundError:
                pass
            self._rename()
            self.done = True
            os.fsync(self.parent)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise self._exists() from error
            raise self._fail(error) from error

    def _rename(self) -> None:
        old, new = os.fsencode(self.partial), os.fsencode(self.name)
        if _libc.renameat2(self.parent, old, self.parent, new, _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number))
        # Some file systems don't know NOREPLACE. A folder never replaces anything but an empty folder.
        os.rename(self.partial, self.name, src_dir_fd=self.parent, dst_dir_fd=self.parent)


def _remove(parent: int, name: str) -> None:
    """Removes a tree, whatever its modes are, following no link."""
    _unlock(parent, name)
    for _, folders, _, handle in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
        for folder in folders:
            _unlock(handle, folder)
    shutil.rmtree(f"/proc/self/fd/{parent}/{name}")


def _unlock(parent: int, name: str) -> None:
    try:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError:
        return  # A link or a file.
    with opened(handle):
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
