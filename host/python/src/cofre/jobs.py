"""A long operation in steps: progress for whoever wants it, cancellation, and an end when nothing moves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from wasmtime.component import Variant

from .errors import Cancelled, clean
from .sandbox import STEP_BYTES, Limits, Session, stuck

Progress = Callable[[dict[str, Any]], None]
"""Gets `files_done`, `files_total`, `bytes_done`, `bytes_total` and `current` now and then, and at the end."""

log = logging.getLogger("cofre")


def run(
    session: Session,
    request: Variant,
    now: Callable[[], str],
    cancel: threading.Event | None = None,
    progress: Progress | None = None,
    limits: Limits = Limits(),
) -> dict[str, Any]:
    """Runs a job to its end; its report.

    Raises what the component reports, `Cancelled` once `cancel` is set, `Stuck` when neither files nor bytes advance.
    """
    job = session.new_job(request)
    try:
        seen: tuple[int, ...] = ()
        moved = time.monotonic()
        while True:
            if cancel is not None and cancel.is_set():
                session.cancel(job, now())
                raise Cancelled("stopped on request; nothing is left behind")
            state = session.step(job, STEP_BYTES, now())
            for line in state["log"]:
                log.info("%s", clean(line))
            if progress is not None:
                progress({key: state[key] for key in ("files_done", "files_total", "bytes_done", "bytes_total", "current")})
            if state["outcome"] is not None:
                report: dict[str, Any] = state["outcome"].payload
                return report
            counters = (state["files_done"], state["files_total"], state["bytes_done"], state["bytes_total"])
            if counters != seen:
                seen, moved = counters, time.monotonic()
            elif time.monotonic() - moved > limits.stall_seconds:
                raise stuck("step", limits)
    finally:
        session.drop(job)
