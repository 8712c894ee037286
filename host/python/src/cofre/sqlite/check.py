"""Two questions before a dump counts: is the database sound, and does plain SQLite load it again?"""

from __future__ import annotations

import logging
import sqlite3

from ..errors import DumpFailed, clean
from .ddl import quote
from .failure import sql_error
from .schema import Schema, Table, string

_NAMED = 5
log = logging.getLogger("cofre")


def integrity(db: sqlite3.Connection, schema: Schema, path: str) -> None:
    """SQLite's integrity check of the snapshot. Rows that break a CHECK constraint are no damage."""
    try:
        problems = _run(db, "PRAGMA integrity_check(100)")
    except sqlite3.Error as error:
        if _is_fatal(error):
            raise sql_error(f"check the database {path}", error) from error
        # Something that only the application has (a collation, a function, a module) stands in the way.
        problems = _table_by_table(db, schema, path)
    problems = [p for p in problems if p != "ok" and not p.startswith("CHECK constraint failed")]
    if problems:
        named = "; ".join(map(clean, problems[:_NAMED])) + (", and more" if len(problems) > _NAMED else "")
        raise DumpFailed(
            f"the integrity check of the database {path} failed: {named}",
            "mend it (REINDEX helps with indexes, `.recover` of the sqlite3 command with the rest) and back up again",
        )


def _table_by_table(db: sqlite3.Connection, schema: Schema, path: str) -> list[str]:
    problems: list[str] = []
    shadows = [shadow for virtual in schema.virtuals for shadow in virtual.shadows]
    for table in [*schema.tables, *shadows]:
        for check in ("integrity_check", "quick_check"):
            try:
                problems += _run(db, f"PRAGMA {check}({quote(table.name)})")
                break
            except sqlite3.Error as error:
                if _is_fatal(error):
                    raise sql_error(f"check table {clean(table.name)} of {path}", error) from error
                log.warning("%s of table %s is not possible: %s", check, clean(table.name), error)
    return problems


def _run(db: sqlite3.Connection, pragma: str) -> list[str]:
    return [string(row[0]) for row in db.execute(pragma)]


def _is_fatal(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)


def loads_again(schema: Schema, path: str) -> dict[str, str]:
    """Tries the schema in an empty database of plain SQLite. Gives the indexes, views and triggers that need something of
    the application's, with the reason: they are dumped, but not loaded.

    Raises `DumpFailed` when a table itself can't be made or filled there.
    """
    scratch = sqlite3.connect(":memory:", isolation_level=None)
    try:
        scratch.executescript("PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = ON;")
        for table in schema.tables:
            try:
                scratch.execute(table.sql)
                _compile_insert(scratch, table)
            except sqlite3.Error as error:
                raise DumpFailed(
                    f"table {clean(table.name)} of {path} needs something that plain SQLite does not have: {clean(str(error))}",
                    "such a table can't be loaded again by `sqlite3`; copy the database file as a source instead",
                ) from error
        for virtual in schema.virtuals:
            if virtual.usable:
                try:
                    scratch.execute(virtual.sql)
                except sqlite3.Error:
                    # Shows up when it is loaded; views on it don't care.
                    pass
        left_out: dict[str, str] = {}
        for kind, name, sql in schema.objects:
            try:
                scratch.execute(sql)
            except sqlite3.Error as error:
                log.warning("%s %s is dumped but not loaded: %s", kind, clean(name), clean(str(error)))
                left_out[name] = str(error)
        return left_out
    finally:
        scratch.close()


def _compile_insert(db: sqlite3.Connection, table: Table) -> None:
    """Compiles an INSERT without running it: unknown collations and functions show up."""
    columns = ",".join(map(quote, table.columns))
    marks = ",".join("?" * len(table.columns))
    db.execute(f"EXPLAIN INSERT INTO {quote(table.name)}({columns}) VALUES({marks})", [None] * len(table.columns))
