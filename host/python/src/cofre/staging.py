"""A private folder for one run: dumps, copies of single files and observations, seen read-only by the sandbox.

It lies in the state folder as `staging/run-PID-N`, mode 0700, is locked while its run lives, and is removed at the end.
What dead runs left behind is swept by the next one, whichever host made it.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

from .errors import AccessDenied, ConfigInvalid, from_os
from .folders import DIR_FLAGS, open_beneath, open_file, open_folder, opened, shown

_COUNT = itertools.count()
_PREFIX = "run-"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

log = logging.getLogger("cofre")


class Staging:
    """The staging folder of one run; a context manager that removes it."""

    def __init__(self, state_dir: Path) -> None:
        with opened(open_state(state_dir)) as state:
            try:
                os.mkdir("staging", 0o700, dir_fd=state)
            except FileExistsError:
                pass
            except OSError as error:
                raise from_os(f"make {shown(state_dir / 'staging')}", error) from error
        parent_path = state_dir / "staging"
        with opened(open_folder(parent_path)) as parent:
            _own(parent, parent_path)
            # Ends with the handle, and keeps a second sweeper out until the new folder is locked.
            _try_lock(parent, fcntl.LOCK_EX)
            _sweep(parent, parent_path)
            while True:
                name = f"{_PREFIX}{os.getpid()}-{next(_COUNT)}"
                try:
                    os.mkdir(name, 0o700, dir_fd=parent)
                    break
                except FileExistsError:
                    continue
                except OSError as error:
                    raise from_os(f"make a folder in {shown(parent_path)}", error) from error
            self.handle = os.open(name, DIR_FLAGS, dir_fd=parent)
            _try_lock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = parent_path / name
        self._newest: dict[str, int] = {}

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            shutil.rmtree(self.path)
        except OSError as error:
            log.warning("the staging folder %s is left behind: %s", shown(self.path), error.strerror)
        os.close(self.handle)

    def open_folder(self, folder: str) -> int:
        """A handle of a folder in it."""
        return open_beneath(self.handle, folder.encode(), DIR_FLAGS)

    def folder(self, folder: str) -> Path:
        """Makes a folder and those above it; its path."""
        path = self.path / folder
        # Not parents=True, which makes those above with the default mode.
        for part in [*reversed(path.relative_to(self.path).parents[:-1]), path.relative_to(self.path)]:
            (self.path / part).mkdir(mode=0o700, exist_ok=True)
        return path

    def create(self, name: str) -> BinaryIO:
        """A new file, mode 0600."""
        return os.fdopen(os.open(self.path / name, _NEW, 0o600), "wb", buffering=1 << 18)

    def stage_file(self, folder: str, path: Path) -> None:
        """Copies one file under its own name with its mode and modification time: the sandbox sees it and nothing beside
        it. A folder is as old as the newest file below it."""
        self.folder(folder)
        target = self.path / folder / path.name
        with opened(open_file(path)) as source:
            try:
                copy = os.open(target, _NEW, 0o600)
            except FileExistsError:
                raise ConfigInvalid(
                    f"two files named {shown(path.name)} are to go into {shown(folder)}",
                    "put them into sources of their own",
                ) from None
            with opened(copy):
                try:
                    info, changed = _copy_once(source, copy)
                    if changed:
                        info, changed = _copy_once(source, copy)
                except OSError as error:
                    raise from_os(f"stage {shown(path)}", error) from error
                if changed:
                    log.warning("%s changed while it was copied", shown(path))
                os.fchmod(copy, stat.S_IMODE(info.st_mode) & 0o777)
                os.utime(copy, ns=(info.st_mtime_ns, info.st_mtime_ns))
        # The folders above too: making one has changed the one above it.
        while folder:
            newest = max(self._newest.get(folder, info.st_mtime_ns), info.st_mtime_ns)
            self._newest[folder] = newest
            os.utime(self.path / folder, ns=(newest, newest))
            folder = os.path.dirname(folder)

    def settle(self, folder: str, mtime_ns: int) -> None:
        """Gives everything in `folder`, and itself, one modification time: dumps are as old as their run."""
        for top, folders, files in os.walk(self.path / folder):
            for name in [*files, *folders]:
                os.utime(os.path.join(top, name), ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        os.utime(self.path / folder, ns=(mtime_ns, mtime_ns))


def _copy_once(source: int, copy: int) -> tuple[os.stat_result, bool]:
    """Copies as many bytes as the file has at the start; whether it stayed as it was."""
    before = os.fstat(source)
    os.lseek(source, 0, os.SEEK_SET)
    os.lseek(copy, 0, os.SEEK_SET)
    os.ftruncate(copy, 0)
    left = before.st_size
    while left > 0 and (data := os.read(source, min(left, 1 << 20))):
        left -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(copy, view) :]
    after = os.fstat(source)
    return after, left > 0 or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def open_state(state_dir: Path) -> int:
    """A handle of the state folder, which is made where it is missing.

    Raises `AccessDenied` when it belongs to another user or others can write to it.
    """
    try:
        for folder in [*reversed(state_dir.parents), state_dir]:
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise from_os(f"make the state folder {shown(state_dir)}", error) from error
    handle = open_folder(state_dir)
    try:
        _own(handle, state_dir)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _own(handle: int, path: Path) -> None:
    info = os.fstat(handle)
    if info.st_uid != os.geteuid():
        problem = f"belongs to user {info.st_uid}, not to the user that runs cofre ({os.geteuid()})"
    elif info.st_mode & 0o022:
        problem = "can be written to by other users"
    else:
        return
    raise AccessDenied(
        f"the folder {shown(path)} {problem}",
        "run `chown` and `chmod 700` on it, or set another state_dir",
    )


def _try_lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


def _sweep(parent: int, path: Path) -> None:
    """Removes the folders of runs that are dead: their lock is free."""
    for name in os.listdir(parent):
        if not name.startswith(_PREFIX):
            continue
        try:
            handle = os.open(name, DIR_FLAGS, dir_fd=parent)
        except OSError:
            continue
        with opened(handle):
            if _try_lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(path / name, ignore_errors=True)
