"""What the host sees in a source and the sandbox can't: modes, ctimes, absolute links, names that are not UTF-8. One JSON
line a path, made through the same handle that becomes the preopen; the very lines that the program `cofre` writes."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .errors import CofreError, from_os
from .folders import DIR_FLAGS, identity, open_beneath, shown

PATH_LIMIT = 4095
_RETRIES = 3
NOT_UTF8 = "the name is not UTF-8"

Identity = tuple[int, int]


@dataclass
class LeftOut:
    """What no source contains, by identity and not by name."""

    things: dict[Identity, str] = field(default_factory=dict)
    # A journal may come and go during the walk, so that these go by the folder's identity and the name.
    names: dict[tuple[Identity, bytes], str] = field(default_factory=dict)

    def add(self, path: str | os.PathLike[str], reason: str) -> None:
        """Leaves out what `path` is now, if it exists."""
        try:
            self.things[identity(os.lstat(path))] = reason
        except OSError:
            pass

    def add_database(self, path: str | os.PathLike[str], reason: str) -> None:
        """Leaves out a database file and the files that SQLite keeps beside it."""
        self.add(path, reason)
        folder, name = os.path.split(os.fsencode(path))
        try:
            parent = identity(os.lstat(folder or b"."))
        except OSError:
            return
        for suffix in (b"", b"-wal", b"-shm", b"-journal"):
            self.names[parent, name + suffix] = reason

    def reason(self, folder: Identity, name: bytes, info: os.stat_result) -> str | None:
        """Why a name of a folder is left out, if it is."""
        return self.things.get(identity(info)) or self.names.get((folder, name))


def observe(root: int, left_out: LeftOut, out: BinaryIO) -> None:
    """Writes one line for every path below the handle `root`, and one with an empty path for the root itself.

    A path that vanishes is left away, one that can't be read is a line that says so. Raises when the root can't be listed.
    """
    walk = _Walk(root, left_out, out)
    walk.folder(b"", 0)
    while walk.pending:
        path, tries = walk.pending.pop()
        walk.folder(path, tries)


class _Walk:
    def __init__(self, root: int, left_out: LeftOut, out: BinaryIO) -> None:
        self.root, self.left_out, self.out = root, left_out, out
        self.pending: list[tuple[bytes, int]] = []
        self.encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def folder(self, path: bytes, tries: int) -> None:
        if len(path) > PATH_LIMIT:
            return self.unreadable(path, "the path is longer than 4095 bytes")
        try:
            handle = open_beneath(self.root, path, DIR_FLAGS)
        except OSError as error:
            if not path:
                raise self.root_failed(error) from error
            if error.errno == errno.ENOENT:
                return None
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
                return self.look_again(path, tries)
            return self.unreadable_folder(path, error)
        try:
            self.list(path, handle)
        finally:
            os.close(handle)

    def root_failed(self, error: OSError) -> CofreError:
        return from_os(f"list {shown(os.readlink(f'/proc/self/fd/{self.root}'))}", error)

    def list(self, path: bytes, handle: int) -> None:
        info = os.fstat(handle)
        here = identity(info)
        if path and (reason := self.left_out.things.get(here)):
            return self.bare(path, "left-out", reason)
        self.line(path, "directory", info)
        try:
            names = os.scandir(handle)
        except OSError as error:
            return self.list_failed(path, error)
        with names:
            try:
                for entry in names:
                    name = os.fsencode(entry.name)
                    self.entry(handle, here, name, path + b"/" + name if path else name, 0)
            except OSError as error:
                self.list_failed(path, error)

    def list_failed(self, path: bytes, error: OSError) -> None:
        if not path:
            raise self.root_failed(error) from error
        if error.errno != errno.ENOENT:
            self.unreadable_folder(path, error)

    def entry(self, folder: int, here: Identity, name: bytes, path: bytes, tries: int) -> None:
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            return self.unreadable(path, _describe(error))
        if reason := self.left_out.reason(here, name, info):
            return self.bare(path, "left-out", reason)
        is_folder = stat.S_ISDIR(info.st_mode)
        if not _is_utf8(name):
            return self.unreadable(
                path, "the name is not UTF-8, nothing in this folder is saved" if is_folder else NOT_UTF8
            )
        if stat.S_ISREG(info.st_mode):
            self.line(path, "file", info)
        elif is_folder:
            self.pending.append((path, tries))
        elif stat.S_ISLNK(info.st_mode):
            self.link(folder, name, path, info)
        else:
            self.line(path, "special", info)

    def link(self, folder: int, name: bytes, path: bytes, info: os.stat_result) -> None:
        try:
            target = os.readlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.EINVAL:
                return self.look_again(path, 0)
            return self.unreadable(path, _describe(error))
        if not _is_utf8(target):
            return self.unreadable(path, "the target of the link is not UTF-8")
        self.line(path, "symlink", info, target.decode())

    def look_again(self, path: bytes, tries: int) -> None:
        """Something else than at first sight: seen once more through its folder."""
        if tries >= _RETRIES:
            return self.unreadable(path, "it keeps changing into something else")
        parent, _, name = path.rpartition(b"/")
        try:
            handle = open_beneath(self.root, parent, DIR_FLAGS)
        except FileNotFoundError:
            return
        except OSError:
            return self.unreadable(path, "a folder above it was replaced by something else meanwhile")
        try:
            self.entry(handle, identity(os.fstat(handle)), name, path, tries + 1)
        finally:
            os.close(handle)

    def unreadable_folder(self, path: bytes, error: OSError) -> None:
        self.unreadable(path, f"the folder can't be listed: {_describe(error)}")

    def unreadable(self, path: bytes, reason: str) -> None:
        self.bare(path, "unreadable", reason)

    def bare(self, path: bytes, kind: str, reason: str) -> None:
        self.write({"path": _shown(path), "kind": kind, "reason": reason, "size": 0})

    def line(self, path: bytes, kind: str, info: os.stat_result, target: str | None = None) -> None:
        fields: dict[str, Any] = {"path": _shown(path), "kind": kind}
        if target is not None:
            fields["target"] = target
        fields["size"] = info.st_size if kind == "file" else 0
        fields["mtime_ns"] = info.st_mtime_ns
        fields["ctime_ns"] = info.st_ctime_ns
        fields["inode"] = info.st_ino
        fields["mode"] = info.st_mode & 0o7777
        fields["uid"] = info.st_uid
        fields["gid"] = info.st_gid
        self.write(fields)

    def write(self, fields: dict[str, Any]) -> None:
        self.out.write(self.encode(fields).encode() + b"\n")


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


_ESCAPED = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x27: "\\'", 0x5C: "\\\\"}


def escape_name(name: bytes) -> str:
    """A name that is not UTF-8: everything but printable ASCII as `\\xNN`, as the other hosts write it."""
    return "".join(_ESCAPED.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in name)


def _shown(path: bytes) -> str:
    if _is_utf8(path):
        return path.decode()
    return "/".join(name.decode() if _is_utf8(name) else escape_name(name) for name in path.split(b"/"))


def _describe(error: OSError) -> str:
    return f"{error.strerror} (os error {error.errno})"
