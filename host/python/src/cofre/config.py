"""The configuration: `cofre.toml`, the same file that the program `cofre` reads, or the original system's defaults.

This host uses the keys that say what a backup is, where it goes and what stays. The tables of the service (`api`,
`webhooks`, `verify`, `drill`, `log`) are the program's business: they are allowed and not looked at.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .errors import CofreError, ConfigInvalid, clean
from .sandbox import Limits
from .sqlite.tables import TableFilter

ENVIRONMENT = "COFRE_CONFIG"
SWITCHES = ("database", "files", "logs", "config")

_SERVICE = ("api", "webhooks", "verify", "drill", "log")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Source:
    """One folder of the archive: a folder on disk, or single files with their paths in it."""

    folder: str
    path: Path | None = None
    files: tuple[tuple[Path, str], ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    allow_empty: bool = False
    switch: str = "files"


@dataclass(frozen=True)
class Database:
    """One database, and globs of the tables whose rows are dumped."""

    name: str
    url: str
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.removeprefix("sqlite:")) if self.url.startswith("sqlite:") else None


@dataclass(frozen=True)
class Plan:
    """When a run is due: a time of day, every day or on some days of the week (Monday is 0)."""

    name: str
    type: str
    hour: int
    minute: int
    days: tuple[int, ...] = ()
    full: bool = False
    catch_up: bool = True


@dataclass(frozen=True)
class Retention:
    """Which backups stay; the fields of the contract's `retention-policy`."""

    max_backups: int = 30
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within_seconds: int = 0
    keep_partial: int = 3
    keep_failed_seconds: int = 30 * 86_400


@dataclass(frozen=True)
class Hooks:
    """Programs before and after a run, each an argument vector."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout_seconds: float = 300


@dataclass(frozen=True)
class Config:
    """Everything that a run has to know. Paths are absolute."""

    dir: Path
    backup_dir: Path
    zip_path_prefix: str
    state_dir: Path
    file: Path | None = None
    group: str | None = None
    repository: str = ""
    time_zone: ZoneInfo | None = None
    retention: Retention = Retention()
    compression: str = "deflate"
    level: int = 5
    limits: Limits = Limits()
    switches: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(SWITCHES, True))
    sources: tuple[Source, ...] = ()
    databases: tuple[Database, ...] = ()
    hooks: Hooks = Hooks()
    plans: tuple[Plan, ...] = ()
    other_plans: tuple[str, ...] = ()

    def now(self) -> str:
        """Now in the configured zone, RFC 3339 with microseconds."""
        return datetime.now().astimezone(self.time_zone).isoformat(timespec="microseconds")

    def active_sources(self) -> list[Source]:
        """The sources whose switch is on."""
        return [source for source in self.sources if self.switches[source.switch]]

    def active_databases(self) -> list[Database]:
        """The databases, unless they are switched off."""
        return list(self.databases) if self.switches["database"] else []

    def with_backups(self, backup_dir: str) -> Config:
        """The same with another backups folder."""
        path = _resolve(Path.cwd(), backup_dir, "backup_dir")
        return replace(self, backup_dir=path, zip_path_prefix=f"{backup_dir.rstrip('/')}/")


def load(file: str | os.PathLike[str]) -> Config:
    """Reads a configuration.

    Raises `ConfigInvalid` that names the file, the key and what is wrong with it.
    """
    path = Path(os.path.abspath(file))
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(
            f"read {clean(str(path))}: {error.strerror}", "`cofre init` writes a configuration"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{clean(str(path))}: {clean(str(error))}") from error
    try:
        return replace(_read(document, path.parent), file=path)
    except CofreError as error:
        raise ConfigInvalid(f"{clean(str(path))}: {error.message}", error.remedy) from None


class _Table:
    """One table of the document, which notes what it was asked for."""

    def __init__(self, table: Any, name: str) -> None:
        if not isinstance(table, dict):
            raise ConfigInvalid(f"{clean(name)}: has to be a table, `[{clean(name)}]`")
        self.table, self.name, self.asked = table, name, set[str]()

    def full(self, key: str) -> str:
        return clean(f"{self.name}.{key}" if self.name else key)

    def get(self, key: str, kind: type, default: Any) -> Any:
        self.asked.add(key)
        if key not in self.table:
            return default
        value = self.table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigInvalid(f"{self.full(key)}: has to be {_KINDS[kind]}, not {clean(repr(value))}")
        return value

    def number(self, key: str, least: int, most: int, default: int) -> int:
        value: int = self.get(key, int, default)
        if key in self.table and not least <= value <= most:
            raise ConfigInvalid(f"{self.full(key)}: has to be between {least} and {most}, not {value}")
        return value

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        value: str = self.get(key, str, default)
        if key in self.table and value not in words:
            listed = ", ".join(f"`{word}`" for word in words)
            raise ConfigInvalid(f"{self.full(key)}: `{clean(value)}` is none of {listed}", _near(value, words))
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigInvalid(f"{self.full(key)}: has to be a list of strings")
        return tuple(values)

    def duration(self, key: str, default: int) -> int:
        text: str = self.get(key, str, f"{default}s")
        match = re.fullmatch(r"\s*(\d+)\s*([smhdw])\s*", text)
        if match is None:
            raise ConfigInvalid(
                f"{self.full(key)}: `{clean(text)}` is not a duration",
                "write a number with s, m, h, d or w, such as `30d`",
            )
        return int(match[1]) * _UNITS[match[2]]

    def section(self, key: str) -> _Table:
        return _Table(self.get(key, dict, {}), self.full(key))

    def named(self, key: str) -> list[tuple[str, _Table]]:
        return [(name, _Table(table, f"{key}.{name}")) for name, table in self.get(key, dict, {}).items()]

    def finish(self) -> None:
        for key in self.table:
            if key not in self.asked:
                raise ConfigInvalid(f"{self.full(key)}: unknown key", _near(key, tuple(self.asked)))


_KINDS = {str: "a string", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def _near(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(sorted(known))}"


def _resolve(folder: Path, text: str, key: str) -> Path:
    if not text or "\0" in text:
        raise ConfigInvalid(f"{key}: a path can't be empty or contain a NUL character")
    if text == "~" or text.startswith("~/"):
        raise ConfigInvalid(f"{key}: `{clean(text)}`: `~` is the shell's, write the whole path")
    return Path(os.path.normpath(folder / text))


def _read(document: dict[str, Any], folder: Path) -> Config:
    root = _Table(document, "")
    backups = root.get("backup_dir", str, "backups")
    for table in _SERVICE:
        root.asked.add(table)
    compression, level = _archive(root)
    plans, others = _plans(root)
    zone = root.get("time_zone", str, "")
    config = Config(
        dir=folder,
        backup_dir=_resolve(folder, backups, "backup_dir"),
        zip_path_prefix=f"{backups.rstrip('/')}/",
        state_dir=_resolve(folder, root.get("state_dir", str, ".cofre"), "state_dir"),
        group=root.get("group", str, None),
        repository=root.get("repository", str, clean(folder.name or "root")),
        time_zone=_zone(zone) if zone else None,
        retention=_retention(root),
        compression=compression,
        level=level,
        limits=_limits(root),
        switches=_switches(root),
        sources=_sources(root, folder),
        databases=_databases(root, folder),
        hooks=_hooks(root),
        plans=plans,
        other_plans=others,
    )
    root.finish()
    _check(config)
    return config


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigInvalid(
            f"time_zone: there is no time zone `{clean(name)}`",
            "write a name of the IANA list, such as `America/Sao_Paulo` or `UTC`",
        ) from error


def _retention(root: _Table) -> Retention:
    return Retention(
        max_backups=root.number("max_backups", 1, 100_000, 30),
        keep_daily=root.number("keep_daily", 0, 100_000, 0),
        keep_weekly=root.number("keep_weekly", 0, 100_000, 0),
        keep_monthly=root.number("keep_monthly", 0, 100_000, 0),
        keep_yearly=root.number("keep_yearly", 0, 100_000, 0),
        keep_within_seconds=root.duration("keep_within", 0),
        keep_partial=root.number("keep_partial", 0, 100_000, 3),
        keep_failed_seconds=root.duration("keep_failed", 30 * 86_400),
    )


def _archive(root: _Table) -> tuple[str, int]:
    table = root.section("archive")
    compression = table.word("compression", ("deflate", "zstd", "store"), "deflate")
    zstd = compression == "zstd"
    level = table.number("level", 1, 22 if zstd else 9, 1 if zstd else 5)
    # This host works with one instance; the archive is the same whatever the number.
    table.number("workers", 0, 256, 0)
    table.finish()
    return compression, level


def _limits(root: _Table) -> Limits:
    table = root.section("limits")
    limits = Limits(table.number("memory_mib", 32, 4_096, 256) << 20, table.duration("stall", 600))
    table.finish()
    return limits


def _switches(root: _Table) -> dict[str, bool]:
    table = root.section("backup")
    switches = {name: table.get(name, bool, True) for name in SWITCHES}
    table.finish()
    return switches


def _folder_name(name: str, key: str) -> None:
    bad = not name or len(name.encode()) > 64 or name in (".", "..") or name.endswith((".", " ")) or name.startswith(" ")
    if bad or any(c in "/\\:" or ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in name):
        raise ConfigInvalid(f"{key}: `{clean(name)}` can't be the name of a folder in the archive")


def _sources(root: _Table, folder: Path) -> tuple[Source, ...]:
    sources: list[Source] = []
    for name, table in root.named("sources"):
        _folder_name(name, "sources")
        if name.lower() in ("database", "backup_info.json"):
            raise ConfigInvalid(f"sources.{clean(name)}: the name is taken in every archive", "choose another name")
        if any(other.folder.lower() == name.lower() for other in sources):
            raise ConfigInvalid(f"sources.{clean(name)}: differs from another source only in case")
        path, files = table.get("path", str, None), table.strings("files")
        if (path is None) == ("files" not in table.table):
            raise ConfigInvalid(f"sources.{clean(name)}: a source has either `path` or `files`")
        if path is None and not files:
            raise ConfigInvalid(f"sources.{clean(name)}.files: the list is empty")
        sources.append(
            Source(
                folder=name,
                path=None if path is None else _resolve(folder, path, f"sources.{name}.path"),
                files=tuple(single_file(folder, file) for file in files),
                include=table.strings("include"),
                exclude=table.strings("exclude"),
                allow_empty=table.get("allow_empty", bool, False),
                switch=table.word("switch", ("files", "logs", "config"), name if name in ("logs", "config") else "files"),
            )
        )
        table.finish()
    return tuple(sources)


def single_file(folder: Path, text: str) -> tuple[Path, str]:
    """A file of a source, and its path in the archive: as written below the configuration's folder, else its name."""
    path = _resolve(folder, text, "files")
    return path, str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _databases(root: _Table, folder: Path) -> tuple[Database, ...]:
    databases: list[Database] = []
    for name, table in root.named("databases"):
        _folder_name(name, "databases")
        url, file = table.get("url", str, None), table.get("url_file", str, None)
        if (url is None) == (file is None):
            raise ConfigInvalid(f"databases.{clean(name)}: a database has either `url` or `url_file`")
        if file is not None:
            try:
                url = _resolve(folder, file, f"databases.{name}.url_file").read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigInvalid(f"databases.{clean(name)}.url_file: {error.strerror}") from error
        if url.startswith("sqlite:") and not url.startswith("sqlite://"):
            url = f"sqlite:{_resolve(folder, url.removeprefix('sqlite:'), f'databases.{name}.url')}"
        elif url.partition("://")[0] not in ("postgres", "postgresql", "mysql", "mariadb"):
            raise ConfigInvalid(f"databases.{clean(name)}.url: is not a database's URL", "write `sqlite:app.db`")
        tables, exclude = table.strings("tables"), table.strings("exclude_tables")
        try:
            TableFilter(tables, exclude)
        except ConfigInvalid as error:
            error.message = f"databases.{clean(name)}: {error.message}"
            raise
        # Where the client programs of a server are, which this host does not run.
        table.get("tools", str, None)
        databases.append(Database(name, url, tables, exclude))
        table.finish()
    return tuple(databases)


def _hooks(root: _Table) -> Hooks:
    table = root.section("hooks")
    hooks = Hooks(table.strings("before"), table.strings("after"), table.duration("timeout", 300))
    table.finish()
    return hooks


def _plans(root: _Table) -> tuple[tuple[Plan, ...], tuple[str, ...]]:
    plans: list[Plan] = []
    others: list[str] = []
    for item in root.get("schedules", list, []):
        table = _Table(item, "schedules")
        name = table.get("name", str, "")
        kind = table.get("type", str, "automated")
        for key, value in (("name", name), ("type", kind)):
            if not re.fullmatch(r"[a-z0-9_-]{1,32}", value):
                raise ConfigInvalid(f"schedules.{key}: `{clean(value)}` is not 1 to 32 of the characters a-z, 0-9, _ and -")
        at = table.get("at", str, None)
        full, catch_up = table.get("full", bool, False), table.get("catch_up", bool, True)
        enabled = table.get("enabled", bool, True)
        table.asked.update(("cron", "jitter", "ping_url", "ping_url_file"))
        table.finish()
        if at is None and "cron" not in table.table:
            raise ConfigInvalid("schedules.at: is missing", 'write `at = "02:00"`')
        if at is None:
            others.append(name)
        elif enabled:
            hour, minute, days = parse_at(at)
            plans.append(Plan(name, kind, hour, minute, days, full, catch_up))
    return tuple(plans), tuple(others)


def parse_at(text: str) -> tuple[int, int, tuple[int, ...]]:
    """`02:00`, `sunday 03:00`, `monday,thursday 22:30`: hour, minute, days of the week."""
    words, _, clock = text.strip().rpartition(" ")
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", clock)
    days = []
    for word in filter(None, (word.strip().lower() for word in words.split(","))):
        found = [n for n, day in enumerate(_DAYS) if word in (day, day[:3])]
        if not found:
            raise ConfigInvalid(f"schedules.at: `{clean(word)}` is not a day of the week", _near(word, _DAYS))
        days += found
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ConfigInvalid(
            f"schedules.at: `{clean(text)}` is not a time of day",
            "write `02:00`, or `sunday 03:00`, or `monday,thursday 22:30`",
        )
    return int(match[1]), int(match[2]), tuple(sorted(set(days)))


def _check(config: Config) -> None:
    if not config.sources and not config.databases:
        raise ConfigInvalid("sources: there is nothing to back up", 'add `[sources.static]` with `path = "static"`')
    backups = os.path.realpath(config.backup_dir)

    def inside(path: Path | str) -> bool:
        real = os.path.realpath(path)
        return real == backups or real.startswith(backups + os.sep)

    if inside(config.state_dir):
        raise ConfigInvalid("state_dir: can't be the backups folder or inside it (the sandbox writes there)")
    for source in config.sources:
        for path in [source.path] if source.path else [file for file, _ in source.files]:
            if inside(path):
                raise ConfigInvalid(
                    f"sources.{clean(source.folder)}: {clean(str(path))} is the backups folder or inside it",
                    "choose another `backup_dir`",
                )
    for database in config.databases:
        if database.file is not None and inside(database.file):
            raise ConfigInvalid(f"databases.{clean(database.name)}.url: lies in the backups folder")
