"""The original system's interface: dictionaries, no exceptions from a run, and the daily and weekly backups by themselves."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from . import component as components
from .automatic import Automatic
from .config import ENVIRONMENT, SWITCHES, Config, load
from .errors import CofreError, ConfigInvalid, Internal, clean
from .original import PLANS, original
from .records import Record
from .repository import Repository

log = logging.getLogger("cofre")

_BACKUP_DIR = "backups"
_MAX_BACKUPS = 30
_MOST_BACKUPS = 100_000


class BackupManager:
    """Backups of the application in the current folder.

    The configuration is `config`, else `COFRE_CONFIG`, else `cofre.toml` in the current folder, else what the original system
    backed up. A `backup_dir` or `max_backups` other than the default overrides the configuration's.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str] = _BACKUP_DIR,
        max_backups: int = _MAX_BACKUPS,
        *,
        config: str | os.PathLike[str] | Config | None = None,
        component: str | os.PathLike[str] | None = None,
        automatic: bool = True,
    ) -> None:
        if type(max_backups) is not int or not 1 <= max_backups <= _MOST_BACKUPS:
            raise ConfigInvalid(f"max_backups: has to be a whole number from 1 to {_MOST_BACKUPS}, and is {max_backups!r}")
        backup_dir = os.fspath(backup_dir) if isinstance(backup_dir, str | os.PathLike) else backup_dir
        if not isinstance(backup_dir, str):
            raise ConfigInvalid(f"backup_dir: has to be a path, and is {backup_dir.__class__.__name__}")
        # Looked for now, so that what is missing shows at the start and not at two in the morning.
        self._component = components.find(component)
        self._folder = Path.cwd()
        self._overrides = (backup_dir, max_backups)
        self._config = _configured(config, self._folder)
        first = self._config
        self.backup_dir = str(first.backup_dir) if first and backup_dir == _BACKUP_DIR else backup_dir
        self.max_backups = first.retention.max_backups if first and max_backups == _MAX_BACKUPS else max_backups
        self.backup_config: dict[str, bool] = dict(first.switches) if first else dict.fromkeys(SWITCHES, True)
        self._automatic: Automatic | None = None
        if first and first.other_plans:
            log.warning("plans with `cron` are left to `cofre serve`: %s", ", ".join(first.other_plans))
        if automatic:
            self._setup_automated_backup()

    def _setup_automated_backup(self) -> None:
        """Starts the background thread: daily at 02:00 and Sundays at 03:00, or what the configuration says."""
        plans = self._config.plans if self._config else PLANS
        if plans and self._automatic is None:
            zone = self._config.time_zone if self._config else None
            self._automatic = Automatic(self.repository, plans, zone)
            self._automatic.start()

    def stop(self) -> None:
        """Ends the background thread; a run of its that goes on is cancelled."""
        if self._automatic is not None:
            self._automatic.stop()
            self._automatic = None

    def repository(self) -> Repository:
        """The typed interface, with `backup_config` as it is now."""
        config = self._config or original(self._folder)
        backup_dir, max_backups = self._overrides
        if backup_dir != _BACKUP_DIR:
            config = config.with_backups(self._folder, backup_dir)
        retention = config.retention
        if max_backups != _MAX_BACKUPS:
            retention = replace(retention, max_backups=max_backups)
        switches = {name: bool(self.backup_config.get(name, True)) for name in SWITCHES}
        return Repository(replace(config, retention=retention, switches=switches), self._component)

    def create_backup(self, backup_type: str = "manual") -> Record:
        """Makes a backup; its row. A run that failed gives a row with `status` `failed` and the cause in `error`."""
        repository = None
        try:
            repository = self.repository()
            made = repository.create(backup_type)
            assert made is not None
            return made
        except CofreError as error:
            log.error("backup failed: %s", error)
            return _failed(repository, backup_type, error)
        except Exception as error:
            # Programs of the original system look at the dictionary and expect nothing else.
            log.exception("backup failed")
            return _failed(repository, backup_type, _unexpected(error))

    def get_backup_status(self) -> dict[str, Any]:
        """The totals: `total_backups`, `total_size_mb`, `last_backup`, ..."""
        return self.repository().status()

    def list_backups(self) -> list[Record]:
        """The rows of the catalog, oldest first."""
        return self.repository().list()

    def restore_backup(self, backup_id: int | str, restore_path: str | None = None) -> dict[str, Any]:
        """Restores into a new folder: `success` and `restore_path`, `backup`, `metadata`, or `error`."""
        try:
            return self.repository().restore(backup_id, restore_path)
        except CofreError as error:
            log.error("restore failed: %s", error)
            return {"success": False, "error": str(error), "code": error.code}
        except Exception as error:
            log.exception("restore failed")
            return {"success": False, "error": str(_unexpected(error)), "code": Internal.code}

    def verify_backup(self, backup_id: int | str = "latest") -> dict[str, Any]:
        """Verifies a backup: `success`, `status`, `problems`, or `error`."""
        try:
            report = self.repository().verify(backup_id)
            return {"success": not report["problems"], **report}
        except CofreError as error:
            log.error("verification failed: %s", error)
            return {"success": False, "error": str(error), "code": error.code}

    def delete_backup(self, backup_id: int | str) -> bool:
        """Removes a backup; false, with the cause in the log, when it is refused (the last good one) or not there."""
        try:
            self.repository().delete(backup_id)
            return True
        except CofreError as error:
            log.error("delete failed: %s", error)
            return False


def _configured(config: str | os.PathLike[str] | Config | None, folder: Path) -> Config | None:
    if isinstance(config, Config):
        return config
    named = config or os.environ.get(ENVIRONMENT)
    if named:
        return load(named)
    return load(folder / "cofre.toml") if os.path.lexists(folder / "cofre.toml") else None


def _unexpected(error: Exception) -> Internal:
    return Internal(clean(f"{type(error).__name__}: {error}"), "this is a bug; please report it with the log")


def _failed(repository: Repository | None, kind: str, error: CofreError) -> Record:
    """The row of a run that failed: the catalog's, where it got that far, else one that says why it did not."""
    if repository is not None and error.code != "busy":
        try:
            rows = repository.list()
            if rows and rows[-1]["status"] in ("failed", "cancelled") and rows[-1]["error"] == error.message:
                return rows[-1]
        except CofreError:
            pass
    now = datetime.now().isoformat(timespec="microseconds")
    return {
        "id": None,
        "name": None,
        "type": kind,
        "timestamp": now,
        "status": "failed",
        "size": 0,
        "error": str(error),
        "zip_path": None,
    }
