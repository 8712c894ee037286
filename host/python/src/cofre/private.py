"""Work that makes files for the owner alone, inside a program that has its own ideas of a umask.

The umask belongs to the whole process. On Linux a thread may have its own (`unshare(CLONE_FS)`), so that every operation
runs on such a thread and the program's other threads go on as before. Where the kernel refuses that (some containers do), the
process's umask is 077 while operations run.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_CLONE_FS = 0x200
_UMASK = 0o077
_libc = ctypes.CDLL(None, use_errno=True)


class _Shared:
    """The umask of the whole process, and how many operations want it to be 077."""

    lock = threading.Lock()
    users = 0
    before = 0


@contextmanager
def _umask() -> Iterator[None]:
    """077 for this thread, or, where a thread can't have its own, for the process."""
    if _libc.unshare(_CLONE_FS) == 0:
        os.umask(_UMASK)
        yield
        return
    with _Shared.lock:
        if _Shared.users == 0:
            _Shared.before = os.umask(_UMASK)
        _Shared.users += 1
    try:
        yield
    finally:
        with _Shared.lock:
            _Shared.users -= 1
            if _Shared.users == 0:
                os.umask(_Shared.before)


def run(work: Callable[[], T], cancel: threading.Event | None = None) -> T:
    """Runs `work` on a thread with umask 077; its result or exception.

    A KeyboardInterrupt (or any other exception of a signal handler) sets `cancel` and waits for the end of `work`.
    """
    done: list[T] = []
    failed: list[BaseException] = []
    # Not `join`, which takes a thread for ended when a signal interrupts it.
    ended = threading.Event()

    def body() -> None:
        try:
            with _umask():
                done.append(work())
        except BaseException as error:  # handed to the caller, whatever it is
            failed.append(error)
        finally:
            ended.set()

    threading.Thread(target=body, name="cofre-run", daemon=True).start()
    try:
        ended.wait()
    except BaseException:
        if cancel is not None:
            cancel.set()
        ended.wait()
        raise
    if failed:
        raise failed[0]
    return done[0]
