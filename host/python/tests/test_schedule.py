"""The background thread: when a plan is due, and that each due time has one run, whoever makes it."""

import datetime
import os
import signal
import subprocess
import sys
import threading
from zoneinfo import ZoneInfo

import pytest
from conftest import SOURCE, App, binary, tool

import cofre
from cofre.automatic import Automatic, newest_due
from cofre.config import Plan, parse_at

ZONE = ZoneInfo("America/Sao_Paulo")


def at(text: str, zone: ZoneInfo = ZONE) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


DAILY = Plan("daily", "automated", 2, 0)
WEEKLY = Plan("weekly", "weekly", 3, 0, (6,), full=True)


@pytest.mark.parametrize(
    ("plan", "now", "due"),
    [
        (DAILY, "2025-08-31 02:00:00", "2025-08-31 02:00:00"),
        (DAILY, "2025-08-31 01:59:59", "2025-08-30 02:00:00"),
        (DAILY, "2025-09-01 00:00:00", "2025-08-31 02:00:00"),
        # 31 August 2025 is a Sunday.
        (WEEKLY, "2025-08-31 03:00:00", "2025-08-31 03:00:00"),
        (WEEKLY, "2025-08-31 02:59:59", "2025-08-24 03:00:00"),
        (WEEKLY, "2025-09-06 23:00:00", "2025-08-31 03:00:00"),
    ],
)
def test_when_a_plan_is_due(plan: Plan, now: str, due: str) -> None:
    assert newest_due(plan, at(now), ZONE) == at(due)


def test_a_time_that_the_clock_skips_comes_once() -> None:
    new_york = ZoneInfo("America/New_York")
    plan = Plan("daily", "automated", 2, 30)
    # On 9 March 2025 the clock goes from 02:00 to 03:00.
    due = newest_due(plan, at("2025-03-09 12:00:00", new_york), new_york)
    assert datetime.datetime.fromtimestamp(due, new_york).isoformat() == "2025-03-09T03:30:00-04:00"


def test_times_of_day() -> None:
    assert parse_at("02:00") == (2, 0, ())
    assert parse_at("sunday 03:00") == (3, 0, (6,))
    assert parse_at("Thu,monday 22:30") == (22, 30, (0, 3))


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def now_due(app: App) -> tuple[Automatic, Clock, Plan]:
    """A schedule whose daily plan is due in a second, by a clock of the test."""
    real = datetime.datetime.now(ZONE)
    plan = Plan("daily", "automated", real.hour, real.minute)
    due = real.replace(second=0, microsecond=0).timestamp()
    clock = Clock(due - 1)
    return Automatic(app.repository, (plan,), ZONE, 0.01, clock), clock, plan


def test_a_due_plan_runs_once(app: App) -> None:
    automatic, clock, _ = now_due(app)
    automatic.check()
    assert not app.backups.exists()
    clock.now += 2
    automatic.check()
    automatic.check()
    [row] = app.cofre("list")
    assert (row["plan"], row["type"], row["status"]) == ("daily", "automated", "completed")


def test_several_schedules_make_one_run(app: App) -> None:
    several = [now_due(app) for _ in range(4)]
    for _, clock, _ in several:
        clock.now += 2
    # Who finds the folder held looks again, as the thread does a minute later.
    threads = [threading.Thread(target=lambda a=a: [a.check() for _ in range(200)]) for a, _, _ in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.cofre("list")) == 1


def test_a_run_of_the_program_counts(app: App) -> None:
    automatic, clock, _ = now_due(app)
    app.cofre("create", "--plan", "daily")
    clock.now += 2
    automatic.check()
    assert len(app.cofre("list")) == 1


def test_a_manual_run_does_not_count_and_neither_does_an_earlier_one(app: App) -> None:
    automatic, clock, _ = now_due(app)
    app.cofre("create")
    clock.now += 2
    automatic.check()
    assert [row["plan"] for row in app.cofre("list")] == ["manual", "daily"]


def test_a_failed_run_is_not_tried_again_until_the_next_time(app: App) -> None:
    automatic, clock, _ = now_due(app)
    clock.now += 2
    app.config.write_text('[sources.static]\npath = "gone"\n')
    automatic.check()
    automatic.check()
    assert [row["status"] for row in app.cofre("list")] == ["failed"]


def test_the_thread_runs_in_the_background_and_ends(app: App) -> None:
    automatic, clock, _ = now_due(app)
    automatic.start()
    assert automatic.is_running()
    clock.now += 2
    end = threading.Event()
    for _ in range(6_000):
        if app.backups.exists() and app.repository().list() and app.repository().list()[0]["status"] == "completed":
            break
        end.wait(0.01)
    else:
        pytest.fail("no backup came")
    automatic.stop()
    assert not automatic.is_running()


def test_the_manager_has_the_configuration_s_plans_or_the_original_s(sample: App, app: App) -> None:
    show = "from backup import backup_manager as m; print([(p.name, p.type, p.hour, p.days, p.full) for p in m._automatic.plans])"
    original = "[('daily', 'automated', 2, (), False), ('weekly', 'weekly', 3, (6,), True)]"
    assert original in sample.python(show).stdout
    sample.config.unlink()
    assert original in sample.python(show).stdout
    assert app.python("from backup import backup_manager as m; print(m._automatic)").stdout == "None\n"


# Looks at the catalog until the run at two has ended, and a little longer for a second one.
WAIT_FOR_TWO = """
import cofre.automatic, threading, time
cofre.automatic.Automatic.__init__.__defaults__ = (0.05, time.time)
from backup import backup_manager
end, later = time.monotonic() + 90, None
while time.monotonic() < (later or end):
    rows = backup_manager.list_backups()
    if rows and rows[-1]["status"] != "in_progress" and later is None:
        later = time.monotonic() + float(EXTRA)
    threading.Event().wait(0.05)
print([(row["plan"], row["type"], row["status"]) for row in rows])
"""


def at_two(command: list[str], app: App) -> "subprocess.Popen[str]":
    """A program whose clock says a moment before 02:00; it goes on from there."""
    return subprocess.Popen(
        [tool("faketime"), "-f", "@2040-09-04 01:59:57", *command],
        cwd=app.root,
        env=os.environ | {"PYTHONPATH": str(SOURCE), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # `faketime` starts the program and stays: both are ended together.
        start_new_session=True,
    )


def test_a_program_wakes_at_two_in_the_morning(sample: App) -> None:
    """The whole of it, by the system's clock: a program that only imports `backup`."""
    shown, errors = at_two([sys.executable, "-c", WAIT_FOR_TWO.replace("EXTRA", "0")], sample).communicate()
    assert shown == "[('daily', 'automated', 'completed')]\n", errors


def test_programs_and_the_service_make_one_run_together(sample: App) -> None:
    """`cofre serve` and two programs with the same plans: one backup at two, whoever makes it."""
    service = at_two([binary(), "--config", str(sample.config), "serve"], sample)
    try:
        programs = [at_two([sys.executable, "-c", WAIT_FOR_TWO.replace("EXTRA", "5")], sample) for _ in range(2)]
        shown = [program.communicate() for program in programs]
        assert service.poll() is None, "the service goes on"
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.communicate()
    for out, errors in shown:
        assert out == "[('daily', 'automated', 'completed')]\n", errors
    assert len(sample.cofre("list")) == 1


def test_other_plans_are_left_to_the_service(app: App) -> None:
    app.config.write_text(app.config.read_text() + '\n[[schedules]]\nname = "often"\ncron = "*/5 * * * *"\n')
    config = cofre.load(app.config)
    assert config.plans == () and config.other_plans == ("often",)
