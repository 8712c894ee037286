"""What the configured `group` may see: the backups folder and the catalog, never an archive. Everything is made for the owner
alone and opened up afterwards, so that a crash in between leaves too little access rather than too much."""

from __future__ import annotations

import grp
import logging
import os

from .folders import FILE_FLAGS, opened

_CATALOG_FILES = ("backup_history.json", ".catalog.json")

log = logging.getLogger("cofre")


def catalog(backups: int, group: str | None) -> None:
    """Opens folder and catalog to `group`: 0750 and 0640. A failure is logged: the backup is done."""
    if group is None:
        return
    try:
        number = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        os.chown(backups, -1, number)
        os.fchmod(backups, 0o750)
        for name in _CATALOG_FILES:
            try:
                handle = os.open(name, FILE_FLAGS, dir_fd=backups)
            except FileNotFoundError:
                continue
            with opened(handle):
                os.chown(handle, -1, number)
                os.fchmod(handle, 0o640)
    except (OSError, KeyError) as error:
        log.warning("the group can't read the catalog: %s", error)
