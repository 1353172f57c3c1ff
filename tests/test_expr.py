"""Expressions: the simplifier against brute force, canonical forms, queries and substitution."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest

from codegen import expr as E
from codegen.evaluate import BINARY, UNARY
from ir.dtypes import bool_, f16, f32, i32, u32

SYMS = {"x": (0, 5), "y": (0, 7), "z": (2, 4), "lane": (0, 3)}
GRID = dict(
    zip(
        SYMS,
        np.meshgrid(*[np.arange(lo, hi + 1) for lo, hi in SYMS.values()], indexing="ij"),
        strict=True,
    )
)
CONSTANTS = (0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 31, 96)


def sym(name: str) -> E.Expr:
    return E.sym(name, *SYMS[name])


# --- random index expressions, simplified and not -------------------------------------------------


def combine(rng: random.Random, name: str, a, b):
    """(simplified node, values by plain arithmetic modulo 2**32) of one random op."""
    (x, u), (y, v) = a, b
    match name:
        case "add":
            return E.add(x, y), (u + v) % 2**32
        case "sub":
            return E.sub(x, y), (u - v) % 2**32
        case "mul":
            return E.mul(x, y), (u * v) % 2**32
        case "div" | "mod":
            c = rng.choice(CONSTANTS[1:])
            return (E.floordiv(x, c), u // c) if name == "div" else (E.mod(x, c), u % c)
        case "min":
            return E.minimum(x, y), np.minimum(u, v)
        case "max":
            return E.maximum(x, y), np.maximum(u, v)
        case "select":
            relation = rng.choice(("lt", "ge", "gt", "le", "eq", "ne"))
            bound = rng.choice(CONSTANTS) if rng.random() < 0.7 else None
            other, w = (E.index(bound), bound) if bound is not None else (y, v)
            cond = E.op(relation, x, other)
            return E.select(cond, x, y), np.where(BINARY[relation](u, w), u, v)
    raise AssertionError(name)


OPS = ("add",) * 4 + ("mul",) * 2 + ("div",) * 3 + ("mod",) * 3 + ("sub", "min", "max", "select")


def random_index(rng: random.Random, size: int):
    """A random index expression as (node, exhaustive values)."""
    if size <= 1:
        if rng.random() < 0.25:
            c = rng.choice(CONSTANTS)
            return E.index(c), np.full(GRID["x"].shape, c)
        name = rng.choice(tuple(SYMS))
        return sym(name), GRID[name]
    left = rng.randint(1, size - 1)
    a, b = random_index(rng, left), random_index(rng, size - left)
    name = rng.choice(OPS)
    if name == "mul" and rng.random() < 0.8:  # products by constants are the common case
        c = rng.choice(CONSTANTS)
        b = E.index(c), np.full(GRID["x"].shape, c)
    return combine(rng, name, a, b)


@pytest.mark.parametrize("seed", range(8))
def test_random_index_expressions_equal_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(250):
        x, values = random_index(rng, rng.randint(2, 9))
        got = E.evaluate(x, GRID, [])
        np.testing.assert_array_equal(got, values, err_msg=repr(x))
        assert x.lo <= values.min() and values.max() <= x.hi, x
        check_queries(rng, x, values)


def check_queries(rng: random.Random, x: E.Expr, values: np.ndarray) -> None:
    lane, axis = sym("lane"), list(SYMS).index("lane")
    step = E.stride(x, lane)
    if step is not None:
        assert np.all((np.diff(values, axis=axis) - step) % 2**32 == 0), x
    n = rng.choice((2, 3, 4, 8))
    if E.divisible(x, n):
        assert np.all(values % n == 0), (x, n)
    fixed = E.substitute(x, {lane: E.index(2)})
    np.testing.assert_array_equal(
        E.evaluate(fixed, GRID, []) + 0 * GRID["x"], np.take(values, [2], axis) + 0 * values
    )


@pytest.mark.parametrize("seed", range(4))
def test_substituting_expressions_commutes_with_evaluation(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        outer, _ = random_index(rng, 7)
        inner, values = random_index(rng, 4)
        if values.min() < SYMS["y"][0] or values.max() > SYMS["y"][1]:
            inner, values = E.mod(inner, 8), values % 8
        got = E.evaluate(E.substitute(outer, {sym("y"): inner}), GRID, [])
        want = E.evaluate(outer, {**GRID, "y": values}, [])
        np.testing.assert_array_equal(got + 0 * values, want + 0 * values, err_msg=repr(outer))


def test_comparisons_exhaustively() -> None:
    x, y = sym("x"), sym("y")
    for a, b, c, k in itertools.product((1, 3, 4), (0, 1, 2, 4), (0, 1, 7), (0, 1, 4, 9, 12, 40)):
        left = E.add(E.add(E.mul(x, a), E.mul(y, b)), c)
        values = a * GRID["x"] + b * GRID["y"] + c
        for name in ("lt", "le", "gt", "ge", "eq", "ne"):
            for form, want in (
                (E.op(name, left, E.index(k)), BINARY[name](values, k)),
                (E.op(name, E.index(k), left), BINARY[name](k, values)),
                (E.op(name, left, E.mul(y, b)), BINARY[name](values, b * GRID["y"])),
            ):
                got = E.evaluate(form, GRID, []) | np.zeros(values.shape, bool)
                np.testing.assert_array_equal(got, want, err_msg=f"{name} {form}")


# --- canonical forms ------------------------------------------------------------------------------


def unflatten(x: E.Expr, shape: tuple[int, ...]) -> list[E.Expr]:
    parts = []
    for n in reversed(shape):
        parts.append(E.mod(x, n))
        x = E.floordiv(x, n)
    return parts[::-1]


def flatten(parts: list[E.Expr], shape: tuple[int, ...]) -> E.Expr:
    total = E.index(0)
    for part, n in zip(parts, shape, strict=True):
        total = E.add(E.mul(total, n), part)
    return total


SHAPES = [(8, 128, 4, 32), (2, 3, 5, 7), (1, 6, 1, 4), (60,), (3, 20), (2, 2, 2, 2, 2, 2), (7, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_flatten_undoes_unflatten(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    x = E.sym("i", 0, size - 1)
    assert flatten(unflatten(x, shape), shape) is x
    if size % 4 == 0:  # and over the two halves of a vec4 index
        x = E.add(E.mul(E.sym("q", 0, size // 4 - 1), 4), sym("lane"))
        assert flatten(unflatten(x, shape), shape) is x


def test_chains_of_reshapes_vanish() -> None:
    x = E.sym("i", 0, 2**17 - 1)
    for shape in [(8, 128, 4, 32), (1024, 128), (2**17,), (8, 4096, 4), (16, 64, 128), (32, 4096)]:
        x = flatten(unflatten(x, shape), shape)
    assert x is E.sym("i", 0, 2**17 - 1)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_transpose_and_back_vanishes(order: tuple[int, ...]) -> None:
    shape = (4, 6, 10)
    x = E.sym("i", 0, 239)
    turned = tuple(shape[axis] for axis in order)
    inner = unflatten(flatten([unflatten(x, shape)[a] for a in order], turned), turned)
    back = [inner[order.index(axis)] for axis in range(3)]
    assert flatten(back, shape) is x


def test_named_rules() -> None:
    x, y = E.sym("x", 0, 10**6), E.sym("y", 0, 10**6)
    lane = sym("lane")
    add, mul, div, mod = E.add, E.mul, E.floordiv, E.mod
    cases = [
        (add(mul(div(x, 7), 7), mod(x, 7)), x),
        (div(add(mul(x, 4), lane), 4), x),
        (mod(add(mul(x, 4), lane), 4), lane),
        (div(add(mul(x, 12), y), 4), add(mul(x, 3), div(y, 4))),
        (mod(add(mul(x, 12), y), 4), mod(y, 4)),
        (div(div(x, 5), 6), div(x, 30)),
        (mod(mod(x, 30), 6), mod(x, 6)),
        (add(mul(div(mod(x, 30), 6), 6), mod(x, 6)), mod(x, 30)),
        (add(mul(mod(div(x, 6), 5), 6), mod(x, 6)), mod(x, 30)),
        (E.sub(x, mul(div(x, 9), 9)), mod(x, 9)),
        (div(add(add(mul(x, 8), mul(lane, 2)), 1), 16), div(x, 2)),
        (add(x, y), add(y, x)),
        (E.sub(add(x, y), y), x),
        (mul(add(x, 3), 5), add(mul(x, 5), 15)),
        (E.sub(add(x, 3), 3), x),
        (E.lt(add(mul(x, 4), lane), 1000), E.lt(x, 250)),
        (E.ge(add(mul(x, 4), lane), 1000), E.ge(x, 250)),
        (E.lt(x, 10**6 + 1), E.const(True, bool_)),
        (E.lt(x, add(x, 1)), E.const(True, bool_)),
        (E.minimum(x, 10**7), x),
        (E.minimum(x, add(x, y)), x),
        (E.not_(E.lt(x, 5)), E.ge(x, 5)),
        (E.select(E.lt(lane, 4), x, y), x),
    ]
    for got, want in cases:
        assert got is want, f"{got} is not {want}"


def test_order_of_terms_does_not_depend_on_history() -> None:
    def built(names: str) -> str:
        E.clear()
        for name in names:
            E.sym(name, 0, 9)
        a, b, c = (E.sym(n, 0, 9) for n in "abc")
        return repr(E.add(E.add(E.mod(c, 3), b), E.add(E.mod(a, 3), a)))

    assert built("abc") == built("cba")


def test_wrapping_arithmetic_is_not_divided() -> None:
    x = E.sym("x", 0, 7)
    wrapped = E.sub(x, 3)
    assert (wrapped.lo, wrapped.hi) == (0, 2**32 - 1)
    values = (np.arange(8) - 3) % 2**32
    env = {"x": np.arange(8)}
    for c in (2, 3, 4):
        np.testing.assert_array_equal(E.evaluate(E.floordiv(wrapped, c), env, []), values // c)
        np.testing.assert_array_equal(E.evaluate(E.mod(wrapped, c), env, []), values % c)
    assert E.add(wrapped, 3) is x
    hashed = E.add(E.mul(E.sym("s", 0, 2**32 - 1), 2654435761), 2**31)
    got = E.evaluate(E.floordiv(E.mul(hashed, 6), 3), {"s": np.array([12345, 2**32 - 1])}, [])
    want = [((s * 2654435761 + 2**31) * 6 % 2**32) // 3 for s in (12345, 2**32 - 1)]
    np.testing.assert_array_equal(got, want)


def test_division_of_what_may_be_negative_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        E.floordiv(E.sym("k", -4, 4, i32), 2)


def test_empty_and_unit_axes_fold_to_constants() -> None:
    x, unit = sym("x"), E.sym("b", 0, 0)
    assert E.floordiv(x, 0) is E.mod(x, 0) is E.index(0)
    assert E.add(E.mul(unit, 14), x) is x
    assert E.load(0, unit, f32) is E.load(0, 0, f32)
    assert flatten(unflatten(x, (0, 4)), (0, 4)).hi < 4


# --- elementwise ops ------------------------------------------------------------------------------


def test_float_folding_is_conservative() -> None:
    x, y = E.load(0, sym("x"), f32), E.load(1, sym("x"), f32)
    assert E.op("mul", x, 1.0) is x
    assert E.op("add", 0.0, x) is x
    assert E.op("div", x, 1.0) is x
    assert E.op("neg", E.op("neg", x)) is x
    assert E.op("add", x, E.op("neg", y)) is E.op("sub", x, y)
    assert E.cast(x, f32) is x
    assert E.select(E.const(True, bool_), x, y) is x
    assert E.op("add", E.const(1.5, f32), 2.0) is E.const(3.5, f32)
    assert E.op("mul", x, 0.0).op == "mul"
    assert E.op("sub", x, x).op == "sub"
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        assert E.op(name, x, x).op == name
        assert E.op(name, E.const(1.0, f32), 2.0).op == name
    assert E.not_(E.op("lt", x, y)).op == "not_"
    assert E.const(0.0, f32) is not E.const(-0.0, f32)
    assert E.op("exp", E.const(1000.0, f32)) is E.const(np.inf, f32)


def test_operands_are_checked() -> None:
    x = E.load(0, sym("x"), f32)
    with pytest.raises(TypeError, match="one dtype"):
        E.op("add", x, E.load(1, sym("x"), f16))
    with pytest.raises(TypeError, match="takes 2 operands, got 1"):
        E.op("add", x)
    with pytest.raises(TypeError, match="unknown"):
        E.op("sinh", x)
    with pytest.raises(TypeError, match="equal size"):
        E.op("bitcast", x, dtype=f16)
    with pytest.raises(ValueError, match="exponent >= 0"):
        E.op("pow", E.sym("k", -3, 3, i32), E.const(-1, i32))


INTS = (-(2**31), -7, -3, -1, 0, 1, 2, 3, 9, 2**31 - 1)


def between(lo: int, hi: int) -> np.ndarray:
    return np.array([n for n in INTS if lo <= n <= hi], np.int32)


def broadcast(x: E.Expr, env: dict, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(E.evaluate(x, env, []), shape)


@pytest.mark.parametrize("name", sorted(set(BINARY) - {"shl", "shr", "pow"}))
def test_integer_ops_agree_with_their_meaning(name: str) -> None:
    """Through symbols of every range, so that each shortcut taken from a range is checked."""
    for (lo, hi), (lo2, hi2) in itertools.product(itertools.combinations(INTS, 2), repeat=2):
        a, b = E.sym("a", lo, hi, i32), E.sym("b", lo2, hi2, i32)
        u, v = between(lo, hi)[:, None], between(lo2, hi2)[None]
        x = E.op(name, a, b)
        with np.errstate(all="ignore"):
            want = BINARY[name](u.astype(np.int64), v.astype(np.int64))
        want = want if x.dtype is bool_ else wrap(want)
        got = broadcast(x, {"a": u, "b": v}, want.shape)
        np.testing.assert_array_equal(got, want, err_msg=f"{x} {lo}..{hi} {lo2}..{hi2}")
        if x.dtype is i32:
            assert x.lo <= got.min() and got.max() <= x.hi, x


def wrap(values: np.ndarray) -> np.ndarray:
    return (np.asarray(values).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


@pytest.mark.parametrize("name", ["neg", "abs", "sign", "not_"])
def test_integer_unary_ops(name: str) -> None:
    for lo, hi in itertools.combinations_with_replacement(INTS, 2):
        u = between(lo, hi)
        x = E.op(name, E.sym("a", lo, hi, i32))
        got = broadcast(x, {"a": u}, u.shape)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(got, UNARY[name](u))
        assert x.lo <= got.min() and got.max() <= x.hi, x


def test_integer_power_and_shifts() -> None:
    x, n = E.sym("x", 0, 2**32 - 1), E.sym("n", 0, 31)
    u, v = np.array([[0], [1], [2], [3], [7], [2**31 + 5]]), np.arange(32)[None]
    env = {"x": u, "n": v}
    want = np.array([[pow(int(a), int(b), 2**32) for b in v[0]] for a in u[:, 0]])
    np.testing.assert_array_equal(E.evaluate(E.op("pow", x, n), env, []), want)
    for k in (0, 1, 2, 5, 13):
        got = broadcast(E.op("pow", x, E.index(k)), env, u.shape)
        np.testing.assert_array_equal(got[:, 0], want[:, k])
        got = broadcast(E.op("shl", x, E.index(k)), env, u.shape)
        np.testing.assert_array_equal(got, (u << k) % 2**32)
        got = broadcast(E.op("shr", x, E.index(k)), env, u.shape)
        np.testing.assert_array_equal(got, u >> k)


def test_logic_identities() -> None:
    p, q = E.load(0, sym("x"), bool_), E.load(1, sym("x"), bool_)
    true, false = E.const(True, bool_), E.const(False, bool_)
    assert E.and_(p, true) is p and E.and_(p, false) is false and E.and_(p, p) is p
    assert E.or_(p, false) is p and E.or_(true, p) is true
    assert E.xor_(p, p) is false and E.xor_(p, false) is p
    assert E.not_(E.not_(p)) is p and E.not_(false) is true
    assert E.select(E.not_(p), true, q) is E.select(p, q, true)
    x = sym("y")
    assert E.and_(x, E.index(2**32 - 1)) is x and E.or_(x, E.index(0)) is x
    for name in ("and_", "or_", "xor_"):
        y = E.op(name, x, E.sym("z", 2, 4))
        values = E.evaluate(y, GRID, [])
        assert y.lo <= values.min() and values.max() <= y.hi


def test_casts_keep_ranges_and_bits() -> None:
    k = E.sym("k", -5, 7, i32)
    assert E.cast(E.cast(k, u32), i32) is k
    safe = E.cast(E.op("max", k, E.const(0, i32)), u32)
    assert (safe.lo, safe.hi) == (0, 7)
    assert E.cast(E.const(-1, i32), u32) is E.index(2**32 - 1)
    assert E.cast(E.const(-2.75, f32), i32) is E.const(-2, i32)
    assert E.cast(E.const(True, bool_), f32) is E.const(1.0, f32)
    assert E.cast(E.sym("n", 1, 3), bool_) is E.const(True, bool_)
    p = E.load(0, sym("x"), bool_)
    assert (E.cast(p, u32).lo, E.cast(p, u32).hi) == (0, 1)


def test_queries() -> None:
    x, y, lane = sym("x"), sym("y"), sym("lane")
    at = E.add(E.add(E.mul(x, 8), E.mul(lane, 1)), E.mul(E.floordiv(y, 2), 4))
    assert E.stride(at, lane) == 1 and E.stride(at, x) == 8 and E.stride(at, y) is None
    assert E.stride(at, E.sym("other", 0, 9)) == 0
    assert E.divisible(E.substitute(at, {lane: E.index(0)}), 4)
    assert not E.divisible(at, 4)
    assert E.depends(at, y) and not E.depends(at, E.sym("other", 0, 9))
    taken = E.load(0, E.minimum(E.load(1, at, u32), 9), f32)
    assert [x.value for x in E.loads(E.op("add", taken, taken))] == [1, 0]
    order = list(E.walk(taken))
    assert len(order) == len(set(order))
    assert all(order.index(a) < order.index(n) for n in order for a in n.args)


def test_inside_clamps_without_hiding_strides() -> None:
    q, lane = E.sym("q", 0, 7), sym("lane")
    at = E.add(E.mul(q, 4), lane)
    env = {"q": np.arange(8)[:, None], "lane": np.arange(4)[None]}
    flat = 4 * env["q"] + env["lane"]
    for shift, n in itertools.product((0, 1, 4, 7, 12, 16), (1, 3, 4, 7, 8, 12, 16, 32, 40)):
        x = E.inside(E.sub(at, shift), n)
        got = np.broadcast_to(E.evaluate(x, env, []), flat.shape)
        wanted = (flat - shift >= 0) & (flat - shift < n)
        np.testing.assert_array_equal(got[wanted], (flat - shift)[wanted])
        assert got.max() < n and x.hi < n
        if shift % 4 == 0 and n % 4 == 0:
            assert E.stride(x, lane) == 1
            assert E.divisible(E.substitute(x, {lane: E.index(0)}), 4)


def test_deep_graphs_do_not_recurse() -> None:
    x = v = E.load(0, sym("x"), f32)
    for _ in range(5000):
        v = E.op("sin", v)
    assert sum(1 for _ in E.walk(v)) > 5000
    assert E.substitute(v, {x: E.load(1, sym("x"), f32)}) is not v
    assert E.evaluate(v, {"x": 0}, [np.ones(1, np.float32)]) < 0.1


def test_construction_is_fast() -> None:
    """Tens of thousands of nodes belong to one model; the bound is loose for a shared machine."""
    E.clear()
    count, start = 0, time.process_time()
    for n in range(300):
        parts = unflatten(E.sym(f"i{n}", 0, 2**17 - 1), (8, 128, 4, 32))
        at = flatten([parts[0], parts[2], parts[1], parts[3]], (8, 4, 128, 32))
        v = E.load(0, at, f32)
        for k in range(20):
            v = E.op("add", E.op("mul", v, E.const(k + 0.5, f32)), E.load(k, at, f32))
        count += sum(1 for _ in E.walk(v))
    assert (time.process_time() - start) / count < 25e-6


# --- sums of data ---------------------------------------------------------------------------------


def test_sums_of_data_that_may_wrap_keep_their_operands():
    x, y, z = (E.load(n, 0, u32) for n in range(3))
    shared = E.op("add", x, y)
    for name in ("add", "sub"):
        total = E.op(name, z, E.op("xor", shared, z))
        assert (total.op, total.args[0]) == (name, z)
        assert E.op(name, shared, z).args == (shared, z)
    assert E.op("sub", E.op("add", shared, 3), 3) is shared  # constants still fold


def test_sums_that_cannot_wrap_are_flattened():
    x, y = sym("x"), sym("y")
    assert E.op("sub", E.op("add", x, y), y) is x
    assert E.op("add", E.op("mul", x, 8), y).op == "linear"


@pytest.mark.parametrize("name", ["add", "sub"])
def test_sums_of_data_are_what_they_were(name):
    rng = np.random.default_rng(0)
    buffers = [rng.integers(0, 2**32, 5).astype(np.uint32) for _ in range(3)]
    x, y, z = (E.load(n, E.sym("at", 0, 4), u32) for n in range(3))
    found = E.evaluate(E.op(name, E.op("add", x, y), z), {"at": np.arange(5)}, buffers)
    a, b, c = buffers
    np.testing.assert_array_equal(found, a + b + c if name == "add" else a + b - c)
