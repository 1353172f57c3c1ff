"""When buffers die: in reference cycles, and as the process ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from runtime.buffer import Buffer, BufferPool

SHUTDOWN = """
import ctypes, sys, types, warnings
warnings.simplefilter("ignore")
older = sys.modules["older"] = types.ModuleType("older")
import runtime.buffer
# Modules that outlive sys.modules are cleared newest first: the buffer dies after its own module.
for module in (older, runtime.buffer):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(module))
pool = runtime.buffer.BufferPool(types.SimpleNamespace(create_buffer=types.SimpleNamespace), 1024)
older.buffer = runtime.buffer.Buffer(types.SimpleNamespace(pool=pool), 4)
"""


class Raw:
    """Dies like a wgpu buffer: its finalizer makes it unusable."""

    def __init__(self, size: int, usage: int) -> None:
        self.size, self.alive = size, True

    def __del__(self) -> None:
        self.alive = False


@pytest.fixture
def owner() -> SimpleNamespace:
    """What a Buffer asks of its device."""
    return SimpleNamespace(pool=BufferPool(SimpleNamespace(create_buffer=Raw), 1 << 20))


def drop_in_a_cycle(buffer: Buffer) -> int:
    """Let the collector end `buffer`; returns the number of its memory."""
    serial, cycle = buffer.serial, [buffer]
    cycle.append(cycle)
    del buffer, cycle
    gc.collect()
    return serial


def test_memory_of_a_buffer_in_a_cycle_is_reused_alive(owner):
    serial = drop_in_a_cycle(Buffer(owner, 100))
    again = Buffer(owner, 100)
    assert again.serial == serial
    assert again.raw.alive
    assert owner.pool.created == 1


def test_memory_that_the_pool_lets_go_of_dies(owner):
    kept, serial = Buffer(owner, 100), drop_in_a_cycle(Buffer(owner, 5000))
    freed = weakref.ref(owner.pool._memory[serial].raw)
    assert owner.pool.trim() == 5120
    assert freed() is None
    assert kept.raw.alive
    assert owner.pool.in_use() == 256
    del kept
    assert (owner.pool.in_use(), owner.pool.trim()) == (0, 256)
    assert not owner.pool._memory


def test_a_failed_allocation_leaves_nothing_to_return(owner):
    with pytest.raises(MemoryError, match="over the adapter's limit"):
        Buffer(owner, 2 << 20)
    gc.collect()
    assert owner.pool.in_use() == 0


def test_a_buffer_that_outlives_its_module_ends_in_silence():
    done = subprocess.run([sys.executable, "-c", SHUTDOWN], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.device
@pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")
def test_an_array_may_die_in_a_cycle():
    from tracer import jit
    from tracer import numpy as jnp

    quarter = jit(lambda x: x / 4)
    first = quarter(np.ones(7, np.float32))
    cycle = [first]
    cycle.append(cycle)
    del first, cycle
    gc.collect()
    for _ in range(2):
        assert (jnp.ones(7) / 4).tolist() == quarter(np.ones(7, np.float32)).tolist() == [0.25] * 7
