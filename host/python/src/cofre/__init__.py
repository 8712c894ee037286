"""cofre from Python: backups made by the sandboxed component, in the same folder and catalog as the program `cofre`.

`Repository` has every operation with exceptions, `BackupManager` the original system's interface, and the module `backup` is
what its programs import.
"""

from .component import WIT_VERSION, Component
from .config import Config, load
from .errors import (
    AccessDenied,
    AlreadyExists,
    Busy,
    Cancelled,
    CatalogInvalid,
    CofreError,
    ConfigInvalid,
    Corrupt,
    DumpFailed,
    HookFailed,
    Internal,
    InvalidInput,
    Io,
    NoSpace,
    NotFound,
    Refused,
    SandboxRefused,
    SourceMissing,
    Stuck,
    Unsupported,
)
from .manager import BackupManager
from .repository import Repository

__all__ = [
    "WIT_VERSION",
    "AccessDenied",
    "AlreadyExists",
    "BackupManager",
    "Busy",
    "Cancelled",
    "CatalogInvalid",
    "CofreError",
    "Component",
    "Config",
    "ConfigInvalid",
    "Corrupt",
    "DumpFailed",
    "HookFailed",
    "Internal",
    "InvalidInput",
    "Io",
    "NoSpace",
    "NotFound",
    "Refused",
    "Repository",
    "SandboxRefused",
    "SourceMissing",
    "Stuck",
    "Unsupported",
    "load",
]
