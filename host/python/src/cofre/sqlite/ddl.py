"""Statements of a database's schema, written so that SQLite's shell takes them as they are.

The text stays the original's, but for three habits of the shell: it drops the CR of a line that ends in CRLF, it takes a
line of only `/` or `go` for the end of a statement, and it needs a semicolon that no comment swallows.
"""

from __future__ import annotations

import re


def quote(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def statement(sql: str) -> str:
    """A statement with its semicolon."""
    sql = _hide_terminators(sql)
    # A semicolon of its own line would be stored as part of some statements: only where it has to be.
    return lines(sql) + ("\n;\n" if "--" in sql.rpartition("\n")[2] else ";\n")


def lines(text: str) -> str:
    """Text with the CR of each CRLF doubled: the shell takes one away."""
    return text.replace("\r\n", "\r\r\n")


def if_not_exists(sql: str) -> str:
    """`CREATE TABLE …` as `CREATE TABLE IF NOT EXISTS …`; SQLite stores both alike."""
    head = "CREATE TABLE "
    return f"CREATE TABLE IF NOT EXISTS {sql[len(head) :]}" if sql[: len(head)].upper() == head else sql


def _suspicious(line: str) -> bool:
    line = line.lstrip()
    return line.startswith("/") or line[:2].lower() == "go"


def _hide_terminators(sql: str) -> str:
    """Puts an empty comment before a `/` or `go` that is alone on its line, outside of quotes and comments."""
    pieces = re.findall(r"[^\n]*\n|[^\n]+", sql)
    if not any(map(_suspicious, pieces)):
        return sql
    out, state = "", ""
    for line in pieces:
        if not state and _suspicious(line) and not line.lstrip().startswith("/*"):
            out += "/**/"
        out += line
        state = _after(state, line)
    return out


def _after(state: str, line: str) -> str:
    """Where in a statement the next line begins: in nothing (""), in a comment ("*"), or before this closing quote."""
    i = 0
    while i < len(line):
        c, two = line[i], line[i : i + 2]
        if state == "*":
            if two == "*/":
                state, i = "", i + 1
        elif state:
            # A doubled quote ends and begins again, which comes to the same.
            if c == state:
                state = ""
        elif two == "--":
            return ""
        elif two == "/*":
            state, i = "*", i + 1
        elif c in "'\"`":
            state = c
        elif c == "[":
            state = "]"
        i += 1
    return state
