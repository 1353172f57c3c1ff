"""torch's operators in terms of the JAX interface.

Invariant: every entry takes the namespace and then torch's own sample arguments, and uses public
names of that namespace alone, so each can be checked with JAX in the place of tracer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

MAP: dict[str, Callable] = {}


class Unmapped(Exception):
    """This sample asks for a part of torch's interface that the JAX interface has not."""


def op(*names: str) -> Callable:
    """Register a function under the names of OpInfos."""

    def register(fun: Callable) -> Callable:
        MAP.update(dict.fromkeys(names, fun))
        return fun

    return register


def _plain(torch_name: str, path: str) -> None:
    """An operator of arrays alone, whose positional arguments mean the same."""

    def fun(j: Any, *args: Any) -> Any:
        found = j
        for part in path.split("."):
            found = getattr(found, part)
        return found(*args)

    MAP[torch_name] = fun


UNARY = (
    "abs exp exp2 expm1 log log2 log10 log1p sin cos tan asin:arcsin acos:arccos atan:arctan sinh "
    "cosh tanh asinh:arcsinh acosh:arccosh atanh:arctanh ceil floor trunc sign sqrt square "
    "reciprocal neg:negative positive isnan isinf isfinite logical_not bitwise_not:invert "
    "deg2rad rad2deg sinc ravel fliplr flipud signbit isneginf isposinf"
)
BINARY = (
    "atan2:arctan2 maximum minimum fmax fmin fmod remainder eq:equal ne:not_equal lt:less "
    "le:less_equal gt:greater ge:greater_equal logical_and logical_or logical_xor bitwise_and "
    "bitwise_or bitwise_xor bitwise_left_shift:left_shift hypot logaddexp copysign heaviside "
    "floor_divide true_divide:divide float_power matmul mm:matmul bmm:matmul mv:matmul dot vdot "
    "inner outer kron pow:power mul:multiply"
)
for entry in UNARY.split() + BINARY.split():
    _plain(entry.split(":")[0], "numpy." + entry.split(":")[-1])
for torch_name, path in {
    "sigmoid": "nn.sigmoid",
    "rsqrt": "lax.rsqrt",
    "erf": "lax.erf",
    "erfc": "lax.erfc",
    "erfinv": "lax.erf_inv",
    "lgamma": "lax.lgamma",
    "digamma": "lax.digamma",
    "special.i0e": "lax.bessel_i0e",
    "special.i1e": "lax.bessel_i1e",
    "special.entr": "scipy.special.entr",
    "special.i1": "scipy.special.i1",
    "i0": "scipy.special.i0",
    "special.ndtr": "scipy.special.ndtr",
    "special.xlog1py": "scipy.special.xlog1py",
    "special.zeta": "scipy.special.zeta",
    "mvlgamma": "scipy.special.multigammaln",
    "nn.functional.relu": "nn.relu",
    "nn.functional.relu6": "nn.relu6",
    "nn.functional.silu": "nn.silu",
    "nn.functional.mish": "nn.mish",
    "nn.functional.selu": "nn.selu",
    "nn.functional.hardswish": "nn.hard_swish",
    "nn.functional.hardsigmoid": "nn.hard_sigmoid",
    "nn.functional.logsigmoid": "nn.log_sigmoid",
    "nn.functional.softsign": "nn.soft_sign",
}.items():
    _plain(torch_name, path)


def dims(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def axes_of(x: Any, dim: Any) -> Any:
    """torch's dim of a reduction: a scalar has an axis 0, and no axes mean all."""
    return None if not x.ndim or dim == () or dim == [] else dims(dim)


def as_row(fun: Callable) -> Callable:
    """torch lets a scalar stand for a row of one element."""

    def wrapped(j: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if x.ndim:
            return fun(j, x, *args, **kwargs)
        found = fun(j, x[None], *args, **kwargs)
        return tuple(f[0] for f in found) if isinstance(found, tuple) else found[0]

    return wrapped


# --- arithmetic with torch's extra arguments ------------------------------------------------------


@op("add")
def add(j, x, y, alpha=1):
    return x + y * alpha if alpha != 1 else j.numpy.add(x, y)


@op("sub")
def sub(j, x, y, alpha=1):
    return x - y * alpha if alpha != 1 else j.numpy.subtract(x, y)


@op("rsub")
def rsub(j, x, y, alpha=1):
    return y - x * alpha


@op("div")
def div(j, x, y, rounding_mode=None):
    if rounding_mode == "floor":
        return j.numpy.floor_divide(x, y)
    return j.numpy.trunc(x / y) if rounding_mode == "trunc" else j.numpy.divide(x, y)


@op("round")
def round_(j, x, decimals=0):
    return j.numpy.round(x, decimals)


@op("clamp")
def clamp(j, x, min=None, max=None):
    return j.numpy.clip(x, min, max)


@op("lerp")
def lerp(j, x, end, weight):
    return x + weight * (end - x)


@op("addcmul")
def addcmul(j, x, a, b, value=1):
    return x + value * a * b


@op("addcdiv")
def addcdiv(j, x, a, b, value=1):
    return x + value * a / b


@op("nan_to_num")
def nan_to_num(j, x, nan=0.0, posinf=None, neginf=None):
    return j.numpy.nan_to_num(x, nan=nan or 0.0, posinf=posinf, neginf=neginf)


@op("where")
def where(j, x, condition, y):
    return j.numpy.where(condition, x, y)


@op("masked_fill")
def masked_fill(j, x, mask, value):
    return j.numpy.where(mask, value, x)


@op("logit")
def logit(j, x, eps=None):
    if eps is not None:
        x = j.numpy.clip(x, eps, 1 - eps)
    return j.numpy.log(x / (1 - x))


@op("xlogy")
def xlogy(j, x, y):
    safe = j.numpy.where(x == 0, 1.0, y)
    return j.numpy.where(x == 0, x * 0.0, x * j.numpy.log(safe))


@op("isclose")
def isclose(j, x, y, rtol=1e-5, atol=1e-8, equal_nan=False):
    return j.numpy.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)


# --- reductions -----------------------------------------------------------------------------------


def _reduction(name: str) -> Callable:
    def fun(j, x, dim=None, keepdim=False, dtype=None):
        if dtype is not None:
            raise Unmapped("dtype")
        return getattr(j.numpy, name)(x, axis=axes_of(x, dim), keepdims=keepdim)

    return fun


for name in "sum mean prod amax amin all any nansum nanmean count_nonzero argmax argmin".split():
    MAP[name] = _reduction(name)


def _spread(name: str) -> Callable:
    def fun(j, x, dim=None, unbiased=None, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        axes = axes_of(x, dim)
        return getattr(j.numpy, name)(x, axis=axes, ddof=correction, keepdims=keepdim)

    return fun


MAP["var"], MAP["std"] = _spread("var"), _spread("std")


def _extremum(name: str) -> Callable:
    def fun(j, x, dim=None, keepdim=False):
        if not (dim is None or isinstance(dim, int)):  # the binary form
            return getattr(j.numpy, f"{name}imum")(x, dim)
        axis = axes_of(x, dim)
        found = getattr(j.numpy, name)(x, axis=axis, keepdims=keepdim)
        at = getattr(j.numpy, f"arg{name}")
        return found if dim is None else (found, at(x, axis=axis, keepdims=keepdim))

    return fun


MAP["max"], MAP["min"] = _extremum("max"), _extremum("min")


@op("cumsum")
def cumsum(j, x, dim, dtype=None):
    return j.numpy.cumsum(x, axis=dim) if x.ndim else x


@op("cumprod")
def cumprod(j, x, dim, dtype=None):
    return j.numpy.cumprod(x, axis=dim) if x.ndim else x


@op("logsumexp")
def logsumexp(j, x, dim, keepdim=False):
    return j.nn.logsumexp(x, axis=axes_of(x, dim), keepdims=keepdim)


@op("logcumsumexp")
def logcumsumexp(j, x, dim):
    return j.lax.cumlogsumexp(x, axis=dim % x.ndim) if x.ndim else x


@op("linalg.vector_norm")
def vector_norm(j, x, ord=2, dim=None, keepdim=False, dtype=None):
    return j.numpy.linalg.vector_norm(x, ord=ord, axis=axes_of(x, dim), keepdims=keepdim)


@op("trace")
def trace(j, x):
    return j.numpy.trace(x)


@op("sort")
@as_row
def sort(j, x, dim=-1, descending=False, stable=False):
    order = j.numpy.argsort(x, axis=dim, descending=descending, stable=True)
    return j.numpy.sort(x, axis=dim, descending=descending), order


@op("argsort")
@as_row
def argsort(j, x, dim=-1, descending=False, stable=False):
    return j.numpy.argsort(x, axis=dim, descending=descending, stable=True)


@op("topk")
@as_row
def topk(j, x, k, dim=-1, largest=True, sorted=True):
    rows = j.numpy.moveaxis(x, dim, -1)
    values, at = j.lax.top_k(rows if largest else -rows, k)
    values = values if largest else -values
    return j.numpy.moveaxis(values, -1, dim), j.numpy.moveaxis(at, -1, dim)


@op("diff")
def diff(j, x, n=1, dim=-1, prepend=None, append=None):
    return j.numpy.diff(x, n, axis=dim, prepend=prepend, append=append)


# --- contractions ---------------------------------------------------------------------------------


def _scaled(beta: Any, x: Any) -> Any:
    return 0 if beta == 0 else beta * x


@op("addmm", "addmv", "baddbmm")
def addmm(j, x, a, b, beta=1, alpha=1):
    return _scaled(beta, x) + alpha * j.numpy.matmul(a, b)


@op("addbmm")
def addbmm(j, x, a, b, beta=1, alpha=1):
    return _scaled(beta, x) + alpha * j.numpy.einsum("bij,bjk->ik", a, b)


@op("addr")
def addr(j, x, a, b, beta=1, alpha=1):
    return _scaled(beta, x) + alpha * j.numpy.outer(a, b)


@op("einsum")
def einsum(j, operands, equation):
    return j.numpy.einsum(equation.replace(" ", ""), *operands)


@op("tensordot")
def tensordot(j, a, b, dims=2):
    pairs = [] if isinstance(dims, int) else zip(*dims, strict=True)
    if any(a.shape[m] != b.shape[n] for m, n in pairs):
        raise Unmapped("contracted axes of size 1 that broadcast")
    return j.numpy.tensordot(a, b, axes=dims)


@op("linalg.multi_dot")
def multi_dot(j, arrays):
    return j.numpy.linalg.multi_dot(arrays)


@op("linalg.matrix_power")
def matrix_power(j, x, n):
    return j.numpy.linalg.matrix_power(x, n)


# --- shapes ---------------------------------------------------------------------------------------


@op("reshape", "view")
def reshape(j, x, *shape):
    return j.numpy.reshape(x, shape[0] if isinstance(shape[0], (tuple, list)) else shape)


@op("flatten")
def flatten(j, x, start_dim=0, end_dim=-1):
    if not x.ndim:
        return j.numpy.ravel(x)
    a, b = start_dim % x.ndim, end_dim % x.ndim
    return j.numpy.reshape(x, (*x.shape[:a], math.prod(x.shape[a : b + 1]), *x.shape[b + 1 :]))


@op("unflatten")
def unflatten(j, x, dim, sizes):
    dim %= x.ndim
    sizes = list(sizes)
    if -1 in sizes:
        known = -math.prod(sizes)
        sizes[sizes.index(-1)] = x.shape[dim] // known if known else 0
    return j.numpy.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


@op("squeeze")
def squeeze(j, x, dim=None):
    if dim is None:
        return j.numpy.squeeze(x)
    given = dims(dim) if isinstance(dim, (tuple, list)) else (dim,)
    return j.numpy.squeeze(x, tuple(d for d in given if x.ndim and x.shape[d] == 1))


@op("unsqueeze")
def unsqueeze(j, x, dim):
    return j.numpy.expand_dims(x, dim)


@op("permute")
def permute(j, x, order):
    return j.numpy.transpose(x, order)


@op("transpose")
def transpose(j, x, a, b):
    return j.numpy.swapaxes(x, a, b) if x.ndim else x


@op("t", "T")
def t(j, x):
    return j.numpy.transpose(x)


@op("mT")
def mt(j, x):
    return x.mT


@op("movedim")
def movedim(j, x, a, b):
    return j.numpy.moveaxis(x, dims(a), dims(b)) if x.ndim else x


@op("flip")
def flip(j, x, dims):
    return j.numpy.flip(x, tuple(dims)) if dims else x


@op("roll")
def roll(j, x, shifts, axes=None):
    return j.numpy.roll(x, dims(shifts), dims(axes) if axes != () else None)


@op("rot90")
def rot90(j, x, k=1, axes=(0, 1)):
    return j.numpy.rot90(x, k, tuple(axes))


@op("tile", "repeat")
def tile(j, x, reps):
    return j.numpy.tile(x, reps)


@op("repeat_interleave")
def repeat_interleave(j, x, repeats, dim=None, output_size=None):
    if not isinstance(repeats, int):
        raise Unmapped("repeats that depend on values")
    return j.numpy.repeat(x, repeats, axis=dim)


@op("expand", "broadcast_to")
def expand(j, x, shape):
    lead = len(shape) - x.ndim
    sizes = [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)]
    return j.numpy.broadcast_to(x, tuple(sizes))


@op("cat")
def cat(j, arrays, dim=0):
    kept = [a for a in arrays if a.shape != (0,)] or arrays[:1]
    return j.numpy.concatenate(kept, axis=dim)


@op("stack")
def stack(j, arrays, dim=0):
    return j.numpy.stack(arrays, axis=dim)


for name in "hstack vstack dstack column_stack".split():
    MAP[name] = lambda j, arrays, name=name: getattr(j.numpy, name)(arrays)


@op("split")
def split(j, x, size, dim=0):
    if isinstance(size, (list, tuple)):
        at = [sum(size[: i + 1]) for i in range(len(size) - 1)]
    else:
        at = list(range(size, x.shape[dim], size))
    return list(j.numpy.split(x, at, axis=dim))


@op("chunk")
def chunk(j, x, chunks, dim=0):
    return split(j, x, -(-x.shape[dim] // chunks), dim)


@op("tensor_split")
def tensor_split(j, x, at, dim=0):
    if not isinstance(at, (int, list, tuple)):
        raise Unmapped("places that are a tensor")
    return list(j.numpy.array_split(x, at, axis=dim))


@op("unbind")
def unbind(j, x, dim=0):
    return list(j.numpy.unstack(x, axis=dim))


@op("meshgrid")
def meshgrid(j, first, *rest, indexing="ij"):
    arrays = first if isinstance(first, (list, tuple)) else (first, *rest)
    return list(j.numpy.meshgrid(*(j.numpy.ravel(a) for a in arrays), indexing=indexing))


@op("atleast_1d")
def atleast_1d(j, x):
    return [j.numpy.atleast_1d(a) for a in x] if isinstance(x, list) else j.numpy.atleast_1d(x)


@op("atleast_2d")
def atleast_2d(j, x):
    return [j.numpy.atleast_2d(a) for a in x] if isinstance(x, list) else j.numpy.atleast_2d(x)


@op("tril")
def tril(j, x, k=0):
    return j.numpy.tril(x, k)


@op("triu")
def triu(j, x, k=0):
    return j.numpy.triu(x, k)


@op("diag")
def diag(j, x, k=0):
    return j.numpy.diag(x, k)


@op("diagonal")
def diagonal(j, x, offset=0, dim1=0, dim2=1):
    return j.numpy.diagonal(x, offset, dim1, dim2)


@op("nn.functional.pad")
def pad(j, x, widths, mode="constant", value=None):
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)]
    if min(widths, default=0) < 0:
        raise Unmapped("a negative width")
    every = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    if mode == "constant":
        return j.numpy.pad(x, every, constant_values=value or 0.0)
    kinds = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return j.numpy.pad(x, every, mode=kinds[mode])
