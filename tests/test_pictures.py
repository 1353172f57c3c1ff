"""Pictures of how arrays lie, against those that JAX 0.10.2 prints for eight CPU devices."""

from __future__ import annotations

import typing

import numpy as np
import pytest

import tracer
from tracer import debug
from tracer import numpy as jnp
from tracer.sharding import Mesh, NamedSharding, P, Sharding


class Device(typing.NamedTuple):
    """As much of a device as a picture needs."""

    id: int
    platform: str = "cpu"


def mesh() -> Mesh:
    grid = np.empty(8, object)
    grid[:] = [Device(n) for n in range(8)]
    return Mesh(grid.reshape(4, 2), ("a", "b"))


PICTURES = {
    "both": ((8, 8), P("a", "b"), """\
┌──────────┬──────────┐
│  CPU 0   │  CPU 1   │
├──────────┼──────────┤
│  CPU 2   │  CPU 3   │
├──────────┼──────────┤
│  CPU 4   │  CPU 5   │
├──────────┼──────────┤
│  CPU 6   │  CPU 7   │
└──────────┴──────────┘
"""),
    "turned": ((8, 8), P("b", "a"), """\
┌───────┬───────┬───────┬───────┐
│       │       │       │       │
│ CPU 0 │ CPU 2 │ CPU 4 │ CPU 6 │
│       │       │       │       │
│       │       │       │       │
├───────┼───────┼───────┼───────┤
│       │       │       │       │
│ CPU 1 │ CPU 3 │ CPU 5 │ CPU 7 │
│       │       │       │       │
│       │       │       │       │
└───────┴───────┴───────┴───────┘
"""),
    "one axis": ((8,), P("a"), """\
┌───────┬───────┬───────┬───────┐
│CPU 0,1│CPU 2,3│CPU 4,5│CPU 6,7│
└───────┴───────┴───────┴───────┘
"""),
    "rows": ((8, 8), P("a"), """\
┌───────────────────────┐
│        CPU 0,1        │
├───────────────────────┤
│        CPU 2,3        │
├───────────────────────┤
│        CPU 4,5        │
├───────────────────────┤
│        CPU 6,7        │
└───────────────────────┘
"""),
    "everywhere": ((8, 8), P(), """\
┌───────────────────────┐
│                       │
│                       │
│                       │
│                       │
│  CPU 0,1,2,3,4,5,6,7  │
│                       │
│                       │
│                       │
│                       │
└───────────────────────┘
"""),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name, capsys):
    shape, spec, picture = PICTURES[name]
    debug.visualize_sharding(shape, NamedSharding(mesh(), spec), use_color=False)
    assert capsys.readouterr().out == picture


def test_colours(capsys, monkeypatch):
    for name, value in (("FORCE_COLOR", "1"), ("COLORTERM", "truecolor"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    lies = NamedSharding(mesh(), P("a", "b"))
    debug.visualize_sharding((8, 8), lies, color_map=lambda x: (x, 0.0, 0.0, 1.0))
    shown = capsys.readouterr().out
    assert "┌" not in shown and "CPU 7" in shown and "48;2;255;0;0" in shown


def test_arrays_and_what_has_no_picture(capsys):
    debug.visualize_array_sharding(jnp.ones((4, 4)), use_color=False)
    assert capsys.readouterr().out.splitlines()[5].strip("│ ") == "WEBGPU 0"
    with pytest.raises(ValueError, match="only works for shapes with 1 and 2 dimensions"):
        debug.visualize_sharding((2, 2, 2), NamedSharding(mesh(), P()))
    traced = tracer.jit(lambda x: debug.visualize_array_sharding(x + 1, use_color=False))
    traced.lower(jnp.ones((4, 4))).compile()
    assert capsys.readouterr().out.splitlines()[5].strip("│ ") == "WEBGPU 0"


def test_shardings_have_one_base():
    lies = NamedSharding(mesh(), P("a"))
    alone = jnp.ones(2).sharding
    assert isinstance(lies, Sharding) and isinstance(alone, Sharding)
    assert lies.is_equivalent_to(NamedSharding(mesh(), P("a", None)), 2)
    assert not lies.is_equivalent_to(NamedSharding(mesh(), P(None, "a")), 2)
    assert (lies.num_devices, alone.num_devices) == (8, 1) and lies.is_fully_addressable
    assert lies.shard_shape((8, 3)) == (2, 3) and alone.shard_shape((8, 3)) == (8, 3)
    assert alone.is_fully_replicated and not lies.is_fully_replicated
