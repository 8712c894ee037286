"""What the tests share: an application folder, the program `cofre` as the other host, and the component.

COFRE_BINARY names the program, which also writes the component; without it target/release/cofre of the checkout. What is
missing fails the tests: nothing is skipped.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "host/python/src"
SAMPLE = ROOT / "tests/sample"
ZONE = "America/Sao_Paulo"


def binary() -> str:
    """The program."""
    found = os.environ.get("COFRE_BINARY") or str(ROOT / "target/release/cofre")
    if not os.access(found, os.X_OK):
        pytest.fail(f"there is no program {found}: build it (cargo build --release), or set COFRE_BINARY")
    return found


def tool(name: str) -> str:
    """A program that the tests need."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"the test needs the program {name}; .ci/run installs it")
    return found


@pytest.fixture(scope="session", autouse=True)
def component(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The released component, and an environment in which only it is found."""
    file = tmp_path_factory.mktemp("component") / "cofre.wasm"
    subprocess.run([binary(), "component", "--output", str(file)], check=True, stdout=subprocess.DEVNULL)
    os.environ.update(COFRE_COMPONENT=str(file), TZ=ZONE)
    os.environ.pop("COFRE_CONFIG", None)
    yield file


class App:
    """An application folder with a configuration."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.backups = root / "backups"
        self.config = root / "cofre.toml"

    def write(self, path: str, content: str | bytes) -> Path:
        """Writes a file and the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def cofre(self, *arguments: str, code: int = 0) -> Any:
        """Runs the program; what it prints as JSON."""
        done = subprocess.run(
            [binary(), "--config", str(self.config), "--json", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def repository(self) -> Any:
        """The typed interface."""
        import cofre

        return cofre.Repository(cofre.load(self.config))

    def python(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a program in a process of its own, in the folder."""
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def names(self, row: dict[str, Any]) -> list[str]:
        """The entries of a row's archive."""
        with zipfile.ZipFile(self.backups / f"{row['name']}.zip") as archive:
            assert archive.testzip() is None
            return archive.namelist()

    def left(self) -> list[str]:
        """What a crash would leave: partial files and staging folders."""
        staging = self.root / ".cofre/staging"
        partial = [path.name for path in self.backups.glob(".*.partial")]
        return partial + ([path.name for path in staging.iterdir()] if staging.exists() else [])


@pytest.fixture
def app(tmp_path: Path) -> App:
    """Two small files, one source."""
    app = App(tmp_path / "app")
    app.write("static/css/style.css", "body { margin: 0 }\n")
    app.write("static/app.js", "'use strict';\n")
    app.write("cofre.toml", '[sources.static]\npath = "static"\n')
    return app


@pytest.fixture
def sample(tmp_path: Path) -> App:
    """A copy of the sample application: folders, single files, a database."""
    root = tmp_path / "sample"
    shutil.copytree(SAMPLE, root, symlinks=True, ignore=shutil.ignore_patterns("backups", ".cofre"))
    return App(root)
