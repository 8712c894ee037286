"""One table of requests, run against every host in a folder of its own while the clock stands still: the backups folders have to
be the same to the byte after each request, the answers the same, and failures the same kind.

Hosts: the program `cofre` (COFRE_BINARY), the Python package, the Node package.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COFRE = os.environ.get("COFRE_BINARY") or str(ROOT / "target/release/cofre")
HERE = Path(__file__).parent

CONFIG = """
max_backups = 3
time_zone = "America/Sao_Paulo"
[archive]
compression = "{compression}"
workers = 1
[sources.static]
path = "static"
exclude = ["**/*.tmp"]
[sources.config]
files = ["requirements.txt", "etc/app.ini"]
[sources.logs]
path = "logs"
allow_empty = true
[sources.some]
path = "static"
include = ["js/**", "**/*.css"]
"""


@dataclass
class Request:
    """One call: the operation with its arguments, and the failure that it has to come to, if any. `before` changes the folder."""

    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fails: str | None = None
    before: Callable[[Path], None] | None = None


def damage(app: Path) -> None:
    """Flips a bit in the middle of the newest archive."""
    archive = sorted((app / "backups").glob("*.zip"))[-1]
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)


def change(app: Path) -> None:
    """A file changes, one comes, one goes."""
    (app / "static/empty.txt").unlink()
    set_file(app / "static/js/app.js", b"'use strict';\n// changed\n")
    # Last in its folder, whose time it sets.
    set_file(app / "static/new.txt", b"new\n")


def set_file(path: Path, content: bytes, ns: int = 1_700_000_000_123_456_789) -> None:
    """Writes a file with a time of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(ns, ns))
    os.utime(path.parent, ns=(ns, ns))


def rename(old: str, new: str) -> Callable[[Path], None]:
    """Moves something in the folder."""
    return lambda app: (app / old).rename(app / new) and None  # type: ignore[func-returns-value]


TABLE = [
    Request("list"),
    Request("status"),
    Request("verify", {"selector": "latest"}, fails="not_found"),
    Request("create", {"type": "manual"}),
    Request("create", {"type": "not allowed"}, fails="usage"),
    Request("list"),
    Request("status"),
    Request("entries", {"selector": "1"}),
    Request("details", {"selector": "1"}),
    Request("verify", {"selector": "1"}),
    Request("find", {"selector": "backup_20401231_235958_manual"}),
    Request("find", {"selector": "99"}, fails="not_found"),
    Request("delete", {"selector": "1"}, fails="refused"),
    Request("create", {"type": "weekly", "plan": "weekly", "full": True}, before=change),
    Request("diff", {"a": "1", "b": "2"}),
    Request("pin", {"selector": "1", "pinned": True}),
    Request("delete", {"selector": "1"}, fails="refused"),
    Request("pin", {"selector": "1", "pinned": False}),
    Request("restore", {"selector": "2", "to": "out"}),
    Request("restore", {"selector": "2", "to": "out"}, fails="already_exists"),
    Request("restore", {"selector": "2", "to": "part", "only": ["static/js/**"]}),
    Request("restore", {"selector": "2", "to": "no/such/folder"}, fails="usage"),
    Request("restore", {"selector": "77", "to": "nothing"}, fails="not_found"),
    Request("create", {"type": "manual"}, fails="source_missing", before=rename("static", "away")),
    Request("create", {"type": "manual"}, before=rename("away", "static")),
    Request("prune", {"dry_run": True}),
    Request("create", {"type": "manual"}),
    Request("prune", {}),
    Request("delete", {"selector": "3"}),
    Request("verify", {"selector": "latest"}, before=damage),
    Request("restore", {"selector": "latest", "to": "broken"}, fails="corrupt"),
    Request("list"),
    Request("list", fails="catalog_invalid", before=lambda app: set_file(app / "backups/backup_history.json", b"[{")),
    Request("create", {"type": "manual"}, fails="catalog_invalid"),
    Request("rebuild"),
    Request("list"),
]


class Host:
    """One host and its application folder."""

    def __init__(self, name: str, root: Path, component: Path) -> None:
        self.name, self.app, self.component = name, root / name, component
        # Node can't set times to the nanosecond.
        self.coarse = name == "node"

    def call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """`{"ok": answer}` or `{"error": code}`."""
        environment = {key: value for key, value in os.environ.items() if key != "COFRE_CONFIG"} | {
            "COFRE_COMPONENT": str(self.component),
            "COFRE_NODE": str(node_package()),
            "TZ": "America/Sao_Paulo",
            # Only the wall clock stands still: deadlines run on, and files keep their own times.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(ROOT / "host/python/src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["faketime", "-f", "2040-12-31 23:59:58", *self.command(operation, arguments)],
            cwd=self.app,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip(), f"{self.name} {operation}: nothing on standard output\n{done.stderr}"
        return self.answer(operation, json.loads(done.stdout), done)

    def command(self, operation: str, arguments: dict[str, Any]) -> list[str]:
        """The host's own way to be asked."""
        program = {"python": [sys.executable, str(HERE / "driver.py")], "node": ["node", str(HERE / "driver.mjs")]}[self.name]
        return [*program, operation, json.dumps(arguments)]

    def answer(self, operation: str, shown: Any, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        """The answer in the common form."""
        assert isinstance(shown, dict) and done.returncode == 0, done.stderr
        return shown


class Program(Host):
    """The program `cofre`."""

    def command(self, operation: str, arguments: dict[str, Any]) -> list[str]:
        """Its command line."""
        words: list[str] = {"entries": ["show"], "details": ["show"], "find": ["show"]}.get(operation, [operation])
        if operation == "pin":
            words = ["pin" if arguments.pop("pinned") else "unpin"]
        for key, value in arguments.items():
            if key in ("selector", "a", "b"):
                words.append(value)
            elif value is True:
                words.append(f"--{key.replace('_', '-')}")
            elif isinstance(value, list):
                words += [word for item in value for word in (f"--{key}", item)]
            else:
                words += [f"--{key}", value]
        return [COFRE, "--config", "cofre.toml", "--json", *words]

    def answer(self, operation: str, shown: Any, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        if isinstance(shown, dict) and shown.get("success") is False and "code" in shown:
            return {"error": shown["code"]}
        if operation == "entries":
            shown = shown["entries"]
        elif operation == "details":
            shown = {key: value for key, value in shown.items() if key != "entries"}
        elif operation == "find":
            shown = shown["backup"]
        elif operation == "diff":
            shown = shown["changes"]
        elif operation == "prune":
            shown = shown["verdicts"]
        elif operation == "verify":
            [shown] = shown["results"]
        elif operation == "status":
            # What only the program has: a schedule, and copies off the machine.
            shown.pop("schedules")
            shown.pop("remotes")
        return {"ok": shown}


def application(app: Path, compression: str) -> None:
    """A folder with a bit of everything; the same, times and modes included, wherever it is made."""
    set_file(app / "static/js/app.js", b"'use strict';\n")
    set_file(app / "static/css/style.css", b"body { margin: 0 }\n" * 400)
    set_file(app / "static/empty.txt", b"")
    set_file(app / "static/left.tmp", b"not this\n")
    set_file(app / "static/a\u00e7\u00e3o/\u65e5\u672c.txt", b"x")
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(100_000))
    set_file(app / "static/noise.bin", noise)
    set_file(app / "static/large.log", b"".join(b"line %d\n" % n for n in range(600_000)))
    set_file(app / "requirements.txt", b"requests\n")
    set_file(app / "etc/app.ini", b"[app]\n")
    (app / "static/js/app.js").chmod(0o755)
    (app / "static/link").symlink_to("css/style.css")
    (app / "static/outside").symlink_to("/etc/hostname")
    os.mkfifo(app / "static/pipe")
    (app / "static/hollow").mkdir()
    (app / "logs").mkdir()
    for path in [*app.rglob("*"), app]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        os.utime(path, ns=(1_600_000_000_000_500_001,) * 2, follow_symlinks=False)
    (app / "cofre.toml").write_text(CONFIG.format(compression=compression))


def folder(path: Path) -> dict[str, str]:
    """What is in a backups folder: mode and digest of each file. `.scan.json` has inode numbers, which are each host's own."""
    found = {}
    for file in sorted(path.glob("*")) if path.exists() else []:
        if file.is_file() and file.name != ".scan.json":
            mode = f"{file.stat().st_mode & 0o7777:04o}"
            # The message of a failure names the host's own folder.
            content = file.read_bytes().replace(os.fsencode(path.parent), b"APP")
            found[file.name] = f"{mode} {hashlib.sha256(content).hexdigest()}"
    return found


def tree(path: Path, coarse: bool = False) -> dict[str, Any]:
    """Everything below a folder: kind, mode, time (`coarse`: in milliseconds), content."""
    found = {}
    for file in sorted(path.rglob("*")):
        info = file.lstat()
        content: Any = os.readlink(file) if file.is_symlink() else file.read_bytes() if file.is_file() else None
        # The manifest has no row of its own, and so no time.
        time = None if file == path / "backup_info.json" else info.st_mtime_ns // (1_000_000 if coarse else 1)
        found[str(file.relative_to(path))] = (oct(info.st_mode), time, content)
    return found


def plain(value: Any, app: Path) -> Any:
    """An answer without the name of the host's folder."""
    return json.loads(re.sub(re.escape(str(app)), "APP", json.dumps(value)))


def difference(name: str, a: Any, b: Any) -> str:
    """The first thing that is not the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            if a.get(key) != b.get(key):
                return difference(f"{name}.{key}", a.get(key), b.get(key))
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            if x != y:
                return difference(f"{name}[{n}]", x, y)
    return f"{name}: {a!r} against {b!r}"


def node_package() -> Path:
    """The Node package's module, built with this program's component by the test that starts these."""
    return Path(os.environ.get("COFRE_NODE") or ROOT / "host/node/lib/index.js")


NAMES = ["python", "node"]


@pytest.fixture(scope="module")
def component(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released component."""
    file = tmp_path_factory.mktemp("component") / "cofre.wasm"
    subprocess.run([COFRE, "component", "--output", str(file)], check=True, stdout=subprocess.DEVNULL)
    assert shutil.which("faketime"), "the test needs the program faketime; .ci/run installs it"
    return file


@pytest.fixture
def hosts(request: pytest.FixtureRequest, tmp_path: Path, component: Path) -> list[Host]:
    """Every host with a folder that is made the same way."""
    compression = getattr(request, "param", "deflate")
    hosts = [Program("cofre", tmp_path, component), *(Host(name, tmp_path, component) for name in NAMES)]
    for host in hosts:
        host.app.mkdir()
        application(host.app, compression)
    return hosts


def test_every_request_has_the_same_outcome(hosts: list[Host]) -> None:
    run(hosts, TABLE)


@pytest.mark.parametrize("hosts", ["zstd", "store"], indirect=True)
def test_the_other_compressions(hosts: list[Host]) -> None:
    run(
        hosts,
        [
            Request("create", {"type": "manual"}),
            Request("create", {"type": "weekly", "plan": "weekly", "full": True}, before=change),
            Request("restore", {"selector": "2", "to": "out"}),
        ],
    )


def run(hosts: list[Host], table: list[Request]) -> None:
    """Asks every host for everything in the table."""
    for number, request in enumerate(table):
        what = f"{number}: {request.operation} {request.arguments}"
        answers = []
        for host in hosts:
            if request.before is not None:
                request.before(host.app)
            answer = host.call(request.operation, dict(request.arguments))
            assert answer.get("error") == request.fails, f"{what} by {host.name}: {answer}"
            answers.append(plain(answer, host.app))
        for host, answer in zip(hosts[1:], answers[1:], strict=True):
            assert answer == answers[0], f"{what}: {difference(host.name, answer, answers[0])}"
            ours, first = folder(host.app / "backups"), folder(hosts[0].app / "backups")
            assert ours == first, f"{what}: {difference(host.name, ours, first)}"
            target = request.arguments.get("to")
            if target and not request.fails:
                assert tree(host.app / target, host.coarse) == tree(hosts[0].app / target, host.coarse), what
            if target and request.fails and request.fails != "already_exists":
                assert not (host.app / target).exists(), what
            staging = host.app / ".cofre/staging"
            assert not staging.exists() or not list(staging.iterdir()), f"{what}: {host.name} leaves its staging"


def odd(app: Path) -> None:
    """Names that terminals, shells and other systems trip over, and some that can't be saved."""
    for name in ("new\nline", "\x1b[31mred", 'qu"ote', "it's", "ri\u202eght", "e\u0301", "\u00e9", "-rf", "A", "a", " lead", "tab\t"):
        set_file(app / "static/odd" / name, name.encode())
    (app / "static/odd/link").symlink_to("it's")
    (app / "static/odd/dangling").symlink_to("../no/where")
    (app / "static/odd/loop").symlink_to("loop")
    (app / "static/odd/ti\nme").symlink_to("new\nline")
    for path in (app / "static/odd").iterdir():
        os.utime(path, ns=(-1_500_000_000,) * 2 if path.name == "a" else (10**18 + 1,) * 2, follow_symlinks=False)
    os.utime(app / "static/odd", ns=(10**18,) * 2)
    os.utime(app / "static", ns=(10**18,) * 2)


def not_utf8(app: Path) -> None:
    """What is left away makes the backup partial: a file, a folder, a link's target."""
    set_file(Path(os.fsdecode(os.fsencode(app / "static/odd") + b"/caf\xe9\t\"'\\")), b"x")
    set_file(Path(os.fsdecode(os.fsencode(app / "static/odd") + b"/d\xff/x")), b"x")
    os.symlink(b"\xff", app / "static/odd/aim")
    for path in (app / "static/odd").iterdir():
        os.utime(path, ns=(10**18,) * 2, follow_symlinks=False)
    os.utime(app / "static/odd", ns=(10**18,) * 2)


def lose_catalog(app: Path) -> None:
    """Both of its files are gone, as after a copy of the archives alone."""
    (app / "backups/backup_history.json").unlink()
    (app / "backups/.catalog.json").unlink()


def test_odd_names_links_and_partial_backups(hosts: list[Host]) -> None:
    run(
        hosts,
        [
            Request("create", {"type": "manual"}, before=odd),
            Request("entries", {"selector": "latest"}),
            Request("restore", {"selector": "latest", "to": "links", "absolute_links": True}),
            Request("restore", {"selector": "latest", "to": "some", "only": ["static/odd/*", "some/**/*.css"]}),
            Request("restore", {"selector": "latest", "to": "nothing", "only": ["no/such/**"]}, fails="not_found"),
            Request("create", {"type": "manual"}, before=not_utf8),
            Request("details", {"selector": "latest"}),
            Request("diff", {"a": "1", "b": "2"}),
            Request("verify", {"selector": "2"}),
            Request("pin", {"selector": "2", "pinned": True}),
            Request("create", {"type": "a/b"}, fails="usage"),
            Request("create", {"type": "x" * 33}, fails="usage"),
            Request("find", {"selector": "latest\n"}, fails="not_found"),
            Request("restore", {"selector": "1", "to": "links/below"}),
            Request("rebuild", {}, before=lose_catalog),
            Request("list"),
            Request("status"),
            Request("verify", {"selector": "1"}, before=lambda app: [a.unlink() for a in (app / "backups").glob("*.zip")] and None),
            Request("status"),
        ],
    )


def test_each_host_is_kept_out_by_the_lock(hosts: list[Host]) -> None:
    for host in hosts:
        host.call("create", {"type": "manual"})
        held = os.open(host.app / "backups", os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        before = folder(host.app / "backups")
        for operation, arguments in (("create", {"type": "manual"}), ("prune", {}), ("rebuild", {}), ("delete", {"selector": "1"})):
            assert host.call(operation, arguments) == {"error": "busy"}, (host.name, operation)
        assert len(host.call("list", {})["ok"]) == 1
        assert folder(host.app / "backups") == before
        os.close(held)


def test_each_host_goes_on_with_what_another_made(hosts: list[Host]) -> None:
    """One folder, passed around."""
    shared = hosts[0].app
    for host in hosts:
        host.app = shared
    made = [host.call("create", {"type": "manual"})["ok"] for host in [*hosts, *hosts]]
    # Retention keeps three; ids go on whoever counts.
    assert [row["id"] for row in made] == list(range(1, len(made) + 1))
    for host in hosts:
        rows = host.call("list", {})["ok"]
        assert [row["id"] for row in rows] == [row["id"] for row in made[-3:]], host.name
        for row in rows:
            assert host.call("verify", {"selector": str(row["id"])})["ok"]["status"] == "verified"
