"""Writing the files of a dump."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Unsupported, clean, from_os
from . import ddl
from .ddl import quote
from .failure import sql_error
from .file_name import file_names
from .literal import Text, text, value
from .schema import Schema, Table, Virtual
from .snapshot import check_cancelled
from .tables import TableFilter

# Rows and bytes after which a new INSERT begins.
_ROWS_PER_INSERT = 250
_BYTES_PER_INSERT = 256 * 1024
# Longest value: a blob has two digits a byte, and SQLite's statements have 10^9 bytes at most.
_VALUE_LIMIT = 480_000_000
_ROWS_PER_LOOK = 1000

T = TypeVar("T")


class Out:
    """A file of the dump, which counts what it gets."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=256 * 1024)
        self.written = 0

    def write(self, data: bytes | str) -> None:
        """Appends."""
        raw = data.encode() if isinstance(data, str) else data
        self.written += len(raw)
        self.file.write(raw)


class Writer:
    """Writes all files of one dump into the folder `out`."""

    def __init__(
        self,
        db: sqlite3.Connection,
        schema: Schema,
        left_out: dict[str, str],
        out: Path,
        path: Path,
        cancel: threading.Event | None,
        tables: TableFilter,
    ) -> None:
        self.db, self.schema, self.left_out, self.tables = db, schema, left_out, tables
        self.out, self.path, self.cancel = out, path, cancel

    def run(self) -> list[tuple[str, str, int]]:
        """Table, file and number of rows."""
        schema = self.schema
        # Each with the rows that were written.
        parts: list[tuple[str, Callable[[Out], int]]] = []
        parts += [(t.name, lambda out, t=t: self.table(out, t)) for t in schema.tables]  # type: ignore[misc]
        parts += [(v.name, lambda out, v=v: self.virtual(out, v)) for v in schema.virtuals]  # type: ignore[misc]
        if (sequence := schema.sequence) is not None:
            parts.append((sequence.name, lambda out: self.sequence(out, sequence)))
        if (stat1 := schema.stat1) is not None:
            parts.append((stat1.name, lambda out: self.statistics(out, stat1)))
        files = file_names([name for name, _ in parts])
        tables = [(name, file, self.file(file, body)) for (name, body), file in zip(parts, files, strict=True)]
        self.file("schema.sql", self.objects)
        self.file("restore.sql", lambda out: self.restore(out, files))
        return tables

    def file(self, name: str, body: Callable[[Out], T]) -> T:
        """Makes one file."""
        try:
            out = Out(self.out / name)
            with out.file:
                return body(out)
        except OSError as error:
            raise from_os(f"write the dump {clean(name)}", error) from error

    def table(self, out: Out, table: Table) -> int:
        """A table and its rows."""
        out.write(ddl.statement(table.sql))
        return self.rows(out, table) if self.tables.has_rows_of(table.name) else 0

    def statistics(self, out: Out, table: Table) -> int:
        """The planner's statistics."""
        out.write("ANALYZE sqlite_master;\nDELETE FROM sqlite_stat1;\n")
        return self.rows(out, table)

    def rows(self, out: Out, table: Table) -> int:
        """The rows of a table, in rowid or key order; their number."""
        names = ([table.rowid] if table.rowid else []) + [quote(column) for column in table.columns]
        wanted = list(names)
        # The stored bytes of texts are needed where they aren't UTF-8.
        if wide := self.schema.encoding != "utf-8":
            wanted += [f"CAST({name} AS BLOB)" for name in names]
        # A scan of an index would give another order.
        sql = f"SELECT {','.join(wanted)} FROM {quote(table.name)} NOT INDEXED"
        head = ddl.lines(f"INSERT INTO {quote(table.name)}({','.join(names)}) VALUES\n")
        count = in_insert = start = 0
        try:
            for row in self.db.execute(sql):
                if count % _ROWS_PER_LOOK == 0:
                    check_cancelled(self.cancel, self.path)
                if in_insert == 0:
                    start = out.written
                    out.write(head)
                else:
                    out.write(b",\n")
                out.write(self.row(row, len(names), wide, table))
                count += 1
                in_insert += 1
                if in_insert >= _ROWS_PER_INSERT or out.written - start >= _BYTES_PER_INSERT:
                    out.write(b";\n")
                    in_insert = 0
        except sqlite3.Error as error:
            raise sql_error(f"read table {clean(table.name)} of {clean(str(self.path))}", error) from error
        if in_insert:
            out.write(b";\n")
        return count

    def row(self, row: tuple[Any, ...], n: int, wide: bool, table: Table) -> bytes:
        literals = []
        for i, item in enumerate(row[:n]):
            if isinstance(item, bytes) and len(item) > _VALUE_LIMIT:
                raise Unsupported(
                    f"table {clean(table.name)} has a value of {len(item)} bytes, more than the {_VALUE_LIMIT} that a SQL "
                    "file can hold"
                )
            stored = row[n + i] if wide and isinstance(item, Text) else None
            literals.append(value(item, stored, self.schema.encoding))
        return b"(" + b",".join(literals) + b")"

    def virtual(self, out: Out, table: Virtual) -> int:
        """A virtual table: made anew, then the content of its shadow tables replaced by the original's. One that plain
        SQLite can't make is written into the schema as it stands there."""
        if table.usable:
            out.write(ddl.statement(table.sql))
            if not self.tables.has_rows_of(table.name):
                return 0
        for shadow in table.shadows:
            out.write(ddl.statement(ddl.if_not_exists(shadow.sql)))
            out.write(ddl.lines(f"DELETE FROM {quote(shadow.name)};\n"))
            self.rows(out, shadow)
        if not table.usable:
            out.write("-- Plain SQLite can't open this table: it needs a module or tokenizer of the application.\n")
            out.write("PRAGMA writable_schema = ON;\n")
            out.write("INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql) VALUES('table',")
            out.write(f"{text(table.name)},{text(table.name)},0,{text(table.sql)});\nPRAGMA writable_schema = OFF;\n")
            return 0
        try:
            count: int = self.db.execute(f"SELECT count(*) FROM {quote(table.name)}").fetchone()[0]
        except sqlite3.Error:
            # Some can't be listed as a whole (a function in the shape of a table): no rows of their own then.
            return 0
        return count

    def sequence(self, out: Out, table: Table) -> int:
        """The counters of AUTOINCREMENT, set after the rows have moved them."""
        if not self.schema.has_autoincrement():
            # The table exists once there was such a table, and stays.
            out.write("CREATE TABLE cofre_counter(id INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE cofre_counter;\n")
        out.write("DELETE FROM sqlite_sequence;\n")
        return self.rows(out, table)

    def objects(self, out: Out) -> None:
        """Indexes, views, triggers."""
        for _, name, sql in self.schema.objects:
            reason = self.left_out.get(name)
            if reason is None:
                out.write(ddl.statement(sql))
                continue
            commented = f"Not loaded, since plain SQLite says: {reason}\n{sql};"
            for line in commented.split("\n"):
                out.write(f"-- {line.removesuffix(chr(13))}\n")

    def restore(self, out: Out, files: list[str]) -> None:
        """What loads all of it."""
        out.write("-- Loads this database: sqlite3 new.db < restore.sql (run in this folder)\n.bail on\n")
        out.write("PRAGMA foreign_keys = OFF;\nPRAGMA ignore_check_constraints = ON;\n")
        for pragma, setting in self.schema.before:
            out.write(f"PRAGMA {pragma} = {setting};\n")
        out.write("BEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n")
        for file in files:
            out.write(f".read '{file}'\n")
        out.write(".read 'schema.sql'\n")
        for pragma, setting in self.schema.within:
            out.write(f"PRAGMA {pragma} = {setting};\n")
        out.write("COMMIT;\n")
        if self.schema.wal:
            out.write("-- The original was in WAL mode.\nPRAGMA journal_mode = WAL;\n")
