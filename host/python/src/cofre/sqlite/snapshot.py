"""A consistent copy of a live SQLite database, its WAL included, that leaves the original alone.

Where others use the database, SQLite's online backup reads it through a read-only connection, which can't checkpoint.
Opening a WAL database that nobody has open would create `-wal` and `-shm` beside it; such a one (and one with a hot journal)
is copied file by file instead, and copied again if anything moved meanwhile. A file that this very process has open is never
opened here other than by SQLite itself: closing a second handle would drop SQLite's locks on it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import threading
import time
from pathlib import Path
from urllib.parse import quote as url_quote

from ..errors import Cancelled, CofreError, DumpFailed, SandboxRefused, SourceMissing, from_os
from ..folders import FILE_FLAGS, identity, open_file, open_parent, opened, shown
from .failure import primary_code, sql_error

PATIENCE_SECONDS = 30.0
_STEP_PAGES = 4096
_BESIDE = ("-wal", "-shm", "-journal")

Mark = tuple[int, int, int, int, int]
Look = dict[str, Mark]


class NeedsMoreRights(Exception):
    """A read-only connection is not enough."""

    def __init__(self, error: CofreError) -> None:
        super().__init__(str(error))
        self.error = error


def take(path: Path, to: Path, cancel: threading.Event | None) -> bool:
    """Copies the database at `path` to `to`, which must not exist. The copy is in rollback mode and complete.

    Says whether the original is in WAL mode.
    """
    with opened(open_parent(path)) as parent:
        return _Database(path, parent, cancel).take(to)


class _Database:
    def __init__(self, path: Path, parent: int, cancel: threading.Event | None) -> None:
        self.path, self.parent, self.cancel = path, parent, cancel

    def take(self, to: Path) -> bool:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            check_cancelled(self.cancel, self.path)
            look = self.look()
            ours = look[""][:2] in _open_files()
            wal = None if ours else self.header()
            if wal is None:
                done, wal = self.back_up(look, to)
            elif wal and not (look.get("-wal", (0,) * 5)[2] > 0 and "-shm" in look):
                done = self.copy(to)
            else:
                try:
                    done, _ = self.back_up(look, to)
                except NeedsMoreRights as refused:
                    # Needs recovery, or files that a read-only connection may not make.
                    if not (wal or "-journal" in look or "-wal" in look):
                        raise refused.error from None
                    done = self.copy(to)
            if done:
                _settle(to)
                return wal
            if time.monotonic() > deadline:
                raise DumpFailed(
                    f"the database {shown(self.path)} kept changing while it was copied",
                    "try again; where the application opens and closes it all the time, let it keep it open",
                )
            time.sleep(0.02)

    def header(self) -> bool:
        """Looks at the first bytes: whether it is a SQLite database, and in WAL mode."""
        with opened(open_file(self.path)) as handle:
            head = os.read(handle, 100)
            if len(head) == 100 and head.startswith(b"SQLite format 3\0"):
                return 2 in (head[18], head[19])
            if os.fstat(handle).st_size == 0:
                raise SourceMissing(
                    f"the database {shown(self.path)} is an empty file",
                    "check the path and whether the disk is mounted",
                )
        raise DumpFailed(f"{shown(self.path)} is not a SQLite database (or it is encrypted)")

    def look(self) -> Look:
        """What the database's files look like at one moment."""
        found: Look = {}
        for suffix in ("", *_BESIDE):
            try:
                info = os.stat(self.path.name + suffix, dir_fd=self.parent, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISLNK(info.st_mode) and not suffix:
                open_file(self.path)  # says where the link leads
            if not stat.S_ISREG(info.st_mode):
                raise SandboxRefused(f"{shown(self.path)}{suffix} is not a regular file")
            found[suffix] = (*identity(info), info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if "" not in found:
            raise SourceMissing(
                f"the file {shown(self.path)} does not exist",
                "check the path in the configuration, and whether the disk is mounted",
            )
        return found

    def copy(self, to: Path) -> bool:
        """Copies the files; false if anything moved meanwhile."""
        clear(to)
        # Looked at anew: an attempt to open them has perhaps set their owner again.
        look = self.look()
        # -shm is only an index of -wal; the copy makes its own.
        for suffix in ("", "-wal", "-journal"):
            if suffix in look and not self.copy_file(suffix, look[suffix], to):
                return False
        return self.look() == look

    def copy_file(self, suffix: str, mark: Mark, to: Path) -> bool:
        try:
            handle = os.open(self.path.name + suffix, FILE_FLAGS, dir_fd=self.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise from_os(f"copy {shown(self.path)}{suffix}", error) from error
        with os.fdopen(handle, "rb") as source:
            info = os.fstat(handle)
            if (*identity(info), info.st_size, info.st_mtime_ns, info.st_ctime_ns) != mark:
                return False
            try:
                with open(f"{to}{suffix}", "xb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
            except OSError as error:
                raise from_os(f"copy {shown(self.path)}{suffix}", error) from error
        return True

    def back_up(self, look: Look, to: Path) -> tuple[bool, bool]:
        """SQLite's online backup: whether SQLite opened the files that were looked at, and whether they are in WAL mode."""
        clear(to)
        uri = f"file:{url_quote(os.fsencode(self.path))}?mode=ro"
        try:
            source = sqlite3.connect(uri, uri=True, timeout=PATIENCE_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self.refused(error) from error
        try:
            # The first read opens the files.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            wal: bool = source.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            wanted = {look[""][:2]} | ({look["-wal"][:2]} if wal and "-wal" in look else set())
            # The path may have been swapped for a link between the look and SQLite's opening.
            if not wanted <= _open_files():
                return False, wal
            if not wal:
                source.execute("COMMIT")
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            copy = sqlite3.connect(to, isolation_level=None)
            try:
                copy.execute("PRAGMA synchronous = OFF")
                copy.execute("PRAGMA journal_mode = OFF")
                self.run(source, copy)
            finally:
                copy.close()
        except sqlite3.Error as error:
            raise self.refused(error) from error
        finally:
            source.close()
        return True, wal

    def run(self, source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
        state = {"deadline": time.monotonic() + PATIENCE_SECONDS}

        def progress(status: int, remaining: int, total: int) -> None:
            check_cancelled(self.cancel, self.path)
            if status not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                state["deadline"] = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > state["deadline"]:
                raise DumpFailed(
                    f"the database {shown(self.path)} stayed locked for 30 seconds",
                    "look for a program that keeps a write transaction open",
                )

        source.backup(copy, pages=_STEP_PAGES, progress=progress, sleep=0.05)

    def refused(self, error: sqlite3.Error) -> Exception:
        found = sql_error(f"copy the database {shown(self.path)}", error)
        read_only = primary_code(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
        return NeedsMoreRights(found) if read_only else found


def _open_files() -> set[tuple[int, int]]:
    """The identities of the files that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(identity(os.stat(f"/proc/self/fd/{name}")))
        except OSError:
            pass
    return found


def check_cancelled(cancel: threading.Event | None, path: Path) -> None:
    """Raises `Cancelled` once the event is set."""
    if cancel is not None and cancel.is_set():
        raise Cancelled(f"the dump of database {shown(path)} was cancelled")


def _settle(copy: Path) -> None:
    """Lets SQLite recover the copy (its WAL, or a hot journal) and takes it out of WAL mode."""
    try:
        db = sqlite3.connect(copy, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = OFF")
            mode = db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        finally:
            db.close()
    except sqlite3.Error as error:
        raise sql_error("recover the copy of the database", error) from error
    if mode != "delete":
        raise DumpFailed(f"the copy of the database stays in journal mode {mode}")


def clear(copy: Path) -> None:
    """Removes a copy and the files beside it."""
    for suffix in ("", *_BESIDE):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
