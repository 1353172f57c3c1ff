"""Functions of elements with numpy's methods: `add.reduce`, `maximum.accumulate`, `add.outer`, ...

Invariant: calling a ufunc calls the function it was made of; its methods follow from that function
unless it has a faster one of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .creation import asarray
from .errors import located
from .functional import vectorize
from .operands import astype
from .special import logaddexp, logaddexp2
from .staging import operand
from .statistics import cumprod, running
from .writing import At

_OPTIONS = [
    inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in ("out", "where")
]


class ufunc:
    """A function of `nin` arrays, element by element, with `nout` results.

    `identity` is what an empty reduction gives; `reduce` and `accumulate` replace the methods that
    repeat the function.
    """

    def __init__(
        self,
        func: Callable,
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        identity: Any = None,
        reduce: Callable | None = None,
        accumulate: Callable | None = None,
    ) -> None:
        self._func, self.nin, self.nout, self.nargs = func, nin, nout, nin + nout
        self.__name__ = self.__qualname__ = name or func.__name__
        self.__doc__ = func.__doc__
        self.identity, self._reduce, self._accumulate = identity, reduce, accumulate
        given = [
            inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY)
            for n in (["x"] if nin == 1 else [f"x{i + 1}" for i in range(nin)])
        ]
        self.__signature__ = inspect.Signature([*given, *_OPTIONS])

    def __repr__(self) -> str:
        return f"<jnp.ufunc {self.__name__!r}>"

    def __call__(self, *args: Any, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            what = "out" if out is not None else "where"
            raise located(TypeError, f"{what} argument of {self}: use jnp.where on the result")
        if len(args) != self.nin:
            raise located(
                TypeError,
                f"{self.__name__}() takes {self.nin} positional arguments, got {len(args)}",
            )
        return self._func(*args)

    def _need_pairs(self, method: str) -> None:
        if self.nin != 2:
            raise located(ValueError, f"{method} only supported for binary ufuncs")
        if self.nout != 1:
            raise located(ValueError, f"{method} only supported for functions returning one value")

    def reduce(
        self,
        a: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """The function of all elements along `axis` (None: all axes), in order."""
        self._need_pairs("reduce")
        red.without_out(f"{self.__name__}.reduce", out)
        x = operand(a) if dtype is None else astype(a, dtype)
        first = self.identity if initial is None else initial
        if where is not None:
            if first is None:
                raise located(
                    ValueError,
                    f"reduction operation {self.__name__!r} does not have an identity, so to use a "
                    "where mask one has to specify 'initial'",
                )
            kept = self.identity if self.identity is not None else first
            x = red.selected(f"{self.__name__}.reduce", x, where, kept)
        if self._reduce is not None:
            found = self._reduce(x, axis, keepdims)
        else:
            found = self._folded(x, axis, keepdims)
        return found if initial is None else self._func(initial, found)

    def _folded(self, x: Any, axis: Any, keepdims: bool) -> Any:
        for at in shaping.canonical_axes(axis, aval_of(x).ndim):
            n = aval_of(x).shape[at]
            if not n:
                raise located(ValueError, f"{self.__name__}.reduce of an axis without elements")
            last = shaping.slice_axis(self.accumulate(x, at), at, n - 1, n)
            x = last
        return x if keepdims else shaping.squeeze(x, shaping.canonical_axes(axis, aval_of(x).ndim))

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """x[0], f(x[0], x[1]), f(f(x[0], x[1]), x[2]), ... along `axis`."""
        self._need_pairs("accumulate")
        red.without_out(f"{self.__name__}.accumulate", out)
        x = operand(a) if dtype is None else astype(a, dtype)
        if self._accumulate is not None:
            return self._accumulate(x, axis)
        from .control import scan

        rows = shaping.moveaxis(x, axis, 0)
        if aval_of(rows).shape[0] < 2:
            return x

        def step(so_far: Any, row: Any) -> tuple[Any, Any]:
            new = astype(self._func(so_far, row), aval_of(so_far).dtype)
            return new, new

        _, rest = scan(step, rows[0], rows[1:])
        return shaping.moveaxis(shaping.concatenate([rows[:1], rest], 0), 0, axis)

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = True) -> Any:
        """`a` with the function applied at `indices`, once for each mention, in order.

        Raises TypeError unless `inplace` is False: arrays are immutable.
        """
        if inplace:
            raise located(
                TypeError,
                f"{self}.at cannot write into an array, which is immutable; pass inplace=False and "
                "use the result",
            )
        x = asarray(a)
        places = indices if isinstance(indices, tuple) else (indices,)
        if self.nin == 1:
            return At(x)[indices].set(self._func(x[indices]))
        if self.__name__ == "add":
            return At(x)[indices].add(b)
        return self._one_by_one(x, places, b)

    def _one_by_one(self, x: Any, places: tuple, b: Any) -> Any:
        from .loops import fori_loop

        shape = aval_of(x[places]).shape
        lead = np.broadcast_shapes(*(np.shape(p) for p in places))
        ids = [shaping.ravel(shaping.broadcast_to(asarray(p), lead)) for p in places]
        values = shaping.broadcast_to(asarray(b), shape)
        values = shaping.reshape(values, (aval_of(ids[0]).size, *shape[len(lead) :]))

        def step(i: Any, held: Any) -> Any:
            spot = tuple(p[i] for p in ids)
            new = self._func(held[spot], values[i])
            return At(held)[spot].set(astype(new, aval_of(held).dtype))

        return fori_loop(0, aval_of(ids[0]).size, step, x)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of every element of A with every element of B."""
        self._need_pairs("outer")
        left, right = operand(A), operand(B)
        ones = (1,) * aval_of(right).ndim
        return self._func(shaping.reshape(left, aval_of(left).shape + ones), right)

    def reduceat(
        self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None
    ) -> Any:
        """For each of `indices` the reduction up to the next one, or the element where that is not
        behind it."""
        self._need_pairs("reduceat")
        red.without_out(f"{self.__name__}.reduceat", out)
        x = operand(a) if dtype is None else astype(a, dtype)
        at = shaping.canonical_axis(axis, aval_of(x).ndim)
        starts = np.asarray(indices).tolist()
        n = aval_of(x).shape[at]
        parts = []
        for start, stop in zip(starts, [*starts[1:], n], strict=True):
            part = shaping.slice_axis(x, at, start, max(stop, start + 1))
            parts.append(self.reduce(part, at, keepdims=True))
        return shaping.concatenate(parts, at)


def frompyfunc(func: Callable, /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A ufunc of a Python function of scalars."""
    name = getattr(func, "__name__", "function")
    return ufunc(vectorize(func), nin, nout, name=name, identity=identity)


# --- numpy's ----------------------------------------------------------------------------------


def _reduction(reduce: Callable) -> Callable:
    return lambda x, axis, keepdims: reduce(x, axis, keepdims=keepdims)


def _running(function: Callable) -> Callable:
    return lambda x, axis: running(function, x, axis)


def _parity(x: Any, axis: Any, keepdims: bool) -> Any:
    return ew.not_equal(ew.mod(red.sum(ew.not_equal(x, 0), axis, keepdims=keepdims), 2), 0)


def _sum_of_powers(x: Any, axis: Any, keepdims: bool) -> Any:
    from .nn.softmax import logsumexp

    return logsumexp(x, axis, keepdims=keepdims)


add = ufunc(
    ew.add, 2, 1, identity=0, reduce=_reduction(red.sum), accumulate=lambda x, a: red.cumsum(x, a)
)
multiply = ufunc(
    ew.multiply,
    2,
    1,
    identity=1,
    reduce=_reduction(red.prod),
    accumulate=lambda x, a: cumprod(x, a),
)
subtract = ufunc(ew.subtract, 2, 1)
negative = ufunc(ew.negative, 1, 1)
maximum = ufunc(ew.maximum, 2, 1, reduce=_reduction(red.max), accumulate=_running(ew.maximum))
minimum = ufunc(ew.minimum, 2, 1, reduce=_reduction(red.min), accumulate=_running(ew.minimum))
logaddexp = ufunc(
    logaddexp, 2, 1, identity=-np.inf, reduce=_sum_of_powers, accumulate=_running(logaddexp)
)
logaddexp2 = ufunc(logaddexp2, 2, 1, identity=-np.inf, accumulate=_running(logaddexp2))
logical_and = ufunc(ew.logical_and, 2, 1, identity=True, reduce=_reduction(red.all))
logical_or = ufunc(ew.logical_or, 2, 1, identity=False, reduce=_reduction(red.any))
logical_xor = ufunc(ew.logical_xor, 2, 1, identity=False, reduce=_parity)
bitwise_and = ufunc(ew.bitwise_and, 2, 1, identity=-1, accumulate=_running(ew.bitwise_and))
bitwise_or = ufunc(ew.bitwise_or, 2, 1, identity=0, accumulate=_running(ew.bitwise_or))
bitwise_xor = ufunc(ew.bitwise_xor, 2, 1, identity=0, accumulate=_running(ew.bitwise_xor))

__all__ = [
    "add",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "frompyfunc",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "subtract",
    "ufunc",
]
