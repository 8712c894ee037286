"""What is in a SQLite database: its tables and how each is dumped, and everything else in its order."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from .ddl import quote
from .literal import Text

ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


@dataclass
class Table:
    """A table with rows of its own. `columns` are those that an INSERT may name; `rowid` is the name under which the
    rowid can be read and given, where it is not a column anyway."""

    name: str
    sql: str
    columns: list[str]
    rowid: str | None


@dataclass
class Virtual:
    """A virtual table, whose content lies in shadow tables; whether this SQLite can open it."""

    name: str
    sql: str
    usable: bool
    shadows: list[Table] = field(default_factory=list)


@dataclass
class Schema:
    """Everything. `objects` are (kind, name, sql): indexes, then views, then triggers."""

    encoding: str
    wal: bool
    before: list[tuple[str, str]]
    within: list[tuple[str, str]]
    tables: list[Table] = field(default_factory=list)
    virtuals: list[Virtual] = field(default_factory=list)
    objects: list[tuple[str, str, str]] = field(default_factory=list)
    sequence: Table | None = None
    stat1: Table | None = None

    def has_autoincrement(self) -> bool:
        """Whether any table makes SQLite keep `sqlite_sequence`."""
        return any("AUTOINCREMENT" in table.sql.upper() for table in self.tables)


def string(value: object) -> str:
    """A text of the schema."""
    return value.decode() if isinstance(value, Text) else str(value)


def read(db: sqlite3.Connection, wal: bool) -> Schema:
    """Reads the schema. `wal` says whether the original was in WAL mode."""

    def pragma(name: str) -> int:
        value: int = db.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    encoding = string(db.execute("PRAGMA encoding").fetchone()[0])
    before: list[tuple[str, str]] = []
    within: list[tuple[str, str]] = []
    if encoding in ENCODINGS and encoding != "UTF-8":
        before.append(("encoding", f"'{encoding}'"))
    if (page_size := pragma("page_size")) != 4096:
        before.append(("page_size", str(page_size)))
    for name, rows in (("auto_vacuum", before), ("application_id", within), ("user_version", within)):
        if value := pragma(name):
            rows.append((name, str(value)))
    schema = Schema(ENCODINGS.get(encoding, "utf-8"), wal, before, within)
    _objects(db, schema)
    return schema


def _names(db: sqlite3.Connection, where: str) -> set[str]:
    sql = f"SELECT name FROM pragma_table_list WHERE schema = 'main' AND {where}"
    return {string(row[0]) for row in db.execute(sql)}


def _objects(db: sqlite3.Connection, schema: Schema) -> None:
    shadow_names, without_rowid = _names(db, "type = 'shadow'"), _names(db, "wr = 1")
    shadows: list[Table] = []
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid").fetchall()
    for row in rows:
        kind, name, sql = map(string, row)
        if kind != "table":
            schema.objects.append((kind, name, sql))
        elif sql[: len("CREATE VIRTUAL TABLE")].upper() == "CREATE VIRTUAL TABLE":
            schema.virtuals.append(Virtual(name, sql, _opens(db, name)))
        else:
            table = _table(db, name, sql, name in without_rowid)
            if name == "sqlite_sequence":
                schema.sequence = table
            elif name == "sqlite_stat1":
                schema.stat1 = table
            elif name.startswith("sqlite_"):
                # Other statistics are of the engine's making, and their form is its version's.
                continue
            elif name in shadow_names:
                shadows.append(table)
            else:
                schema.tables.append(table)
    for shadow in shadows:
        _give_to_owner(schema, shadow)
    order = {"index": 0, "view": 1, "trigger": 2}
    schema.objects.sort(key=lambda item: order.get(item[0], -1))


def _opens(db: sqlite3.Connection, name: str) -> bool:
    try:
        db.execute(f"SELECT 1 FROM {quote(name)} LIMIT 0")
    except sqlite3.Error:
        return False
    return True


_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def _give_to_owner(schema: Schema, shadow: Table) -> None:
    """A shadow table goes with the virtual table whose name it begins with, the longest if several fit."""
    name = shadow.name.translate(_LOWER)
    owners = [owner for owner in schema.virtuals if name.startswith(owner.name.translate(_LOWER) + "_")]
    if owners:
        # Of equals the last, as in the program.
        max(reversed(owners), key=lambda owner: len(owner.name.encode())).shadows.append(shadow)
    else:
        schema.tables.append(shadow)


def _table(db: sqlite3.Connection, name: str, sql: str, without_rowid: bool) -> Table:
    columns: list[str] = []
    known: set[str] = set()
    primary = 0
    info = db.execute("SELECT name, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid", (name,))
    for row in info.fetchall():
        column = string(row[0])
        known.add(column.translate(_LOWER))
        primary += row[1] > 0
        # 2 and 3 are generated columns.
        if row[2] == 0:
            columns.append(column)
    keyed = db.execute("SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'", (name,)).fetchone()[0]
    # INTEGER PRIMARY KEY is the rowid itself, and has no index.
    if without_rowid or (primary == 1 and not keyed):
        rowid = None
    else:
        rowid = next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in known), None)
    return Table(name, sql, columns, rowid)
