"""What must hold of every program: see each test.

Invariant: by default the examples are few and always the same; with `--programs N` each property
is tried on N new ones. What once failed is in `regressions` and is tried first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import runtime
from codegen.fuse import fuse
from codegen.legalize import as_buffers, legalize
from codegen.profile import PROFILES, WEBGPU_DEFAULT
from ir import Aval, Graph, check, evaluate, f32
from ir.passes.simplify import cse, dce, expand, simplify
from tracer import grad, jvp, vjp, vmap
from tracer import numpy as jnp
from tracer.staging import trace

from ..device.harness import run
from . import regions, regressions
from .noise import Tally, Truth
from .shrink import smallest
from .writer import Program, argument, programs

SEEDS = st.integers(0, 99)
TALLY: dict[str, Tally] = {}


def several(kept: tuple[Program, ...], **options: bool) -> Callable:
    """Decorator: a property of many programs, and of those that once failed."""

    def decorate(test: Callable) -> Callable:
        @wraps(test)
        def tried(program: Program, seed: int) -> None:
            try:
                test(program, seed)
            except Exception as error:
                small = smallest(lambda p: test(p, seed), program)
                raise AssertionError(f"{error}\n\nthe smallest: {small}") from error

        found = given(program=programs(**options), seed=SEEDS)(regressions.first(kept)(tried))
        return settings.get_profile("programs")(found)

    return decorate


def traced(fun: Callable, avals: Sequence[Aval]) -> tuple[Graph, list[np.ndarray]]:
    """The graph of a function, and the values of the constants that it leads with."""
    found = trace(fun, avals)
    return check(found.graph), [c.numpy() for c in found.constants]


def judge(name: str, graph: Graph, args: Sequence[np.ndarray]) -> Callable:
    """A function that compares results with what the graph computes."""
    truth, tally = Truth(graph, args), TALLY.setdefault(name, Tally())
    tally.graphs += 1
    return lambda got, rtol=1e-4: truth.check(got, tally, rtol)


# --- passes and devices ---------------------------------------------------------------------------


def _stages(graph: Graph):
    yield "cse", cse(graph)
    yield "simplify", simplify(graph)
    yield "expand", expand(graph)
    yield "dce", dce(graph)


def check_passes(graph: Graph, args: list[np.ndarray]) -> None:
    compare = judge("passes", graph, args)
    compare(evaluate(graph, *args))
    for _, stage in _stages(graph):
        compare(evaluate(check(stage), *args, wide=True), 1e-9)
    for profile in PROFILES.values():
        legal = check(as_buffers(legalize(simplify(graph), profile)))
        compare(evaluate(legal, *args, wide=True), 1e-9)
        compare(regions.run(legal, fuse(legal, profile), args, profile), 1e-9)


@several(regressions.PASSES)
def test_every_pass_keeps_the_meaning(program, seed):
    graph, constants = traced(program.function, program.avals)
    check_passes(graph, [*constants, *program.arguments(seed)])


@several(regressions.DEVICE)
def test_the_device_computes_what_the_oracle_does(program, seed):
    """With the kernels chosen for the adapter, and with those for WebGPU's default limits."""
    try:
        own = runtime.default_device().profile
    except runtime.NoAdapterError as error:
        pytest.skip(str(error))
    graph, constants = traced(program.function, program.avals)
    args = [*constants, *program.arguments(seed)]
    narrow = replace(WEBGPU_DEFAULT, loop_limit=own.loop_limit)
    for profile in (own, narrow):
        judge(profile.name, graph, args)(run(graph, *args, profile=profile))


# --- batching -------------------------------------------------------------------------------------

MEMBERS = 3


def _batched(program: Program, seed: int) -> tuple[list, list, list[int | None]]:
    """(arguments, their avals, in_axes): each argument is batched along some axis, or shared."""
    rng = np.random.default_rng(seed)
    axes = [int(a) if a >= 0 else None for a in rng.integers(-1, 2, len(program.avals))]
    axes = [a if a is None else min(a, v.ndim) for a, v in zip(axes, program.avals, strict=True)]
    axes[0] = 0
    avals = [
        v if a is None else Aval((*v.shape[:a], MEMBERS, *v.shape[a:]), v.dtype)
        for v, a in zip(program.avals, axes, strict=True)
    ]
    return [argument(rng, v) for v in avals], avals, axes


@several(regressions.BATCHING)
def test_vmap_is_a_stack(program, seed):
    args, avals, axes = _batched(program, seed)
    graph, constants = traced(vmap(program.function, tuple(axes)), avals)
    one, held = traced(program.function, program.avals)
    rows = []
    for i in range(MEMBERS):
        member = [x if a is None else np.take(x, i, a) for x, a in zip(args, axes, strict=True)]
        rows.append(evaluate(one, *held, *member, wide=True))
    stacked = [np.stack(r) for r in zip(*rows, strict=True)]
    judge("vmap", graph, [*constants, *args])(stacked, 1e-9)


# --- derivatives ----------------------------------------------------------------------------------


def _total(program: Program, args: Sequence) -> object:
    """A scalar that depends on all results."""
    return sum(jnp.sum(jnp.sin(r)) for r in program.function(*args))


def _floats(program: Program) -> list[int]:
    return [i for i, a in enumerate(program.avals) if a.dtype is f32]


def _gradient(program: Program) -> Callable:
    return grad(lambda *args: _total(program, args), tuple(_floats(program)))


@several(regressions.DERIVATIVES, smooth=True)
def test_the_gradient_of_a_batch_is_the_batch_of_gradients(program, seed):
    args, avals, _ = _batched(program, seed)
    avals = [Aval((MEMBERS, *v.shape), v.dtype) for v in program.avals]
    rng = np.random.default_rng(seed)
    args = [argument(rng, v) for v in avals]
    each, constants = traced(vmap(_gradient(program)), avals)
    whole, held = traced(
        grad(
            lambda *xs: jnp.sum(vmap(lambda *x: _total(program, x))(*xs)), tuple(_floats(program))
        ),
        avals,
    )
    judge("grad of vmap", each, [*constants, *args])(evaluate(whole, *held, *args, wide=True), 1e-9)


@several(regressions.DERIVATIVES, smooth=True)
def test_tangents_and_cotangents_agree(program, seed):
    """ct . J v by forward and by reverse mode."""
    rng, where = np.random.default_rng(seed), _floats(program)

    def products(*args):
        def fun(*floats):
            given = dict(zip(where, floats, strict=True))
            return program.function(*(given.get(i, x) for i, x in enumerate(args)))

        inputs = [args[i] for i in where]
        outs, tangents = jvp(fun, inputs, [jnp.sin(x * 3 + 1) for x in inputs])
        cts = tuple(jnp.cos(o * 2 + 1) for o in outs)
        grads = vjp(fun, *inputs)[1](cts)
        forward = sum(jnp.sum(c * t) for c, t in zip(cts, tangents, strict=True))
        seen = zip(grads, inputs, strict=True)
        return forward, sum(jnp.sum(g * jnp.sin(x * 3 + 1)) for g, x in seen)

    graph, constants = traced(products, program.avals)
    args = [*constants, *(argument(rng, a) for a in program.avals)]
    forward, reverse = evaluate(graph, *args, wide=True)
    judge("jvp", graph, args)([reverse, forward], 1e-9)


@several(regressions.DERIVATIVES, smooth=True)
def test_gradients_are_finite_differences(program, seed):
    rng, tally = np.random.default_rng(seed), TALLY.setdefault("differences", Tally())
    graph, constants = traced(lambda *args: _total(program, args), program.avals)
    slope, held = traced(_gradient(program), program.avals)
    args = program.arguments(seed)
    grads = evaluate(slope, *held, *args, wide=True)
    for place, g in zip(_floats(program), grads, strict=True):
        direction = rng.standard_normal(g.shape)

        def along(t, place=place, direction=direction):
            moved = [a + t * direction if i == place else a for i, a in enumerate(args)]
            return float(evaluate(graph, *constants, *moved, wide=True)[0])

        _compare_slope(along, float(np.sum(g * direction)), tally, program)


def _compare_slope(along: Callable, slope: float, tally: Tally, program: Program) -> None:
    """One-sided differences that disagree tell of a kink or a step, where nothing is judged."""
    tally.graphs += 1
    tally.seen += 1
    h = 1e-5
    middle, (up, down) = along(0.0), (along(h), along(-h))
    right, left, central = (up - middle) / h, (middle - down) / h, (up - down) / (2 * h)
    curved = abs(right - left)
    finer = (along(h / 4) - along(-h / 4)) / (h / 2)
    if not np.isfinite(curved) or curved > 0.02 * (1 + abs(central)):
        return
    tally.judged += 1
    bound = 1e-5 * (1 + abs(central)) + 4 * abs(finer - central)
    assert abs(central - slope) <= bound, f"differences say {central}, the gradient {slope}"


def test_most_of_what_was_compared_was_judged():
    """Runs last: noise may not excuse everything."""
    for name, tally in TALLY.items():
        print(f"{name}: {tally.graphs} graphs, {tally.judged} of {tally.seen} elements judged")
        assert tally.judged >= 0.8 * tally.seen, name
