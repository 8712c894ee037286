"""What the configured `group` may see: the backups folder and the catalog, never an archive. Everything is made for the owner
alone and opened up afterwards, so that a crash in between leaves too little access rather than too much."""

from __future__ import annotations

import errno
import grp
import logging
import os
import stat

from .errors import clean
from .folders import FILE_FLAGS, opened

_CATALOG_FILES = ("backup_history.json", ".catalog.json")

log = logging.getLogger("cofre")


def owner_only(backups: int, archive: str | None = None) -> None:
    """Takes everybody else's rights from the catalog, and from an archive and its checksum. They have none, unless a thread
    of the binding, which outlives the program's own calls of it, has made the file with the umask of that time."""
    names = [*_CATALOG_FILES, ".scan.json"] + ([f"{archive}.zip", f"{archive}.zip.sha256"] if archive else [])
    for name in names:
        try:
            with opened(os.open(name, FILE_FLAGS, dir_fd=backups)) as handle:
                mode = os.fstat(handle).st_mode
                if stat.S_ISREG(mode) and mode & 0o077:
                    os.fchmod(handle, mode & 0o700)
        except OSError as error:
            if error.errno != errno.ENOENT:
                log.warning("the mode of %s can't be set: %s", clean(name), error.strerror)


def catalog(backups: int, group: str | None) -> None:
    """Opens folder and catalog to `group`: 0750 and 0640, else to nobody. A failure is logged: the backup is done."""
    if group is None:
        return owner_only(backups)
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
    except (OSError, OverflowError, KeyError) as error:
        log.warning("the group can't read the catalog: %s", error)
