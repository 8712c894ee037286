"""What the host does to the process that it is a guest of, and the process to it: forks, umasks, threads, wrong arguments."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import App

import cofre
from cofre import private

# Runs a function in a forked child and ends with what that comes to; one that waits for ever is ended and said.
IN_CHILD = """
import os, signal, sys, time
def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        print(work(), flush=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}"
"""


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_a_child_of_a_process_that_used_the_component_is_told_so(sample: App) -> None:
    code = IN_CHILD + """
from backup import create_backup, list_backups
print(create_backup()["status"], flush=True)
in_child(lambda: create_backup()["error"])
print(create_backup()["status"])
"""
    done = sample.python(code)
    first, child, last = done.stdout.splitlines()
    assert (first, last) == ("completed", "completed"), done.stderr
    assert "was forked from one that had used the component" in child and "spawn" in child
    assert [row["id"] for row in sample.cofre("list")] == [1, 2]


def test_a_child_works_where_the_parent_only_imported(sample: App) -> None:
    code = IN_CHILD + """
from backup import backup_manager, create_backup
in_child(lambda: (create_backup()["status"], backup_manager._automatic.is_running()))
print(backup_manager._automatic.is_running())
"""
    done = sample.python(code)
    assert done.stdout == "('completed', True)\nTrue\n", done.stderr


def test_a_thread_that_was_stopped_stays_so_in_a_child(sample: App) -> None:
    code = IN_CHILD + """
import threading
from backup import backup_manager
backup_manager.stop()
in_child(lambda: [thread.name for thread in threading.enumerate()])
"""
    done = sample.python(code)
    assert done.stdout == "['MainThread']\n", done.stderr


def test_a_child_that_lives_on_does_not_keep_the_lock(app: App) -> None:
    code = """
import os, signal, cofre
repository = cofre.Repository(cofre.load("cofre.toml"))
children = []
def progress(state):
    if not children:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
try:
    print(repository.create(progress=progress)["status"])
    print(repository.create()["status"])
finally:
    os.kill(children[0], signal.SIGKILL)
"""
    done = app.python(code)
    assert done.stdout == "completed\ncompleted\n", done.stderr


def test_files_are_private_whatever_threads_the_binding_has_already(app: App) -> None:
    """The binding keeps threads, which have the umask of the program's own calls."""
    code = """
import os, cofre
from cofre.component import shared
from cofre.folders import open_folder
from cofre.sandbox import Mount, Session
os.umask(0)
os.mkdir("own")
with Session(shared(), [Mount("/backups", open_folder("own"), True)]) as session:
    session.call("begin-run", {"backup_type": "x", "plan": "x", "started_at": "2025-08-31T21:52:49.000000-03:00", "zip_path_prefix": ""})
assert os.stat("own/backup_history.json").st_mode & 0o777 == 0o666, "the program's own umask"
repository = cofre.Repository(cofre.load("cofre.toml"))
row = repository.create()
repository.verify()
"""
    done = app.python(code)
    assert done.returncode == 0, done.stderr
    assert {mode(path) for path in app.backups.iterdir()} == {"0o600"}
    assert len(list(app.backups.iterdir())) >= 4


@pytest.mark.parametrize("own", [True, False])
def test_the_umask_comes_back_after_operations_that_overlap(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """Where a thread can't have a umask of its own, the process's is 077 until the last operation ends."""
    if not own:
        monkeypatch.setattr(private, "_libc", type("Refusing", (), {"unshare": staticmethod(lambda _flags: -1)}))
    seen: list[int] = []
    both, first_ended = threading.Barrier(2), threading.Event()

    def look() -> None:
        now = os.umask(0o077)
        seen.append(now)

    def first() -> None:
        both.wait(30)
        look()

    def second() -> None:
        both.wait(30)
        assert first_ended.wait(30)
        look()

    def run_first() -> None:
        private.run(first)
        first_ended.set()

    before = os.umask(0o022)
    try:
        threads = [threading.Thread(target=run_first), threading.Thread(target=lambda: private.run(second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [0o077, 0o077]
        assert os.umask(0o022) == 0o022, "the program's umask is back"
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", [None, 3, "", "nul\0", "a\udc80", "a\x1b[31m", "a" * 1_000, ["manual"]])
def test_a_run_gives_a_dictionary_whatever_its_type(app: App, kind: Any) -> None:
    manager = cofre.BackupManager(config=app.config, automatic=False)
    row = manager.create_backup(kind)
    assert row["status"] == "failed" and row["error"] and "\x1b" not in row["error"]
    assert manager.list_backups() == []


@pytest.mark.parametrize("selector", [None, "", "\udc80", -1, 1.5, 2**70, "../1", True, [1]])
def test_an_odd_selector_is_no_backup(app: App, selector: Any) -> None:
    manager = cofre.BackupManager(config=app.config, automatic=False)
    manager.create_backup()
    manager.create_backup()
    assert manager.restore_backup(selector)["success"] is False
    assert manager.verify_backup(selector)["success"] is False
    assert manager.delete_backup(selector) is False
    assert len(manager.list_backups()) == 2


def test_odd_targets_and_globs(app: App) -> None:
    repository = app.repository()
    repository.create()
    for target in ("a\0b", "/"):
        with pytest.raises(cofre.InvalidInput):
            repository.restore(1, target)
    for only in ("static/**", ("\udc80",), (3,)):
        with pytest.raises(cofre.InvalidInput, match="only"):
            repository.restore(1, app.root / "r", only=only)
    assert not (app.root / "r").exists()


@pytest.mark.parametrize(
    ("backup_dir", "message"),
    [
        ("", "can't be empty"),
        ("a\0", "NUL"),
        ("~/backups", "the shell's"),
        ("static", "is the backups folder"),
        (".", "state_dir: can't be the backups folder or inside it"),
        ("..", "state_dir: can't be the backups folder or inside it"),
        (".cofre", "state_dir: can't be the backups folder or inside it"),
        ("a\udcff", "is not UTF-8"),
    ],
)
@pytest.mark.parametrize("configured", [True, False])
def test_an_odd_backups_folder_is_refused(
    app: App, monkeypatch: pytest.MonkeyPatch, backup_dir: str, message: str, configured: bool
) -> None:
    if not configured:
        app.config.unlink()
    monkeypatch.chdir(app.root)
    before = sorted(app.root.rglob("*"))
    result = cofre.BackupManager(backup_dir, automatic=False).create_backup()
    assert result["status"] == "failed" and message in result["error"]
    assert sorted(app.root.rglob("*")) == before


def test_the_backups_folder_may_be_a_path_object(app: App) -> None:
    manager = cofre.BackupManager(app.root / "elsewhere", config=app.config, automatic=False)
    assert manager.create_backup()["status"] == "completed"
    assert len(list((app.root / "elsewhere").glob("*.zip"))) == 1


@pytest.mark.parametrize("most", [0, -1, 2**32, 2**40, "3", 1.5, None, True])
def test_an_odd_limit_is_refused(app: App, most: Any) -> None:
    with pytest.raises(cofre.ConfigInvalid, match="max_backups: has to be a whole number from 1 to 100000"):
        cofre.BackupManager("elsewhere", most, config=app.config, automatic=False)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_progress_function_that_fails_ends_the_run_cleanly(app: App, kind: type[BaseException]) -> None:
    def progress(_state: dict[str, Any]) -> None:
        raise kind("boom")

    with pytest.raises(kind):
        app.repository().create(progress=progress)
    [row] = app.cofre("list")
    assert row["status"] == ("cancelled" if kind is KeyboardInterrupt else "failed") and "boom" in row["error"]
    assert not app.left() and not list(app.backups.glob("*.zip"))
