"""The lock on the backups folder: an exclusive `flock(2)` on the folder itself, the same one as that of the program
`cofre`. The kernel frees it when the process dies; there is nothing to remove."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import Busy, Unsupported, clean, from_os

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EINVAL}


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """Holds the lock of the folder behind the handle `folder`. Never waits.

    Raises `Busy` when another run holds it, in this process or another; `Unsupported` where there are no locks.
    """
    # A description of its own: the caller's handle may be duplicated into other processes.
    held = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        where = clean(os.readlink(f"/proc/self/fd/{held}"))
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy(held, where) from error
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise Unsupported(
                    f"the file system of {where} has no flock(2)",
                    "keep the backups on a local file system, or mount this one with locks",
                ) from error
            raise from_os(f"lock {where}", error) from error
        try:
            yield
        finally:
            # Closing alone is not enough: a child that was forked meanwhile has the same description open.
            fcntl.flock(held, fcntl.LOCK_UN)
    finally:
        os.close(held)


def _busy(folder: int, where: str) -> Busy:
    pid = holder(folder)
    who = "" if pid is None else f" ({_described(pid)})"
    return Busy(
        f"another run{who} holds {where}",
        "wait until it ends; the lock goes with the process, so nothing has to be removed",
    )


def holder(folder: int) -> int | None:
    """The process that seems to hold the lock; asks `/proc/locks`, which does not see into other containers."""
    info = os.fstat(folder)
    file = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
                words = line.split()
                if len(words) > 5 and words[1] == "FLOCK" and words[5] == file and int(words[4]) > 0:
                    return int(words[4])
    except (OSError, ValueError):
        pass
    return None


def _described(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"process {pid}, {clean(file.read().strip())}"
    except OSError:
        return f"process {pid}"
