"""The configuration: `cofre.toml`, the same file that the program `cofre` reads, or the original system's defaults.

This host uses the keys that say what a backup is, where it goes and what stays. The tables of the service (`api`,
`webhooks`, `verify`, `drill`, `log`) are the program's business: they are allowed and not looked at.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .document import Table, near
from .errors import CofreError, ConfigInvalid, clean
from .folders import read_text
from .sandbox import Limits
from .sqlite.tables import TableFilter

ENVIRONMENT = "COFRE_CONFIG"
SWITCHES = ("database", "files", "logs", "config")

_SERVICE = ("api", "webhooks", "verify", "drill", "log")
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

    def with_backups(self, folder: Path, backup_dir: str) -> Config:
        """The same with another backups folder, below `folder` unless the path is absolute."""
        if _surrogate(backup_dir):
            raise ConfigInvalid(f"backup_dir: `{clean(backup_dir)}` is not UTF-8")
        path = _resolve(folder, backup_dir, "backup_dir")
        return _checked(replace(self, backup_dir=path, zip_path_prefix=f"{backup_dir.rstrip('/')}/"))


def load(file: str | os.PathLike[str]) -> Config:
    """Reads a configuration.

    Raises `ConfigInvalid` that names the file, the key and what is wrong with it.
    """
    path = Path(os.path.abspath(file))
    if "\0" in str(path):
        raise ConfigInvalid("the path of the configuration contains a NUL character")
    try:
        document = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigInvalid(
            f"read {clean(str(path))}: {error.strerror}", "`cofre init` writes a configuration"
        ) from error
    except RecursionError:
        raise ConfigInvalid(f"{clean(str(path))}: lists or tables are nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{clean(str(path))}: {clean(str(error))}") from error
    try:
        return replace(_read(document, path.parent), file=path)
    except CofreError as error:
        raise ConfigInvalid(f"{clean(str(path))}: {error.message}", error.remedy) from None


def _resolve(folder: Path, text: str, key: str) -> Path:
    if not text or "\0" in text:
        raise ConfigInvalid(f"{key}: a path can't be empty or contain a NUL character")
    if text == "~" or text.startswith("~/"):
        raise ConfigInvalid(f"{key}: `{clean(text)}`: `~` is the shell's, write the whole path")
    return Path(os.path.normpath(folder / text))


def _read(document: dict[str, Any], folder: Path) -> Config:
    root = Table(document, "")
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
        repository=_repository(root, folder),
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
    return _checked(config)


def _repository(root: Table, folder: Path) -> str:
    name: str = root.get("repository", str, clean(folder.name or "root"))
    if "repository" in root.table and (not 1 <= len(name.encode()) <= 64 or _has_control(name)):
        raise ConfigInvalid("repository: has to be 1 to 64 bytes without control characters")
    return name


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigInvalid(
            f"time_zone: there is no time zone `{clean(name)}`",
            "write a name of the IANA list, such as `America/Sao_Paulo` or `UTC`",
        ) from error


def _retention(root: Table) -> Retention:
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


def _archive(root: Table) -> tuple[str, int]:
    table = root.section("archive")
    compression = table.word("compression", ("deflate", "zstd", "store"), "deflate")
    zstd = compression == "zstd"
    level = table.number("level", 1, 22 if zstd else 9, 1 if zstd else 5)
    # This host works with one instance; the archive is the same whatever the number.
    table.number("workers", 0, 256, 0)
    table.finish()
    return compression, level


def _limits(root: Table) -> Limits:
    table = root.section("limits")
    limits = Limits(table.number("memory_mib", 32, 4_096, 256) << 20, table.duration("stall", 600, 1))
    table.finish()
    return limits


def _switches(root: Table) -> dict[str, bool]:
    table = root.section("backup")
    switches = {name: table.get(name, bool, True) for name in SWITCHES}
    table.finish()
    return switches


def _folder_name(name: str, key: str) -> None:
    bad = not name or len(name.encode()) > 64 or name in (".", "..") or name.endswith((".", " ")) or name.startswith(" ")
    if bad or _has_control(name) or any(c in "/\\:" for c in name):
        raise ConfigInvalid(f"{key}: `{clean(name)}` can't be the name of a folder in the archive")


def _sources(root: Table, folder: Path) -> tuple[Source, ...]:
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


def _databases(root: Table, folder: Path) -> tuple[Database, ...]:
    databases: list[Database] = []
    for name, table in root.named("databases"):
        _folder_name(name, "databases")
        if any(other.name.lower() == name.lower() for other in databases):
            raise ConfigInvalid(f"databases.{clean(name)}: differs from another database only in case")
        url, file = table.get("url", str, None), table.get("url_file", str, None)
        if (url is None) == (file is None):
            raise ConfigInvalid(f"databases.{clean(name)}: a database has either `url` or `url_file`")
        if file is not None:
            try:
                url = read_text(_resolve(folder, file, f"databases.{name}.url_file")).strip()
            except OSError as error:
                raise ConfigInvalid(f"databases.{clean(name)}.url_file: {error.strerror}") from error
            except UnicodeDecodeError:
                raise ConfigInvalid(f"databases.{clean(name)}.url_file: is not UTF-8") from None
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
        # Of a server, whose client programs this host does not run.
        for key in ("tools", "password", "password_file"):
            table.get(key, str, None)
        databases.append(Database(name, url, tables, exclude))
        table.finish()
    return tuple(databases)


def _hooks(root: Table) -> Hooks:
    table = root.section("hooks")
    hooks = Hooks(table.strings("before"), table.strings("after"), table.duration("timeout", 300, 1))
    for event, argv in (("before", hooks.before), ("after", hooks.after)):
        if argv and not argv[0]:
            raise ConfigInvalid(
                f"hooks.{event}: the first item has to be a program",
                'write program and arguments one by one, such as `["systemctl", "reload", "app"]`',
            )
        if any("\0" in word for word in argv):
            raise ConfigInvalid(f"hooks.{event}: an argument can't contain a NUL character")
    table.finish()
    return hooks


def _plans(root: Table) -> tuple[tuple[Plan, ...], tuple[str, ...]]:
    plans: list[Plan] = []
    others: list[str] = []
    names: set[str] = set()
    for item in root.get("schedules", list, []):
        table = Table(item, "schedules")
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
        if name == "manual":
            raise ConfigInvalid("schedules.name: `manual` is the plan of runs by hand", "choose another name")
        if name in names:
            raise ConfigInvalid(f"schedules.name: two schedules have the name `{name}`", "choose another name")
        names.add(name)
        if at is not None and "cron" in table.table:
            raise ConfigInvalid("schedules.cron: a schedule has either `at` or `cron`")
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
            raise ConfigInvalid(f"schedules.at: `{clean(word)}` is not a day of the week", near(word, _DAYS))
        days += found
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ConfigInvalid(
            f"schedules.at: `{clean(text)}` is not a time of day",
            "write `02:00`, or `sunday 03:00`, or `monday,thursday 22:30`",
        )
    return int(match[1]), int(match[2]), tuple(sorted(set(days)))


def _has_control(text: str) -> bool:
    return any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text)


def _surrogate(text: str) -> bool:
    """Whether a name of the file system is not UTF-8."""
    return any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def _checked(config: Config) -> Config:
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
    return config
