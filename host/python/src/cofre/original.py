"""What is backed up where there is no `cofre.toml`: what the original system backed up, as far as it is there."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from .config import Config, Database, Plan, Source
from .errors import ConfigInvalid, clean

FILES = ("requirements.txt", "env.example", ".gitignore")
PLANS = (Plan("daily", "automated", 2, 0), Plan("weekly", "weekly", 3, 0, (6,), full=True))
"""Every day at 02:00, and on Sundays at 03:00, which reads every byte again."""

_SUFFIXES = {".db", ".sqlite", ".sqlite3"}
_NOT_SEARCHED = {"backups", "venv", "env", "node_modules", "target", "build", "dist", "tmp", "__pycache__"}

log = logging.getLogger("cofre")


def original(folder: Path) -> Config:
    """The folders `static` and `logs`, the files of `config`, and every SQLite database in the folder or one below it.

    Raises `ConfigInvalid` when there is nothing of it.
    """
    sources = []
    for name, switch in (("static", "files"), ("logs", "logs")):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            sources.append(Source(name, folder / name, allow_empty=True, switch=switch))
        else:
            log.warning("there is no folder %s, so the backup is without it", clean(str(folder / name)))
    files = tuple((folder / name, name) for name in FILES if (folder / name).is_file())
    if files:
        sources.append(Source("config", files=files, switch="config"))
    databases = _databases(folder)
    if not sources and not databases:
        raise ConfigInvalid(
            f"there is nothing to back up in {clean(str(folder))}: no cofre.toml, no static, no logs, no database",
            "start the program in the application's folder, or name a configuration (COFRE_CONFIG)",
        )
    return Config(
        dir=folder,
        backup_dir=folder / "backups",
        zip_path_prefix="backups/",
        state_dir=folder / ".cofre",
        repository=clean(folder.name or "root"),
        sources=tuple(sources),
        databases=databases,
        plans=PLANS,
    )


def _databases(folder: Path) -> tuple[Database, ...]:
    found: list[Database] = []
    for path in sorted([*folder.glob("*.*"), *folder.glob("*/*.*")]):
        below = path.relative_to(folder).parts[0]
        if path.suffix not in _SUFFIXES or (below != path.name and (below in _NOT_SEARCHED or below.startswith("."))):
            continue
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size < 100:
                continue
        except OSError:
            continue
        name = re.sub(r"[^\w.-]", "_", path.stem).strip(". ") or "app"
        taken = {known.name.lower() for known in found}
        number = 2
        while name.lower() in taken:
            name, number = f"{path.stem}_{number}", number + 1
        found.append(Database(name, f"sqlite:{path}"))
    return tuple(found)
