"""What goes wrong: each gets the exception of its kind, with a message that names the thing, and never costs a backup."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE, App, binary
from wasmtime import wat2wasm
from wasmtime.component import Variant

import cofre
from cofre.component import Component, shared
from cofre.config import Config, load
from cofre.folders import open_folder
from cofre.sandbox import Mount, Session

NOW = "2025-08-31T21:52:49.000000-03:00"


def wait_for(state: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Polls for a state."""
    end = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.005)


# The component


def test_a_component_of_another_version_of_the_contract_is_refused(component: Path, tmp_path: Path) -> None:
    # Same length, so that the rest of the binary stays valid.
    other = tmp_path / "other.wasm"
    other.write_bytes(component.read_bytes().replace(b"cofre:backup/engine@0.1.0", b"cofre:backup/engine@0.9.0"))
    with pytest.raises(cofre.SandboxRefused, match=r"exports .*engine@0\.9\.0.*engine@0\.1\.0 is needed.*this very version"):
        Component(other)


def test_a_component_that_wants_more_is_refused(tmp_path: Path) -> None:
    greedy = f"""(component
        (import "wasi:sockets/network@0.2.0" (instance))
        (instance $i)
        {"".join(f'(export "cofre:backup/{name}@0.1.0" (instance $i))' for name in ("engine", "jobs", "shards"))})"""
    file = tmp_path / "greedy.wasm"
    file.write_bytes(wat2wasm(greedy))
    with pytest.raises(cofre.SandboxRefused, match="wasi:sockets/network"):
        Component(file)


@pytest.mark.parametrize("content", [b"", b"not wasm", b"\0asm\x01\0\0\0"])
def test_what_is_no_component_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.wasm"
    file.write_bytes(content)
    with pytest.raises(cofre.SandboxRefused, match="bad.wasm does not fit"):
        Component(file)


def test_a_missing_component_is_named(tmp_path: Path) -> None:
    with pytest.raises(cofre.SandboxRefused, match=r"nowhere.wasm .*cofre component --output"):
        cofre.BackupManager(component=tmp_path / "nowhere.wasm", automatic=False)


# The sandbox


def test_a_missing_preopen_is_not_found() -> None:
    with Session(shared(), []) as session, pytest.raises(cofre.NotFound, match="/backups"):
        session.call("list")


def test_a_preopen_without_the_right_to_write_is_refused(app: App) -> None:
    row = app.repository().create()
    handle = open_folder(app.backups)
    before = sorted(os.listdir(handle))
    with Session(shared(), [Mount("/backups", handle)]) as session:
        run = {"backup_type": "manual", "plan": "manual", "started_at": NOW, "zip_path_prefix": ""}
        for call in (
            lambda: session.call("begin-run", run),
            lambda: session.call("delete", row["id"], True, NOW),
            lambda: session.call("pin", row["id"], True),
        ):
            with pytest.raises((cofre.AccessDenied, cofre.Io), match=str(app.backups)):
                call()
    assert sorted(os.listdir(handle)) == before
    os.close(handle)
    assert app.cofre("verify", "latest")


def test_a_source_is_mounted_read_only(app: App) -> None:
    handle = open_folder(app.root / "static")
    # Offered as a backups folder it can be read and not written.
    with Session(shared(), [Mount("/backups", handle)]) as session:
        with pytest.raises((cofre.AccessDenied, cofre.Io)):
            session.call("begin-run", {"backup_type": "x", "plan": "x", "started_at": NOW, "zip_path_prefix": ""})
    os.close(handle)
    assert sorted(path.name for path in (app.root / "static").iterdir()) == ["app.js", "css"]


@pytest.mark.parametrize("root", ["/", "/etc", "../..", "/sources/static/../../etc", "/backups"])
def test_a_path_outside_is_refused(app: App, root: str) -> None:
    source = {"folder": "x", "root": root, "inventory": None, "include": [], "exclude": [], "allow_empty": True}
    run = {"backup_type": "manual", "plan": "manual", "started_at": NOW, "zip_path_prefix": ""}
    request = {
        "run": run,
        "begun": None,
        "sources": [source],
        "databases": [],
        "compression": "deflate",
        "level": 6,
        "full": True,
    }
    handle = open_folder(app.root / "static")
    with Session(shared(), [Mount("/sources/static", handle)]) as session, pytest.raises(cofre.CofreError) as caught:
        session.call("plan", request)
    os.close(handle)
    assert caught.value.code in ("not_found", "usage", "source_missing", "access_denied"), caught.value


def test_a_link_as_source_is_refused(app: App) -> None:
    (app.root / "elsewhere").symlink_to("/etc")
    app.config.write_text('[sources.static]\npath = "elsewhere"\n')
    with pytest.raises(cofre.SandboxRefused, match=r"source `static`: .*symbolic link \(to /etc\)"):
        app.repository().create()
    app.config.write_text('[sources.static]\nfiles = ["elsewhere/hostname"]\n')
    with pytest.raises(cofre.SandboxRefused, match="symbolic link"):
        app.repository().create()


def test_a_step_of_a_job_that_has_ended_is_refused(app: App) -> None:
    app.repository().create()
    handle = open_folder(app.backups)
    with Session(shared(), [Mount("/backups", handle)]) as session:
        job = session.new_job(Variant("verify", (1, True)))
        while session.step(job, 1 << 20, NOW)["outcome"] is None:
            pass
        with pytest.raises(cofre.InvalidInput):
            session.step(job, 1, NOW)
        session.drop(job)
    os.close(handle)


# Runs


def large(app: App) -> None:
    """Enough for many steps."""
    for n in range(40):
        app.write(f"static/{n:02}.bin", os.urandom(1 << 20))


def test_a_cancelled_run_leaves_nothing_and_is_recorded(app: App) -> None:
    large(app)
    cancel = threading.Event()

    def progress(state: dict[str, Any]) -> None:
        if state["bytes_done"] > 8 << 20:
            cancel.set()

    with pytest.raises(cofre.Cancelled):
        app.repository().create(progress=progress, cancel=cancel)
    [row] = app.cofre("list")
    assert row["status"] == "cancelled"
    assert not list(app.backups.glob("*.zip")) and not app.left()
    assert app.repository().create()["id"] == 2  # type: ignore[index]


def test_progress_is_told(app: App) -> None:
    large(app)
    seen: list[dict[str, Any]] = []
    app.repository().create(progress=seen.append)
    assert len(seen) > 10
    assert [s["bytes_done"] for s in seen] == sorted(s["bytes_done"] for s in seen)
    assert seen[-1]["files_done"] == seen[-1]["files_total"] == 42


CREATE = """
import signal, sys, cofre
# A shell's background jobs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
repository = cofre.Repository(cofre.load("cofre.toml"))
print(repository.create(progress=lambda state: print("step", flush=True))["status"])
"""


def started(app: App) -> subprocess.Popen[str]:
    """A run in a process of its own, under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", CREATE],
        cwd=app.root,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "step\n"
    return process


def test_a_killed_run_is_cleaned_up_by_the_program(app: App) -> None:
    large(app)
    good = app.cofre("create")
    process = started(app)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert app.left()
    assert app.cofre("create")["status"] == "completed"
    assert [row["status"] for row in app.cofre("list")] == ["completed", "failed", "completed"]
    assert not app.left()
    app.cofre("verify", "--all")
    assert good["sha256"] == app.cofre("list")[0]["sha256"]


def test_a_killed_run_is_cleaned_up_by_python(app: App) -> None:
    large(app)
    process = started(app)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert app.repository().create()["status"] == "completed"  # type: ignore[index]
    assert [row["status"] for row in app.cofre("list")] == ["failed", "completed"]
    assert not app.left()


def test_an_interrupted_run_is_cancelled_cleanly(app: App) -> None:
    large(app)
    process = started(app)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    [row] = app.cofre("list")
    assert row["status"] == "cancelled" and not app.left()


def test_two_hosts_at_once_exclude_each_other(app: App) -> None:
    large(app)
    process = started(app)
    error = app.cofre("create", code=6)
    assert error["code"] == "busy" and f"process {process.pid}" in error["message"]
    with pytest.raises(cofre.Busy, match=f"process {process.pid}"):
        app.repository().create()
    with pytest.raises(cofre.Busy):
        app.repository().prune()
    assert app.repository().list()[0]["status"] == "in_progress"
    assert app.repository().prune(dry_run=True)
    shown, _ = process.communicate()
    assert shown.endswith("completed\n")
    assert [row["status"] for row in app.cofre("list")] == ["completed"]


def test_python_waits_for_nobody(app: App) -> None:
    app.cofre("create")
    held = os.open(app.backups, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    manager = cofre.BackupManager(config=load(app.config), automatic=False)
    result = manager.create_backup()
    assert result["status"] == "failed" and "holds" in result["error"] and result["id"] is None
    os.close(held)
    assert manager.create_backup()["status"] == "completed"


def test_threads_of_one_process_exclude_each_other(app: App) -> None:
    large(app)
    results: list[str] = []

    def run() -> None:
        try:
            results.append(app.repository().create()["status"])  # type: ignore[index]
        except cofre.Busy:
            results.append("busy")

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "completed" in results and set(results) <= {"completed", "busy"}
    assert len(app.cofre("list")) == results.count("completed")


# Failures of a run


def test_a_missing_source_fails_the_run(app: App) -> None:
    app.config.write_text('[sources.static]\npath = "gone"\n')
    with pytest.raises(cofre.SourceMissing, match="source `static`: .*gone does not exist"):
        app.repository().create()
    [row] = app.cofre("list")
    assert row["status"] == "failed" and "gone" in row["error"]


def test_an_unreadable_file_makes_a_partial_backup(app: App) -> None:
    name = os.fsencode(app.root / "static") + b"/caf\xe9"
    Path(os.fsdecode(name)).write_text("x")
    row = app.repository().create()
    assert row is not None and row["status"] == "partial" and "caf\\xe9" in row["error"]
    assert app.repository().details(row["id"])["skipped"] == app.cofre("show", "1")["skipped"]


def test_a_bad_type_and_an_unknown_backup(app: App) -> None:
    repository = app.repository()
    with pytest.raises(cofre.InvalidInput):
        repository.create("Bad Type!")
    with pytest.raises(cofre.NotFound):
        repository.verify("7")
    assert repository.list() == []
    repository.create()
    for call in (repository.find, repository.verify, repository.restore, repository.delete, repository.entries):
        with pytest.raises(cofre.NotFound):
            call("77")
    with pytest.raises(cofre.Refused):
        repository.delete("latest")


def test_a_broken_catalog_is_never_overwritten(app: App) -> None:
    repository = app.repository()
    repository.create()
    history = app.backups / "backup_history.json"
    history.write_text("[{")
    for call in (repository.list, repository.create, repository.prune):
        with pytest.raises(cofre.CatalogInvalid, match="rebuild"):
            call()
    assert history.read_text() == "[{"
    assert len(repository.rebuild()["backups"]) == 1
    assert app.cofre("verify", "latest")


def test_a_damaged_archive_is_found(app: App) -> None:
    repository = app.repository()
    row = repository.create()
    archive = app.backups / f"{row['name']}.zip"
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 0x55
    archive.write_bytes(data)
    assert repository.verify()["status"] == "failed"
    assert app.cofre("list")[0]["verify_status"] == "failed"
    target = app.root / "restored"
    with pytest.raises(cofre.Corrupt):
        repository.restore("1", target)
    assert not target.exists() and not (app.root / ".restored.partial").exists()


def test_a_restore_never_replaces_anything(app: App) -> None:
    repository = app.repository()
    repository.create()
    target = app.write("target/mine.txt", "mine").parent
    with pytest.raises(cofre.AlreadyExists):
        repository.restore("latest", target)
    (app.root / "link").symlink_to("nowhere")
    with pytest.raises(cofre.AlreadyExists):
        repository.restore("latest", app.root / "link")
    with pytest.raises(cofre.InvalidInput):
        repository.restore("latest", app.root / "no/such/folder")
    assert (target / "mine.txt").read_text() == "mine"


# The configuration


STATIC = '[sources.static]\npath = "static"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_backups = 0", "max_backups: has to be between"),
        ("max_backup = 3", "max_backup: unknown key .*did you mean `max_backups`"),
        ('backup_dir = ""', "backup_dir: a path can't be empty"),
        ('state_dir = "backups/state"\n[sources.static]\npath = "static"', "state_dir"),
        ('time_zone = "Mars/Olympus"', "Mars/Olympus"),
        ('keep_within = "3 years"', "keep_within"),
        ('[archive]\ncompression = "rar"', "archive.compression: `rar` is none of"),
        ('[sources.static]\npath = "static"\nfiles = ["a"]', "either `path` or `files`"),
        ('[sources.database]\npath = "x"', "taken in every archive"),
        ('[sources.x]\npath = "backups/y"', "inside it"),
        ('[databases.x]\nurl = "oracle:x"', "databases.x.url"),
        ('[[schedules]]\nname = "d"\nat = "25:00"', "not a time of day"),
        ('[[schedules]]\nname = "d"\nat = "someday 02:00"', "not a day of the week"),
        (f'{STATIC}[[schedules]]\nname = "d"\nat = "02:00"\n[[schedules]]\nname = "d"\nat = "03:00"', "two schedules have the name `d`"),
        (f'{STATIC}[[schedules]]\nname = "manual"\nat = "02:00"', "`manual` is the plan of runs by hand"),
        (f'{STATIC}[[schedules]]\nname = "d"\nat = "02:00"\ncron = "* * * * *"', "either `at` or `cron`"),
        (f'keep_within = "{"9" * 23}d"\n{STATIC}', "is not a duration"),
        (f'keep_within = "99999999999d"\n{STATIC}', "is more than a hundred years"),
        (f'{STATIC}[limits]\nstall = "0s"', "limits.stall: `0s` is not more than zero"),
        (f'{STATIC}[hooks]\nbefore = [""]', "hooks.before: the first item has to be a program"),
        (f'{STATIC}[hooks]\nafter = ["a\\u0000"]', "hooks.after: an argument can't contain a NUL"),
        (f'repository = ""\n{STATIC}', "repository: has to be 1 to 64 bytes"),
        ('[databases.x]\nurl = "sqlite:app.db"\n[databases.X]\nurl = "sqlite:app.db"', "differs from another database only in case"),
        ('[databases.x]\nurl_file = "not_utf8"', "databases.x.url_file"),
        ("a = " + "[" * 5_000, "cofre.toml"),
        ("[sources]\n", "nothing to back up"),
        ("a = ", "cofre.toml"),
    ],
)
def test_a_bad_configuration_is_named_as_by_the_program(app: App, text: str, message: str) -> None:
    app.write("not_utf8", b"\xff\xfe")
    app.config.write_text(text)
    with pytest.raises(cofre.ConfigInvalid, match=message):
        load(app.config)
    if text != "[sources]\n":
        assert app.cofre("create", code=2)["code"] in ("invalid_config", "usage")


def test_a_configuration_that_is_no_file_is_refused(app: App) -> None:
    app.config.unlink()
    os.mkfifo(app.config)
    with pytest.raises(cofre.ConfigInvalid, match="it is a FIFO, not a file"):
        load(app.config)
    with pytest.raises(cofre.ConfigInvalid, match="NUL"):
        load("a\0b")
    os.mkfifo(app.root / "fifo")
    app.config.unlink()
    app.config.write_text('[databases.x]\nurl_file = "fifo"\n')
    with pytest.raises(cofre.ConfigInvalid, match="databases.x.url_file: it is a FIFO, not a file"):
        load(app.config)


def test_a_value_of_the_wrong_type_is_not_shown(app: App) -> None:
    """It may hold a password."""
    app.config.write_text('[databases.x]\nurl = ["postgres://user:secret@host/app"]\n')
    with pytest.raises(cofre.ConfigInvalid, match="databases.x.url: has to be a string, and is a list") as caught:
        load(app.config)
    assert "secret" not in str(caught.value)


def test_a_group_that_does_not_exist_is_only_said(app: App, caplog: pytest.LogCaptureFixture) -> None:
    for group in ("no-such-group", "9" * 20):
        app.config.write_text(f'group = "{group}"\n{STATIC}')
        row = app.repository().create()
        assert row is not None and row["status"] == "completed"
        assert "the group can't read the catalog" in caplog.text
        caplog.clear()


def test_the_service_s_tables_are_left_to_the_program(sample: App) -> None:
    text = sample.config.read_text()
    sample.config.write_text(text + '\n[api]\nlisten = "127.0.0.1:1"\n[verify]\nat = "04:00"\n[log]\nlevel = "info"\n')
    assert isinstance(load(sample.config), Config)
    assert sample.cofre("config", "check") is not None


def test_a_server_database_is_refused_with_the_way_out(app: App) -> None:
    app.config.write_text('[databases.app]\nurl = "postgres://user:secret@host/app"\n')
    with pytest.raises(cofre.Unsupported, match="program `cofre`") as caught:
        app.repository().create()
    assert "secret" not in str(caught.value)


def test_no_configuration_and_nothing_there(tmp_path: Path) -> None:
    done = App(tmp_path).python("from backup import create_backup; print(create_backup()['error'])")
    assert "there is nothing to back up" in done.stdout, done.stderr
    assert not (tmp_path / "backups").exists()


def test_the_program_of_the_tests_is_there() -> None:
    assert subprocess.run([binary(), "--version"], check=True, capture_output=True).stdout
