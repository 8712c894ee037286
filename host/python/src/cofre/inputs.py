"""What one run puts before the sandbox: handles of the source folders, staged copies of single files and dumps, and the
observations of all of them. Opened once, described to the component, mounted read-only."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from datetime import datetime
from typing import Any

from . import sqlite
from .config import Config, Source
from .errors import CofreError, ConfigInvalid, Unsupported, clean
from .folders import open_folder, opened
from .observe import LeftOut, observe
from .sandbox import Mount
from .sqlite.tables import TableFilter
from .staging import Staging

DATABASE = "database"


class Inputs:
    """Everything that a run reads; a context manager that removes the staging folder and closes the handles."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sources: list[dict[str, Any]] = []
        self.databases: list[dict[str, Any]] = []
        self.mounts: list[Mount] = []
        self._stack = ExitStack()

    def __enter__(self) -> Inputs:
        self._stack.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def gather(self, started_at: str, cancel: threading.Event | None) -> None:
        """Opens and observes every active source and dumps every active database.

        Raises `SourceMissing`, `DumpFailed`, `ConfigInvalid` when all is switched off, and others.
        """
        self.staging = self._stack.enter_context(Staging(self.config.state_dir))
        self.mounts.append(Mount("/staging", self.staging.handle))
        self._dump_all(started_at, cancel)
        left_out = _left_out(self.config)
        for source in self.config.active_sources():
            try:
                self._source(source, left_out)
            except CofreError as error:
                error.message = f"source `{clean(source.folder)}`: {error.message}"
                raise
        if not self.sources:
            raise ConfigInvalid("every source and database is switched off", "switch one on in [backup]")

    def _source(self, source: Source, left_out: LeftOut) -> None:
        if source.path is not None:
            handle = self._stack.enter_context(opened(open_folder(source.path)))
            name = f"/sources/{source.folder}"
            self.mounts.append(Mount(name, handle))
            self._observe(source, name, handle, left_out)
            return
        folder = f"files/{source.folder}"
        self.staging.folder(folder)
        for path, name in source.files:
            self.staging.stage_file(os.path.join(folder, os.path.dirname(name)).rstrip("/"), path)
        with opened(self.staging.open_folder(folder)) as handle:
            self._observe(source, f"/staging/{folder}", handle, LeftOut())

    def _dump_all(self, started_at: str, cancel: threading.Event | None) -> None:
        databases = self.config.active_databases()
        for database in databases:
            if database.file is None:
                raise Unsupported(
                    f"databases.{clean(database.name)}: the Python host dumps SQLite only",
                    "make these backups with the program `cofre`",
                )
        for database in databases:
            folder = DATABASE if len(databases) == 1 else f"{DATABASE}/{database.name}"
            out = self.staging.folder(folder)
            tables = TableFilter(database.tables, database.exclude_tables)
            assert database.file is not None
            self.databases.append(sqlite.dump(database.file, database.name, folder, out, cancel, tables))
        if databases:
            # A dump is as old as its run, so that the same run gives the same archive.
            self.staging.settle(DATABASE, nanoseconds(started_at))
            with opened(self.staging.open_folder(DATABASE)) as handle:
                self._observe(Source(DATABASE), f"/staging/{DATABASE}", handle, LeftOut())

    def _observe(self, source: Source, root: str, handle: int, left_out: LeftOut) -> None:
        name = f"observed-{len(self.sources)}.jsonl"
        with self.staging.create(name) as out:
            observe(handle, left_out, out)
        self.sources.append(
            {
                "folder": source.folder,
                "root": root,
                # The case `observed-file` of the variant, which the binding tells from the others by its type.
                "inventory": name,
                "include": list(source.include),
                "exclude": list(source.exclude),
                "allow_empty": source.allow_empty,
            }
        )


def nanoseconds(time: str) -> int:
    """An RFC 3339 time as nanoseconds since 1970, without a float in between."""
    moment = datetime.fromisoformat(time)
    whole = int(moment.replace(microsecond=0).timestamp())
    return (whole * 1_000_000 + moment.microsecond) * 1_000


def _left_out(config: Config) -> LeftOut:
    """What no source contains: the product's own folders and the live databases that are dumped."""
    left_out = LeftOut()
    left_out.add(config.backup_dir, "the backups folder")
    left_out.add(config.state_dir, "the state folder")
    for database in config.active_databases():
        if database.file is not None:
            left_out.add_database(database.file, f"live database, dumped as `{database.name}`")
    return left_out
