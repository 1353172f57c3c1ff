"""The methods and operators that every array has, each a function of `tracer.numpy`.

Invariant: nothing is computed here, so a method and the function of its name cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _jnp():
    from . import numpy  # that module builds on this one

    return numpy


def _forward(name: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return getattr(_jnp(), name)(self, other)

    return method


def _backward(name: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return getattr(_jnp(), name)(other, self)

    return method


class Methods:
    """numpy's array methods and operators."""

    __slots__ = ()
    __hash__ = None  # == is elementwise

    __add__, __radd__ = _forward("add"), _backward("add")
    __sub__, __rsub__ = _forward("subtract"), _backward("subtract")
    __mul__, __rmul__ = _forward("multiply"), _backward("multiply")
    __truediv__, __rtruediv__ = _forward("divide"), _backward("divide")
    __floordiv__, __rfloordiv__ = _forward("floor_divide"), _backward("floor_divide")
    __mod__, __rmod__ = _forward("mod"), _backward("mod")
    __pow__, __rpow__ = _forward("power"), _backward("power")
    __matmul__, __rmatmul__ = _forward("matmul"), _backward("matmul")
    __and__, __rand__ = _forward("bitwise_and"), _backward("bitwise_and")
    __or__, __ror__ = _forward("bitwise_or"), _backward("bitwise_or")
    __xor__, __rxor__ = _forward("bitwise_xor"), _backward("bitwise_xor")
    __lshift__, __rlshift__ = _forward("left_shift"), _backward("left_shift")
    __rshift__, __rrshift__ = _forward("right_shift"), _backward("right_shift")
    __divmod__, __rdivmod__ = _forward("divmod"), _backward("divmod")
    __eq__, __ne__ = _forward("equal"), _forward("not_equal")
    __lt__, __le__ = _forward("less"), _forward("less_equal")
    __gt__, __ge__ = _forward("greater"), _forward("greater_equal")

    def __neg__(self):
        return _jnp().negative(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return _jnp().abs(self)

    def __invert__(self):
        return _jnp().invert(self)

    def __getitem__(self, index: Any):
        from .indexing import get

        return get(self, index)

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
        return _jnp().swapaxes(self, -1, -2)

    def reshape(self, *shape: Any):
        return _jnp().reshape(self, _unpack(shape))

    def transpose(self, *axes: Any):
        return _jnp().transpose(self, _unpack(axes) if axes else None)

    def swapaxes(self, axis1: int, axis2: int):
        return _jnp().swapaxes(self, axis1, axis2)

    def astype(self, dtype: Any):
        return _jnp().astype(self, dtype)

    def ravel(self):
        return _jnp().ravel(self)

    def flatten(self):
        return _jnp().ravel(self)

    def squeeze(self, axis: Any = None):
        return _jnp().squeeze(self, axis)

    def copy(self):
        return _jnp().copy(self)

    def sum(self, axis: Any = None, keepdims: bool = False):
        return _jnp().sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False):
        return _jnp().mean(self, axis, keepdims)

    def var(self, axis: Any = None, ddof: int = 0, keepdims: bool = False):
        return _jnp().var(self, axis, ddof, keepdims)

    def std(self, axis: Any = None, ddof: int = 0, keepdims: bool = False):
        return _jnp().std(self, axis, ddof, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False):
        return _jnp().max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False):
        return _jnp().min(self, axis, keepdims)

    def prod(self, axis: Any = None, keepdims: bool = False):
        return _jnp().prod(self, axis, keepdims)

    def cumsum(self, axis: Any = None):
        return _jnp().cumsum(self, axis)

    def all(self, axis: Any = None, keepdims: bool = False):
        return _jnp().all(self, axis, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False):
        return _jnp().any(self, axis, keepdims)

    def argmax(self, axis: Any = None, keepdims: bool = False):
        return _jnp().argmax(self, axis, keepdims)

    def argmin(self, axis: Any = None, keepdims: bool = False):
        return _jnp().argmin(self, axis, keepdims)

    def dot(self, other: Any):
        return _jnp().dot(self, other)

    def take(self, indices: Any, axis: int | None = None):
        return _jnp().take(self, indices, axis)

    def clip(self, min: Any = None, max: Any = None):
        return _jnp().clip(self, min, max)

    def round(self):
        return _jnp().round(self)

    def repeat(self, repeats: int, axis: int | None = None):
        return _jnp().repeat(self, repeats, axis)


def _unpack(args: tuple) -> Any:
    """reshape(2, 3) and reshape((2, 3)) are the same."""
    return args[0] if len(args) == 1 else args
