"""Errors of SQLite as ours."""

from __future__ import annotations

import sqlite3

from ..errors import AccessDenied, Cancelled, CofreError, DumpFailed, NoSpace, clean

_KINDS: dict[int, type[CofreError]] = {
    sqlite3.SQLITE_FULL: NoSpace,
    sqlite3.SQLITE_PERM: AccessDenied,
    sqlite3.SQLITE_READONLY: AccessDenied,
    sqlite3.SQLITE_CANTOPEN: AccessDenied,
    sqlite3.SQLITE_INTERRUPT: Cancelled,
}
_OWNER = "run cofre as the database's owner or as root"
_WRITER = "look for a program that keeps a write transaction open"
_REMEDIES = {
    sqlite3.SQLITE_BUSY: _WRITER,
    sqlite3.SQLITE_LOCKED: _WRITER,
    sqlite3.SQLITE_CANTOPEN: _OWNER,
    sqlite3.SQLITE_READONLY: _OWNER,
    sqlite3.SQLITE_PERM: _OWNER,
    sqlite3.SQLITE_CORRUPT: "the database is damaged: look at `sqlite3 FILE 'PRAGMA integrity_check'` and `.recover`",
}


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def sql_error(what: str, error: sqlite3.Error) -> CofreError:
    """The exception for an error of SQLite while doing `what`."""
    code = primary_code(error)
    return _KINDS.get(code, DumpFailed)(f"{what}: {clean(str(error))}", _REMEDIES.get(code))
