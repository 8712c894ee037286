"""The component: where it is found, that it is the right one, and its compiled form.

It is looked for in this order: the path that the caller names, the environment variable `COFRE_COMPONENT`, and the file
`cofre.wasm` inside this package, which a wheel has and `python build_component.py` puts there in a checkout.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import wasmtime
from wasmtime.component import Component as Compiled
from wasmtime.component import Linker

from .errors import SandboxRefused, Unsupported, clean

WIT_VERSION = "0.1.0"
"""The version of the contract that this package speaks."""

ENVIRONMENT = "COFRE_COMPONENT"

INTERFACES = tuple(f"cofre:backup/{name}@{WIT_VERSION}" for name in ("engine", "jobs", "shards"))

# What a component may import, without version: files, clocks, random numbers, and the empty command-line ones that
# Rust's standard library needs. No sockets, no HTTP.
_ALLOWED = {
    "cofre:backup/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
}

TICK_SECONDS = 1.0
"""How long one epoch is: the unit of the time limits."""

log = logging.getLogger("cofre")


def find(path: str | os.PathLike[str] | None = None) -> Path:
    """The component's file.

    Raises `SandboxRefused` where there is none.
    """
    named = path if path is not None else os.environ.get(ENVIRONMENT) or None
    file = Path(named) if named is not None else Path(__file__).with_name("cofre.wasm")
    if not file.is_file():
        raise SandboxRefused(
            f"there is no component at {clean(str(file))}",
            "write it with `cofre component --output FILE` and name it in COFRE_COMPONENT, or install a wheel of this package",
        )
    return file


class _Process:
    """Which process uses the runtime: its threads are not in a child that is forked from it."""

    user: int | None = None


_process = _Process()


def is_lost() -> bool:
    """Whether this process was forked from one that used the component: a call would wait for ever."""
    return _process.user not in (None, os.getpid())


def check_process() -> None:
    """Raises `Unsupported` in a process that can't use the component any more."""
    if is_lost():
        raise Unsupported(
            "this process was forked from one that had used the component, whose threads are not in it",
            "make the first call after the fork, or start processes in another way (multiprocessing: `spawn`)",
        )


class Component:
    """A compiled component and what calls on it share. Make one for a process; any thread may use it."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        check_process()
        _process.user = os.getpid()
        self.path = find(path)
        self.engine = wasmtime.Engine(_config())
        try:
            self.compiled = Compiled(self.engine, self.path.read_bytes())
        except OSError as error:
            raise SandboxRefused(f"the component {clean(str(self.path))} can't be read: {error.strerror}") from error
        except wasmtime.WasmtimeError as error:
            raise self.unfit(clean(str(error).splitlines()[0])) from error
        self._check()
        self.linker = Linker(self.engine)
        self.linker.add_wasip2()
        self._calls = 0
        self._wake = threading.Condition()
        self._ticker: threading.Thread | None = None

    def unfit(self, why: str) -> SandboxRefused:
        """The error of a component that is not the right one."""
        return SandboxRefused(
            f"the component {clean(str(self.path))} does not fit this version of cofre: {why}",
            "use the component of this very version (`cofre component --output FILE`)",
        )

    def _check(self) -> None:
        with self.compiled.type as kind:
            imports, exports = set(kind.imports(self.engine)), set(kind.exports(self.engine))
        missing = [name for name in INTERFACES if name not in exports]
        if missing:
            others = sorted(name for name in exports if name.startswith("cofre:backup/"))
            found = ", ".join(clean(name) for name in others) or "nothing of cofre's"
            raise self.unfit(f"it exports {found}, and {missing[0]} is needed")
        foreign = sorted(name for name in imports if name.split("@")[0] not in _ALLOWED)
        if foreign:
            raise SandboxRefused(
                f"the component imports {', '.join(map(clean, foreign))}, which the sandbox does not offer",
                "use a component that needs files, clocks and random numbers only",
            )

    # Epochs stop a component that loops. They tick only while a call runs.

    def begin_call(self) -> None:
        """A call begins: from now on the epochs tick."""
        with self._wake:
            self._calls += 1
            if self._ticker is None or not self._ticker.is_alive():
                self._ticker = threading.Thread(target=self._tick, name="cofre-epochs", daemon=True)
                self._ticker.start()
            self._wake.notify()

    def end_call(self) -> None:
        """A call has ended."""
        with self._wake:
            self._calls -= 1

    def _tick(self) -> None:
        stop = threading.Event()
        while not stop.wait(TICK_SECONDS):
            with self._wake:
                while self._calls == 0:
                    self._wake.wait()
            self.engine.increment_epoch()


def _config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    try:
        # Compiling takes seconds; the cache lies in the user's own cache folder.
        config.cache = True
    except wasmtime.WasmtimeError as error:
        log.debug("the compiled component is not cached: %s", error)
    return config


_shared: dict[Path, Component] = {}
_shared_lock = threading.Lock()


def shared(path: str | os.PathLike[str] | None = None) -> Component:
    """The component of this process for `path`, compiled once."""
    check_process()
    file = find(path).resolve()
    with _shared_lock:
        if file not in _shared:
            _shared[file] = Component(file)
        return _shared[file]
