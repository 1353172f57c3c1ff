"""What numpy does on the host: text, files, other libraries' memory, and questions about Python.

Invariant: arrays come from and go to the host by way of numpy; nothing here can be traced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .array import Array, Tracer, host_value
from .creation import asarray

get_printoptions, set_printoptions = np.get_printoptions, np.set_printoptions
printoptions = np.printoptions


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """`repr` with these settings: `Array([1., 2.], dtype=float32)`."""
    host = host_value(arr)
    text = np.array2string(
        host, max_line_width, precision, suppress_small, separator=", ", prefix="Array("
    )
    shape = f", shape={host.shape}" if host.size == 0 else ""
    return f"Array({text}{shape}, dtype={host.dtype})"


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """`str` with these settings: `[1. 2.]`."""
    return np.array_str(host_value(a), max_line_width, precision, suppress_small)


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Write an array as a .npy file (a path or an open file)."""
    np.save(file, host_value(arr), allow_pickle=allow_pickle)


def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Write arrays as a .npz file, by name or as arr_0, arr_1, ..."""
    named = {name: host_value(x) for name, x in kwds.items()}
    np.savez(file, *map(host_value, args), allow_pickle=allow_pickle, **named)


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array of a .npy file, or numpy's mapping of a .npz file."""
    found = np.load(file, *args, **kwargs)
    return asarray(found) if isinstance(found, np.ndarray) else found


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """A copy of another library's array that is, or can come, on the host."""
    return Array.from_host(np.from_dlpack(x))


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Array:
    """The numbers that the bytes of a buffer are."""
    return Array.from_host(np.frombuffer(buffer, dtype, count, offset))


def fromfile(*args: Any, **kwargs: Any) -> Array:
    """`numpy.fromfile`."""
    return Array.from_host(np.fromfile(*args, **kwargs))


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Array:
    """The numbers of an iterable, read at once."""
    return Array.from_host(np.fromiter(iter, dtype, count))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Array:
    """The numbers in a text, separated by `sep`."""
    return Array.from_host(np.fromstring(string, dtype, count, sep=sep))


def einsum_path(subscripts: str, /, *operands: Any, optimize: Any = "auto") -> tuple[list, str]:
    """The order in which numpy would contract, and what it costs; `einsum` goes left to right."""
    shaped = [np.broadcast_to(np.float32(0), np.shape(x)) for x in operands]
    return np.einsum_path(
        subscripts, *shaped, optimize="greedy" if optimize == "auto" else optimize
    )


def isscalar(element: Any) -> bool:
    """Whether it is a number or an array without axes."""
    return np.ndim(element) == 0 if isinstance(element, (Array, Tracer)) else np.isscalar(element)


def iterable(y: Any) -> bool:
    """Whether one can iterate over it."""
    return np.iterable(y)


__all__ = [
    "array_repr",
    "array_str",
    "einsum_path",
    "from_dlpack",
    "frombuffer",
    "fromfile",
    "fromiter",
    "fromstring",
    "get_printoptions",
    "isscalar",
    "iterable",
    "load",
    "printoptions",
    "save",
    "savez",
    "set_printoptions",
]
