"""`picotron bench mesh`: the figures are there, of the work that they are said to be of."""

from __future__ import annotations

import pytest

from picotron import bench_mesh, reference
from picotron.config import DistributedConfig


def test_the_passes_are_timed_on_sixteen_devices():
    found = bench_mesh.passes(layers=1)
    assert (found["devices"], found["micro_batches"], found["layers"]) == (16, 4, 1)
    assert 0 < found["seconds"] < 5


@pytest.mark.device
def test_both_sides_do_the_same_work():
    tiny = reference.Shapes(V=32, H=16, NH=2, NKV=2, L=1, I=32, S=8, B=4)
    found = bench_mesh._overhead(tiny, DistributedConfig(dp_size=2), 1)
    assert found["times"] == pytest.approx(found["mesh_ms"] / found["one_ms"])
    result = {"passes": bench_mesh.passes(1), "overhead": {"dp=2": found}, "adapter": "this"}
    assert "dp=2: " in bench_mesh.summary(result).splitlines()[2]
