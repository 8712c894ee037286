"""Reading tables of a TOML document key by key: types, ranges, and a hint for what is unknown."""

from __future__ import annotations

import difflib
import re
from typing import Any

from .errors import ConfigInvalid, clean

_LONGEST = 100 * 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Table:
    """One table of the document, which notes what it was asked for."""

    def __init__(self, table: Any, name: str) -> None:
        if not isinstance(table, dict):
            raise ConfigInvalid(f"{clean(name)}: has to be a table, `[{clean(name)}]`")
        self.table, self.name, self.asked = table, name, set[str]()

    def full(self, key: str) -> str:
        """A key with the tables that it is in."""
        return clean(f"{self.name}.{key}" if self.name else key)

    def get(self, key: str, kind: type, default: Any) -> Any:
        """A value of a type, or the default."""
        self.asked.add(key)
        if key not in self.table:
            return default
        value = self.table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            # Not the value itself, which may hold a password.
            found = next((word for known, word in _KINDS.items() if type(value) is known), type(value).__name__)
            raise ConfigInvalid(f"{self.full(key)}: has to be {_KINDS[kind]}, and is {found}")
        return value

    def number(self, key: str, least: int, most: int, default: int) -> int:
        """A whole number between two others."""
        value: int = self.get(key, int, default)
        if key in self.table and not least <= value <= most:
            raise ConfigInvalid(f"{self.full(key)}: has to be between {least} and {most}, not {value}")
        return value

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        """One of some words."""
        value: str = self.get(key, str, default)
        if key in self.table and value not in words:
            listed = ", ".join(f"`{word}`" for word in words)
            raise ConfigInvalid(f"{self.full(key)}: `{clean(value)}` is none of {listed}", near(value, words))
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings; none where it is not written."""
        values = self.get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigInvalid(f"{self.full(key)}: has to be a list of strings")
        return tuple(values)

    def duration(self, key: str, default: int, least: int = 0) -> int:
        """Seconds, from `90s`, `10m`, `12h`, `30d`, `2w`."""
        text: str = self.get(key, str, f"{default}s")
        match = re.fullmatch(r"\s*([0-9]{1,20})\s*([smhdw])\s*", text)
        if match is None:
            raise ConfigInvalid(
                f"{self.full(key)}: `{clean(text)}` is not a duration",
                "write a number with s, m, h, d or w, such as `30d`",
            )
        seconds = int(match[1]) * _UNITS[match[2]]
        if not least <= seconds <= _LONGEST:
            much = "more than a hundred years" if seconds else "not more than zero"
            raise ConfigInvalid(f"{self.full(key)}: `{clean(text)}` is {much}")
        return seconds

    def section(self, key: str) -> Table:
        """The table `[key]`, empty where it is not written."""
        return Table(self.get(key, dict, {}), self.full(key))

    def named(self, key: str) -> list[tuple[str, Table]]:
        """The tables `[key.NAME]`, by name as in the program: the first failure is then the same one."""
        return [(name, Table(table, f"{key}.{name}")) for name, table in sorted(self.get(key, dict, {}).items())]

    def finish(self) -> None:
        """Refuses what nobody asked for."""
        for key in self.table:
            if key not in self.asked:
                raise ConfigInvalid(f"{self.full(key)}: unknown key", near(key, tuple(self.asked)))


_KINDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a float", list: "a list", dict: "a table"}


def near(word: str, known: tuple[str, ...]) -> str:
    """A hint at the word that was probably meant."""
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(sorted(known))}"
