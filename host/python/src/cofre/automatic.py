"""The background thread of the daily and weekly runs. Several processes, and `cofre serve`, may have the same plans: whoever
gets the lock first makes the run, and the others see it in the catalog and leave it. A forked process, which inherits no
threads, gets one of its own: a server may load the program first and fork afterwards."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

from .component import is_lost
from .config import Plan
from .errors import Busy, CofreError
from .repository import Repository
from .sandbox import Session

log = logging.getLogger("cofre")


def newest_due(plan: Plan, now: float, zone: tzinfo | None) -> float:
    """The newest time (seconds since 1970) at or before `now` at which a plan is due."""
    day = datetime.fromtimestamp(now, zone).date() + timedelta(days=1)
    for _ in range(10):
        if not plan.days or day.weekday() in plan.days:
            # The wall clock's time in the zone; one that a clock change skips moves on by the change.
            due = datetime(day.year, day.month, day.day, plan.hour, plan.minute, tzinfo=zone).timestamp()
            if due <= now:
                return due
        day -= timedelta(days=1)
    raise AssertionError("a plan is due once a week at least")


_running: weakref.WeakSet[Automatic] = weakref.WeakSet()


def _after_fork() -> None:
    # Where the component was used before, the child can't use it, and leaves the plans to its parent.
    if not is_lost():
        for automatic in list(_running):
            automatic.go_on_after_fork()


os.register_at_fork(after_in_child=_after_fork)


class Automatic:
    """Looks once a minute whether a plan is due, and makes its backup. What was due before the start is not made up for."""

    def __init__(
        self,
        repository: Callable[[], Repository],
        plans: tuple[Plan, ...],
        zone: tzinfo | None,
        check_seconds: float = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository, self.plans, self._zone = repository, plans, zone
        self._check_seconds, self._clock = check_seconds, clock
        self._cancel = threading.Event()
        now = clock()
        # The newest due time of each plan that is dealt with.
        self._done = {plan.name: newest_due(plan, now, zone) for plan in plans}
        self._thread = self._new_thread()

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="cofre-automatic", daemon=True)

    def start(self) -> None:
        """Starts the thread, which does not keep the program alive."""
        self._thread.start()
        _running.add(self)

    def go_on_after_fork(self) -> None:
        """Starts the thread again in a child, whose copies of the parent's locks may be held by nobody."""
        self._cancel = threading.Event()
        self._thread = self._new_thread()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; a run that goes on is cancelled."""
        _running.discard(self)
        self._cancel.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._cancel.wait(self._check_seconds):
            try:
                self.check()
            except Exception:
                # The thread has to outlive whatever one look comes to.
                log.exception("the schedule could not be looked at")

    def check(self) -> None:
        """Makes the backup of every plan that is due."""
        for plan in self.plans:
            due = newest_due(plan, self._clock(), self._zone)
            if due > self._done[plan.name] and not self._cancel.is_set() and self._make(plan, due):
                self._done[plan.name] = due

    def _make(self, plan: Plan, due: float) -> bool:
        """Makes one backup; whether that due time is dealt with."""
        try:
            made = self._repository().create(
                plan.type, plan.name, plan.full, cancel=self._cancel, due=lambda session: not _made(session, plan, due)
            )
        except Busy as error:
            log.info("plan %s waits: %s", plan.name, error)
            return False
        except CofreError as error:
            log.error("automatic backup of plan %s failed: %s", plan.name, error)
            return True
        if made is None:
            log.info("plan %s was already run by another host", plan.name)
        else:
            log.info("automatic backup of plan %s: %s", plan.name, made["name"])
        return True


def _made(session: Session, plan: Plan, due: float) -> bool:
    """Whether the catalog has a run of the plan that began at its due time or later and has ended."""
    for row in reversed(session.call("list")):
        if row["plan"] == plan.name and row["started_at"] and row["status"] != "in-progress":
            return datetime.fromisoformat(row["started_at"]).timestamp() >= due
    return False
