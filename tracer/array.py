"""The two kinds of array a user holds: `Tracer` while tracing, `Array` otherwise.

Invariant: both have the same methods (`Methods`), which are those of `tracer.numpy`; an Array's
value never changes, and once donated it can only say that it is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import bool_, dtype, f32, i32
from ir.graph import Aval, Lit, Value

from . import callbacks
from .errors import (
    ConcretizationTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    leaked,
    located,
    not_concrete,
)
from .laid import Laid, lies
from .typed import LaidAval, Typed, WeakAval, interned, user_type


def aval_of(x: Any) -> Aval:
    """The type of an array-like. Raises TypeError for dtypes devices do not have."""
    if type(x) is Tracer:
        return x.value.aval
    if isinstance(x, (Array, Lit)):
        return x.aval
    if isinstance(x, (bool, np.bool_)):
        return Aval((), bool_)
    if isinstance(x, (int, float)):
        return Aval((), f32 if isinstance(x, float) else i32)
    return Aval(tuple(np.shape(x)), dtype(np.asarray(x).dtype))


def is_weak(x: Any) -> bool:
    """Whether an array-like takes the dtype of what it meets."""
    if isinstance(x, (Tracer, Array)):
        return x.weak_type
    return isinstance(x, (int, float)) and not isinstance(x, (bool, np.generic))


def type_of(x: Any) -> Aval:
    """The type of an array-like, a WeakAval for a weak one."""
    aval = aval_of(x)
    return interned(WeakAval(aval.shape, aval.dtype) if is_weak(x) else aval)


_CONCRETE_ONLY = ("block_until_ready", "copy_to_host_async", "delete", "is_deleted")
_CONCRETE_ONLY += ("numpy", "start_read")


class Tracer(Typed):
    """An array whose type is known and whose value is not, while a function is traced."""

    __slots__ = ("__weakref__", "builder", "value", "weak_type")

    def __init__(self, value: Value, weak_type: bool = False, builder: Any = None) -> None:
        self.value = value
        self.weak_type = weak_type
        self.builder = builder or current()  # where it was made: a value that leaks can say so

    @property
    def aval(self) -> Aval:
        return self.value.aval

    def __repr__(self) -> str:
        return f"Traced<{user_type(self.aval)}>"

    @property
    def user_type(self) -> str:
        return user_type(self.aval)

    def __iter__(self):
        self._need_axis()
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        self._need_one_truth()
        raise not_concrete(
            TracerBoolConversionError,
            self,
            f"Attempted boolean conversion of traced array with shape {self.user_type}.",
            "Choose between two results with jnp.where or lax.cond, or make the argument static "
            "with static_argnames",
        )

    def abstract(self, what: str) -> Exception:
        """The error for something that needs the value; `what` says what."""
        return not_concrete(
            ConcretizationTypeError,
            self,
            "Abstract tracer value encountered where concrete value is expected: traced array "
            f"with shape {self.user_type}",
            f"{what}; return the value and convert it outside, or make the argument static with "
            "static_argnames",
        )

    def _number(self, name: str) -> Exception:
        return self.abstract(
            f"The problem arose with the `{name}` function; to convert the data type, try using "
            f"`x.astype({name})`"
        )

    def __float__(self) -> float:
        self._need_scalar()
        raise self._number("float")

    def __int__(self) -> int:
        self._need_scalar()
        raise self._number("int")

    def __complex__(self) -> complex:
        self._need_scalar()
        raise self._number("complex")

    def __index__(self) -> int:
        self._need_index()
        raise not_concrete(
            TracerIntegerConversionError,
            self,
            f"The __index__() method was called on traced array with shape {self.user_type}",
            "An index or a range of Python needs a value: use lax.fori_loop or lax.dynamic_slice, "
            "or make the argument static with static_argnames",
        )

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise not_concrete(
            TracerArrayConversionError,
            self,
            "The numpy.ndarray conversion method __array__() was called on traced array with shape "
            f"{self.user_type}",
            "Use the function of the same name in tracer.numpy",
        )

    def item(self, *at: int) -> Any:
        raise self.abstract("This occurred in the item() method")

    def tolist(self) -> Any:
        raise self.abstract("The tolist() method was called")

    def __dlpack__(self, **options: Any) -> Any:
        raise self.abstract("The __dlpack__() method was called")

    def __reduce__(self) -> Any:
        raise self.abstract("It was to be pickled")

    def __copy__(self) -> Tracer:
        return self

    def __deepcopy__(self, memo: dict) -> Tracer:
        return self

    def __getattr__(self, name: str) -> Any:
        if name in _CONCRETE_ONLY:
            raise located(
                AttributeError,
                f"The '{name}' attribute is not available on traced array with shape "
                f"{user_type(self.aval)}",
            )
        raise AttributeError(f"a traced array has no attribute {name!r}")


class Array(Laid, Typed):
    """A concrete array on the device, on the host, or both; copies are made when first needed."""

    __slots__ = ("__weakref__", "_buffer", "_host", "_read", "aval", "signed")

    def __init__(
        self,
        aval: Aval,
        buffer: Any = None,
        host: np.ndarray | None = None,
        weak_type: bool = False,
    ) -> None:
        self.aval = self.signed = aval  # the second says too whether it is weak and where it lies
        if weak_type:
            self.weak_type = True
        self._buffer = buffer
        self._host = host
        self._read = None

    @property
    def weak_type(self) -> bool:
        """Whether it takes the dtype of what it meets."""
        return self.signed is not self.aval and self.signed.weak

    @weak_type.setter
    def weak_type(self, weak: bool) -> None:
        self.settle(lies(self), weak)

    def settle(self, sharding: Any, weak: bool) -> None:
        """Note where on a mesh the array lies, None for no mesh, and whether it is weak."""
        kind = self.aval.shape, self.aval.dtype
        if sharding is not None:
            self.signed = interned(LaidAval(*kind, sharding, weak))
        else:
            self.signed = interned(WeakAval(*kind)) if weak else self.aval

    @staticmethod
    def from_host(x: Any, kind: Any = None) -> Array:
        """A copy of an array-like; it travels to the device at its first use there.

        Without `kind`, Python's numbers become weak arrays.
        """
        weak = kind is None and is_weak(x)
        kind = dtype(kind) if kind is not None else aval_of(x).dtype
        host = np.array(x, dtype=kind.np, order="C")
        host.flags.writeable = False
        return Array(interned(Aval(host.shape, kind)), host=host, weak_type=weak)

    def viewed(self, weak_type: bool) -> Array:
        """The same memory under another `weak_type`, for operands: donation does not see it."""
        return Array(self.aval, self._buffer, self._host, weak_type)

    def retyped(self, weak_type: bool) -> Array:
        """The array itself, or a copy with another `weak_type`."""
        if weak_type == self.weak_type:
            return self
        return Array(self.aval, host=self.numpy(), weak_type=weak_type)

    # --- life ---

    def is_deleted(self) -> bool:
        """Whether the array was donated."""
        return self._buffer is None and self._host is None

    def check_alive(self) -> None:
        if self.is_deleted():
            text = f"Array has been deleted with shape={user_type(self.aval)}."
            raise RuntimeError(f"{text} It was donated to a jitted function; use its result")

    def delete(self) -> None:
        """Let go of the value at once."""
        self._buffer = self._host = self._read = None

    def block_until_ready(self) -> Array:
        """Wait until the value is computed; returns the array itself."""
        from .backend import wait

        self.check_alive()
        wait([self._buffer])
        callbacks.effects_barrier()
        return self

    # --- to the host ---

    def copy_to_host_async(self) -> None:
        """Start the copy that a later `np.asarray` or `float` will wait for."""
        self.check_alive()
        if self._host is None and self._read is None:
            from .backend import start_read

            self._read = start_read(self._buffer, self.aval)

    def start_read(self) -> Callable[[], np.ndarray]:
        """Start a copy to the host that outlives the array: its value now, even if donated next."""
        self.check_alive()
        if self._host is not None:
            host = self.numpy()
            return lambda: host
        from .backend import start_read

        return start_read(self._buffer, self.aval)

    def numpy(self) -> np.ndarray:
        """The value as a read-only numpy array, waiting for it if need be."""
        if self._host is None:
            if callbacks.due():
                callbacks.effects_barrier()
            self.copy_to_host_async()
            self._host, self._read = self._read(), None
        elif not self._host.flags.c_contiguous:  # one element that stands for all
            self._host = np.array(self._host)
            self._host.flags.writeable = False
        return self._host

    def under_way(self) -> bool:
        """Whether the device may still have to compute or copy the value."""
        return self._host is None and not isinstance(self._buffer, np.ndarray)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        host = self.numpy()
        changed = host if dtype is None else host.astype(dtype, copy=False)
        return changed.copy() if copy and changed is host else changed

    def _scalar(self) -> Any:
        self._need_scalar()
        return self.numpy().item()

    def __bool__(self) -> bool:
        self._need_one_truth()
        return bool(self.numpy().item())

    def __float__(self) -> float:
        return float(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        self._need_index()
        return int(self.numpy().item())

    def item(self, *at: int) -> Any:
        """The one element, or the one at a flat or full index, as a Python number."""
        if not at and self.size != 1:
            raise located(ValueError, "can only convert an array of size 1 to a Python scalar")
        return self.numpy().item(*at)

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.numpy().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        """The elements one after another."""
        return self.numpy().tobytes(order)

    def __iter__(self):
        self._need_axis()
        return (Array.from_host(row) for row in self.numpy())

    # --- text ---

    def __repr__(self) -> str:
        if self.is_deleted():
            return f"Array(deleted, shape={self.shape}, dtype={self.dtype})"
        text = np.array2string(self.numpy(), separator=", ", prefix="Array(")
        shape = f", shape={self.shape}" if self.size == 0 else ""
        weak = ", weak_type=True" if self.weak_type else ""
        return f"Array({text}{shape}, dtype={self.dtype}{weak})"

    def __str__(self) -> str:
        return str(self.numpy())

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.shape == () else str(self), spec)

    # --- to the device ---

    def on_device(self, upload: Any) -> Any:
        """The buffer, made with `upload(aval, host)` if there is none yet."""
        if self._buffer is None:
            self.check_alive()
            self._buffer = upload(self.aval, self._host)
        return self._buffer

    def __reduce__(self):
        return Array.from_host, (self.numpy(),)

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: dict) -> Array:
        return Array.from_host(self.numpy())

    def __dlpack__(self, **options: Any) -> Any:
        """A capsule of a copy on the host, for other libraries."""
        return self.numpy().copy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.numpy().__dlpack_device__()

    def __sizeof__(self) -> int:
        return self.nbytes


def host_value(x: Any) -> np.ndarray:
    """The numpy value of a concrete array-like. Raises for traced arrays."""
    if isinstance(x, Tracer):
        raise leaked(x) if current() is None else x.abstract("A value is needed here")
    return x.numpy() if isinstance(x, Array) else np.asarray(x)
