"""Sample calls of every registered primitive.

Invariant: samples are a pure function of (primitive, seed). A primitive that is registered without
an entry in `SAMPLES` fails the completeness test; an elementwise one gets its samples by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np

import ir
from ir import PRIMITIVES, Aval, DType, bf16, bool_, f16, f32, i32, u32
from ir.prims.contract import parse
from ir.prims.elementwise import Compare, Elementwise

from .oracle.domains import (
    Domain,
    Rng,
    Sample,
    Shape,
    ascending,
    distinct,
    exponent,
    mixed,
    nonzero,
    pick,
    plain,
    positive,
    shapes,
    special,
    tame,
    within,
)

# --- elementwise ----------------------------------------------------------------------------------

_DOMAINS: dict[str, tuple[Domain, ...]] = {
    "log": (positive,),
    "sqrt": (positive,),
    "rsqrt": (positive,),
    "pow": (positive, exponent),
    "div": (plain, nonzero),
    "rem": (plain, nonzero),
    "isfinite": (special,),
    "exp": (tame,),
    "logistic": (tame,),
    "tanh": (tame,),
}
_CLASSES = {"float": (f32, f16, bf16), "number": (f32, f16, bf16, i32, u32)}
_CLASSES |= {"bool or integer": (bool_, i32, u32), "any": (f32, f16, bf16, i32, u32, bool_)}


def _elementwise(prim: Elementwise) -> Callable[[Rng], Iterator[Sample]]:
    def make(rng: Rng) -> Iterator[Sample]:
        accepted = _CLASSES[prim.accepts]
        domains = _DOMAINS.get(prim.name, (plain,) * prim.arity)
        for shape in shapes(rng):
            yield Sample(prim.name, (Aval(shape, accepted[0]),) * prim.arity, {}, domains)
        for dtype in accepted[1:]:
            for shape in ((), (5, 3)):
                yield Sample(prim.name, (Aval(shape, dtype),) * prim.arity, {}, domains)

    return make


def _shift(name: str) -> Callable[[Rng], Iterator[Sample]]:
    def make(rng: Rng) -> Iterator[Sample]:
        for shape in shapes(rng):
            yield Sample(name, (Aval(shape, u32),) * 2, {}, (plain, within(0, 32)))

    return make


def _compare(prim: Compare) -> Callable[[Rng], Iterator[Sample]]:
    """Comparisons need operands that are often equal."""

    def make(rng: Rng) -> Iterator[Sample]:
        few = (within(0, 3), within(0, 3))
        accepted = _CLASSES[prim.accepts]
        for shape in shapes(rng):
            yield Sample(prim.name, (Aval(shape, f32),) * 2, {}, few)
        for dtype in accepted:
            yield Sample(prim.name, (Aval((5, 3), dtype),) * 2, {}, few)
            yield Sample(prim.name, (Aval((37,), dtype),) * 2)

    return make


def _select(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        yield Sample("select", (Aval(aval.shape, bool_), aval, aval))


def _cast(rng: Rng) -> Iterator[Sample]:
    kinds = (f32, f16, bf16, i32, u32, bool_)
    for k, shape in enumerate(shapes(rng)):
        yield Sample("cast", (Aval(shape, kinds[k % 2]),), {"dtype": kinds[1 - k % 2]})
    for source in kinds:
        for target in kinds:
            domain = positive if target is u32 and source.is_float else tame
            yield Sample("cast", (Aval((5, 3), source),), {"dtype": target}, (domain,))
    yield Sample("cast", (Aval((9,), i32),), {"dtype": u32})
    yield Sample("cast", (Aval((9,), u32),), {"dtype": i32})


def _bitcast(rng: Rng) -> Iterator[Sample]:
    for k, shape in enumerate(shapes(rng)):
        source, target = (f32, i32, u32)[k % 3], (u32, f32, i32)[k % 3]
        # Only bits of ordinary numbers: devices may flush denormals and rewrite NaN payloads.
        bits = within(0x3F000000, 0x40000000) if target is f32 else plain
        yield Sample("bitcast", (Aval(shape, source),), {"dtype": target}, (bits,))


# --- views ----------------------------------------------------------------------------------------


def _broadcast(rng: Rng) -> Iterator[Sample]:
    fixed = [((), (3, 4), ()), ((), (0,), ()), ((1,), (0,), (0,)), ((3, 1), (3, 4), (0, 1))]
    fixed += [((5,), (2, 5, 3), (1,)), ((1, 1), (7, 1), (0, 1)), ((0, 1), (0, 3), (0, 1))]
    for inner, outer, dims in fixed:
        yield Sample("broadcast", (Aval(inner, f32),), {"shape": outer, "dims": dims})
    for aval in mixed(rng):
        outer, dims = [], []
        for n in aval.shape:
            outer += [int(rng.integers(1, 4))] * int(rng.integers(2))
            dims.append(len(outer))
            outer.append(int(rng.integers(1, 4)) if n == 1 else n)
        yield Sample("broadcast", (aval,), {"shape": tuple(outer), "dims": tuple(dims)})


def _reshape(rng: Rng) -> Iterator[Sample]:
    pairs = [((2, 6), (3, 4)), ((0, 3), (0,)), ((1,), ()), ((), (1, 1)), ((5,), (5, 1))]
    pairs += [((4, 3, 5), (12, 5)), ((8, 9), (6, 12)), ((3, 1, 7), (21,)), ((35,), (5, 7))]
    for inner, outer in pairs:
        dtype = pick(rng, (f32, f32, i32, bool_))
        yield Sample("reshape", (Aval(inner, dtype),), {"shape": outer})


def _transpose(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        perm = tuple(int(p) for p in rng.permutation(aval.ndim))
        yield Sample("transpose", (aval,), {"perm": perm})


def _slice(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        start = tuple(int(rng.integers(0, n + 1)) for n in aval.shape)
        limit = tuple(int(rng.integers(lo, n + 1)) for lo, n in zip(start, aval.shape, strict=True))
        stride = tuple(int(rng.integers(1, 4)) for _ in aval.shape)
        yield Sample("slice", (aval,), {"start": start, "limit": limit, "stride": stride})
    whole = {"start": (0, 1), "limit": (13, 8), "stride": (3, 2)}
    yield Sample("slice", (Aval((13, 8), f32),), whole)


def _pad(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        low, high, interior = (
            tuple(int(n) for n in rng.integers(0, 4, aval.ndim)) for _ in range(3)
        )
        value = {f32: 1.5, f16: 0.0, bool_: True}.get(aval.dtype, 3)
        widths = {"low": low, "high": high, "interior": interior, "value": value}
        yield Sample("pad", (aval,), widths)


def _concat(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng, least=1):
        axis = int(rng.integers(aval.ndim))
        sizes = [int(n) for n in rng.choice([0, 1, 2, 5], int(rng.integers(1, 4)))]
        parts = (Aval((*aval.shape[:axis], n, *aval.shape[axis + 1 :]), aval.dtype) for n in sizes)
        yield Sample("concat", tuple(parts), {"axis": axis})


def _rev(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        axes = tuple(d for d in range(aval.ndim) if rng.random() < 0.6)
        yield Sample("rev", (aval,), {"axes": axes})


def _slid(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        axes = tuple(d for d in range(aval.ndim) if rng.random() < 0.6)
        sizes, strides, dilations = (
            tuple(int(n) for n in rng.integers(1, 4, len(axes))) for _ in range(3)
        )
        params = {"sizes": sizes, "strides": strides, "dilations": dilations}
        yield Sample("windows", (aval,), {"axes": axes, **params})


def _iota(rng: Rng) -> Iterator[Sample]:
    for shape in shapes(rng, least=1):
        params = {"shape": shape, "dtype": pick(rng, (f32, i32, u32))}
        yield Sample("iota", (), {**params, "axis": int(rng.integers(len(shape)))})


# --- reductions, contractions, indexing -----------------------------------------------------------


def _reduce(name: str) -> Callable[[Rng], Iterator[Sample]]:
    def make(rng: Rng) -> Iterator[Sample]:
        for aval in mixed(rng, dtypes=(f32, f32, f32, i32, u32)):
            axes = tuple(d for d in range(aval.ndim) if rng.random() < 0.6)
            yield Sample(name, (aval,), {"axes": axes})
        for shape, axes in [((6, 37), (1,)), ((41, 6), (0,)), ((0, 5), (0,)), ((3, 4, 5), (0, 2))]:
            yield Sample(name, (Aval(shape, f32),), {"axes": axes})

    return make


CONVOLUTIONS = (
    ("nhwc,hwco->nhwo", "hw"),
    ("nchw,ochw->nohw", "hw"),
    ("nch,och->noh", "h"),
    ("gnch,goch->ngoh", "h"),
    ("h,h->h", "h"),
    ("whnc,ohcw->hown", "wh"),
)


def _conv(rng: Rng) -> Iterator[Sample]:
    for k in range(18):
        spec, spatial = CONVOLUTIONS[k % len(CONVOLUTIONS)]
        a, b, _ = parse(spec)
        sizes = {c: int(rng.integers(1, 5)) for c in a + b}
        sizes |= {"n": 0} if k == 14 else {"c": 0} if k == 15 else {}
        inner = {c: int(rng.integers(1, 4)) for c in spatial}
        kind = i32 if k % 7 == 3 else f32
        x = Aval(tuple(sizes[c] + 3 * (c in spatial) for c in a), kind)
        w = Aval(tuple(inner.get(c, sizes[c]) for c in b), kind)
        lists = {
            name: tuple(int(n) for n in rng.integers(low, 3, len(spatial)))
            for name, low in {
                "strides": 1, "low": -1, "high": -1, "x_steps": 1, "w_steps": 1,
            }.items()
        }  # fmt: skip
        yield Sample("conv", (x, w), {"spec": spec, "spatial": spatial, **lists}, (tame, tame))


SPECS = (
    "ij,jk->ik",
    "ij,kj->ik",
    "ji,jk->ik",
    "bij,bjk->bik",
    "bsh,hi->bsi",
    "bsi,bsh->ih",
    "bskgd,btkd->bkgst",
    "bkgst,btkd->bskgd",
    "i,i->",
    "i,j->ji",
    "ij,ij->i",
    "ij,ij->ij",
    "ijk,kj->i",
    ",->",
)


def _dot(rng: Rng) -> Iterator[Sample]:
    for spec in (*SPECS, *SPECS[:4]):
        a, b = spec.split("->")[0].split(",")
        sizes = {c: int(rng.choice([1, 2, 3, 4, 5, 7, 8])) for c in sorted(set(a + b))}
        yield _dot_sample(spec, sizes, f32)
    yield _dot_sample("ij,jk->ik", {"i": 5, "j": 9, "k": 3}, f16)
    yield _dot_sample("ij,jk->ik", {"i": 33, "j": 70, "k": 18}, f32)
    for empty in "ijk":  # an empty contraction is 0, an empty result has no elements
        yield _dot_sample("ij,jk->ik", {"i": 4, "j": 5, "k": 3, empty: 0}, f32)


def _dot_sample(spec: str, sizes: dict[str, int], dtype: DType) -> Sample:
    a, b = spec.split("->")[0].split(",")
    avals = tuple(Aval(tuple(sizes[c] for c in letters), dtype) for letters in (a, b))
    return Sample("dot", avals, {"spec": spec})


def _take(rng: Rng) -> Iterator[Sample]:
    rows = [(5,), (4, 3), (7, 2, 3), (1, 4), (6, 0)]
    for k, ids in enumerate([(), (3,), (2, 3), (0,), (1, 1, 5), (9,)]):
        x = Aval(rows[k % 5], pick(rng, (f32, f32, i32)))
        near = within(0, x.shape[0]) if x.dtype is f32 else within(-3, x.shape[0] + 3)
        yield Sample("take", (x, Aval(ids, i32)), {}, (plain, near))
        yield Sample("take", (Aval((4, 3), i32), Aval(ids, u32)), {}, (plain, plain))
    yield Sample("take", (Aval((0, 3), f32), Aval((0,), u32)))
    yield Sample("take", (Aval((4, 3), bool_), Aval((5,), i32)), {}, (plain, within(0, 4)))
    ids = Aval((2, 3), i32)
    yield Sample("take", (Aval((2, 4, 3), f32), ids), {"batch": 1}, (plain, within(0, 4)))
    yield Sample("take", (Aval((2, 3, 4), f32), ids), {"batch": 2}, (plain, within(0, 4)))
    yield Sample("take", (Aval((2, 4), i32), ids), {"batch": 1}, (plain, within(-2, 6)))
    params = {"batch": 1, "unique": True}
    yield Sample("take", (Aval((1, 4), f32), Aval((1, 3), i32)), params, (plain, distinct(0, 4)))


def _scatter(rng: Rng) -> Iterator[Sample]:
    cases = [((), (3,), 4), ((5,), (), 3), ((2, 3), (4,), 5), ((0,), (3,), 2), ((7,), (1, 2), 1)]
    combines = ["add", "mul", "max", "min"]
    for n, (ids, rest, size) in enumerate([*cases, ((4,), (0,), 3), ((5,), (3,), 0)]):
        for dtype, kind in ((f32, i32), (pick(rng, (f32, i32, u32)), u32)):
            avals = Aval((size, *rest), dtype), Aval(ids, kind), Aval(ids + rest, dtype)
            for combine in ("add", combines[n % 4]):
                params = {"combine": combine}
                yield Sample("scatter", avals, params, (plain, within(-2, size + 2), plain))
    half = Aval((2, 3), f16), Aval((6,), i32), Aval((6, 3), f16)
    yield Sample("scatter", half, {"combine": "add"}, (plain, within(0, 2), plain))
    for combine in combines:
        avals = Aval((2, 3, 4), f32), Aval((2, 5), i32), Aval((2, 5, 4), f32)
        params = {"combine": combine, "batch": 1}
        yield Sample("scatter", avals, params, (plain, within(-1, 4), nonzero))
        params = {"combine": combine, "unique": True}
        avals = Aval((7, 2), f32), Aval((4,), i32), Aval((4, 2), f32)
        yield Sample("scatter", avals, params, (plain, distinct(-1, 8), plain))
        params = {"combine": combine, "sorted": True}
        yield Sample("scatter", avals, params, (plain, ascending(-1, 8), plain))


def _runs(rng: Rng) -> Iterator[Sample]:
    forms = [("add", (3,), f32), ("mul", (4,), f32), ("max", (), i32), ("min", (0,), f32)]
    for combine, rest, dtype in [*forms, ("add", (1,), f32)]:
        ends = Aval((5,), i32), Aval((5,), i32)
        avals = Aval((5, *rest), dtype), *ends, Aval((9, *rest), dtype)
        params = {"combine": combine, "longest": 9}
        yield Sample("runs", avals, params, (tame, within(0, 6), within(3, 10), tame))


def _sort(rng: Rng) -> Iterator[Sample]:
    for shape in ((7,), (1,), (0,), (3, 5), (2, 1), (2, 3, 4), (600,)):
        yield Sample("sort", (Aval(shape, i32),), {}, (within(-9, 9),))
    yield Sample("sort", (Aval((9,), i32),))


def _windows(rng: Rng) -> Iterator[tuple[Aval, Shape, tuple[Aval, ...], tuple[Domain, ...]]]:
    for aval in mixed(rng):
        sizes = tuple(int(rng.integers(min(n, 1), n + 1)) for n in aval.shape)
        kind = pick(rng, (i32, i32, u32))
        places = tuple(within(-2, n + 2) for n in aval.shape)
        yield aval, sizes, (Aval((), kind),) * aval.ndim, places
    yield Aval((4, 5), f32), (0, 3), (Aval((), i32),) * 2, (within(0, 3), within(0, 3))


def _dynamic_slice(rng: Rng) -> Iterator[Sample]:
    for aval, sizes, starts, places in _windows(rng):
        yield Sample("dynamic_slice", (aval, *starts), {"sizes": sizes}, (plain, *places))


def _dynamic_update(rng: Rng) -> Iterator[Sample]:
    for aval, sizes, starts, places in _windows(rng):
        avals = aval, Aval(sizes, aval.dtype), *starts
        yield Sample("dynamic_update", avals, {}, (plain, plain, *places))


# --- composites -----------------------------------------------------------------------------------


def _rows(rng: Rng) -> Iterator[Aval]:
    """Types with a last axis that has elements, as composites over rows need."""
    for shape in [(1,), (7,), (3, 5), (0, 4), (2, 1, 9), (2, 3, 32), (4, 1), *shapes(rng, 1)]:
        if shape[-1]:
            yield Aval(shape, f32)
    yield Aval((3, 6), f16)


def _softmax(rng: Rng) -> Iterator[Sample]:
    for aval in _rows(rng):
        yield Sample("softmax", (aval,), {}, (tame,))


def _norm(name: str, vectors: int) -> Callable[[Rng], Iterator[Sample]]:
    def make(rng: Rng) -> Iterator[Sample]:
        for k, aval in enumerate(_rows(rng)):
            eps = (1e-5, 1e-3)[k % 2]
            yield Sample(
                name, (aval, *(Aval(aval.shape[-1:], aval.dtype),) * vectors), {"eps": eps}
            )

    return make


def _rope(rng: Rng) -> Iterator[Sample]:
    for b, s, n, d in [(1, 1, 1, 2), (2, 3, 2, 4), (1, 5, 3, 10), (0, 3, 2, 4), (2, 0, 1, 6)]:
        table = Aval((s, d // 2), f32)
        yield Sample("rope", (Aval((b, s, n, d), f32), table, table))
    table = Aval((3, 2), f16)
    yield Sample("rope", (Aval((2, 3, 1, 4), f16), table, table))


def _cross_entropy(rng: Rng) -> Iterator[Sample]:
    for k, aval in enumerate(_rows(rng)):
        labels = Aval(aval.shape[:-1], (i32, u32)[k % 2])
        domains = tame, within(-1, aval.shape[-1] + 1)  # a label out of range has no target term
        yield Sample("cross_entropy", (aval, labels), {}, domains)


ATTENTION_CASES = (  # B, S, T, N, K, D, causal
    (1, 1, 1, 1, 1, 1, False),
    (2, 3, 3, 2, 2, 4, True),
    (1, 5, 7, 4, 2, 8, True),
    (2, 4, 4, 6, 2, 4, False),
    (1, 3, 5, 3, 1, 5, True),
    (1, 6, 4, 2, 1, 4, True),  # the first two queries see no key
    (0, 3, 3, 2, 1, 4, True),
    (1, 0, 3, 2, 1, 4, False),
    (1, 17, 17, 2, 1, 8, True),
)


def _attention(name: str) -> Callable[[Rng], Iterator[Sample]]:
    def make(rng: Rng) -> Iterator[Sample]:
        for b, s, t, n, k, d, causal in ATTENTION_CASES:
            q, kv, rows = ((b, s, n, d), (b, t, k, d), (b, n, s))
            shapes = (q, kv, kv) if name == "attention" else (q, kv, kv, q, rows, rows)
            avals = tuple(Aval(shape, f32) for shape in shapes)
            # A log-sum-exp lies above the scores: weights then stay near or below 1.
            domains = (plain,) * 4 + (positive, plain) if len(avals) == 6 else ()
            params = {"causal": causal, "scale": d**-0.5}
            yield Sample(name, avals, params, domains)
            if not (b == 2 or s == 17):
                continue
            ids = Aval((b, s), i32), Aval((b, t), i32)
            for ordered, numbers in ((False, within(0, 3)), (True, ascending(0, 4))):
                drawn = (*(domains or (plain,) * 3), numbers, numbers)
                yield Sample(name, (*avals, *ids), {**params, "ordered": ordered}, drawn)

    return make


def _cached_attention(rng: Rng) -> Iterator[Sample]:
    sizes = (1, 1, 1, 1, 4), (2, 9, 6, 2, 8), (1, 40, 3, 3, 5), (3, 12, 4, 1, 64), (0, 5, 2, 1, 4)
    for b, t, n, k, d in sizes:
        avals = (Aval((b, 1, n, d), f32), *(Aval((b, t, k, d), f32),) * 2)
        avals += (Aval((b,), i32), Aval((), i32))
        domains = plain, plain, plain, within(0, t), within(0, t + 1)
        for _ in range(2):
            yield Sample("cached_attention", avals, {"scale": d**-0.5}, domains)


def _with_cache(rng: Rng) -> Iterator[Sample]:
    for b, t, n, k, d in (1, 1, 1, 1, 4), (2, 9, 6, 2, 8), (1, 40, 3, 3, 5), (0, 5, 2, 1, 4):
        avals = Aval((b, 1, n, d), f32), *(Aval((b, 1, k, d), f32),) * 2
        avals += Aval((2, b, t, k, d), f32), Aval((b,), i32), Aval((), i32)
        domains = *(plain,) * 4, within(0, t), within(-1, t + 2)
        for _ in range(2):
            yield Sample("attention_with_cache", avals, {"scale": d**-0.5}, domains)


# --- calls and loops ------------------------------------------------------------------------------


def _op(prim: str, /, *ins: ir.Value, **params) -> ir.Value:
    return ir.emit(PRIMITIVES[prim], *ins, **params)


def _wave(x: ir.Value, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    product = _op("checkpoint_name", _op("sin", x) * y, name="product")
    return _op("tanh", product), x + product


def _wave_pair(x: Aval) -> dict[str, ir.Graph]:
    """fwd and bwd of `_wave`; the residuals are the arguments."""

    def bwd(x, y, ct_tanh, ct_sum):
        t = _op("tanh", _op("sin", x) * y)
        ct = ct_sum + ct_tanh * (1 - t * t)
        return ct * _op("cos", x) * y + ct_sum, ct * _op("sin", x)

    return {
        "body": ir.build(_wave, x, x),
        "fwd": ir.build(lambda *xs: (*_wave(*xs), *xs), x, x),
        "bwd": ir.build(bwd, x, x, x, x),
    }


def _custom_vjp(rng: Rng) -> Iterator[Sample]:
    for shape in shapes(rng):
        x = Aval(shape, f32)
        yield Sample("custom_vjp", (x, x), {**_wave_pair(x), "closed": 0})


def _custom_jvp(rng: Rng) -> Iterator[Sample]:
    def rule(x, y, t, s):
        p = _op("sin", x) * y
        tangent = _op("cos", x) * t * y + _op("sin", x) * s
        out = _op("tanh", p)
        return out, x + p, tangent * (1 - out * out), t + tangent

    for shape in shapes(rng):
        x = Aval(shape, f32)
        graphs = {"body": ir.build(_wave, x, x), "rule": ir.build(rule, x, x, x, x)}
        yield Sample("custom_jvp", (x, x), {**graphs, "closed": 0})


POLICIES = (("nothing",), ("everything",), ("dots",), ("unbatched dots",), ("names", "product"))
POLICIES += (("names but", "product"), ("all but", "product"))


def _remat(rng: Rng) -> Iterator[Sample]:
    for k, shape in enumerate(shapes(rng)):
        x = Aval(shape, f32)
        params = {"body": ir.build(_wave, x, x), "policy": POLICIES[k % 7], "apart": k % 3 > 0}
        yield Sample("remat", (x, x), params)


def _checkpoint_name(rng: Rng) -> Iterator[Sample]:
    for aval in (*mixed(rng), Aval((5,), bf16)):
        yield Sample("checkpoint_name", (aval,), {"name": "a value"})


def _sharding_constraint(rng: Rng) -> Iterator[Sample]:
    for aval in (*mixed(rng), Aval((5,), bf16)):
        at = next((d for d, n in enumerate(aval.shape) if n % 4 == 0 < n), None)
        dims = tuple(("x",) if d == at else None for d in range(aval.ndim))
        params = {"dims": dims, "unreduced": ("y",), "dual": bool(rng.integers(2))}
        yield Sample("sharding_constraint", (aval,), params)


PAIR = {"axes": ("x",), "sizes": (2,)}


def _shard_map(rng: Rng) -> Iterator[Sample]:
    def body(v: ir.Value) -> tuple[ir.Value, ir.Value]:
        return _op("psum", _op("sin", v), **PAIR), v * 2

    for columns in (1, 3, 5, 4, 2, 0):
        cut, whole = (("x",), ()), ((), ())
        graph = ir.build(body, Aval((2, columns), f32))
        params = {"body": graph, **PAIR, "in_dims": (cut,), "out_dims": (whole, cut)}
        yield Sample("shard_map", (Aval((4, columns), f32),), params)


def _optimization_barrier(rng: Rng) -> Iterator[Sample]:
    for aval in mixed(rng):
        yield Sample("optimization_barrier", (aval, Aval((5,), f32))[: int(rng.integers(1, 3))])


def _walk(k: ir.Value, c: ir.Value, n: ir.Value, x: ir.Value) -> tuple[ir.Value, ...]:
    return c * k + x, n + 1, c * x


def _scan(rng: Rng) -> Iterator[Sample]:
    for shape in shapes(rng):
        x, count = Aval(shape, f32), Aval((), i32)
        length = int(rng.integers(0, 4))
        params = {"body": ir.build(_walk, x, x, count, x), "consts": 1, "carry": 2}
        params |= {"length": length, "reverse": bool(rng.integers(2))}
        xs = Aval((length, *shape), f32)
        yield Sample("scan", (x, x, count, xs), params, (tame, plain, tame, plain))


def _until(limit: ir.Value, x: ir.Value, n: ir.Value) -> tuple[ir.Value, ...]:
    n = n + 1
    return _op("lt", n, limit), x * 0.5 + 1, n


def _while_loop(rng: Rng) -> Iterator[Sample]:
    count = Aval((), i32)
    for shape in shapes(rng):
        x = Aval(shape, f32)
        params = {"step": ir.build(_until, count, x, count), "consts": 1, "carry": 2}
        avals = (Aval((), bool_), count, x, count)
        yield Sample("while_loop", avals, params, (plain, within(0, 6), plain, within(-3, 6)))


def _cond(rng: Rng) -> Iterator[Sample]:
    """Three branches by a number, the first two of them by a bool."""

    def third(x, y):
        return y * 2, _op("cos", x)

    for k, shape in enumerate(shapes(rng)):
        x = Aval(shape, f32)
        graphs = [ir.build(f, x, x) for f in (lambda x, y: (x, x * y), _wave, third)]
        index, among = (Aval((), bool_), (0, 2)) if k % 3 == 2 else (Aval((), i32), (-1, 5))
        branches = tuple(graphs[:2] if k % 3 == 2 else graphs)
        yield Sample("cond", (index, x, x), {"branches": branches}, (within(*among), plain, plain))


SAMPLES: dict[str, Callable[[Rng], Iterator[Sample]]] = {
    name: (_compare if isinstance(p, Compare) else _elementwise)(p)
    for name, p in PRIMITIVES.items()
    if isinstance(p, Elementwise)
}
SAMPLES |= {"shl": _shift("shl"), "shr": _shift("shr")}
SAMPLES |= {"select": _select, "cast": _cast, "bitcast": _bitcast}
SAMPLES |= {"broadcast": _broadcast, "reshape": _reshape, "transpose": _transpose}
SAMPLES |= {"slice": _slice, "pad": _pad, "concat": _concat, "rev": _rev, "iota": _iota}
SAMPLES |= {"windows": _slid, "conv": _conv}
SAMPLES |= {name: _reduce(name) for name in ("sum", "reduce_max", "reduce_min")}
SAMPLES |= {"dot": _dot, "take": _take, "scatter": _scatter, "runs": _runs, "sort": _sort}
SAMPLES |= {"dynamic_slice": _dynamic_slice, "dynamic_update": _dynamic_update}
SAMPLES |= {"softmax": _softmax, "rms_norm": _norm("rms_norm", 1)}
SAMPLES |= {"layer_norm": _norm("layer_norm", 2), "rope": _rope, "cross_entropy": _cross_entropy}
SAMPLES |= {n: _attention(n) for n in ("attention", "attention_dq", "attention_dkv")}
SAMPLES |= {"cached_attention": _cached_attention, "attention_with_cache": _with_cache}
SAMPLES |= {"custom_vjp": _custom_vjp, "remat": _remat, "checkpoint_name": _checkpoint_name}
SAMPLES |= {"optimization_barrier": _optimization_barrier, "scan": _scan}
SAMPLES |= {"sharding_constraint": _sharding_constraint, "shard_map": _shard_map}
SAMPLES |= {"while_loop": _while_loop}
SAMPLES |= {"cond": _cond, "custom_jvp": _custom_jvp}
# Collectives mean something under `vmap` alone, effects have no results: test_collectives.py and
# test_debug.py have them.
LOCAL = tuple(n for n, p in PRIMITIVES.items() if p.kind not in ("collective", "effect"))
COMPOSITES = tuple(n for n, p in PRIMITIVES.items() if p.kind == "composite")


def samples(name: str, seed: int = 0) -> list[Sample]:
    """The samples of one primitive; another seed gives other random shapes."""
    return list(SAMPLES[name](np.random.default_rng([seed, zlib.crc32(name.encode())])))


def all_samples() -> list[Sample]:
    """The samples of all primitives, in registry order."""
    return [s for name in LOCAL for s in samples(name)]


def smooth(sample: Sample) -> tuple[int, ...]:
    """Places of the float operands: what a derivative can be taken with respect to."""
    return tuple(i for i, a in enumerate(sample.avals) if a.dtype.is_float)
