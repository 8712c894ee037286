"""One folder, two hosts: what either makes, the other lists, verifies, restores, reuses and prunes."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE, App

import cofre
from cofre.config import load

FIELDS = (
    "id name type timestamp status size error zip_path plan started_at finished_at duration_seconds file_count source_bytes "
    "skipped changed sha256 reused_bytes pinned verified_at verify_status drilled_at drill_status restored_at archive_present "
    "encrypted"
).split()


def tree(root: Path) -> dict[str, Any]:
    """Everything below a folder: kind, mode, time, content."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        if path.is_symlink():
            content: Any = os.readlink(path)
        else:
            content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (oct(info.st_mode), info.st_mtime_ns, content)
    return found


def varied(app: App) -> None:
    """Modes, times, links and odd names."""
    app.write("static/ação/vazio.txt", "")
    app.write("static/run.sh", "#!/bin/sh\n").chmod(0o755)
    app.write("static/secret", "x").chmod(0o400)
    (app.root / "static/link").symlink_to("css/style.css")
    (app.root / "static/out").symlink_to("/etc/hostname")
    (app.root / "static/empty").mkdir(mode=0o700)
    os.mkfifo(app.root / "static/pipe")
    os.utime(app.root / "static/app.js", ns=(1, 1_234_567_890_123_456_789))
    os.utime(app.root / "static/empty", ns=(1, 1_000_000_000_000_000_001))


def test_python_s_backup_in_the_program(app: App) -> None:
    varied(app)
    made = app.repository().create("manual")
    assert made is not None and list(made) == FIELDS
    assert app.cofre("list") == [made]
    assert app.cofre("verify", "latest")["results"][0]["status"] == "verified"
    app.cofre("restore", "1", "--to", str(app.root / "r"), "--absolute-links")
    (app.root / "static/pipe").unlink()
    assert tree(app.root / "r/static") == tree(app.root / "static")
    app.config.write_text("max_backups = 1\n" + app.config.read_text())
    app.repository().create()
    app.cofre("create")
    # The first one is the newest that verified.
    assert [row["id"] for row in app.repository().list()] == [1, 3]


def test_the_program_s_backup_in_python(app: App) -> None:
    varied(app)
    made = app.cofre("create")
    repository = app.repository()
    assert repository.list() == [made]
    assert repository.entries(1) == app.cofre("show", "1")["entries"]
    assert repository.verify()["status"] == "verified"
    report = repository.restore("latest", app.root / "r", absolute_links=True)
    assert report["success"] and report["metadata"]["name"] == made["name"]
    (app.root / "static/pipe").unlink()
    assert tree(app.root / "r/static") == tree(app.root / "static")
    part = repository.restore(1, app.root / "part", only=("static/css/**",))
    assert list(tree(app.root / "part")) == ["static", "static/css", "static/css/style.css"] and part["metadata"] is None
    status, theirs = repository.status(), app.cofre("status")
    for key in status:
        assert status[key] == theirs[key], key


def test_each_host_reuses_what_the_other_read(app: App) -> None:
    for n in range(30):
        app.write(f"static/{n}.bin", os.urandom(20_000))
    # Changed long ago: what is as young as the run is read again.
    first = app.cofre("create")
    import time

    end = time.monotonic() + 30
    while True:
        second = app.repository().create()
        assert second is not None
        if second["reused_bytes"] > 500_000:
            break
        assert time.monotonic() < end, second
    third = app.cofre("create")
    assert first["reused_bytes"] == 0 and third["reused_bytes"] > 500_000
    assert app.cofre("verify", "--all")


def test_diff_pin_delete_prune(app: App) -> None:
    repository = app.repository()
    repository.create()
    app.write("static/new.txt", "x")
    app.write("static/app.js", "changed\n")
    app.cofre("create")
    changes = {d["path"]: d["change"] for d in repository.diff(1, 2)}
    assert changes["static/new.txt"] == "added" and changes["static/app.js"] == "modified"
    assert repository.diff(1, 2) == app.cofre("diff", "1", "2")["changes"]
    assert repository.pin(1)["pinned"] and app.cofre("list")[0]["pinned"]
    with pytest.raises(cofre.Refused):
        repository.delete(1)
    repository.pin(1, False)
    verdicts = repository.prune(dry_run=True)
    assert verdicts == app.cofre("prune", "--dry-run")["verdicts"]
    assert repository.delete(1)["id"] == 1
    assert [row["id"] for row in app.cofre("list")] == [2]


def test_modes_are_for_the_owner_and_the_group_gets_the_catalog(app: App) -> None:
    before = os.umask(0o022)
    os.umask(before)
    app.config.write_text('group = "4242"\n' + app.config.read_text())
    row = app.repository().create()
    assert row is not None
    now = os.umask(before)
    os.umask(now)
    assert now == before, "the program's umask stays"

    def mode(path: Path) -> str:
        return oct(stat.S_IMODE(path.stat().st_mode))

    assert mode(app.backups) == "0o750" and app.backups.stat().st_gid == 4242
    assert mode(app.backups / "backup_history.json") == mode(app.backups / ".catalog.json") == "0o640"
    assert mode(app.backups / f"{row['name']}.zip") == "0o600"
    assert mode(app.backups / f"{row['name']}.zip.sha256") == "0o600"
    assert mode(app.root / ".cofre") == "0o700"


def test_arguments_override_the_configuration(sample: App) -> None:
    code = """
from backup import BackupManager
manager = BackupManager("outra/pasta", 2)
import os; os.mkdir("outra")
for _ in range(4): result = manager.create_backup()
print(len(manager.list_backups()), manager.get_backup_status()["max_backups"], result["zip_path"])
"""
    done = sample.python(code)
    assert done.returncode == 0, done.stderr
    rows, most, path = done.stdout.split()
    assert (rows, most) == ("2", "2") and path.startswith("outra/pasta/backup_"), done.stdout
    assert len(list((sample.root / "outra/pasta").glob("*.zip"))) == 2


def test_without_a_configuration_the_original_s_parts_are_saved(sample: App) -> None:
    sample.config.unlink()
    done = sample.python("from backup import create_backup; import json; print(json.dumps(create_backup()))")
    row = json.loads(done.stdout)
    assert row["status"] == "completed", row
    names = sample.names(row)
    for name in ("static/css/style.css", "config/requirements.txt", "database/relatorios.sql", "logs/"):
        assert name in names, name


def test_hooks_run_and_a_failing_one_stops_the_run(app: App) -> None:
    app.write("hook.sh", "#!/bin/sh\nenv | grep ^COFRE_ | sort > \"$1\"\n").chmod(0o755)
    app.config.write_text(
        '[hooks]\nbefore = ["./hook.sh", "before.txt"]\nafter = ["./hook.sh", "after.txt"]\n' + app.config.read_text()
    )
    row = app.repository().create()
    assert row is not None
    ours = {event: (app.root / f"{event}.txt").read_text() for event in ("before", "after")}
    assert "COFRE_STATUS=in_progress" in ours["before"] and "COFRE_STATUS=completed" in ours["after"]
    assert f"COFRE_ARCHIVE={app.backups}/{row['name']}.zip" in ours["after"]
    app.cofre("create")
    theirs = (app.root / "after.txt").read_text()
    variables = [[line.partition("=")[0] for line in text.splitlines()] for text in (ours["after"], theirs)]
    assert variables[0] == variables[1]
    app.config.write_text(app.config.read_text().replace('["./hook.sh", "before.txt"]', '["false"]'))
    with pytest.raises(cofre.HookFailed, match=r"the program false \(hooks.before\) failed"):
        app.repository().create()
    assert app.cofre("list")[-1]["status"] == "failed"


def test_the_package_says_what_it_offers() -> None:
    code = "import backup, cofre; print(sorted(backup.__all__)); print(len(cofre.__all__))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True
    )
    assert "['BackupManager', 'backup_manager', 'create_backup', 'get_backup_status', 'list_backups']" in done.stdout
    assert load.__doc__
