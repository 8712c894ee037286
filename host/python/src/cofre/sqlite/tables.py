"""Which tables a dump has the rows of. Definitions are always dumped, all of them: a restored database then has every table
that its views, functions and keys name."""

from __future__ import annotations

import re

from ..errors import ConfigInvalid, clean


class TableFilter:
    """The lists `tables` and `exclude_tables` of one database. Globs as in the program, in which `*` matches every character."""

    def __init__(self, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> None:
        self._include = [_compile(text) for text in include]
        self._exclude = [_compile(text) for text in exclude]

    def has_rows_of(self, table: str) -> bool:
        """Whether the rows of a table are dumped. It matches with and without `public.` before its name."""

        def any_of(globs: list[re.Pattern[str]]) -> bool:
            return any(glob.fullmatch(name) for glob in globs for name in (f"public.{table}", table))

        return (not self._include or any_of(self._include)) and not any_of(self._exclude)


def _compile(text: str) -> re.Pattern[str]:
    """A glob of the globset syntax: `?`, `*`, `[a-z]`, `[!a]`, `{a,b}`, and a backslash before what is meant as it stands."""
    out, depth, i = "", 0, 0
    while i < len(text):
        c = text[i]
        i += 1
        if c == "\\" and i < len(text):
            out += re.escape(text[i])
            i += 1
        elif c == "*":
            out += ".*"
        elif c == "?":
            out += "."
        elif c == "[":
            # A bracket that comes first is meant as it stands.
            end = text.find("]", i + 1 + (text[i : i + 1] in ("!", "^")))
            if end < 0:
                raise _bad(text)
            inside = text[i:end]
            negated = inside[:1] in ("!", "^")
            body = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside[negated:])
            out += f"[{'^' if negated else ''}{body}]"
            i = end + 1
        elif c == "{":
            out, depth = out + "(?:", depth + 1
        elif c == "}" and depth:
            out, depth = out + ")", depth - 1
        elif c == "," and depth:
            out += "|"
        else:
            out += re.escape(c)
    try:
        if depth or not text:
            raise _bad(text)
        return re.compile(out, re.DOTALL)
    except re.error:
        raise _bad(text) from None


def _bad(text: str) -> ConfigInvalid:
    return ConfigInvalid(f"`{clean(text)}` is not a pattern", "see the globset syntax; a literal bracket is written `[[]`")
