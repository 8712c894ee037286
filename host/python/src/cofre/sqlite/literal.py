"""Values as SQL literals that give exactly the same value again, through SQLite's shell and any library.

Every row stays on one line: line breaks in texts go through `replace(…, char(10))`, as the shell's own `.dump` does.
"""

from __future__ import annotations

import math
import struct
from typing import Any


class Text(bytes):
    """A TEXT value as its bytes; a plain `bytes` is a BLOB."""


def value(item: Any, stored: bytes | None, encoding: str) -> bytes:
    """The literal of a value. `stored` has the bytes of a text as the database stores them, where that isn't UTF-8;
    `encoding` is Python's name of the database's encoding."""
    if item is None:
        return b"NULL"
    if isinstance(item, int):
        return b"%d" % item
    if isinstance(item, float):
        return real(item).encode()
    if isinstance(item, Text):
        try:
            decoded = item.decode()
        except UnicodeDecodeError:
            decoded = "\0"
        if "\0" not in decoded and (stored is None or stored == decoded.encode(encoding)):
            return text(decoded).encode()
        # A literal can't say it: the stored bytes can.
        return b"CAST(" + blob(item if stored is None else stored) + b" AS TEXT)"
    return blob(item)


def blob(data: bytes) -> bytes:
    """A BLOB."""
    return b"X'" + data.hex().upper().encode() + b"'"


def text(item: str) -> str:
    """A text without NUL."""
    if "\r" not in item and "\n" not in item:
        return "'" + item.replace("'", "''") + "'"
    marks = [
        (c, _unused(item, mark), code) for c, mark, code in (("\r", "\\r", 13), ("\n", "\\n", 10)) if c in item
    ]
    body = item.replace("'", "''")
    for c, mark, _ in marks:
        body = body.replace(c, mark)
    return "replace(" * len(marks) + f"'{body}'" + "".join(f",'{mark}',char({code}))" for _, mark, code in marks)


def _unused(item: str, mark: str) -> str:
    candidate, n = mark, 0
    while candidate in item:
        candidate = f"{mark}{n}"
        n += 1
    return candidate


def real(number: float) -> str:
    """A real as text that every SQLite reads as exactly this value.

    SQLite's readers are not correctly rounded, so the shortest decimal is taken only where it lies well within the
    value's own interval, else 18 digits. Values near the smallest are products, which are exact.
    """
    if math.isinf(number):
        return "9e999" if number > 0 else "-9e999"
    magnitude = abs(number)
    if magnitude == 0:
        return "-0.0" if math.copysign(1, number) < 0 else "0.0"
    if magnitude < 1e-280:
        return _tiny(number)
    short = repr(number)
    if _is_well_inside(short, magnitude):
        return short
    digits, _, exponent = f"{number:.17e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _parts(magnitude: float) -> tuple[int, int]:
    """Mantissa without the hidden bit, and the raw exponent."""
    bits: int = struct.unpack("<Q", struct.pack("<d", magnitude))[0]
    return bits & ((1 << 52) - 1), bits >> 52


def _is_well_inside(decimal: str, magnitude: float) -> bool:
    """Whether a decimal of at most 15 digits and 22 places lies well within the interval of its value."""
    whole, point, fraction = decimal.lstrip("-").partition(".")
    if not point:
        return False
    fraction = "" if fraction == "0" else fraction
    digits = whole + fraction
    if not digits.isdigit() or len(fraction) > 22:
        return False
    scaled = int(digits)
    bits, exponent = _parts(magnitude)
    mantissa, shift = bits | (1 << 52), 1075 - exponent
    if scaled >= 10**15 or not 0 < shift <= 76:
        return False
    power: int = 10 ** len(fraction)
    # In units of 1 / (2^shift * 10^places); the program calculates with 128 bits.
    right = mantissa * power
    if right >= 1 << 128:
        return False
    # A hair less than half of the spacing: readers differ from each other by less than a 500th of it.
    limit: int = power - max(power // 64, 1)
    return abs((scaled << shift) - right) * 2 <= limit


def _tiny(number: float) -> str:
    """A value near zero as mantissa divided by powers of two: each step is exact."""
    bits, exponent = _parts(abs(number))
    mantissa, shift = (bits, 1074) if exponent == 0 else (bits | (1 << 52), 1075 - exponent)
    out = f"CAST({'-' if number < 0 else ''}{mantissa} AS REAL)"
    while shift > 0:
        step = min(shift, 62)
        out += f"/{1 << step}"
        shift -= step
    return out
