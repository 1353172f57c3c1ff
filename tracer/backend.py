"""The seam to the device: graphs become executables, host arrays buffers, and buffers host arrays.

Invariant: this module and `spmd` alone reach `codegen` and `runtime`, inside functions, so that
tracing needs neither; executables are shared by equal graphs.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ir.dtypes import bool_
from ir.garbage import uncollected
from ir.graph import Aval, Graph

from . import kept, settings
from .calls import Signature
from .compiled import Compiled, as_stored, plan_results
from .explain import log_compile
from .inspection import tell_on_one_device
from .limits import check_sizes
from .staging import Traced, lifted

EXECUTABLES_KEPT = 1024
_executables: OrderedDict[tuple, Any] = OrderedDict()


class DeviceExecutable:
    """A compiled graph on the default device. `run` takes Buffers or host arrays as uploaded."""

    def __init__(
        self, graph: Graph, donate: Sequence[tuple[int, int]], name: str, budget: int = 0
    ) -> None:
        from runtime import Executable, default_device
        from runtime.programs import program_of

        self.device = default_device()
        self.graph, self._donate, self._budget = graph, donate, budget
        self.program = program_of(graph, self.device.profile, donate, name, budget)
        self._inner = Executable(self.device, self.program)
        self.run, self.repeat = self._inner.run, self._inner.repeat
        self._bools = [i for i, aval in enumerate(graph.in_avals) if aval.dtype is bool_]
        if self._bools:
            self.run = self._run_as_stored

    def _run_as_stored(self, inputs: Sequence[Any]) -> list[Any]:
        """Bools that the oracle made, before the backend was changed, become words."""
        stored = list(inputs)
        for i in self._bools:
            if isinstance(stored[i], np.ndarray):
                stored[i] = stored[i].astype(np.uint32, copy=False)
        return self._inner.run(stored)

    def profile(self, inputs: Sequence[Any]) -> list:
        """Time each dispatch of one run, on a GPU once its clocks are up."""
        from runtime.clocks import RISE_S

        until = time.monotonic() + (0 if self.device.info.software else RISE_S)
        while time.monotonic() < until:
            self.run(inputs)
            self.device.synchronize()
        return self._inner.profile(inputs)

    def upload(self, aval: Aval, host: np.ndarray) -> Any:
        """A Buffer holding a host array."""
        return self.device.upload(as_stored(aval, host))

    def tune(self, hosts: Sequence[np.ndarray], limit_s: float, say: Callable) -> Any:
        """Measure the choices of this program's kernels; see `runtime.tuner.tune`."""
        from runtime.tuner import tune

        stored = [as_stored(a, x) for a, x in zip(self.graph.in_avals, hosts, strict=True)]
        return tune(self.device, self.graph, self._donate, stored, limit_s, say, self._budget)


def _make_executable(
    graph: Graph, donate: Sequence[tuple[int, int]], name: str = "main", budget: int = 0
) -> Any:
    """Compile for the backend in use. The result has run, upload, profile and program."""
    if settings.backend() == "oracle":
        from .oracle import OracleExecutable

        return OracleExecutable(graph, donate, name)
    return DeviceExecutable(graph, donate, name, budget)


def executable_for(
    graph: Graph, donate: Sequence[tuple[int, int]], name: str, why: str = "", budget: int = 0
) -> Any:
    """`_make_executable`, once for all equal graphs; `why` is for the log."""

    def make() -> Any:
        return _make_executable(graph, tuple(donate), name, budget)

    return shared((tuple(donate), budget), graph, make, name, why)


def shared(of: tuple, graph: Graph, make: Callable[[], Any], name: str, why: str) -> Any:
    """What `make` compiles of a graph, once for all graphs equal to it and equal `of`, which is
    whatever else determines it. The programs used last are kept, those of meshes among them."""
    key = settings.backend(), graph.key(), *of
    found = _executables.get(key)
    if found is None:
        check_sizes(graph)
        start = time.perf_counter()
        with uncollected():
            found = make()
        _executables[key] = found
        numbers = counts(found.program)
        log_compile(name, graph.in_avals, time.perf_counter() - start, *numbers, why)
        if len(_executables) > EXECUTABLES_KEPT:
            _executables.popitem(last=False)
    else:
        _executables.move_to_end(key)
    return found


def counts(program: Any) -> tuple[int, int]:
    """(distinct kernels, dispatches); the oracle has none."""
    dispatches = program.dispatches if program else ()
    return len({d.kernel for d in dispatches}), len(dispatches)


def clear_caches() -> None:
    """Forget every compiled program that no jitted function holds."""
    _executables.clear()


def cached_programs() -> int:
    """How many compiled programs the cache holds."""
    return len(_executables)


def forget(executable: Any) -> None:
    """Let a compiled program go, unless something else holds it."""
    for key in [k for k, v in _executables.items() if v is executable]:
        del _executables[key]


def start_read(buffer: Any, aval: Aval) -> Callable[[], np.ndarray]:
    """Begin a copy to the host; the result waits for it and gives a read-only array."""
    if isinstance(buffer, np.ndarray):
        return lambda: _frozen(buffer.astype(aval.dtype.np, copy=False).reshape(aval.shape))
    pending = buffer.start_read(aval.size * aval.dtype.itemsize)
    stored = np.dtype(np.uint32) if aval.dtype is bool_ else aval.dtype.np

    def finish() -> np.ndarray:
        words = np.frombuffer(pending.result(), stored).reshape(aval.shape)
        return _frozen(words.astype(aval.dtype.np, copy=False))

    return finish


def _frozen(host: np.ndarray) -> np.ndarray:
    view = host.view()
    view.flags.writeable = False
    return view


def wait(buffers: Sequence[Any]) -> None:
    """Wait until all of these are computed."""
    away = [b for b in buffers if b is not None and not isinstance(b, np.ndarray)]
    for device in {b.device for b in away}:
        device.synchronize()


def run_traced(traced: Traced) -> Any:
    """Compile (or find) and run a graph whose inputs are all constants."""
    return compiled(lifted(traced), (), (), "eager", "outside of jit")(())


def compiled(
    traced: Traced,
    donated: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    name: str,
    why: str = "",
    budget: int = 0,
) -> Compiled:
    """The traced function, lifted, with its executable."""
    traced = replace(traced, graph=tell_on_one_device(traced.graph))
    plan = plan_results(traced.graph)
    return Compiled(
        traced, plan, executable_for(plan.graph, pairs, name, why, budget), donated, name
    )


def kept_or(anew: Callable[[], Traced], fun: Callable, signature: Signature) -> Traced:
    """The trace of a function, of an earlier process if it says what determines it."""
    if not hasattr(fun, "determined_by"):
        return anew()
    from runtime.programs import source_digest
    from runtime.store import default_store

    store = default_store()
    key = kept.key_of(fun, signature, source_digest(*kept.PACKAGES)) if store else None
    found = kept.load(store, key) if key else None
    if found is None:
        found = anew()
        if key:
            kept.save(store, key, found)
    return found


def adapter_name() -> str:
    """The device's adapter, which is opened if need be."""
    from runtime import default_device

    return str(default_device().info)


def device_memory() -> int:
    """Bytes in live buffers of the device; 0 on the oracle."""
    if settings.backend() == "oracle":
        return 0
    from runtime import default_device

    return default_device().memory_bytes()
