"""The module that programs of the original system import: `from backup import create_backup, get_backup_status, …`.

Importing it makes the manager of the application in the current folder, and starts its daily and weekly backups.
"""

from typing import Any

from cofre.manager import BackupManager
from cofre.records import Record

__all__ = ["BackupManager", "backup_manager", "create_backup", "get_backup_status", "list_backups"]

backup_manager = BackupManager()
"""The manager of this process."""


def create_backup(backup_type: str = "manual") -> Record:
    """Makes a backup; its row. A failed run gives a row with `status` `failed` and the cause in `error`."""
    return backup_manager.create_backup(backup_type)


def get_backup_status() -> dict[str, Any]:
    """The totals: `total_backups`, `total_size_mb`, `last_backup`, ..."""
    return backup_manager.get_backup_status()


def list_backups() -> list[Record]:
    """The rows of the catalog, oldest first."""
    return backup_manager.list_backups()
