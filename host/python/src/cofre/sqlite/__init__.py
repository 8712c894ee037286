"""Dumps of SQLite databases: a snapshot, its integrity check, and SQL files that plain `sqlite3` loads; the same layout, and
for the same content the same bytes, as those of the program `cofre`.

`database/TABLE.sql` holds a table and its rows, `schema.sql` the indexes, views and triggers, and `restore.sql` loads all of
it in one transaction: `cd database && sqlite3 new.db < restore.sql`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

from ..errors import SourceMissing
from ..folders import shown
from . import check, schema, snapshot
from .failure import sql_error
from .literal import Text
from .tables import TableFilter
from .write import Writer


def dump(
    path: Path,
    name: str,
    folder: str,
    out: Path,
    cancel: threading.Event | None = None,
    tables: TableFilter = TableFilter(),
) -> dict[str, Any]:
    """Dumps the database file at `path` into the empty folder `out`, which needs space for a copy of the database and its
    SQL. `folder` is the folder in the archive: `database`, or `database/NAME` where there are several.

    Others, this process among them, may read and write it meanwhile: the dump is of one moment. Gives the contract's
    `database-info`. Raises `SourceMissing` without a database or without a table in it, `DumpFailed` when it is damaged, stays
    locked or can't be dumped so that it loads again, and others.
    """
    copy = out / ".snapshot.db"
    try:
        try:
            wal = snapshot.take(path, copy, cancel)
        except snapshot.NeedsMoreRights as refused:
            raise refused.error from None
        try:
            db = sqlite3.connect(f"file:{url_quote(os.fsencode(copy))}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error as error:
            raise sql_error(f"read the database {shown(path)}", error) from error
        try:
            dumped = _dump(db, path, wal, out, cancel, tables)
        finally:
            db.close()
    finally:
        snapshot.clear(copy)
    below = folder.partition("/")[2]
    return {
        "name": name,
        "engine": "sqlite",
        "version": sqlite3.sqlite_version,
        "folder": folder,
        "tables": [
            {"name": table, "file": f"{below}/{file}" if below else file, "rows": rows} for table, file, rows in dumped
        ],
    }


def _dump(
    db: sqlite3.Connection, path: Path, wal: bool, out: Path, cancel: threading.Event | None, tables: TableFilter
) -> list[tuple[str, str, int]]:
    try:
        db.text_factory = Text
        # Functions in the schema that only the application should call have no business here.
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if cancel is not None:
            db.set_progress_handler(lambda: int(cancel.is_set()), 100_000)
        found = schema.read(db, wal)
    except sqlite3.Error as error:
        raise sql_error(f"read the database {shown(path)}", error) from error
    if not found.tables and not found.virtuals:
        raise SourceMissing(
            f"the database {shown(path)} has no table",
            "check that it is the right file, and that the disk is mounted",
        )
    check.integrity(db, found, shown(path))
    left_out = check.loads_again(found, shown(path))
    return Writer(db, found, left_out, out, path, cancel, tables).run()
