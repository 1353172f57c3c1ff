"""Every kernel of every sample, for every limits profile: valid in Tint, within limits, readable.

Invariant: needs no adapter; a compile is a pure function of the graph and the profile.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest

from codegen.compile import compile_graph, statements
from codegen.profile import PROFILES, WEBGPU_DEFAULT
from codegen.program import NESTED, Copy, Dispatch, Fill, Program, walk
from codegen.wrap import WIDTH
from ir import Aval, f16
from ir.passes.grad import vjp_graph

from ..strategies import COMPOSITES, LOCAL, samples, smooth
from ..tint import check


@cache
def programs(name: str, profile_name: str) -> tuple[Program, ...]:
    """Programs of a primitive's samples, and of their backward passes for composites."""
    profile = PROFILES[profile_name]
    graphs = []
    for sample in samples(name):
        graphs.append(sample.graph())
        if name in COMPOSITES:
            graphs.append(vjp_graph(sample.graph(), smooth(sample)))
    return tuple(compile_graph(g, profile, name=name, verify=True) for g in graphs)


def kernels(name: str, profile_name: str):
    """Distinct kernels by text."""
    return {k.wgsl: k for p in programs(name, profile_name) for k in p.kernels}.values()


each = pytest.mark.parametrize("profile", PROFILES)
of_each = pytest.mark.parametrize("name", LOCAL)


@each
@of_each
def test_kernels_are_valid_in_tint(name, profile):
    for kernel in kernels(name, profile):
        try:
            check(kernel.wgsl)
        except RuntimeError as error:
            pytest.fail(f"{error}\n{kernel.wgsl}")


@each
@of_each
def test_kernels_keep_the_limits_of_their_profile(name, profile):
    limits = PROFILES[profile]
    for kernel in kernels(name, profile):
        x, y, z = kernel.workgroup
        assert 1 <= x * y * z <= limits.invocations
        assert z <= 64
        assert len(kernel.bindings) <= limits.storage_buffers
        assert kernel.workgroup_bytes <= limits.workgroup_bytes
        assert not limits.loop_limit or kernel.loop_iterations <= limits.loop_limit
        if not limits.subgroup:
            assert "subgroup" not in kernel.wgsl
        if not limits.f16:
            assert not re.search(r"\bf16\b", statements(kernel.wgsl))
    for program in programs(name, profile):
        for step in program.dispatches:
            assert all(1 <= n <= limits.groups_per_dim for n in step.grid), step


@each
@of_each
def test_kernels_read_well(name, profile):
    for kernel in kernels(name, profile):
        text = kernel.wgsl
        assert text.startswith(f"// {kernel.name}"), text[:80]
        assert "enable subgroups" not in text
        assert not re.search(r"\b(inf|nan)\b", text.split("@group", 1)[-1], re.IGNORECASE)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert not re.search(r"[ \t]+$", text, re.MULTILINE)
        assert "\n\n\n" not in text
        for binding in kernel.bindings:
            assert len(re.findall(rf"\b{binding.name}\b", text)) > 1, f"unread: {binding.name}"


def dead_lets(wgsl: str) -> list[str]:
    """Declarations whose name occurs nowhere else in their function."""
    found = []
    for body in re.split(r"^(?=fn |@compute)", wgsl, flags=re.MULTILINE)[1:]:
        words = Counter(re.findall(r"\w+", body))
        for line in body.splitlines():
            declared = re.match(r"\s*(?:let|var) (\w+)", line)
            if declared and words[declared[1]] == 1:
                found.append(line.strip())
    return found


@each
def test_kernels_have_no_dead_lets(profile):
    every = (k for name in LOCAL for k in kernels(name, profile))
    dead = {(line, k.template): k.wgsl for k in every for line in dead_lets(k.wgsl)}
    assert not dead, "\n\n".join(f"unused: {line}\n{text}" for (line, _), text in dead.items())


@each
@of_each
def test_programs_are_consistent_and_survive_serialisation(name, profile):
    for program in programs(name, profile):
        assert Program.from_json(program.to_json()) == program
        for step in walk(program.steps):
            if isinstance(step, Dispatch):
                kernel = program.kernels[step.kernel]
                assert len(step.slots) == len(kernel.bindings)
                writes = [
                    s
                    for s, b in zip(step.slots, kernel.bindings, strict=True)
                    if b.access != "read"
                ]
                assert writes
                # As scalars and as vectors it may be read in one dispatch.
                assert all(step.slots.count(s) == 1 for s in writes), "what is written is shared"
            elif isinstance(step, Copy):
                assert step.src != step.dst
                sizes = [program.slots[s].nbytes for s in (step.src, step.dst)]
                assert step.nbytes <= min(sizes)
            elif isinstance(step, NESTED):
                assert step.steps
            else:
                assert isinstance(step, Fill)


@pytest.mark.parametrize("name", ["dot", "softmax", "sum", "attention", "rms_norm", "scatter"])
def test_compiles_are_reproducible(name):
    sample = samples(name)[1]
    first, second = (compile_graph(sample.graph(), WEBGPU_DEFAULT) for _ in range(2))
    assert first.to_json() == second.to_json()


def test_float16_is_packed_where_the_adapter_lacks_it():
    sample = next(s for s in samples("exp") if s.avals == (Aval((5, 3), f16),))
    (kernel,) = compile_graph(sample.graph(), WEBGPU_DEFAULT).kernels
    assert "enable f16" not in kernel.wgsl and "pack2x16float" in kernel.wgsl
