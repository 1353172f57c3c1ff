"""The reference train step as the compiler sees it: how many kernels, for which limits, how stable.

Invariant: nothing here runs a kernel or times anything; growth is counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from codegen import compile as compiler
from codegen.compile import Compilation
from codegen.dump import compiled
from codegen.profile import PROFILES
from codegen.program import Program
from codegen.target import REFERENCE_DONATES, traced_target
from picotron.reference import Shapes, train_step

from .compiled import reference, target

ROOT = Path(__file__).resolve().parent.parent
each_profile = pytest.mark.parametrize("profile", PROFILES)


@cache
def of_depth(layers: int, profile: str) -> Compilation:
    """The step of a model of that many small layers."""
    shapes = Shapes(V=32, H=32, NH=2, NKV=1, L=layers, I=48, S=16, B=2)
    return compiled(traced_target(*train_step(shapes), REFERENCE_DONATES), PROFILES[profile])


def distinct(done: Compilation) -> set[str]:
    """Names of the kernels that compute more than single numbers.

    The norm over all gradients is one number; how many kernels add up its parts depends on how many
    parameters there are and how many buffers a kernel may read.
    """
    pairs = zip(done.regions, done.kernels, strict=True)
    return {k.code.name for r, k in pairs if any(v.aval.size > 1 for v in r.outs)}


@pytest.mark.parametrize(
    ("profile", "most"), [("lavapipe", 120), ("h100", 120), ("webgpu-default", 120)]
)
def test_a_step_of_two_layers_takes_few_kernels(profile, most):
    program = reference(profile).program
    assert len(program.dispatches) <= most
    assert len(program.kernels) <= 60


@each_profile
def test_distinct_kernels_do_not_grow_with_depth(profile):
    shallow, deep = of_depth(3, profile), of_depth(6, profile)
    # The batches of the global norm's sums differ, and so does what stands beside them.
    assert 20 < len(distinct(deep)) <= len(distinct(shallow)) + 1
    assert len(deep.program.kernels) <= len(shallow.program.kernels) + 2
    assert len(deep.program.dispatches) > 1.7 * len(shallow.program.dispatches)


@pytest.mark.parametrize(("profile", "most"), [("h100", 24), ("lavapipe", 46)])
def test_a_layer_adds_few_dispatches(profile, most):
    """Forward, backward and the optimizer's updates of one layer more."""
    counts = [len(of_depth(n, profile).program.dispatches) for n in (2, 3)]
    assert counts[1] - counts[0] <= most


def test_dispatches_grow_linearly_with_depth():
    counts = [len(of_depth(n, "webgpu-default").program.dispatches) for n in (2, 4, 6)]
    one, two = counts[1] - counts[0], counts[2] - counts[1]
    assert abs(two - one) <= 1  # the sums of the global norm come in batches


def test_rendering_does_not_grow_with_depth(monkeypatch):
    rendered: list[str] = []

    def counting(build):
        def counted(frame, profile):
            rendered.append(frame.name)
            return build(frame, profile)

        return counted

    builders = {kind: counting(build) for kind, build in compiler.BUILDERS.items()}
    monkeypatch.setattr(compiler, "BUILDERS", builders)
    profile, counts = PROFILES["webgpu-default"], []
    for layers in (2, 6):
        monkeypatch.setattr(compiler, "_KERNELS", {})
        target = of_depth(layers, profile.name)
        compiler.build_kernels(target.stages["fuse"], target.regions, profile)
        counts.append(len(rendered))
        rendered.clear()
    assert 20 < counts[1] <= counts[0] + 5  # the batches of the global norm's sums differ


@each_profile
def test_the_step_fits_the_limits_of_the_profile(profile):
    limits, program = PROFILES[profile], reference(profile).program
    for kernel in program.kernels:
        x, y, z = kernel.workgroup
        assert x * y * z <= limits.invocations, kernel.name
        assert len(kernel.bindings) <= limits.storage_buffers, kernel.name
        assert kernel.workgroup_bytes <= limits.workgroup_bytes, kernel.name
        assert limits.subgroup or "subgroup" not in kernel.wgsl, kernel.name
    assert max(slot.nbytes for slot in program.slots) <= limits.binding_bytes
    assert all(n <= limits.groups_per_dim for d in program.dispatches for n in d.grid)


@each_profile
def test_the_state_is_updated_where_it_lies(profile):
    """One result a donated array, in its buffer, without a copy; only the metrics are new."""
    program = reference(profile).program
    assert len(program.steps) == len(program.dispatches), "no copies"
    shared = set(program.in_slots) & set(program.out_slots)
    assert len(shared) == len(target().donate) == len(program.out_slots) - 2
    assert [s.kind for s in program.slots].count("output") == 2


@each_profile
def test_a_program_survives_json(profile):
    program = reference(profile).program
    text = program.to_json()
    assert Program.from_json(text) == program
    assert Program.from_json(text).to_json() == text


def test_two_processes_write_the_same_bytes(tmp_path):
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        command = [sys.executable, "-m", "codegen", "dump", "--out", str(folder), "--stage", "fuse"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        written.append({p.name: p.read_bytes() for p in folder.iterdir()})
    assert written[0] == written[1]
    assert {"program.json", "plan.txt", "fuse.txt", "matmul.wgsl"} <= set(written[0])
    assert str(ROOT).encode() not in b"".join(written[0].values())
