"""WGSL spelling: text, validity in naga and Tint, and values on the adapter against numpy."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest

import runtime
from codegen import expr as E
from codegen.program import Binding, Dispatch, KernelCode, Program, Slot
from codegen.wgsl import Writer, choose_vec, literal, storage_type, value_type
from ir.dtypes import DType, bool_, f16, f32, i32, u32

from . import tint

pytestmark = pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")
on_device = pytest.mark.device
N = 256  # elements of every tensor
LANE = ("lane", 0, 3)
Build = Callable[[E.Expr], E.Expr]  # the value at a flat index


# --- harness --------------------------------------------------------------------------------------


@cache
def device() -> runtime.Device:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", runtime.SoftwareAdapterWarning)
        return runtime.Device(runtime.pick_adapter(None)[0], check=True)


def module(body: Sequence[str], names: list[str], dtypes: list[DType], vec: list[int]) -> str:
    """A kernel over `i`, which writes the last tensor."""
    head = ["enable f16;\n"] if f16 in dtypes else []
    for n, (name, dtype, width) in enumerate(zip(names, dtypes, vec, strict=True)):
        access = "read_write" if n == len(names) - 1 else "read"
        element = storage_type(dtype, width)
        head.append(
            f"@group(0) @binding({n}) var<storage, {access}> {name}: array<{element}>;",
        )
    start = [
        "@compute @workgroup_size(64)",
        "fn main(@builtin(global_invocation_id) id: vec3<u32>) {",
        "    let i = id.x;",
    ]
    return "\n".join([*head, *start, *body, "}", ""])


def written(build: Build, dtypes: list[DType], lanes: bool, vec: list[int] | None = None) -> str:
    """The module that computes `build` at every index, by elements or by fours."""
    names = [f"x{n}" for n in range(len(dtypes) - 1)] + ["out"]
    out = len(names) - 1
    if not lanes:
        at = E.sym("i", 0, N - 1)
        vec = vec or [1] * len(names)
        writer = Writer(names, vec)
        writer.plan([], stores=[(out, at, build(at))])
        writer.store(out, at, build(at))
        return module(writer.lines, names, dtypes, vec)
    lane, start = E.sym(*LANE), E.mul(E.sym("i", 0, N // 4 - 1), 4)
    value = build(E.add(start, lane))
    if vec is None:
        vec = choose_vec([value], lane, len(names), [N] * len(names))
        vec[out] = 4
    writer = Writer(names, vec)
    writer.plan([], lane, stores=[(out, start, value)])
    writer.store4(out, start, value, lane)
    return module(writer.lines, names, dtypes, vec)


def run(wgsl: str, inputs: list[np.ndarray], out: DType, lanes: bool) -> np.ndarray:
    stored = [x.astype(np.uint32) if x.dtype == bool else x for x in inputs]
    names = [f"x{n}" for n in range(len(inputs))]
    bindings = (*(Binding(name, "read") for name in names), Binding("out", "read_write"))
    code = KernelCode("k", "map", wgsl, (64, 1, 1), bindings)
    slots = [Slot(x.nbytes, "input") for x in stored] + [Slot(N * out.itemsize, "output")]
    count = tuple(range(len(slots)))
    step = Dispatch(0, count, (N // 256 if lanes else N // 64, 1, 1))
    program = Program("k", (code,), tuple(slots), (step,), count[:-1], count[-1:])
    (result,) = runtime.Executable(device(), program).run(stored)
    raw = np.frombuffer(device().download(result, N * out.itemsize), np.uint8)
    return raw.view(np.uint32 if out is bool_ else out.np).astype(out.np)


def expected(build: Build, inputs: list[np.ndarray]) -> np.ndarray:
    at = E.sym("i", 0, N - 1)
    return np.broadcast_to(E.evaluate(build(at), {"i": np.arange(N)}, inputs), (N,))


def check(build: Build, inputs: list[np.ndarray], rtol: float = 0.0, atol: float = 0.0) -> None:
    """`build` on the device, by elements and by fours, equals its evaluation by numpy."""
    kinds = [{"f": f32, "i": i32, "u": u32, "b": bool_}[x.dtype.kind] for x in inputs]
    kinds = [f16 if x.dtype == np.float16 else k for x, k in zip(inputs, kinds, strict=True)]
    out = build(E.sym("i", 0, N - 1)).dtype
    want = expected(build, inputs)
    for lanes in (False, True):
        wgsl = written(build, [*kinds, out], lanes)
        tint.check(wgsl)
        got = run(wgsl, inputs, out, lanes)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=wgsl)


# --- literals and types ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (1.0, f32, "1.0"),
        (0.5**0.5, f32, "0.70710677"),
        (-3.4028234663852886e38, f32, "-3.4028234e38"),
        (1e-5, f32, "1e-5"),
        (16777216.0, f32, "16777216.0"),
        (0.1, f16, "0.1h"),
        (-65504.0, f16, "-65504.0h"),
        (4, u32, "4u"),
        (-7, i32, "-7"),
        (True, bool_, "true"),
    ],
)
def test_literals(value: float, dtype: DType, text: str) -> None:
    assert literal(value, dtype) == text
    if dtype.is_float:
        assert dtype.np.type(text.rstrip("h")) == dtype.np.type(value)


def test_literals_denote_every_float_exactly() -> None:
    rng = np.random.default_rng(0)
    for dtype, bits in ((f32, np.uint32), (f16, np.uint16)):
        values = rng.integers(0, np.iinfo(bits).max, 500, bits).view(dtype.np)
        for value in values[np.isfinite(values)]:
            text = literal(value, dtype)
            assert dtype.np.type(float(text.rstrip("h"))) == value
            assert re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?h?", text), text
            assert "." in text or "e" in text


def test_constants_that_wgsl_does_not_have_are_made_of_bits() -> None:
    assert literal(np.inf, f32) == literal(1e39, f32) == "float_of(0x7f800000u)"
    assert literal(-np.inf, f32) == "float_of(0xff800000u)"
    assert literal(70000.0, f16) == "f16(float_of(0x7f800000u))"
    assert literal(np.nan, f32) == "float_of(0x7fc00000u)"
    with pytest.raises(ValueError, match="must be in"):
        literal(-1, u32)


def test_types() -> None:
    assert value_type(bool_) == "bool" and storage_type(bool_) == "u32"
    assert value_type(f16, 4) == "vec4<f16>" and storage_type(bool_, 4) == "vec4<u32>"


# --- text -----------------------------------------------------------------------------------------


def lines(build: Build, n_inputs: int, lanes: bool = False, vec: list[int] | None = None) -> list:
    text = written(build, [f32] * (n_inputs + 1), lanes, vec)
    tint.check(text)
    return [line.strip() for line in text.split("let i = id.x;")[1].splitlines()[1:-1]]


def x0(at: E.Expr) -> E.Expr:
    return E.load(0, at, f32)


def test_shared_values_are_named_once_and_others_are_in_place() -> None:
    def silu_gate(at: E.Expr) -> E.Expr:
        gate, up = x0(at), E.load(1, E.mod(at, 16), f32)
        return E.op("mul", E.op("mul", gate, E.op("logistic", gate)), up)

    assert lines(silu_gate, 2) == [
        "let x0_0 = x0[i];",
        "let x1_0 = x1[i % 16u];",
        "out[i] = x0_0 * (1.0 / (1.0 + exp(-x0_0))) * x1_0;",
    ]
    assert lines(silu_gate, 2, lanes=True) == [
        "let x0_0 = x0[i];",
        "let x1_0 = x1[i % 4u];",
        "out[i] = x0_0 * (1.0 / (1.0 + exp(-x0_0))) * x1_0;",
    ]


def test_parentheses_are_minimal() -> None:
    def tree(at: E.Expr) -> E.Expr:
        a = x0(at)
        b, c, d = (E.load(n, at, f32) for n in (1, 2, 3))
        left = E.op("sub", E.op("add", E.op("mul", a, b), c), E.op("sub", d, a))
        return E.op("div", E.op("neg", left), E.op("mul", b, E.op("add", c, -2.0)))

    assert lines(tree, 4)[-1] == (
        "out[i] = -(x0_0 * x1_0 + x2_0 - (x3_0 - x0_0)) / (x1_0 * (x2_0 - 2.0));"
    )


def test_gathers_and_mixed_widths() -> None:
    def column(at: E.Expr) -> E.Expr:
        return x0(E.add(E.mul(E.mod(at, 16), 16), E.floordiv(at, 16)))

    assert lines(column, 1, lanes=True) == [
        "let i0 = i % 4u * 64u + i / 4u;",
        "let x0_0 = vec4<f32>(x0[i0], x0[i0 + 16u], x0[i0 + 32u], x0[i0 + 48u]);",
        "out[i] = x0_0;",
    ]

    def clamped(at: E.Expr) -> E.Expr:
        row, column = E.floordiv(at, 16), E.mod(at, 16)
        corner = E.add(E.mul(E.floordiv(row, 4), 64), E.mul(E.mod(row, 4), 3))
        return x0(E.add(corner, E.minimum(column, 9)))

    assert lines(clamped, 1, lanes=True)[:3] == [
        "let i0 = i / 16u * 64u + i / 4u % 4u * 3u;",
        "let i1 = i % 4u * 4u;",
        "let x0_0 = vec4<f32>(x0[i0 + min(i1, 9u)], x0[i0 + min(i1 + 1u, 9u)], "
        "x0[i0 + min(i1 + 2u, 9u)], x0[i0 + min(i1 + 3u, 9u)]);",
    ]
    assert lines(lambda at: x0(E.floordiv(at, 8)), 1, True, [4, 1])[:3] == [
        "let x0_0 = x0[i / 8u][i / 2u % 4u];",
        "let i0 = i * 4u;",
        "out[i0] = x0_0;",
    ]


def test_lane_invariant_values_are_splat_only_where_needed() -> None:
    def build(at: E.Expr) -> E.Expr:
        row = E.load(1, E.floordiv(at, 16), f32)
        shown = E.lt(at, 200)
        scaled = E.op("mul", E.op("sub", x0(at), row), row)
        return E.select(shown, E.op("max", scaled, row), E.const(0.0, f32))

    assert lines(build, 2, lanes=True) == [
        "let x0_0 = x0[i];",
        "let x1_0 = x1[i / 16u][i / 4u % 4u];"
        if "x1: array<vec4<f32>>" in written(build, [f32] * 3, True)
        else "let x1_0 = x1[i / 4u];",
        "out[i] = select(vec4<f32>(0.0), max((x0_0 - x1_0) * x1_0, vec4<f32>(x1_0)), i < 50u);",
    ]


def test_choose_vec() -> None:
    lane, i = E.sym(*LANE), E.sym("i", 0, 63)
    at = E.add(E.mul(i, 4), lane)
    aligned, shifted = x0(at), E.load(1, E.add(at, 1), f32)
    broadcast, ragged = E.load(2, E.floordiv(at, 4), f32), E.load(3, at, f32)
    values = [E.op("add", aligned, shifted), E.op("add", broadcast, ragged)]
    assert choose_vec(values, lane, 4, [256, 257, 64, 255]) == [4, 1, 1, 1]


def test_names_avoid_tensors_and_symbols() -> None:
    at = E.sym("v0", 0, N - 1)
    writer = Writer(["x", "x_0"], [1, 1])
    value = E.op("exp", E.load(0, at, f32))
    both = E.op("add", E.op("sin", value), E.op("cos", value))
    writer.plan([both])
    assert writer.value(both) == "sin(v1) + cos(v1)"
    assert writer.lines == ["    let x_1 = x[v0];", "    let v1 = exp(x_1);"]


def test_no_name_hides_a_type() -> None:
    """The 33rd integer is not called i32."""

    def build(at: E.Expr) -> E.Expr:
        total = E.const(0, i32)
        for n in range(1, 40):
            shared = E.floordiv(E.mul(at, 2 * n + 1), 64)
            pair = E.op("mul", E.load(0, E.mod(shared, 7), i32), E.load(0, E.mod(shared, 9), i32))
            total = E.op("add", total, E.op("max", pair, E.cast(shared, i32)))
        return total

    text = written(build, [i32, i32], False)
    tint.check(text)
    assert "let i31 =" in text and "let i33 =" in text and "let i32 =" not in text


def test_children_see_outer_names_and_keep_theirs() -> None:
    i, j = E.sym("i", 0, 9), E.sym("j", 0, 9)
    outer, inner = E.op("exp", x0(i)), E.op("sin", E.load(1, j, f32))
    writer = Writer(["x", "y", "z"], [1, 1, 1])
    twice = E.op("mul", inner, inner)
    uses = [E.op("add", outer, twice), E.op("sub", outer, twice)]
    writer.plan([outer, *uses])
    assert writer.value(outer) == "v0"
    first, second = writer.child(), writer.child()
    first.store(2, i, uses[0])
    second.store(2, i, uses[1])
    assert writer.lines == ["    let x_0 = x[i];", "    let v0 = exp(x_0);"]
    assert first.lines[0] == "        let y_0 = y[j];" and second.lines[0].endswith("= y[j];")
    assert "v0 + " in first.lines[-1] and "v0 - " in second.lines[-1]


def test_bound_values_are_not_computed_again_in_nested_blocks() -> None:
    i, j = E.sym("i", 0, 9), E.sym("j", 0, 9)
    scale = E.op("exp", x0(i))
    writer = Writer(["x", "y", "z"], [1, 1, 1])
    writer.bind(scale)
    writer.bind(scale)
    inner = writer.child()
    inner.store(2, j, E.op("mul", E.load(1, j, f32), scale))
    assert writer.lines == ["    let x_0 = x[i];", "    let v0 = exp(x_0);"]
    assert inner.lines == ["        let y_0 = y[j];", "        z[j] = y_0 * v0;"]


def test_declared_vectors_are_accumulators_of_four_lanes() -> None:
    lane, i, acc = E.sym(*LANE), E.sym("i", 0, 63), E.sym("acc", dtype=f32)
    for vec, stored in ((4, "out[i] = {};"), (1, "out[i0] = {}.x;")):
        writer = Writer(["bias", "out"], [1, vec])
        writer.declare_vector(acc)
        bias = E.load(0, E.floordiv(E.mul(i, 4), 16), f32)
        for value, text in ((acc, "acc"), (E.op("max", acc, bias), "max(acc, vec4<f32>(bias_0))")):
            writer.store4(1, E.mul(i, 4), value, lane)
            text = text if vec == 4 or value is acc else "v0"
            assert "    " + stored.format(text) in writer.lines


def test_output_does_not_depend_on_history() -> None:
    def text() -> str:
        return written(
            lambda at: E.op("mul", x0(E.mod(at, 6)), x0(E.floordiv(at, 6))), [f32] * 2, True
        )

    E.clear()
    fresh = text()
    assert text() == fresh


def test_long_chains_are_cut_into_named_pieces() -> None:
    def chain(at: E.Expr) -> E.Expr:
        v = x0(at)
        for n in range(400):
            v = E.op("sin", E.op("add", v, float(n)))
        return v

    text = written(chain, [f32, f32], False)
    tint.check(text)
    assert max(map(len, text.splitlines())) < 110


def test_bitwise_and_logical_mixes_are_parenthesised() -> None:
    """Each pair of operators nested both ways must parse; WGSL forbids many unbracketed mixes."""
    numbers = ("add", "mul", "and_", "or_", "xor_", "shl", "shr", "div", "rem", "min")
    for first in numbers:
        for second in numbers:
            a, b, c = (E.load(n, E.sym("i", 0, 255), u32) for n in range(3))
            left = E.op(second, E.op(first, a, b), c)
            right = E.op(second, c, E.op(first, a, b))
            value = E.op("xor_", left, right)
            for lanes in (False, True):
                tint.check(written(lambda at, v=value: v, [u32] * 4, lanes))
    tests = ("lt", "ge", "eq", "ne", "and_", "or_", "xor_")
    for first in tests:
        for second in tests[2:]:
            p, q, r = (E.load(n, E.sym("i", 0, 255), u32) for n in range(3))
            p, q, r = (E.op("lt", p, q), E.op("ge", q, r), E.op("ge", r, p))
            inner = E.op(first, p, q) if first not in ("lt", "ge") else p
            for value in (E.op(second, inner, r), E.op(second, r, E.not_(inner))):
                chosen = E.select(value, E.select(p, q, r), r)
                tint.check(written(lambda at, v=chosen: v, [u32] * 3 + [bool_], False))


# --- values on the device -------------------------------------------------------------------------

RNG = np.random.default_rng(7)


def floats(lo: float, hi: float, dtype: type = np.float32) -> np.ndarray:
    return RNG.uniform(lo, hi, N).astype(dtype)


UNARY_OPS = {
    "neg": ((-9, 9), 0),
    "abs": ((-9, 9), 0),
    "floor": ((-9, 9), 0),
    "sign": ((-9, 9), 0),
    "exp": ((-20, 20), 3e-6),
    "log": ((0.01, 90), 2e-6),
    "sin": ((-6, 6), 3e-6),
    "cos": ((-6, 6), 3e-6),
    "tanh": ((-60, 60), 1e-6),
    "logistic": ((-120, 120), 3e-6),
    "sqrt": ((0, 90), 1e-6),
    "rsqrt": ((0.01, 90), 1e-6),
}


@on_device
@pytest.mark.parametrize("name", UNARY_OPS)
def test_unary_ops(name: str) -> None:
    (lo, hi), rtol = UNARY_OPS[name]
    check(lambda at: E.op(name, x0(at)), [floats(lo, hi)], rtol=rtol, atol=rtol)


@on_device
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "max", "min", "rem"])
def test_binary_float_ops(name: str) -> None:
    inputs = [floats(-9, 9), floats(-5, 5)]
    check(lambda at: E.op(name, x0(at), E.load(1, at, f32)), inputs, rtol=1e-6, atol=2e-6)


@on_device
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name: str) -> None:
    for dtype in (np.float32, np.int32, np.uint32):
        kind = {"f": f32, "i": i32, "u": u32}[np.dtype(dtype).kind]
        inputs = [RNG.integers(0, 4, N).astype(dtype) for _ in range(2)]
        check(lambda at, k=kind: E.op(name, E.load(0, at, k), E.load(1, at, k)), inputs)


@on_device
def test_power() -> None:
    exponents = np.array([-3, -2, -1, 0, 1, 2, 3, 9], np.float32)[RNG.integers(0, 8, N)]
    bases = np.where(RNG.random(N) < 0.5, -1, 1) * floats(0.3, 3)
    power = lambda at: E.op("pow", x0(at), E.load(1, at, f32))  # noqa: E731
    check(power, [bases.astype(np.float32), exponents], rtol=2e-5)
    check(power, [floats(0.1, 5), floats(-4, 4)], rtol=2e-5)
    for n in (-2.0, -0.5, 0.5, 1.5, 2.0, 3.0, 8.0, 9.0, 10.0, 0.0):
        base = floats(0.3, 3) if n % 1 else bases.astype(np.float32)
        check(lambda at, n=n: E.op("pow", x0(at), n), [base], rtol=1e-5)


@on_device
def test_isfinite_by_bits() -> None:
    values = floats(-1, 1)
    values[:6] = [np.inf, -np.inf, np.nan, 0.0, 3.4e38, 1e-40]
    check(lambda at: E.op("isfinite", x0(at)), [values])


@on_device
def test_select_fma_and_logic() -> None:
    a, b, c = floats(-3, 3), floats(-3, 3), floats(-3, 3)
    p, q = RNG.random(N) < 0.5, RNG.random(N) < 0.5

    def load(n: int, at: E.Expr, dtype: DType = f32) -> E.Expr:
        return E.load(n, at, dtype)

    check(lambda at: E.op("fma", *(load(n, at) for n in range(3))), [a, b, c], 1e-5, 1e-6)
    check(lambda at: E.select(load(0, at, bool_), load(1, at), load(2, at)), [p, a, b])
    for name in ("and_", "or_", "xor_", "eq", "ne"):
        check(lambda at, n=name: E.op(n, load(0, at, bool_), load(1, at, bool_)), [p, q])
    check(lambda at: E.not_(load(0, at, bool_)), [p])
    check(lambda at: E.select(load(0, at, bool_), load(1, at, bool_), E.lt(at, 99)), [p, q])


INTEGER_OPS = ("add", "sub", "mul", "div", "rem", "min", "max", "and_", "or_", "xor_")


@on_device
@pytest.mark.parametrize("name", INTEGER_OPS)
def test_integer_ops(name: str) -> None:
    """Including division by zero, the most negative integer and wrap-around."""
    for dtype, kind in ((np.int32, i32), (np.uint32, u32)):
        info = np.iinfo(dtype)
        a, b = (RNG.integers(-20 if kind is i32 else 0, 20, N).astype(dtype) for _ in range(2))
        a[:4], b[:4] = [info.min, info.max, info.min, 7], [1, info.max, 0, 0]
        if kind is i32:
            a[4], b[4] = info.min, -1
        check(lambda at, k=kind: E.op(name, E.load(0, at, k), E.load(1, at, k)), [a, b])


@on_device
def test_integer_unary_ops_shifts_and_power() -> None:
    signed = RNG.integers(-40, 40, N).astype(np.int32)
    signed[:2] = [-(2**31), 2**31 - 1]
    amounts = RNG.integers(0, 31, N).astype(np.uint32)
    bits = RNG.integers(0, 2**32, N, dtype=np.uint32)
    for name in ("neg", "abs", "sign", "not_"):
        check(lambda at, n=name: E.op(n, E.load(0, at, i32)), [signed])
    for name in ("neg", "not_"):
        check(lambda at, n=name: E.op(n, E.load(0, at, u32)), [bits])
    for name in ("shl", "shr"):
        check(lambda at, n=name: E.op(n, E.load(0, at, u32), E.load(1, at, u32)), [bits, amounts])
        check(lambda at, n=name: E.op(n, E.load(0, at, u32), E.index(13)), [bits])
    small = E.const(7, u32)
    check(
        lambda at: E.op("pow", E.load(0, at, u32), E.and_(E.load(1, at, u32), small)),
        [bits, amounts],
    )
    check(lambda at: E.op("pow", E.load(0, at, i32), E.const(5, i32)), [signed])


@on_device
def test_conversions() -> None:
    values = floats(-300, 300)
    signed, small = RNG.integers(-99, 99, N).astype(np.int32), RNG.integers(0, 2, N).astype(bool)
    for target in (i32, bool_):
        check(lambda at, t=target: E.cast(x0(at), t), [values])
    check(lambda at: E.cast(x0(at), u32), [np.abs(values)])
    for target in (f32, u32, bool_):
        check(lambda at, t=target: E.cast(E.load(0, at, i32), t), [signed])
    for target in (f32, u32, i32):
        check(lambda at, t=target: E.cast(E.load(0, at, bool_), t), [small])
    check(lambda at: E.op("bitcast", x0(at), dtype=u32), [values])
    check(lambda at: E.op("bitcast", E.load(0, at, i32), dtype=f32), [values.view(np.int32)])
    check(lambda at: E.cast(at, f32), [values])


@on_device
def test_f16() -> None:
    if not device().profile.f16:
        pytest.skip("the adapter has no shader-f16")
    a, b = floats(-3, 3, np.float16), floats(0.5, 3, np.float16)
    a[:2] = [np.inf, 3]

    def both(name: str) -> Build:
        return lambda at: E.op(name, E.load(0, at, f16), E.load(1, at, f16))

    for name in ("add", "mul", "max", "lt"):
        check(both(name), [np.clip(a, -3, 3), b], rtol=1e-3, atol=1e-3)
    for name in ("exp", "tanh", "logistic", "sqrt"):
        check(lambda at, n=name: E.op(n, E.load(0, at, f16)), [b], rtol=4e-3)
    check(lambda at: E.op("isfinite", E.load(0, at, f16)), [a])
    check(lambda at: E.op("mul", E.cast(E.load(0, at, f16), f32), 1.0009765625), [b], rtol=1e-6)
    check(lambda at: E.cast(x0(at), f16), [floats(-3, 3)], rtol=1e-3)


# --- random kernels -------------------------------------------------------------------------------


def random_value(rng: random.Random, at: E.Expr, depth: int, kind: DType) -> E.Expr:
    """A value whose ops are exact in every dtype, so that device and numpy agree to the bit."""
    if depth == 0 or rng.random() < 0.1:
        return random_leaf(rng, at, kind)

    def sub(dtype: DType = kind) -> E.Expr:
        return random_value(rng, at, depth - 1, dtype)

    if kind is bool_:
        if rng.random() < 0.5:
            operand = rng.choice((f32, i32, u32))
            return E.op(
                rng.choice(("lt", "le", "eq", "ne", "gt", "ge")), sub(operand), sub(operand)
            )
        name = rng.choice(("and_", "or_", "xor_", "not_", "select"))
        return E.op(name, *(sub() for _ in range({"not_": 1, "select": 3}.get(name, 2))))
    choice = rng.random()
    if choice < 0.2:
        return E.select(sub(bool_), sub(), sub())
    if choice < 0.3:
        other = rng.choice((bool_, i32, u32)) if kind is not f32 else bool_
        return E.cast(sub(other), kind)
    if kind is f32:
        name = rng.choice(("add", "sub", "max", "min", "abs", "neg", "sign"))
    else:
        name = rng.choice(("add", "sub", "mul", "max", "min", "div", "rem", "and_", "or_", "xor_"))
    return E.op(name, *(sub() for _ in range(1 if name in ("abs", "neg", "sign") else 2)))


def random_leaf(rng: random.Random, at: E.Expr, kind: DType) -> E.Expr:
    if rng.random() < 0.15:
        return E.const(rng.randint(0, 5), kind)
    if rng.random() < 0.15:
        return E.cast(at, kind) if kind is not bool_ else E.lt(E.mod(at, 7), rng.randint(1, 6))
    size = rng.choice((1, 3, 4, 16, 64))
    where = [
        at,
        E.mod(at, size),
        E.floordiv(at, size),
        E.mod(E.add(at, rng.randint(1, 5)), N),
        E.add(E.mul(E.mod(at, 16), 16), E.floordiv(at, 16)),
        E.minimum(E.load(2, at, u32), N - 1),
    ]
    return E.load({f32: 0, i32: 1, u32: 2, bool_: 3}[kind], rng.choice(where), kind)


def random_inputs(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-8, 8, N).astype(np.float32),
        rng.integers(-9, 9, N).astype(np.int32),
        rng.integers(0, 300, N).astype(np.uint32),
        rng.random(N) < 0.5,
    ]


@on_device
@pytest.mark.parametrize("seed", range(24))
def test_random_kernels(seed: int) -> None:
    kind = (f32, i32, u32, bool_)[seed % 4]
    inputs, dtypes = random_inputs(seed), [f32, i32, u32, bool_, kind]

    def build(at: E.Expr) -> E.Expr:
        return random_value(random.Random(seed), at, 5, kind)

    rng = random.Random(seed)
    want = expected(build, inputs)
    for lanes in (False, True):
        for vec in ([1] * 5, [rng.choice((1, 4)) for _ in range(5)]):
            wgsl = written(build, dtypes, lanes, vec)
            tint.check(wgsl)
            np.testing.assert_array_equal(run(wgsl, inputs, kind, lanes), want, err_msg=wgsl)
