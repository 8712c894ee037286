"""One instance of the component: the directories that it may reach, its limits, and calls of its functions.

Every directory is an open handle. A path is never opened again, so that a link that is swapped in meanwhile leads
nowhere.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime.component import Record, ResourceAny, Variant

from .component import TICK_SECONDS, WIT_VERSION, Component, check_process
from .errors import CofreError, Internal, SandboxRefused, Stuck, clean, from_wit

STEP_BYTES = 4 << 20
"""Work of one step of a job: often enough for progress and a cancellation, seldom enough to cost nothing."""

log = logging.getLogger("cofre.component")


@dataclass(frozen=True)
class Mount:
    """A directory for the component: its name there, an open handle, and whether it may be written to."""

    name: str
    handle: int
    writable: bool = False


@dataclass(frozen=True)
class Limits:
    """How much an instance may use."""

    memory_bytes: int = 256 << 20
    stall_seconds: float = 600


def to_wit(value: Any) -> Any:
    """Plain data as the binding wants it: dictionaries with `_` become records with `-`."""
    if isinstance(value, dict):
        record = Record()
        for key, field in value.items():
            setattr(record, key.replace("_", "-"), to_wit(field))
        return record
    if isinstance(value, list):
        return [to_wit(item) for item in value]
    if isinstance(value, tuple):
        return tuple(to_wit(item) for item in value)
    if isinstance(value, Variant):
        return Variant(value.tag, to_wit(value.payload))
    return value


def from_binding(value: Any) -> Any:
    """The way back: records become dictionaries with `_`, variants stay."""
    if isinstance(value, Record):
        return {key.replace("-", "_"): from_binding(field) for key, field in vars(value).items()}
    if isinstance(value, list):
        return [from_binding(item) for item in value]
    if isinstance(value, tuple):
        return tuple(from_binding(item) for item in value)
    if isinstance(value, Variant):
        return Variant(value.tag, from_binding(value.payload))
    return value


class Session:
    """A running instance. Use it in one thread at a time; after a trap every further call fails."""

    def __init__(self, component: Component, mounts: list[Mount], limits: Limits = Limits()) -> None:
        check_process()
        self._component = component
        self._limits = limits
        self._places = {mount.name: _real(mount.handle) for mount in mounts}
        self._last_words = ""
        self._ended: str | None = None
        self._store = wasmtime.Store(component.engine)
        self._store.set_limits(
            memory_size=limits.memory_bytes, table_elements=1 << 16, instances=32, tables=16, memories=4
        )
        wasi = wasmtime.WasiConfig()
        wasi.stdout_custom = self._output
        wasi.stderr_custom = self._output
        for mount in mounts:
            try:
                # The one way to hand an open handle to the binding, which takes paths.
                wasi.preopen_dir(f"/proc/self/fd/{mount.handle}", mount.name, mount.writable)
            except wasmtime.WasmtimeError as error:
                raise SandboxRefused(
                    f"{clean(mount.name)} can't be mounted: {clean(str(error))}",
                    "it has to be an open directory, and /proc has to be mounted",
                ) from error
        self._store.set_wasi(wasi)
        self._deadline()
        try:
            self._instance = component.linker.instantiate(self._store, component.compiled)
        except wasmtime.WasmtimeError as error:
            raise component.unfit(clean(str(error).splitlines()[0])) from error
        self._functions: dict[str, Any] = {}

    def _output(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace").strip()
        if text:
            self._last_words = clean(text.splitlines()[-1])
            log.warning("%s", clean(text))

    def _deadline(self) -> None:
        self._store.set_epoch_deadline(max(1, round(self._limits.stall_seconds / TICK_SECONDS)) + 1)

    def _function(self, interface: str, name: str) -> Any:
        key = f"{interface}/{name}"
        if key not in self._functions:
            parent = self._instance.get_export_index(self._store, f"cofre:backup/{interface}@{WIT_VERSION}")
            index = self._instance.get_export_index(self._store, name, parent) if parent is not None else None
            function = self._instance.get_func(self._store, index) if index is not None else None
            if function is None:
                raise self._component.unfit(f"it has no {clean(key)}")
            self._functions[key] = function
        return self._functions[key]

    def _invoke(self, interface: str, name: str, arguments: tuple[Any, ...]) -> Any:
        if self._ended is not None:
            raise Internal(f"{name}: the sandbox is gone since an earlier failure: {self._ended}")
        function = self._function(interface, name)
        self._deadline()
        self._component.begin_call()
        try:
            with _on_one_processor():
                return function(self._store, *arguments)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise self._trapped(name, error) from error
        finally:
            self._component.end_call()

    def _trapped(self, name: str, error: Exception) -> CofreError:
        code = getattr(error, "trap_code", None)
        if code == wasmtime.TrapCode.INTERRUPT:
            self._ended = "it made no progress"
            return stuck(name, self._limits)
        cause = self._last_words or clean(str(error).splitlines()[0])
        self._ended = cause
        if "alloc" in cause and "memory" in cause:
            mib = self._limits.memory_bytes >> 20
            return SandboxRefused(
                f"{name}: the component was refused more than {mib} MiB of memory",
                "split the sources, or raise the memory limit",
            )
        return Internal(
            f"{name}: the component failed: {cause}", "this is a bug; please report it with this message"
        )

    def _unwrap(self, result: Any) -> Any:
        if isinstance(result, Variant):
            if result.tag == "ok":
                return from_binding(result.payload)
            failure = result.payload if result.tag == "err" else result
            if isinstance(failure, Variant):
                raise from_wit(failure.tag, from_binding(failure.payload), self._places)
        return from_binding(result)

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls a function of the interface `engine` by its name in the contract (`begin-run`) with plain data.

        Raises the exception of the WIT variant that it returns; `Stuck` or `Internal` when it was stopped.
        """
        return self._unwrap(self._invoke("engine", name, tuple(to_wit(argument) for argument in arguments)))

    # The resource `job`; see `jobs`.

    def new_job(self, request: Variant) -> ResourceAny:
        """Begins a job."""
        job = self._invoke("jobs", "[constructor]job", (to_wit(request),))
        assert isinstance(job, ResourceAny)
        return job

    def step(self, job: ResourceAny, budget: int, now: str) -> dict[str, Any]:
        """One step of a job: its progress."""
        progress: dict[str, Any] = self._unwrap(self._invoke("jobs", "[method]job.step", (job, budget, now)))
        return progress

    def cancel(self, job: ResourceAny, now: str) -> None:
        """Stops a job and removes what it began."""
        self._unwrap(self._invoke("jobs", "[method]job.cancel", (job, now)))

    def drop(self, job: ResourceAny) -> None:
        """Ends a job's life in the component."""
        if self._ended is None:
            job.drop(self._store)

    def close(self) -> None:
        """Ends the instance and closes what it has open."""
        self._ended = self._ended or "it was closed"
        self._functions.clear()
        self._store.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_libc = ctypes.CDLL(None)


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keeps this thread, and those that are started on its behalf, on the processor where it runs, for one call.

    The binding hands every file operation to a thread of its own and waits for it. Waking a processor that sleeps takes
    longer than the operation: a backup of small files takes two thirds of the time this way.
    """
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {_libc.sched_getcpu()})
    except (OSError, AttributeError, ValueError):
        # A sandbox of the caller's may forbid it. It costs time, nothing else.
        yield
        return
    try:
        yield
    finally:
        try:
            os.sched_setaffinity(0, before)
        except OSError:
            log.debug("the thread stays on one processor")


def stuck(operation: str, limits: Limits) -> Stuck:
    """The error of an operation that does not get on."""
    return Stuck(
        f"{operation}: no progress for {limits.stall_seconds:g} s; given up",
        "look whether a disk or network file system below the sources or backups hangs",
    )


def _real(handle: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return "(unknown folder)"
