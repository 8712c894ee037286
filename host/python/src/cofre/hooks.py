"""Programs before and after a run: argument vectors without a shell, with a deadline, told of the run by their
environment. The variables are those of the program `cofre`."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from typing import Any

from .config import Config
from .errors import Cancelled, CofreError, HookFailed, clean

_ERROR_CHARS = 4_096
_SERVICE = {
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
}

log = logging.getLogger("cofre")


def before(config: Config, row: dict[str, Any], cancel: threading.Event | None) -> None:
    """Runs `hooks.before`, if there is one. Raises `HookFailed` or `Cancelled`."""
    _run("before", config.hooks.before, config, row, "in_progress", None, cancel)


def after(config: Config, row: dict[str, Any], ended: dict[str, Any] | None) -> None:
    """Runs `hooks.after`, if there is one. Its failure is logged and changes nothing: the run has ended."""
    status = ended["status"].replace("-", "_") if ended else "unknown"
    try:
        _run("after", config.hooks.after, config, row, status, ended, None)
    except CofreError as error:
        log.error("%s", error)


def _run(
    event: str,
    argv: tuple[str, ...],
    config: Config,
    row: dict[str, Any],
    status: str,
    ended: dict[str, Any] | None,
    cancel: threading.Event | None,
) -> None:
    if not argv:
        return
    # Only the program is named: its arguments may hold a password.
    who = f"the program {clean(argv[0])} (hooks.{event})"
    program = os.path.join(config.dir, argv[0]) if "/" in argv[0] else argv[0]
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                cwd=config.dir,
                env=_environment(event, config, row, status, ended),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise HookFailed(
                f"{who} can't be started: {error.strerror}", "give its whole path, and check that this user may run it"
            ) from error
        failure = _wait(process, config.hooks.timeout_seconds, cancel, who)
        output.seek(0)
        lines = [clean(line) for line in output.read(1 << 20).decode("utf-8", "replace").splitlines() if line.strip()]
    for line in lines:
        log.info("%s: %s", event, line)
    if failure is not None:
        raise HookFailed(f"{who} {failure}" + (f": {lines[-1]}" if lines else ""))


def _wait(process: subprocess.Popen[bytes], limit: float, cancel: threading.Event | None, who: str) -> str | None:
    """What went wrong, if something did."""
    deadline = time.monotonic() + limit
    while True:
        try:
            code = process.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel.is_set():
                _end(process)
                raise Cancelled(f"stopped on request, and {who} with it") from None
            if time.monotonic() > deadline:
                _end(process)
                return f"took longer than {limit:g} s (hooks.timeout) and was ended"
    return None if code == 0 else f"failed (exit status {code})"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a program and what it has started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(2)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            continue
    process.wait()


def _environment(
    event: str, config: Config, row: dict[str, Any], status: str, ended: dict[str, Any] | None
) -> dict[str, str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in _SERVICE and not key.startswith("COFRE_")
    }
    published = ended if ended and ended["status"] in ("completed", "partial") else None
    return environment | {
        "COFRE_EVENT": event,
        "COFRE_ID": str(row["id"]),
        "COFRE_NAME": row["name"],
        "COFRE_TYPE": row["backup_type"],
        "COFRE_PLAN": row["plan"] or "",
        "COFRE_STATUS": status,
        "COFRE_ERROR": clean(ended["error"] or "")[:_ERROR_CHARS] if ended else "",
        "COFRE_SIZE": str(published["size"]) if published else "",
        "COFRE_ARCHIVE": f"{config.backup_dir}/{published['name']}.zip" if published else "",
        "COFRE_BACKUP_DIR": str(config.backup_dir),
        "COFRE_REPOSITORY": config.repository,
        "COFRE_CONFIG": str(config.file or ""),
    }
