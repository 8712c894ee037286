"""Why an operation did not do what was asked: one exception for each case of the WIT variant `error`, and one for each
failure that only a host knows. All are `CofreError`; `code` is the same stable word as in `cofre --json`."""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class CofreError(Exception):
    """Any failure. `str()` of it is one line with the cause and, in brackets, what to do about it."""

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        remedy: str | None = None,
        *,
        operation: str | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.operation = operation
        self.subject = subject

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


# The cases of the contract.


class InvalidInput(CofreError):
    """The request itself is wrong."""

    code = "usage"


class SourceMissing(CofreError):
    """A source is missing or empty: most likely a disk that is not mounted."""

    code = "source_missing"


class NotFound(CofreError):
    """No such backup, entry or preopened directory."""

    code = "not_found"


class AlreadyExists(CofreError):
    """Something would have to be overwritten. Nothing was changed."""

    code = "already_exists"


class Refused(CofreError):
    """Refused to protect a backup."""

    code = "refused"


class Corrupt(CofreError):
    """An archive does not match its manifest, checksum or format."""

    code = "corrupt"


class CatalogInvalid(CofreError):
    """The catalog can't be read; `rebuild` recreates it."""

    code = "catalog_invalid"


class AccessDenied(CofreError):
    """The operating system refused access."""

    code = "access_denied"


class NoSpace(CofreError):
    """No space, or a quota was reached."""

    code = "no_space"


class Io(CofreError):
    """Reading or writing failed in another way."""

    code = "io"


class Unsupported(CofreError):
    """Something that this version does not have."""

    code = "unsupported"


class Cancelled(CofreError):
    """Stopped on request; nothing is left behind."""

    code = "cancelled"


# Failures that only a host knows.


class Busy(CofreError):
    """Another run holds the backups folder."""

    code = "busy"


class ConfigInvalid(CofreError):
    """The configuration is wrong."""

    code = "invalid_config"


class SandboxRefused(CofreError):
    """The component does not fit, or something outside of what it may reach was asked for."""

    code = "sandbox_refused"


class Stuck(CofreError):
    """No progress within the limit."""

    code = "stuck"


class DumpFailed(CofreError):
    """A database could not be dumped."""

    code = "dump_failed"


class HookFailed(CofreError):
    """A program before a run failed."""

    code = "hook_failed"


class Internal(CofreError):
    """A bug: the component trapped, or an invariant broke."""

    code = "internal"


VARIANTS: dict[str, type[CofreError]] = {
    "invalid-input": InvalidInput,
    "source-missing": SourceMissing,
    "not-found": NotFound,
    "already-exists": AlreadyExists,
    "refused": Refused,
    "corrupt": Corrupt,
    "catalog-invalid": CatalogInvalid,
    "access-denied": AccessDenied,
    "no-space": NoSpace,
    "io": Io,
    "unsupported": Unsupported,
    "cancelled": Cancelled,
}

_BY_ERRNO: dict[int, type[CofreError]] = {
    errno.EACCES: AccessDenied,
    errno.EPERM: AccessDenied,
    errno.EROFS: AccessDenied,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EEXIST: AlreadyExists,
    errno.ENOTEMPTY: AlreadyExists,
}


def from_os(what: str, error: OSError) -> CofreError:
    """The exception for a failed system call while doing `what` (`open /srv/app`)."""
    kind = _BY_ERRNO.get(error.errno or 0, Io)
    return kind(f"{what}: {error.strerror or error}")


def from_wit(tag: str, detail: dict[str, Any], places: dict[str, str]) -> CofreError:
    """The exception for a case of the contract. `places` maps preopens to the real paths that people know."""
    kind = VARIANTS.get(tag, Internal)
    subject: str | None = detail["subject"]
    if subject is not None:
        for name, real in places.items():
            if subject == name or subject.startswith(name + "/"):
                subject = real + subject[len(name) :]
                break
    about = f" {subject}" if subject is not None else ""
    return kind(
        clean(f"{detail['operation']}{about}: {detail['message']}"),
        clean(detail["remedy"]) if detail["remedy"] is not None else None,
        operation=detail["operation"],
        subject=subject,
    )


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _hostile(c: str) -> bool:
    n = ord(c)
    return (
        n < 0x20
        or 0x7F <= n < 0xA0
        or 0x200B <= n <= 0x200F
        or 0x2028 <= n <= 0x202E
        or 0x2060 <= n <= 0x2069
        or n == 0xFEFF
        or 0xD800 <= n <= 0xDFFF
    )


def clean(text: str) -> str:
    """A name or message without control characters: harmless for a terminal and a log."""
    if not any(map(_hostile, text)):
        return text
    return "".join(_escaped(c) if _hostile(c) else c for c in text)


def _escaped(c: str) -> str:
    n = ord(c)
    if c in _SHORT:
        return _SHORT[c]
    # A byte of a name that is not UTF-8 is a lone surrogate in Python.
    return f"\\x{n & 0xFF:02x}" if n < 0x100 or 0xDC80 <= n <= 0xDCFF else f"\\u{{{n:x}}}"
