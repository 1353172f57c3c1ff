"""Functions of lax with inputs and what numpy says of them.

Invariant: every case is checked on the oracle, on the adapter, under vmap and, where it has float
inputs and is smooth, in its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracer import lax, nn, scipy
from tracer import numpy as jnp


@dataclass(frozen=True)
class Case:
    """`fun` of `inputs` is `want` of the same in float64; `smooth`: derivatives are compared."""

    name: str
    fun: Callable
    want: Callable | None
    inputs: tuple[np.ndarray, ...]
    smooth: bool = True


CASES: list[Case] = []


def case(name: str, fun: Callable, want: Callable | None, *inputs, smooth: bool = True) -> None:
    CASES.append(Case(name, fun, want, inputs, smooth))


def floats(*shape, low=-2.0, high=2.0, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return rng.uniform(low, high, shape).astype(np.float32)


def ints(*shape, low=-50, high=50, dtype=np.int32, seed=0):
    return np.random.default_rng([seed, *shape]).integers(low, high, shape).astype(dtype)


def bools(*shape, seed=0):
    return ints(*shape, low=0, high=2, seed=seed).astype(bool)


def distinct(*shape, seed=0):
    n = int(np.prod(shape))
    order = np.random.default_rng([seed, *shape]).permutation(n)
    return (order.reshape(shape) / n * 4 - 2).astype(np.float32)


X, Y = floats(3, 4), floats(3, 4, seed=1)
UNIT, ABOVE = floats(3, 4, low=-0.9, high=0.9), floats(3, 4, low=0.2, high=3)
WORDS = np.array([0, 1, 2, 7, 255, 2**31 - 1, 2**31, 2**32 - 1], np.uint32)
NUMBERS = WORDS.view(np.int32)
SHIFTS = np.array([0, 1, 4, 31, 32, 7, 3, 33], np.uint32)

# --- elementwise ----------------------------------------------------------------------------------

for name, want in {
    "neg": np.negative, "abs": np.abs, "square": np.square, "exp": np.exp, "exp2": np.exp2,
    "expm1": np.expm1, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "cbrt": np.cbrt,
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
}.items():  # fmt: skip
    case(name, getattr(lax, name), want, X)
for name, want in {"asin": np.arcsin, "acos": np.arccos, "atanh": np.arctanh}.items():
    case(name, getattr(lax, name), want, UNIT)
for name, want in {
    "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
}.items():  # fmt: skip
    case(name, getattr(lax, name), want, ABOVE)
case("acosh", lax.acosh, np.arccosh, ABOVE + 1)
HALVES = np.array([-2.5, -1.5, -0.5, -0.3, 0.0, 0.49999997, 0.5, 1.5, 2.5, 8388609.0], np.float32)
for name, want in {
    "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite,
    "round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5 * (np.abs(x) % 1 >= 0.5)), x),
}.items():  # fmt: skip
    case(name, getattr(lax, name), want, HALVES, smooth=False)
to_even = lax.RoundingMethod.TO_NEAREST_EVEN
case("round to even", lambda x: lax.round(x, to_even), np.round, HALVES, smooth=False)
for name, want in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "rem": np.fmod,
    "max": np.maximum, "min": np.minimum, "atan2": np.arctan2,
}.items():  # fmt: skip
    case(name, getattr(lax, name), want, X, Y)
for name, want in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "rem": np.fmod, "max": np.maximum,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}.items():  # fmt: skip
    case(f"{name} of integers", getattr(lax, name), want, ints(5, 6), ints(5, 6, seed=1) | 1)
for name, want in {
    "max": np.logical_or, "min": np.logical_and, "lt": lambda x, y: ~x & y,
    "ge": lambda x, y: x | ~y, "bitwise_xor": np.logical_xor, "eq": np.equal,
}.items():  # fmt: skip
    case(f"{name} of bools", getattr(lax, name), want, bools(4, 4), bools(4, 4, seed=1))
case("pow", lax.pow, np.power, ABOVE, X)
case("pow of an integer", lambda x: lax.pow(x, np.array(3, np.int32)), lambda x: x**3, ABOVE)
case("integer_pow", lambda x: lax.integer_pow(x, -3), lambda x: x**-3, ABOVE)
case("integer_pow 100", lambda x: lax.integer_pow(x, 100), lambda x: x**100, UNIT)
case("not", lax.bitwise_not, np.invert, NUMBERS)
case("neg of words", lax.neg, lambda x: np.negative(x), WORDS)
case("sign of words", lax.sign, np.sign, WORDS)
count = np.vectorize(lambda v: bin(int(v) & 0xFFFFFFFF).count("1"))
leading = np.vectorize(lambda v: 32 - (int(v) & 0xFFFFFFFF).bit_length())
case("population_count", lax.population_count, count, NUMBERS)
case("clz", lax.clz, leading, WORDS)
case(
    "shift_left", lax.shift_left, lambda x, n: (x.astype(object) * 2 ** n.astype(object)) % 2**32,
    WORDS, SHIFTS,
)  # fmt: skip
case(
    "shift_right_logical", lax.shift_right_logical,
    lambda x, n: x.astype(object) // 2 ** n.astype(object), WORDS, SHIFTS,
)  # fmt: skip
case(
    "shift_right_arithmetic", lax.shift_right_arithmetic,
    lambda x, n: x.astype(object) // 2 ** n.astype(object), NUMBERS, SHIFTS.view(np.int32),
)  # fmt: skip
wide = lambda x, y: (x.astype(object) * y.astype(object)) // 2**32  # noqa: E731
case("mulhi", lax.mulhi, wide, NUMBERS, NUMBERS[::-1].copy())
case("mulhi of words", lax.mulhi, wide, WORDS, WORDS[::-1].copy())
case(
    "mul as floats", lambda x, y: lax.mul(x, y, out_dtype="float32"), np.multiply, ints(4), ints(4)
)
case("clamp", lambda x: lax.clamp(-1.0, x, np.float32(0.5)), lambda x: np.clip(x, -1, 0.5), X)
case("select", lax.select, np.where, bools(3, 4), X, Y)
case(
    "select_n", lambda i, x, y: lax.select_n(i, x, y, x * y),
    lambda i, x, y: np.where(i == 0, x, np.where(i == 1, y, x * y)),
    ints(3, 4, low=0, high=3), X, Y,
)  # fmt: skip
case("bitcast", lambda x: lax.bitcast_convert_type(x, "int32"), None, X, smooth=False)

# --- shapes ---------------------------------------------------------------------------------------

Z = floats(2, 3, 4)


def with_pads(x, low, high, gap, value):
    n = x.shape[0]
    full = np.full(max(low, 0) + n + (n - 1) * gap + max(high, 0), value, x.dtype)
    full[max(low, 0) : max(low, 0) + n + (n - 1) * gap : gap + 1] = x
    return full[max(-low, 0) : len(full) - max(-high, 0)]


case("slice", lambda x: lax.slice(x, (0, 1, 0), (2, 3, 4), (1, 1, 2)), lambda x: x[:, 1:3, ::2], Z)
case("slice_in_dim", lambda x: lax.slice_in_dim(x, -3, None, 2, 2), lambda x: x[:, :, -3::2], Z)
case("index_in_dim", lambda x: lax.index_in_dim(x, -1, 1, False), lambda x: x[:, -1], Z)
case("rev", lambda x: lax.rev(x, (0, 2)), lambda x: x[::-1, :, ::-1], Z)
case(
    "reshape",
    lambda x: lax.reshape(x, (6, 4), (1, 0, 2)),
    lambda x: x.transpose(1, 0, 2).reshape(6, 4),
    Z,
)
case("transpose", lambda x: lax.transpose(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), Z)
case("squeeze", lambda x: lax.squeeze(x[:, None], (1,)), lambda x: x, Z)
case("expand_dims", lambda x: lax.expand_dims(x, (0, -1)), lambda x: x[None, ..., None], Z)
case("collapse", lambda x: lax.collapse(x, 1), lambda x: x.reshape(2, 12), Z)
case("broadcast", lambda x: lax.broadcast(x, (2, 3)), lambda x: np.broadcast_to(x, (2, 3, 3, 4)), X)
case(
    "broadcast_in_dim", lambda x: lax.broadcast_in_dim(x, (3, 5, 4), (0, 2)),
    lambda x: np.broadcast_to(x[:, None], (3, 5, 4)), X,
)  # fmt: skip
case("broadcast_to_rank", lambda x: lax.broadcast_to_rank(x, 4), lambda x: x[None, None], X)
case("tile", lambda x: lax.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3)), X)
case("concatenate", lambda x, y: lax.concatenate([x, y], 1), lambda *v: np.concatenate(v, 1), X, Y)
case("stack", lambda x, y: lax.stack([x, y], 1), lambda *v: np.stack(v, 1), X, Y)
case("unstack", lambda x: lax.unstack(x, 1)[2], lambda x: x[:, 2], X)
case("split", lambda x: lax.split(x, (1, 3), 1)[1], lambda x: x[:, 1:], X)
for config in ((1, 2, 0), (0, 1, 2), (-1, 2, 1), (2, -3, 1), (-1, -1, 0)):
    case(
        f"pad {config}", lambda x, c=config: lax.pad(x, 3.0, [c]),
        lambda x, c=config: with_pads(x, *c, 3.0), floats(5),
    )  # fmt: skip
case(
    "pad with an array", lambda x, v: lax.pad(x, v, [(1, 0, 1)]),
    lambda x, v: with_pads(x, 1, 0, 1, v), floats(5), floats(),
)  # fmt: skip
case(
    "pad with infinity", lambda x: lax.pad(x, -math.inf, [(1, 2, 0)]),
    lambda x: with_pads(x, 1, 2, 0, -np.inf), floats(5), smooth=False,
)  # fmt: skip
case(
    "iota", lambda x: x + lax.broadcasted_iota("float32", (3, 4), 1), lambda x: x + np.arange(4), X
)
case("full_like", lambda x: x * lax.full_like(x, 2.5), lambda x: x * 2.5, X)

# --- reductions -----------------------------------------------------------------------------------

for name, want in {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}.items():
    fun = getattr(lax, f"reduce_{name}")
    case(
        f"reduce_{name}",
        lambda x, f=fun: f(x, (0, 2)),
        lambda x, w=want: w(x, (0, 2)),
        distinct(2, 3, 4),
    )
    case(
        f"reduce_{name} of integers",
        lambda x, f=fun: f(x, (1,)),
        lambda x, w=want: w(x, 1),
        ints(3, 4, low=-5, high=5),
    )
for name, want in {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}.items():
    fun = getattr(lax, f"reduce_{name}")
    case(
        f"reduce_{name}", lambda x, f=fun: f(x, (0,)), lambda x, w=want: w.reduce(x, 0), ints(5, 3)
    )
    case(
        f"reduce_{name} of bools",
        lambda x, f=fun: f(x, (0, 1)),
        lambda x, w=want: w.reduce(w.reduce(x, 1)),
        bools(3, 5),
    )
case("reduce by add", lambda x: lax.reduce(x, 2.0, lax.add, (1,)), lambda x: 2 + x.sum(1), Z)
case(
    "reduce by mul",
    lambda x: lax.reduce(x, 1.0, lambda a, b: a * b, (0, 2)),
    lambda x: x.prod((0, 2)),
    Z,
)
case(
    "reduce by a formula", lambda x: lax.reduce(x, 0.0, lambda a, b: a + b + a * b, (0, 1)),
    lambda x: np.prod(1 + x, (0, 1)) - 1, UNIT,
)  # fmt: skip


def first_largest(a, b):
    keep = a[0] >= b[0]
    return lax.select(keep, a[0], b[0]), lax.select(keep, a[1], b[1])


case(
    "reduce of pairs",
    lambda x: lax.reduce(
        (x, lax.broadcasted_iota("int32", (3, 4), 1)), (-10.0, -1), first_largest, (1,)
    )[1],
    lambda x: x.argmax(1), distinct(3, 4), smooth=False,
)  # fmt: skip
case(
    "argmax",
    lambda x: lax.argmax(x, 1, "int32"),
    lambda x: x.argmax(1),
    distinct(3, 4),
    smooth=False,
)
case(
    "argmin",
    lambda x: lax.argmin(x, 0, "uint32"),
    lambda x: x.argmin(0),
    distinct(3, 4),
    smooth=False,
)
for name, want in {
    "cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate, "cumlogsumexp": np.logaddexp.accumulate,
}.items():  # fmt: skip
    fun = getattr(lax, name)
    case(name, lambda x, f=fun: f(x, 1), lambda x, w=want: w(x, 1), distinct(2, 5, 3))
    case(
        f"{name} reversed", lambda x, f=fun: f(x, 0, reverse=True),
        lambda x, w=want: w(x[::-1], 0)[::-1], distinct(5, 3),
    )  # fmt: skip
PRECISE = np.array([1.0, 1 / 3, -65504.0, 65519.9, 65520.0, 1e-5, 6.2e-5, 3e38, -0.0], np.float32)


def as_half(x):
    with np.errstate(over="ignore"):
        half = x.astype(np.float32).astype(np.float16)
    return np.where(np.abs(half) < 2.0**-14, 0, half)


case("reduce_precision", lambda x: lax.reduce_precision(x, 5, 10), as_half, PRECISE, smooth=False)

# --- products -------------------------------------------------------------------------------------

A, B = floats(2, 3, 4), floats(2, 5, 4, seed=1)
BATCHED = (((2,), (2,)), ((0,), (0,)))
case(
    "dot_general",
    lambda x, y: lax.dot_general(x, y, BATCHED),
    lambda x, y: np.einsum("bik,bjk->bij", x, y),
    A,
    B,
)
case(
    "dot_general of two axes", lambda x, y: lax.dot_general(x, y, (((1, 2), (2, 0)), ((), ()))),
    lambda x, y: np.einsum("aij,jbi->ab", x, y), floats(2, 3, 4), floats(4, 5, 3),
)  # fmt: skip
case(
    "dot_general of integers",
    lambda x, y: lax.dot_general(x, y, BATCHED),
    lambda x, y: np.einsum("bik,bjk->bij", x, y),
    ints(2, 3, 4),
    ints(2, 5, 4),
)
case(
    "dot of bools",
    lax.dot,
    lambda x, y: x.astype(int) @ y.astype(int) > 0,
    bools(3, 4),
    bools(4, 2),
)
case("dot of vectors", lax.dot, np.dot, floats(5), floats(5, seed=1))
case("dot of a float and an integer", lax.dot, np.dot, floats(3, 4), ints(4, low=-3, high=3))
case("batch_matmul", lax.batch_matmul, np.matmul, floats(2, 3, 4), floats(2, 4, 5))

# --- convolutions and pools -----------------------------------------------------------------------


def convolved(x, w, strides=1, low=0, high=0, x_step=1, w_step=1):
    """[n, c, h, w] with [o, c, h, w], window by window; equal steps along both axes."""
    n, c, *space = x.shape
    grown = np.zeros((n, c, *(low + (s - 1) * x_step + 1 + high for s in space)))
    inside = slice(low, -high or None)
    grown[:, :, inside, inside][:, :, ::x_step, ::x_step] = x
    reach = [(k - 1) * w_step + 1 for k in w.shape[2:]]
    starts = [range(0, s - r + 1, strides) for s, r in zip(grown.shape[2:], reach, strict=True)]
    out = np.zeros((n, w.shape[0], *map(len, starts)))
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            window = grown[:, :, top : top + reach[0] : w_step, left : left + reach[1] : w_step]
            out[:, :, i, j] = np.einsum("nchw,ochw->no", window, w)
    return out


def pooled(x, combine, size, stride):
    starts = [range(0, n - size + 1, stride) for n in x.shape[2:]]
    out = np.zeros((*x.shape[:2], *map(len, starts)))
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            out[:, :, i, j] = combine(x[:, :, top : top + size, left : left + size], (2, 3))
    return out


IMAGE, KERNEL = floats(2, 4, 6, 5), floats(3, 4, 3, 2)
general = lax.conv_general_dilated
case("conv", lambda x, w: lax.conv(x, w, (1, 1), "VALID"), convolved, IMAGE, KERNEL)
case(
    "conv with strides and padding", lambda x, w: general(x, w, (2, 2), [(1, 2), (1, 2)]),
    lambda x, w: convolved(x, w, 2, 1, 2), IMAGE, KERNEL,
)  # fmt: skip
case(
    "conv with dilations",
    lambda x, w: general(x, w, (2, 2), [(2, 1), (2, 1)], (3, 3), (2, 2)),
    lambda x, w: convolved(x, w, 2, 2, 1, 3, 2), IMAGE, KERNEL,
)  # fmt: skip
case(
    "conv that cuts off", lambda x, w: general(x, w, (1, 1), [(-1, -1), (-1, 0)]),
    lambda x, w: convolved(x[:, :, 1:-1, 1:], w), IMAGE, KERNEL,
)  # fmt: skip
LAST = ("NHWC", "HWIO", "NHWC")
case(
    "conv with channels last", lambda x, w: general(x, w, (1, 1), "SAME", dimension_numbers=LAST),
    lambda x, w: convolved(
        x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), 1, 1, 1
    ).transpose(0, 2, 3, 1),
    floats(2, 6, 5, 4), floats(3, 3, 4, 8),
)  # fmt: skip
case(
    "conv by a kernel of one", lambda x, w: general(x, w, (2, 2), "VALID", dimension_numbers=LAST),
    lambda x, w: x[:, ::2, ::2] @ w[0, 0], floats(2, 6, 5, 4), floats(1, 1, 4, 8),
)  # fmt: skip
case(
    "conv in groups", lambda x, w: general(x, w, (1, 1), "VALID", feature_group_count=2),
    lambda x, w: np.concatenate([convolved(x[:, :2], w[:3]), convolved(x[:, 2:], w[3:])], 1),
    IMAGE, floats(6, 2, 3, 2),
)  # fmt: skip
case(
    "conv by channel", lambda x, w: general(x, w, (1, 1), "VALID", feature_group_count=4),
    lambda x, w: np.concatenate([convolved(x[:, i : i + 1], w[i : i + 1]) for i in range(4)], 1),
    IMAGE, floats(4, 1, 3, 2),
)  # fmt: skip
case(
    "conv in groups of the batch", lambda x, w: general(x, w, (1, 1), "VALID", batch_group_count=2),
    lambda x, w: np.concatenate([convolved(x[:1], w[:3]), convolved(x[1:], w[3:])], 1),
    IMAGE, floats(6, 4, 3, 2),
)  # fmt: skip
case(
    "conv of integers", lambda x, w: lax.conv(x, w, (1, 1), "VALID"), convolved,
    ints(2, 4, 6, 5), ints(3, 4, 3, 2),
)  # fmt: skip
case(
    "conv without space", lambda x, w: general(x, w, (), "VALID"), lambda x, w: x @ w.T,
    floats(3, 4), floats(5, 4),
)  # fmt: skip
case(
    "conv_transpose",
    lambda x, w: lax.conv_transpose(
        x, w, (2, 2), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW")
    ),
    lambda x, w: convolved(x, w, 1, 2, 2, 2), IMAGE, floats(3, 4, 3, 3),
)  # fmt: skip
case(
    "patches", lambda x: lax.conv_general_dilated_patches(x, (2, 2), (1, 1), "VALID"),
    lambda x: convolved(x, np.eye(16).reshape(16, 4, 2, 2)), IMAGE,
)  # fmt: skip
PIXELS = distinct(2, 3, 7, 6)
TWO, THREE = (1, 1, 2, 2), (1, 1, 3, 3)
case(
    "max pool", lambda x: lax.reduce_window(x, -math.inf, lax.max, TWO, TWO, "VALID"),
    lambda x: pooled(x, np.max, 2, 2), PIXELS,
)  # fmt: skip
case(
    "min pool", lambda x: lax.reduce_window(x, math.inf, jnp.minimum, THREE, TWO, "VALID"),
    lambda x: pooled(x, np.min, 3, 2), PIXELS,
)  # fmt: skip
case(
    "sum pool", lambda x: lax.reduce_window(x, 0.5, lax.add, THREE, None, "VALID"),
    lambda x: pooled(x, np.sum, 3, 1) + 0.5, PIXELS,
)  # fmt: skip
case(
    "product pool", lambda x: lax.reduce_window(x, 1.0, lax.mul, TWO, TWO, "VALID"),
    lambda x: pooled(x, np.prod, 2, 2), PIXELS,
)  # fmt: skip
case(
    "logsumexp pool", lambda x: lax.reduce_window(x, -100.0, jnp.logaddexp, TWO, TWO, "VALID"),
    lambda x: np.log(pooled(np.exp(x), np.sum, 2, 2)), PIXELS,
)  # fmt: skip
case(
    "padded max pool", lambda x: lax.reduce_window(x, -math.inf, lax.max, THREE, TWO, "SAME"),
    lambda x: pooled(
        np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 1)), constant_values=-np.inf), np.max, 3, 2
    ), PIXELS,
)  # fmt: skip
case(
    "long windows", lambda x: lax.reduce_window(x, 0.0, lax.add, (19,), (2,), "VALID"),
    lambda x: np.convolve(x, np.ones(19), "valid")[::2], floats(64),
)  # fmt: skip
case(
    "windows with gaps",
    lambda x: lax.reduce_window(x, 0.0, lax.add, (3,), (2,), [(1, 2)], (2,), (4,)),
    lambda x: sum(with_pads(x, 1, 2, 1, 0.0)[k * 4 :][: 2 * 13 + 1 : 2][:13] for k in range(3)),
    floats(16),
)  # fmt: skip
for mode in ("full", "same", "valid"):
    for name, n, m in (("", 7, 4), (" of a longer kernel", 3, 6)):
        case(
            f"convolve {mode}{name}", lambda x, y, k=mode: jnp.convolve(x, y, k),
            lambda x, y, k=mode: np.convolve(x, y, k), floats(n), floats(m, seed=1),
        )  # fmt: skip
        case(
            f"correlate {mode}{name}", lambda x, y, k=mode: jnp.correlate(x, y, k),
            lambda x, y, k=mode: np.correlate(x, y, k), floats(n), floats(m, seed=1),
        )  # fmt: skip

# --- nn -------------------------------------------------------------------------------------------

Q, K = floats(2, 5, 4, 8), floats(2, 7, 2, 8)
SEEN = bools(2, 1, 5, 7) | (np.arange(7) == 0)
LENGTHS = np.array([3, 7], np.int32)
case("softmax of two axes", lambda x: nn.softmax(x, (0, 2)), None, Z)
case("softmax under a mask", lambda x, m: nn.softmax(x, where=m), None, X, bools(3, 4))
case(
    "log_softmax under a mask", lambda x, m: jnp.where(m, nn.log_softmax(x, (0, 1), m), 0.0), None,
    X, bools(3, 4),
)  # fmt: skip
case(
    "logsumexp with weights", lambda x, b: nn.logsumexp(x, 1, b=b, return_sign=True)[0], None, X, Y
)
case("logmeanexp", lambda x: nn.logmeanexp(x, 0), None, X)
case("standardize", lambda x: nn.standardize(x, (0, 2)), None, Z)
case("log1mexp", nn.log1mexp, None, ABOVE)
for name, more in {
    "causal": {"is_causal": True}, "mask": {"mask": SEEN}, "bias": {"bias": floats(1, 4, 5, 7)},
    "window": {"local_window_size": (2, 1)},
}.items():  # fmt: skip
    case(
        f"attention: {name}", lambda q, k, m=more: nn.dot_product_attention(q, k, k, **m), None,
        Q, K,
    )  # fmt: skip
case(
    "attention: lengths",
    lambda q, k, n: nn.dot_product_attention(q, k, k, key_value_seq_lengths=n), None, Q, K, LENGTHS,
)  # fmt: skip

# --- special functions ----------------------------------------------------------------------------

WHOLE = np.array([0.3, 0.7, 1.0, 1.5, 2.0, 2.5, 4.0, 7.9, 8.1, 30.0, 1e4], np.float32)
BELOW = np.array([-0.3, -0.5, -1.4, -2.9, -5.01], np.float32)


def integral_of_bessel(order):
    """exp(-|x|) I(x) as a mean over a circle."""
    angles = (np.arange(400) + 0.5) * np.pi / 400

    def fun(x):
        inner = np.exp(x[..., None] * np.cos(angles) - np.abs(x)[..., None])
        return (inner * np.cos(order * angles)).mean(-1)

    return fun


def long_zeta(x, q):
    """Many terms, and the integral over the rest."""
    k = np.arange(20000)
    rest = (q + 20000 - 0.5) ** (1 - x) / (x - 1)
    return ((q[..., None] + k) ** -x[..., None]).sum(-1) + rest


lgamma = np.vectorize(math.lgamma)
case("lgamma", lax.lgamma, lgamma, WHOLE)
case("lgamma below zero", lax.lgamma, lgamma, BELOW)
slope = lambda x: (lgamma(x + 1e-5 * x) - lgamma(x - 1e-5 * x)) / (2e-5 * x)  # noqa: E731
case("digamma", lax.digamma, slope, WHOLE[:-1])
case("digamma below zero", lax.digamma, slope, BELOW)
case("zeta", lax.zeta, long_zeta, ABOVE + 1.5, floats(3, 4, low=0.2, high=9))
case(
    "polygamma", lambda x: lax.polygamma(jnp.full_like(x, 2), x),
    lambda x: -2 * long_zeta(np.full_like(x, 3), x), ABOVE,
)  # fmt: skip
TURNS = floats(40, low=-12, high=12)
case("bessel_i0e", lax.bessel_i0e, integral_of_bessel(0), TURNS)
case("bessel_i1e", lax.bessel_i1e, integral_of_bessel(1), TURNS)
case("gamma", scipy.special.gamma, np.vectorize(math.gamma), np.concatenate([WHOLE[:-2], BELOW]))
case("factorial", scipy.special.factorial, np.vectorize(math.factorial), ints(6, low=0, high=9))
case(
    "beta",
    scipy.special.beta,
    lambda a, b: np.exp(lgamma(a) + lgamma(b) - lgamma(a + b)),
    ABOVE,
    ABOVE + 1,
)
case("entr", scipy.special.entr, lambda x: -x * np.log(x), ABOVE)
case("rel_entr", scipy.special.rel_entr, lambda p, q: p * np.log(p / q), ABOVE, ABOVE[::-1].copy())
case(
    "kl_div",
    scipy.special.kl_div,
    lambda p, q: p * np.log(p / q) - p + q,
    ABOVE,
    ABOVE[::-1].copy(),
)
case("xlog1py", scipy.special.xlog1py, lambda x, y: x * np.log1p(y), X, ABOVE)
case("i0", scipy.special.i0, np.i0, floats(20, low=-9, high=9))
case(
    "i1",
    scipy.special.i1,
    lambda x: integral_of_bessel(1)(x) * np.exp(np.abs(x)),
    floats(20, low=-9, high=9),
)
case("ndtr", scipy.special.ndtr, lambda x: np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2, X)
case("ndtri", lambda x: scipy.special.ndtri(scipy.special.ndtr(x)), lambda x: x, X)
case("logit", lambda x: scipy.special.logit(scipy.special.expit(x)), lambda x: x, X)
case(
    "multigammaln",
    lambda x: scipy.special.multigammaln(x, 2),
    lambda x: lgamma(x) + lgamma(x - 0.5) + math.log(math.pi) / 2,
    ABOVE + 1,
)
