"""Every operation on a backups folder: the typed interface, with exceptions. `BackupManager` builds on it."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from wasmtime.component import Variant

from . import hooks, jobs, private, records, share
from .component import Component, shared
from .config import Config
from .errors import (
    AccessDenied,
    Cancelled,
    CofreError,
    ConfigInvalid,
    Corrupt,
    InvalidInput,
    NotFound,
    SandboxRefused,
    SourceMissing,
    Unsupported,
    clean,
    from_os,
)
from .folders import open_file, open_folder, open_parent, opened, shown
from .inputs import Inputs
from .jobs import Progress
from .lock import locked
from .records import Record
from .restore_target import RestoreTarget
from .sandbox import Mount, Session

_PAGE = 8_192

T = TypeVar("T")
Rows = list[dict[str, Any]]
Mounts = list[Mount]
log = logging.getLogger("cofre")


class Repository:
    """A backups folder with its configuration. Any thread may use it; operations don't share state.

    Selectors are an id, a name, or `latest`. Rows are dictionaries with the fields of `cofre --json`.
    """

    def __init__(self, config: Config, component: Component | str | os.PathLike[str] | None = None) -> None:
        self.config = config
        self._component = component

    # Reading

    def list(self) -> Rows:
        """The rows of the catalog, oldest first; none before the first run."""
        if self._is_fresh():
            return []
        return [records.row(row) for row in self._read("list")]

    def status(self) -> dict[str, Any]:
        """The totals."""
        fresh = self._is_fresh()
        return records.status(None if fresh else self._read("status", self.config.now()), self.config)

    def find(self, selector: str | int) -> Record:
        """One row. Raises `NotFound`."""
        return records.row(self._quiet(lambda: self._with_reader(lambda s: _find(s, selector))))

    def entries(self, selector: str | int) -> Rows:
        """What is in an archive."""
        return self._quiet(lambda: self._with_reader(lambda s: [records.entry(e) for e in _entries(s, selector)]))

    def details(self, selector: str | int) -> dict[str, Any]:
        """What is not in an archive and why, and its databases."""
        return self._quiet(lambda: self._with_reader(lambda s: records.details(s.call("details", _id(s, selector)))))

    def diff(self, a: str | int, b: str | int) -> Rows:
        """What changed from one backup to another."""
        return self._quiet(lambda: self._with_reader(lambda s: _rows(s.call("diff", _id(s, a), _id(s, b)))))

    def verify(
        self, selector: str | int = "latest", quick: bool = False, progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Reads a backup and compares it with its checksum and manifest, and notes the result in the catalog.

        `problems` is empty for a good one: damage is a result, not an exception. `quick` does not decompress.
        Raises `NotFound` for a run without an archive.
        """

        stop = cancel or threading.Event()

        def all_of_it() -> dict[str, Any]:
            backup = self._with_reader(lambda s: _find(s, selector))
            report = self._verify(backup, quick, progress, stop)
            # A quick look proves damage, but not that all is well.
            if not quick or report["problems"]:
                report["backup"] = self._note(report["backup"], "verify", report["status"])
            return report

        return private.run(all_of_it, stop)

    # Writing

    def create(
        self,
        type: str = "manual",
        plan: str = "manual",
        full: bool = False,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        due: Callable[[Session], bool] | None = None,
    ) -> Record | None:
        """Makes a backup, then applies retention; its row. Completed or partial, that is: every other end is an exception, and
        is recorded in the catalog once the run has a row there.

        `due` is asked under the lock whether the run is still wanted; `None` is the answer when it is not.
        Raises `Busy` while another run, of whatever host, holds the backups folder.
        """
        # There is always one, so that an interrupt ends the run cleanly.
        stop = cancel or threading.Event()
        return private.run(lambda: self._create(type, plan, full, progress, stop, due), stop)

    def delete(self, selector: str | int, force: bool = False) -> Record:
        """Removes a backup. Raises `Refused` for the last good one, unless `force`, and for a pinned one."""
        return self._write(lambda s: records.row(s.call("delete", _id(s, selector), force, self.config.now())))

    def prune(self, dry_run: bool = False) -> Rows:
        """Removes what retention does not keep, or only says so: a verdict with reasons for each backup."""

        def work(session: Session) -> Rows:
            return [records.verdict(v) for v in session.call("prune", _policy(self.config), self.config.now(), dry_run)]

        return self._quiet(lambda: self._with_reader(work)) if dry_run else self._write(work)

    def pin(self, selector: str | int, pinned: bool = True) -> Record:
        """Sets or clears the pin, which keeps a backup from retention."""
        return self._write(lambda s: records.row(s.call("pin", _id(s, selector), pinned)))

    def rebuild(self) -> dict[str, Any]:
        """Recreates the catalog from the archives' manifests and keeps the broken file aside."""
        return self._write(
            lambda s: records.rebuilt(s.call("rebuild", self.config.now(), self.config.zip_path_prefix))
        )

    def restore(
        self,
        selector: str | int,
        to: str | os.PathLike[str] | None = None,
        only: tuple[str, ...] = (),
        absolute_links: bool = False,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> dict[str, Any]:
        """Restores into a new folder (`restore_NAME` in the backups folder), complete or not at all.

        `only` are globs of paths in the archive. Gives `success`, `backup`, `restore_path`, `metadata`, `links_left_out`.
        """
        stop = cancel or threading.Event()
        return private.run(lambda: self._restore(selector, to, only, absolute_links, progress, stop), stop)

    # The parts

    def _shared(self) -> Component:
        if not isinstance(self._component, Component):
            self._component = shared(self._component)
        return self._component

    def _session(self, mounts: Mounts) -> Session:
        return Session(self._shared(), mounts, self.config.limits)

    def _is_fresh(self) -> bool:
        return not os.path.lexists(self.config.backup_dir)

    def _quiet(self, work: Callable[[], T]) -> T:
        return private.run(work)

    @contextmanager
    def _backups(self) -> Iterator[int]:
        path = self.config.backup_dir
        try:
            handle = open_folder(path)
        except SourceMissing as error:
            if self._is_fresh():
                raise NotFound(
                    f"the backups folder {shown(path)} does not exist",
                    "`cofre create` makes it; if it was there before, is the disk mounted?",
                ) from error
            raise ConfigInvalid(f"open the backups folder: {error.message}", "set backup_dir") from error
        except CofreError as error:
            error.message = f"open the backups folder: {error.message}"
            raise
        with opened(handle):
            yield handle

    def _with_reader(self, work: Callable[[Session], T]) -> T:
        with self._backups() as backups, self._session([Mount("/backups", backups)]) as session:
            return work(session)

    def _read(self, name: str, *arguments: Any) -> Any:
        return self._quiet(lambda: self._with_reader(lambda session: session.call(name, *arguments)))

    @contextmanager
    def _exclusive(self) -> Iterator[int]:
        """The backups folder, for this run alone."""
        with self._backups() as backups:
            # Asked before anything is begun: WASI reports a read-only file system as a failing disk.
            if not os.access(f"/proc/self/fd/{backups}", os.W_OK | os.X_OK, effective_ids=True):
                raise AccessDenied(
                    f"write in the backups folder {shown(self.config.backup_dir)}: Permission denied",
                    "check its owner, its mode and how it is mounted",
                )
            with locked(backups):
                try:
                    yield backups
                finally:
                    share.catalog(backups, self.config.group)

    def _write(self, work: Callable[[Session], T]) -> T:
        return private.run(lambda: self._locked(work))

    def _locked(self, work: Callable[[Session], T]) -> T:
        with self._exclusive() as backups, self._session([Mount("/backups", backups, True)]) as session:
            return work(session)

    def _note(self, row: Record, check: str, result: str) -> Record:
        """Notes a result in the catalog. What was done is done, so that a busy catalog is only said."""
        try:
            return self._locked(
                lambda s: records.row(s.call("record-result", row["id"], check, result, self.config.now()))
            )
        except CofreError as error:
            log.warning("the %s is done, but not noted in the catalog: %s", check, error)
            return row

    def _create(
        self,
        type: str,
        plan: str,
        full: bool,
        progress: Progress | None,
        cancel: threading.Event | None,
        due: Callable[[Session], bool] | None,
    ) -> Record | None:
        _text("type", type)
        _text("plan", plan)
        # Compiling it may take long: not under the lock, and not in the run's time.
        self._shared()
        _make_backups_folder(self.config.backup_dir)
        run = {
            "backup_type": type,
            "plan": plan,
            "started_at": self.config.now(),
            "zip_path_prefix": self.config.zip_path_prefix,
        }
        with self._exclusive() as backups:
            writer = Mount("/backups", backups, True)
            with self._session([writer]) as session:
                if due is not None and not due(session):
                    return None
                begun = session.call("begin-run", run)
            log.info("backup %s begins, plan %s", begun["name"], clean(plan))
            try:
                hooks.before(self.config, begun, cancel)
                report = self._pack(run, begun["id"], full, writer, progress, cancel)
            except BaseException as error:
                ended = self._record_failure(writer, begun, error)
                hooks.after(self.config, begun, ended)
                raise
            share.owner_only(backups, report["backup"]["name"])
            self._prune(writer)
        hooks.after(self.config, begun, report["backup"])
        log.info("backup %s: %s, %d bytes", begun["name"], report["backup"]["status"], report["backup"]["size"])
        return records.row(report["backup"])

    def _pack(
        self,
        run: dict[str, Any],
        begun: int,
        full: bool,
        writer: Mount,
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> dict[str, Any]:
        config = self.config
        with Inputs(config) as inputs:
            inputs.gather(run["started_at"], cancel)
            request = {
                "run": run,
                "begun": begun,
                "sources": inputs.sources,
                "databases": inputs.databases,
                "compression": config.compression,
                "level": config.level,
                "full": full,
            }
            with self._session([writer, *inputs.mounts]) as session:
                return jobs.run(session, Variant("create", request), config.now, cancel, progress, config.limits)

    def _record_failure(self, writer: Mount, begun: dict[str, Any], error: BaseException) -> dict[str, Any] | None:
        """Closes the row of a run that failed. A job does so for its own failures; then this changes nothing."""
        cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
        message = error.message if isinstance(error, CofreError) else f"{type(error).__name__}: {error}"
        log.error("backup %s failed: %s", begun["name"], message)
        try:
            with self._session([writer]) as session:
                session.call("fail-run", begun["id"], message, cancelled, self.config.now())
                ended: dict[str, Any] = session.call("find", str(begun["id"]))
                return ended
        except CofreError as second:
            log.error("the failed run %s could not be recorded (the next run does it): %s", begun["id"], second)
            return None

    def _verify(
        self, backup: dict[str, Any], quick: bool, progress: Progress | None, cancel: threading.Event | None
    ) -> dict[str, Any]:
        if backup["status"] not in ("completed", "partial"):
            raise NotFound(f"{backup['name']} has no archive: its run ended `{backup['status']}`")
        request = Variant("verify", (backup["id"], quick))
        try:
            report = self._with_reader(
                lambda s: jobs.run(s, request, self.config.now, cancel, progress, self.config.limits)
            )
        except (Corrupt, NotFound, Unsupported) as error:
            report = {"backup": backup, "entries": 0, "bytes": 0, "manifest": False, "checksum": False}
            report["problems"] = [str(error)]
        return records.verification(report)

    def _prune(self, writer: Mount) -> None:
        """Applies retention. A failure here does not fail the backup, which is good and on disk."""
        try:
            with self._session([writer]) as session:
                for verdict in session.call("prune", _policy(self.config), self.config.now(), False):
                    if not verdict["keep"]:
                        log.info("pruned %s: %s", verdict["backup"]["name"], ", ".join(verdict["reasons"]))
        except CofreError as error:
            log.error("retention did not run after the backup: %s", error)

    def _restore(
        self,
        selector: str | int,
        to: str | os.PathLike[str] | None,
        only: tuple[str, ...],
        absolute_links: bool,
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> dict[str, Any]:
        config = self.config
        if isinstance(only, str):
            raise InvalidInput("only: has to be a list of globs, and is one string")
        for glob in only:
            _text("only", glob)
        if to is not None and "\0" in os.fsdecode(to):
            raise InvalidInput("restore: the target contains a NUL character", "name a new folder")
        backup = self._with_reader(lambda s: _find(s, selector))
        target = Path(os.path.abspath(to)) if to is not None else config.backup_dir / f"restore_{backup['name']}"
        with self._backups() as backups, RestoreTarget(target) as partial:
            mounts = [Mount("/backups", backups), Mount("/target", partial.handle, True)]
            request = Variant("restore", {"id": backup["id"], "only": list(only)})
            with self._session(mounts) as session:
                report = jobs.run(session, request, config.now, cancel, progress, config.limits)
            with self._session([Mount("/backups", backups)]) as session:
                entries = _entries(session, backup["id"])
                partial.apply(entry for entry in entries if not only or partial.holds(entry))
            if absolute_links:
                partial.absolute_links(report["links_left_out"])
            partial.commit()
        row = records.row(report["backup"])
        self._note(row, "restore", "restored")
        return {
            "success": True,
            "backup": row,
            "restore_path": str(target),
            "metadata": _metadata(target),
            "links_left_out": [] if absolute_links else [records.entry(e) for e in report["links_left_out"]],
        }


def _text(what: str, value: Any) -> str:
    """A text that the contract can carry."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what}: has to be a string, and is {value.__class__.__name__}")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise InvalidInput(f"{what}: `{clean(value)}` is not UTF-8")
    return value


def _selector(selector: str | int) -> str:
    return _text("backup", str(selector))


def _find(session: Session, selector: str | int) -> dict[str, Any]:
    """The row; `latest` is the newest that is not from the future."""
    row: dict[str, Any]
    if selector == "latest":
        row = session.call("newest", datetime.now(timezone.utc).isoformat())
    else:
        row = session.call("find", _selector(selector))
    return row


def _id(session: Session, selector: str | int) -> int:
    number: int = _find(session, selector)["id"]
    return number


def _entries(session: Session, selector: str | int) -> Iterator[dict[str, Any]]:
    number = _id(session, selector)
    after = None
    while page := session.call("entries", number, after, _PAGE):
        yield from page
        after = page[-1]["path"]


def _rows(value: Any) -> Rows:
    rows: Rows = value
    return rows


def _policy(config: Config) -> dict[str, Any]:
    return asdict(config.retention)


def _make_backups_folder(path: Path) -> None:
    """Makes the folder of the first run, for the owner alone. An existing one is left as it is."""
    if not path.name:
        raise ConfigInvalid("backup_dir: `/` can't be the backups folder", "name a folder of its own")
    try:
        with opened(open_parent(path)) as parent:
            os.mkdir(path.name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
    except SandboxRefused as error:
        error.message = f"backup_dir: {error.message}"
        raise
    except OSError as error:
        raise from_os(f"make the backups folder {shown(path)}", error) from error


def _metadata(target: Path) -> dict[str, Any] | None:
    """The manifest in a restored folder, without its rows; none where only a part was restored."""
    try:
        # What came out of an archive may be a link to anywhere.
        with os.fdopen(open_file(target / "backup_info.json"), "rb") as file:
            manifest = json.load(file)
    except (CofreError, ValueError, OSError):
        return None
    if not isinstance(manifest, dict):
        return None
    manifest.pop("entries", None)
    return manifest
