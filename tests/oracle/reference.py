"""What each primitive means, computed a second time, apart from the rules under test.

Invariant: nothing here calls a rule of `ir`; floats are computed in float64 and integers in Python
integers or int64, element by element where numpy would compute it the way the rule does. Callers
convert the result to the type under test (integers wrap).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir import DType
from ir.dtypes import highest, lowest

Array = np.ndarray


def by_index(shape: Sequence[int], element: Callable[[tuple[int, ...]], Any], like: Array) -> Array:
    """The array whose element at each index is `element(index)`."""
    out = np.zeros(tuple(shape), like.dtype)
    for i in np.ndindex(*shape):
        out[i] = element(i)
    return out


def _each(fun: Callable) -> Callable:
    """Apply a function of Python scalars to every element."""

    def apply(*xs: Array, **params: Any) -> Array:
        flat = zip(*(x.reshape(-1).tolist() for x in xs), strict=True)
        return np.array([fun(*v, **params) for v in flat], object).reshape(xs[0].shape)

    return apply


# --- elementwise ----------------------------------------------------------------------------------


def _div(x: float, y: float) -> float:
    if isinstance(x, float):
        return x / y
    return 0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _rem(x: float, y: float) -> float:
    if isinstance(x, float):
        return math.fmod(x, y)
    return 0 if y == 0 else x - y * _div(x, y)


def _sign(x: float) -> float:
    return (x > 0) - (x < 0)


def _cast(x: float, dtype: DType) -> float:
    if dtype.is_float:
        return float(x)
    return math.trunc(x) if dtype.is_integer else x != 0


_CODES = {"f32": "f", "i32": "i", "u32": "I"}


def _bitcast(x: Array, dtype: DType) -> Array:
    source = {"f": "f", "i": "i", "u": "I"}[x.dtype.kind]
    packed = struct.pack(f"<{x.size}{source}", *x.reshape(-1).tolist())
    return np.array(struct.unpack(f"<{x.size}{_CODES[dtype.name]}", packed)).reshape(x.shape)


def _not(x: int) -> int:
    return (not x) if isinstance(x, bool) else -x - 1


ELEMENTWISE: dict[str, Callable] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": _div,
    "rem": _rem,
    "pow": lambda x, y: x**y,
    "max": lambda x, y: x if x > y else y,
    "min": lambda x, y: x if x < y else y,
    "eq": lambda x, y: x == y,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "and_": lambda x, y: x & y,
    "or_": lambda x, y: x | y,
    "xor_": lambda x, y: (x | y) & ~(x & y),
    "shl": lambda x, y: (np.asarray(x, np.uint64) * 2 ** np.asarray(y, np.uint64)).astype(
        np.uint32
    ),
    "shr": lambda x, y: (np.asarray(x, np.uint64) // 2 ** np.asarray(y, np.uint64)).astype(
        np.uint32
    ),
    "not_": _not,
    "select": lambda c, x, y: x if c else y,
    "neg": lambda x: -x,
    "abs": lambda x: -x if x < 0 else x,
    "sign": _sign,
    "floor": lambda x: math.floor(x),
    "isfinite": math.isfinite,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "sqrt": math.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "cast": _cast,
    "stop_gradient": lambda x: x,
}


# --- views ----------------------------------------------------------------------------------------


def _broadcast(x: Array, *, shape, dims) -> Array:
    def element(i):
        return x[tuple(0 if n == 1 else i[d] for n, d in zip(x.shape, dims, strict=True))]

    return by_index(shape, element, x)


def _reshape(x: Array, *, shape) -> Array:
    flat = iter(x.reshape(-1).tolist())
    return by_index(shape, lambda i: next(flat), x)


def _transpose(x: Array, *, perm) -> Array:
    shape = [x.shape[p] for p in perm]
    return by_index(shape, lambda i: x[tuple(i[perm.index(d)] for d in range(x.ndim))], x)


def _slice(x: Array, *, start, limit, stride) -> Array:
    for axis, bounds in enumerate(zip(start, limit, stride, strict=True)):
        x = np.take(x, np.arange(*bounds), axis)
    return x


def _pad(x: Array, *, low, high, interior, value) -> Array:
    for axis, (lo, hi, gap) in enumerate(zip(low, high, interior, strict=True)):
        rows = [np.take(x, [j], axis) for j in range(x.shape[axis])]
        blank = np.full([1 if d == axis else n for d, n in enumerate(x.shape)], value, x.dtype)
        spaced = [part for row in rows for part in (row, *[blank] * gap)]
        spaced = [blank] * lo + spaced[: len(spaced) - gap if spaced else 0] + [blank] * hi
        x = np.concatenate([np.take(x, [], axis), *spaced], axis)
    return x


def _concat(*xs: Array, axis: int) -> Array:
    rows = [np.take(x, j, axis) for x in xs for j in range(x.shape[axis])]
    return np.stack(rows, axis) if rows else xs[0]


def _rev(x: Array, *, axes) -> Array:
    for axis in axes:
        x = np.take(x, np.arange(x.shape[axis])[::-1], axis)
    return x


def _iota(*, shape, dtype: DType, axis: int) -> Array:
    return by_index(shape, lambda i: i[axis], np.zeros(0, np.int64))


# --- reductions, contractions, indexing -----------------------------------------------------------


def _over(fun: Callable) -> Callable:
    """Reduce the 1-D array of the elements that share the kept indices."""

    def apply(x: Array, *, axes) -> Array:
        kept = [d for d in range(x.ndim) if d not in axes]

        def element(i):
            where = dict(zip(kept, i, strict=True))
            cut = x[tuple(where.get(d, slice(None)) for d in range(x.ndim))]
            return fun(np.reshape(cut, -1))

        return by_index([x.shape[d] for d in kept], element, x)

    return apply


def _extreme(fun: Callable, bound: Callable) -> Callable:
    return lambda x, dtype, axes: _over(lambda v: fun([*v.tolist(), bound(dtype)]))(x, axes=axes)


def _dot(x: Array, y: Array, *, spec) -> Array:
    return np.einsum(spec, x, y, optimize=False)


def _take(x: Array, ids: Array, *, batch=0, unique=False) -> Array:
    if batch:
        return np.array([_take(*row, batch=batch - 1) for row in zip(x, ids, strict=True)], x.dtype)
    last = x.shape[0] - 1
    rows = [x[min(max(int(i), 0), last)] for i in ids.reshape(-1)]
    return np.array(rows, x.dtype).reshape(ids.shape + x.shape[1:])


_COMBINED = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _scatter(x: Array, ids: Array, updates: Array, *, combine, batch=0, **promises) -> Array:
    if batch:
        rows = zip(x, ids, updates, strict=True)
        members = [_scatter(*r, combine=combine, batch=batch - 1) for r in rows]
        return np.array(members, x.dtype).reshape(x.shape)
    out = x.copy()
    for place in np.ndindex(*ids.shape):
        if 0 <= ids[place] < len(x):
            row = int(ids[place])
            out[row] = _COMBINED[combine](out[row], updates[place])
    return out


def _runs(x: Array, start: Array, stop: Array, values: Array, *, combine, longest) -> Array:
    out = x.copy()
    for r in range(len(x)):
        for k in range(start[r], stop[r]):
            out[r] = _COMBINED[combine](out[r], values[k])
    return out


def _sort(keys: Array) -> tuple[Array, Array]:
    order = np.zeros(keys.shape, np.int32)
    for place in np.ndindex(*keys.shape[:-1]):
        row = keys[place].tolist()
        order[place] = sorted(range(len(row)), key=lambda i: (row[i], i))
    return np.take_along_axis(keys, order, -1), order


def _place(starts: Sequence[Array], shape, sizes) -> list[int]:
    """Starts moved to the nearest place where the window fits."""
    return [max(0, min(int(s), n - w)) for s, n, w in zip(starts, shape, sizes, strict=True)]


def _dynamic_slice(x: Array, *starts: Array, sizes) -> Array:
    low = _place(starts, x.shape, sizes)
    return by_index(sizes, lambda i: x[tuple(a + b for a, b in zip(low, i, strict=True))], x)


def _dynamic_update(x: Array, update: Array, *starts: Array) -> Array:
    low, out = _place(starts, x.shape, update.shape), x.copy()
    for i in np.ndindex(*update.shape):
        out[tuple(a + b for a, b in zip(low, i, strict=True))] = update[i]
    return out


# --- composites -----------------------------------------------------------------------------------


def _by_row(fun: Callable) -> Callable:
    return lambda x, *rest, **params: np.array(
        [fun(row, *rest, **params) for row in x.reshape(-1, x.shape[-1])]
    ).reshape(x.shape)


def _softmax(row: Array) -> Array:
    weights = [math.exp(v) for v in row]
    return np.array(weights) / math.fsum(weights)


def _rms_norm(row: Array, weight: Array, *, eps) -> Array:
    return row / math.sqrt(math.fsum(row * row) / row.size + eps) * weight


def _layer_norm(row: Array, weight: Array, bias: Array, *, eps) -> Array:
    return (row - row.mean()) / math.sqrt(row.var() + eps) * weight + bias


def _rope(x: Array, cos: Array, sin: Array) -> Array:
    """Each pair (i, i + D/2) is a complex number that is turned."""
    half = x.shape[3] // 2
    turned = (x[..., :half] + 1j * x[..., half:]) * (cos + 1j * sin)[None, :, None, :]
    return np.concatenate([turned.real, turned.imag], -1)


def _cross_entropy(logits: Array, labels: Array) -> Array:
    def element(i):
        row, label = logits[i], int(labels[i])
        gold = row[label] if 0 <= label < row.size else 0.0
        return math.log(math.fsum(math.exp(v) for v in row)) - gold

    return by_index(labels.shape, element, logits)


def _visible(s: int, queries: int, keys: int, causal: bool) -> range:
    return range(max(0, min(keys, s + keys - queries + 1)) if causal else keys)


def _pairs(q: Array, k: Array, causal: bool, ids: Sequence[Array]):
    """Every (batch, query, head, its key head) with the keys that it sees."""
    group = q.shape[2] // k.shape[2]
    for b, s, n in np.ndindex(*q.shape[:3]):
        seen = _visible(s, q.shape[1], k.shape[1], causal)
        alike = [t for t in seen if not ids or ids[0][b, s] == ids[1][b, t]]
        yield b, s, n, n // group, alike


def _attention(q, k, v, *ids, causal, scale, ordered=False) -> tuple[Array, Array]:
    """A query that sees no key gives zeros; its log-sum-exp is the lowest finite f32."""
    o = np.zeros_like(q)
    lse = np.full((q.shape[0], q.shape[2], q.shape[1]), np.finfo(np.float32).min, q.dtype)
    for b, s, n, h, seen in _pairs(q, k, causal, ids):
        if seen:
            weights = [math.exp(scale * math.fsum(q[b, s, n] * k[b, t, h])) for t in seen]
            total = math.fsum(weights)
            o[b, s, n] = np.sum(
                [w / total * v[b, t, h] for w, t in zip(weights, seen, strict=True)], 0
            )
            lse[b, n, s] = math.log(total)
    return o, lse


def _cached_attention(q, k, v, first, stop, *, scale) -> Array:
    """Slots first to stop - 1 of a row are what an attention without a mask sees."""
    o = np.zeros_like(q)
    for b in range(q.shape[0]):
        seen = slice(max(int(first[b]), 0), max(int(stop), 0))
        kept = k[b : b + 1, seen], v[b : b + 1, seen]
        o[b] = _attention(q[b : b + 1], *kept, causal=False, scale=scale)[0][0]
    return o


def _with_cache(q, k, v, cache, first, slot, *, scale) -> tuple[Array, Array]:
    """Each row's key and value in their slot, then attention to it and those before it."""
    cache = np.array(cache)
    own = min(max(int(slot), 0), cache.shape[2] - 1)
    cache[0, :, own], cache[1, :, own] = k[:, 0], v[:, 0]
    return _cached_attention(q, *cache, first, int(slot) + 1, scale=scale), cache


def _score_grads(q, k, v, do, lse, delta, *ids, causal, scale, ordered=False):
    """(indices, weight p, d loss / d score) of every visible pair."""
    for b, s, n, h, seen in _pairs(q, k, causal, ids):
        for t in seen:
            p = math.exp(scale * math.fsum(q[b, s, n] * k[b, t, h]) - lse[b, n, s])
            yield (b, s, n, t, h), p, p * (math.fsum(do[b, s, n] * v[b, t, h]) - delta[b, n, s])


def _attention_dq(q, k, *rest, **params) -> Array:
    dq = np.zeros_like(q)
    for (b, s, n, t, h), _, ds in _score_grads(q, k, *rest, **params):
        dq[b, s, n] += ds * k[b, t, h] * params["scale"]
    return dq


def _attention_dkv(q, k, v, do, *rest, **params) -> tuple[Array, Array]:
    dk, dv = np.zeros_like(k), np.zeros_like(v)
    for (b, s, n, t, h), p, ds in _score_grads(q, k, v, do, *rest, **params):
        dk[b, t, h] += ds * q[b, s, n] * params["scale"]
        dv[b, t, h] += p * do[b, s, n]
    return dk, dv


def _wave(x, y, **params) -> tuple[Array, Array]:
    product = np.sin(x) * y
    return np.tanh(product), x + product


def _cond(index, x, y, *, branches) -> tuple[Array, ...]:
    choices = [(x, x * y), _wave(x, y), (y * 2, np.cos(x))]
    return choices[min(max(int(index), 0), len(branches) - 1)]


def _scan(k, c, n, xs, *, body, consts, carry, length, reverse) -> tuple[Array, ...]:
    ys = np.zeros(xs.shape)
    for i in range(length)[::-1] if reverse else range(length):
        ys[i] = c * xs[i]
        c, n = c * k + xs[i], n + 1
    return c, n, ys


def _while_loop(flag, limit, x, n, *, step, consts, carry) -> tuple[Array, ...]:
    while flag:
        x, n = x * 0.5 + 1, n + 1
        flag = n < limit
    return x, n


def _windows(x, *, axes, sizes, strides, dilations) -> Array:
    counts = list(x.shape)
    for a, k, s, d in zip(axes, sizes, strides, dilations, strict=True):
        counts[a] = len(range(0, x.shape[a] - (k - 1) * d, s))

    def element(i: tuple[int, ...]):
        at = list(i[: x.ndim])
        for a, k, s, d in zip(axes, i[x.ndim :], strides, dilations, strict=True):
            at[a] = at[a] * s + k * d
        return x[tuple(at)]

    return by_index((*counts, *sizes), element, x)


def _conv(x, w, *, spec, spatial, strides, low, high, x_steps, w_steps) -> Array:
    """Every element of x times every element of w goes where both stand over each other, if so."""
    terms, out = spec.split("->")
    a, b = terms.split(",")
    steps = dict(zip(spatial, zip(strides, low, high, x_steps, w_steps, strict=True), strict=True))
    sizes = dict(zip(b, w.shape, strict=True)) | dict(zip(a, x.shape, strict=True))
    for c, (s, lo, hi, dx, dw) in steps.items():
        span = lo + (sizes[c] - 1) * dx + 1 + hi - (w.shape[b.index(c)] - 1) * dw
        sizes[c] = len(range(0, span, s))
    found = np.zeros([sizes[c] for c in out], x.dtype)
    for i, j in itertools.product(np.ndindex(*x.shape), np.ndindex(*w.shape)):
        place, other = dict(zip(a, i, strict=True)), dict(zip(b, j, strict=True))
        if any(place.get(c, n) != n for c, n in other.items() if c not in spatial):
            continue
        place = other | place
        for c, (s, lo, _, dx, dw) in steps.items():
            where, rest = divmod(place[c] * dx + lo - other[c] * dw, s)
            place[c] = where if rest == 0 else -1
        if all(0 <= place[c] < sizes[c] for c in out):
            found[tuple(place[c] for c in out)] += x[i] * w[j]
    return found


REFERENCE: dict[str, Callable] = {name: _each(fun) for name, fun in ELEMENTWISE.items()}
REFERENCE |= {
    "bitcast": _bitcast,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "rev": _rev,
    "windows": _windows,
    "conv": _conv,
    "iota": _iota,
    "sum": _over(lambda v: v.sum()),
    "reduce_max": _extreme(max, lowest),
    "reduce_min": _extreme(min, highest),
    "dot": _dot,
    "take": _take,
    "scatter": _scatter,
    "runs": _runs,
    "sort": _sort,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update": _dynamic_update,
    "softmax": _by_row(_softmax),
    "rms_norm": _by_row(_rms_norm),
    "layer_norm": _by_row(_layer_norm),
    "rope": _rope,
    "cross_entropy": _cross_entropy,
    "attention": _attention,
    "attention_dq": _attention_dq,
    "attention_dkv": _attention_dkv,
    "cached_attention": _cached_attention,
    "attention_with_cache": _with_cache,
    "cond": _cond,
    "custom_jvp": _wave,
    "custom_vjp": _wave,
    "remat": _wave,
    "checkpoint_name": lambda x, name: (x,),
    "optimization_barrier": lambda *xs: xs,
    "sharding_constraint": lambda x, **params: (x,),
    "shard_map": lambda x, **params: (np.sin(x[:2]) + np.sin(x[2:]), x * 2),
    "scan": _scan,
    "while_loop": _while_loop,
}
_NEEDS_DTYPE = ("reduce_max", "reduce_min")


def reference(sample, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results of a sample in float64, int64 or bool."""
    wide = {"f": np.float64, "V": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}
    keep = sample.prim == "bitcast"
    xs = [x if keep else x.astype(wide[x.dtype.kind]) for x in arrays]
    extra = {"dtype": sample.avals[0].dtype} if sample.prim in _NEEDS_DTYPE else {}
    found = REFERENCE[sample.prim](*xs, **sample.params, **extra)
    return found if isinstance(found, tuple) else (found,)
