"""The rule that makes a file name of a table's name; the same as the program's.

Letters, digits, `_`, `-` and `.` stay (not `.` or `-` in front, not a last `.`), everything else is written as `%XX` of its
UTF-8 bytes. So is the first character of a reserved name (the dump's own files, `backup_info`, Windows' devices), and every
capital and non-ASCII letter of names that differ only in case. A name longer than 200 bytes is cut and ends in `%~` and 16
digits of its SHA-256. The empty name is `%`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter

_LIMIT = 200
_RESERVED = {
    "schema",
    "restore",
    "pre-data",
    "post-data",
    "event-triggers",
    "sequences",
    "blobs",
    "grants",
    "backup_info",
    "con",
    "prn",
    "aux",
    "nul",
}


def file_names(tables: list[str]) -> list[str]:
    """The file names of tables, in their order."""
    twins = Counter(map(_fold, tables))
    return [f"{_encode(table, twins[_fold(table)] > 1)}.sql" for table in tables]


def _fold(name: str) -> str:
    return name.upper().lower()


def _encode(name: str, twin: bool) -> str:
    if not name:
        return "%"
    taken, last = _is_reserved(name), len(name) - 1
    out = ""
    for i, c in enumerate(name):
        if _is_plain(c, i, last, twin) and not (i == 0 and taken):
            out += c
        else:
            out += "".join(f"%{byte:02X}" for byte in c.encode())
    return out if len(out.encode()) <= _LIMIT else _cut(name, out)


def _is_plain(c: str, i: int, last: int, twin: bool) -> bool:
    if c == ".":
        return i not in (0, last)
    if c == "-":
        return i != 0
    if c == "_":
        return True
    if c.isascii():
        return c.isalnum() and not (twin and c.isupper())
    # Compatibility ideographs and single jamo have a second spelling.
    n = ord(c)
    second = 0x1100 <= n <= 0x11FF or 0xF900 <= n <= 0xFAFF or 0x2F800 <= n <= 0x2FA1F
    return unicodedata.category(c)[0] in "LN" and not twin and not second


def _is_reserved(name: str) -> bool:
    stem = name.lower().split(".")[0]
    port = stem[:3] in ("com", "lpt") and len(stem) == 4 and stem[3] in "0123456789"
    return stem in _RESERVED or port


def _cut(name: str, encoded: str) -> str:
    front = encoded.encode()[: _LIMIT - 18].decode(errors="ignore")
    return f"{front}%~{hashlib.sha256(name.encode()).hexdigest()[:16].upper()}"
