"""The methods and operators that every array has, each a function of `tracer.numpy`.

Invariant: nothing is computed here, so a method and the function of its name cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .errors import located


@cache
def _jnp():
    from . import numpy  # that module builds on this one

    return numpy


def _operator(name: str) -> tuple[Callable, Callable]:
    """An operator and its reflection."""

    def forward(self: Any, other: Any) -> Any:
        return getattr(_jnp(), name)(self, other) if isinstance(other, _TAKEN) else NotImplemented

    def backward(self: Any, other: Any) -> Any:
        return getattr(_jnp(), name)(other, self) if isinstance(other, _TAKEN) else NotImplemented

    return forward, backward


def _method(name: str) -> Callable:
    """The method of a function whose first argument is the array."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(_jnp(), name)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`jnp.{name}` of this array."
    return method


class Methods:
    """numpy's array methods and operators."""

    __slots__ = ()
    __hash__ = None  # == is elementwise

    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __floordiv__, __rfloordiv__ = _operator("floor_divide")
    __mod__, __rmod__ = _operator("mod")
    __divmod__, __rdivmod__ = _operator("divmod")
    __pow__, __rpow__ = _operator("power")
    __matmul__, __rmatmul__ = _operator("matmul")
    __and__, __rand__ = _operator("bitwise_and")
    __or__, __ror__ = _operator("bitwise_or")
    __xor__, __rxor__ = _operator("bitwise_xor")
    __lshift__, __rlshift__ = _operator("left_shift")
    __rshift__, __rrshift__ = _operator("right_shift")
    __eq__, __ne__ = _operator("equal")[0], _operator("not_equal")[0]
    __lt__, __le__ = _operator("less")[0], _operator("less_equal")[0]
    __gt__, __ge__ = _operator("greater")[0], _operator("greater_equal")[0]

    def __neg__(self):
        return _jnp().negative(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return _jnp().abs(self)

    def __invert__(self):
        return _jnp().invert(self)

    def __round__(self, ndigits: int | None = None):
        """The nearest integers as int32; with `ndigits`, `jnp.round`."""
        if ndigits is None:
            return _jnp().astype(_jnp().round(self), np.int32)
        return _jnp().round(self, ndigits)

    def __contains__(self, value: Any) -> bool:
        return bool(_jnp().any(self == value))

    def __getitem__(self, index: Any):
        from .indexing import get

        return get(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise located(
            TypeError,
            "arrays are immutable and do not support in-place item assignment. Instead of "
            "x[idx] = y, use x = x.at[idx].set(y) or another .at[] method",
        )

    def __array_namespace__(self, *, api_version: str | None = None):
        """The functions of the Python array API standard: `tracer.numpy`."""
        from .standard import namespace

        return namespace(api_version)

    def to_device(self, device: Any, *, stream: None = None):
        """The array itself: there is one device. Raises ValueError for others."""
        from .config import checked_device

        checked_device(device)
        return self

    @property
    def at(self):
        """`x.at[index].set(v)`, `.add(v)`, ...: a changed copy; the array itself never changes."""
        from .writing import At

        return At(self)

    @property
    def T(self):
        return _jnp().transpose(self)

    @property
    def mT(self):
        """The last two axes swapped."""
        return _jnp().matrix_transpose(self)

    @property
    def real(self):
        return _jnp().real(self)

    @property
    def imag(self):
        return _jnp().imag(self)

    def reshape(self, *args: Any, order: str = "C"):
        return _jnp().reshape(self, _unpack(args), order)

    def transpose(self, *args: Any):
        return _jnp().transpose(self, _unpack(args) if args else None)

    def flatten(self, order: str = "C"):
        return _jnp().ravel(self, order)

    def compress(self, condition: Any, axis: int | None = None, **options: Any):
        return _jnp().compress(condition, self, axis, **options)

    def view(self, dtype: Any = None, type: None = None):
        """The same bits as another dtype."""
        from .lax import bitcast_convert_type

        if type is not None:
            raise ValueError("`type` argument of array.view() is not supported.")
        return self if dtype is None else bitcast_convert_type(self, dtype)

    all, any = _method("all"), _method("any")
    argmax, argmin = _method("argmax"), _method("argmin")
    argpartition = _method("argpartition")
    argsort = _method("argsort")
    astype = _method("astype")
    choose = _method("choose")
    clip = _method("clip")
    conj = conjugate = _method("conj")
    copy = _method("copy")
    cumprod, cumsum = _method("cumprod"), _method("cumsum")
    diagonal = _method("diagonal")
    dot = _method("dot")
    max, min = _method("max"), _method("min")
    mean, std, var = _method("mean"), _method("std"), _method("var")
    nonzero = _method("nonzero")
    prod, sum = _method("prod"), _method("sum")
    ptp = _method("ptp")
    ravel = _method("ravel")
    repeat = _method("repeat")
    round = _method("round")
    searchsorted = _method("searchsorted")
    sort = _method("sort")
    squeeze = _method("squeeze")
    swapaxes = _method("swapaxes")
    take = _method("take")
    trace = _method("trace")


def _unpack(args: tuple) -> Any:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return args[0] if len(args) == 1 else args


# What an operator takes beside an array.
_TAKEN = (Methods, bool, int, float, np.ndarray, np.generic)
