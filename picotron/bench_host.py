"""`picotron bench host`: what the host spends on tracing, on eager operations and on calls.

Invariant: a time is the least of several repeats, since other work can only add to it, and caches
are warm. What the host spends is processor time of the calling thread, which does not count waiting
for the device; an eager operation alone is timed by the wall clock. Growth is what stays behind
after many more calls: memory blocks of Python, programs held by the caches, and bytes of device
buffers.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from picotron import reference
from picotron.device import adapter_name, bytes_in_use
from picotron.prepare import on_device
from tracer import Array, block_until_ready, graph_of, jit, nn
from tracer import numpy as jnp
from tracer.backend import cached_programs

REPEATS, LINKS, LEAVES, CALLS, DISPATCHES = 9, 100, 200, 50, 400


@dataclass(frozen=True)
class Figure:
    """One result: what was measured, in which unit, and the most that it should be."""

    name: str
    value: float
    unit: str
    goal: float


def figures(calls: int) -> list[Figure]:
    """All figures; `calls` is how often each call is repeated while growth is watched."""
    grown = growth(calls)
    return [
        Figure("trace, one operation", 1e6 * trace_operation(), "us", 10),
        Figure("trace, one equation of a train step", 1e6 * trace_equation(), "us", 10),
        Figure("eager operation", 1e3 * eager_operation(), "ms", 1),
        *repeated_call(),
        Figure("replay, one dispatch", 1e6 * replayed_dispatch(), "us", 3),
        *(
            # The interpreter itself keeps a few; a leak would show at every call.
            Figure(f"growth over {calls} calls, {n}", v, n, calls // 100 if "Python" in n else 0)
            for n, v in grown.items()
        ),
    ]


def trace_operation() -> float:
    """Seconds for one operation of a chain of small ones."""

    def chain(x: Any, y: Any) -> Any:
        for _ in range(LINKS):
            x = jnp.sin(x * y + 1.0) - y
        return x

    x = np.ones((4, 4), np.float32)
    return least(lambda: graph_of(chain)(x, x)) / (4 * LINKS)


def trace_equation() -> float:
    """Seconds for one equation of the reference train step, gradients and optimizer included."""
    step, arguments = reference.train_step()
    count = len(graph_of(step)(*arguments).eqns)
    return least(lambda: graph_of(step)(*arguments)) / count


def eager_operation() -> float:
    """Seconds for an addition of two arrays outside of any trace, run one after another."""
    x, y = (_made(n) for n in (1.0, 2.0))

    def several() -> None:
        block_until_ready([x + y for _ in range(CALLS)])

    return least(several, time.perf_counter) / CALLS


def repeated_call() -> list[Figure]:
    """A call that finds its program, of which the device has next to nothing to do; and what of it
    is not the driver's, which encodes and submits one dispatch however many arrays there are."""
    function, arrays = _function(), [_made(n) for n in range(LEAVES)]
    whole = _each_call(lambda: function(arrays))
    driver = _each_call(function.executable.repeat)
    name = f"call of a jitted function of {LEAVES} arrays"
    return [
        Figure(name, 1e6 * (whole - driver), "us", 100),
        Figure("that call with the driver's part of it", 1e6 * whole, "us", 100),
    ]


def replayed_dispatch() -> float:
    """Seconds for one dispatch of a program of many tiny ones: encoded, finished and submitted."""

    def chain(x: Any, w: Any) -> Any:
        for _ in range(DISPATCHES // 2):
            x = nn.softmax(x @ w)
        return x

    function = jit(chain)
    x, w = (_made(n, (16, 16)) for n in (1.0, 2.0))
    spent = _each_call(lambda: function(x, w))
    return spent / function.stats()["kernels_per_step"]


def _each_call(call: Callable[[], Any]) -> float:
    """Seconds for a call whose result is dropped when the next one is there."""

    last = []

    def several() -> None:
        for _ in range(CALLS):
            last[:] = [call()]

    return least(several, after=lambda: block_until_ready(last)) / CALLS


def growth(calls: int) -> dict[str, float]:
    """What `calls` jitted calls and as many eager operations leave behind, by unit."""
    function, arrays = _function(), [_made(n) for n in range(4)]

    def work(count: int) -> None:
        for _ in range(count):
            arrays[0] = function(arrays) * 0.5
        block_until_ready(arrays)

    for _ in range(6):  # looking fills caches of its own, and so do the interpreter's counters
        work(200)
        before = _held()
    work(calls)
    return {unit: max(0, now - before[unit]) for unit, now in _held().items()}


def _held() -> dict[str, int]:
    gc.collect()
    held = {"programs": cached_programs(), "device bytes": bytes_in_use()}
    return {**held, "Python blocks": sys.getallocatedblocks()}


def _function() -> Callable:
    return jit(lambda arrays: arrays[0] + 1.0)


def _made(value: float, shape: tuple[int, ...] = (4,)) -> Array:
    """An array that is on the device."""
    return block_until_ready(on_device(np.full(shape, value, np.float32)) + 0.0)


def least(
    work: Callable[[], Any],
    clock: Callable[[], float] = time.thread_time,
    after: Callable[[], Any] = lambda: None,
) -> float:
    """Seconds of the fastest of several runs, after one that warms the caches.

    `after` follows each run and is not timed.
    """
    spent = []
    for _ in range(1 + REPEATS):
        start = clock()
        work()
        spent.append(clock() - start)
        after()
    return min(spent[1:])


def run_host(calls: int) -> dict[str, Any]:
    """Value, unit and goal of each figure by its name, and the adapter."""
    found = {f.name: {"value": f.value, "unit": f.unit, "goal": f.goal} for f in figures(calls)}
    return {**found, "adapter": adapter_name()}


def summary(result: dict[str, Any]) -> str:
    """One line per figure; those that miss their goal say so."""
    lines = [f"{'adapter':>46}  {result['adapter']}"]
    for name, one in result.items():
        if name != "adapter":
            missed = "" if one["value"] <= one["goal"] else ", missed"
            value = f"{one['value']:.3g} {one['unit']}"
            lines.append(f"{name:>46}  {value} (goal: {one['goal']}{missed})")
    return "\n".join(lines)
