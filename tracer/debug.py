"""`tracer.debug`: printing and calling the host from functions that are traced.

Invariant: a call appears once for each time the traced function would have made it: for each
iteration, each member of a vmap, the branch taken, the forward pass of a gradient. What is
rematerialised is told again. Outside of a trace a call happens at once.
"""

from __future__ import annotations

import builtins
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.build import current

from . import callbacks, tree
from .array import Array, Tracer
from .inspection import inspect_array_sharding
from .pictures import visualize_array_sharding, visualize_sharding
from .staging import bind, operand


class _Checker(string.Formatter):
    """Formats as str.format does, and refuses arguments that the text does not mention."""

    def check_unused_args(self, used_args: Any, args: Sequence, kwargs: Any) -> None:
        unused = [a for i, a in enumerate(args) if i not in used_args]
        names = [name for name in kwargs if name not in used_args]
        for kind, found in (("", unused), ("keyword ", names)):
            if found:
                raise ValueError(
                    f"Unused {kind}arguments to `debug.print`: {found}. You may be passing an "
                    'f-string (i.e, `f"{x}"`) into `debug.print` and instead should pass in a '
                    "regular string."
                )


def print(
    fmt: str, *args: Any, ordered: bool = False, skip_format_check: bool = False, **kwargs: Any
) -> None:
    """Print `fmt.format(*args, **kwargs)` when the values are known.

    Calls are in program order whether `ordered` or not. Raises ValueError for arguments that `fmt`
    does not mention, KeyError and IndexError for those it lacks.
    """
    if not skip_format_check:
        shown = tree.map(_stand_in, (args, kwargs))
        _Checker().vformat(fmt, shown[0], shown[1])
    callback(_Printer(fmt), *args, ordered=ordered, **kwargs)


def _stand_in(x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if isinstance(x, Tracer) else x


class _Printer:
    def __init__(self, fmt: str) -> None:
        self.fmt = fmt

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        builtins.print(self.fmt.format(*args, **kwargs), flush=True)

    def __repr__(self) -> str:
        return f"print {self.fmt!r}"


def callback(fun: Callable, *args: Any, ordered: bool = False, **kwargs: Any) -> None:
    """Call `fun(*args, **kwargs)` on the host when the values are known; its result is dropped.

    Traced arrays arrive as arrays, everything else as it is. Calls are in program order whether
    `ordered` or not.
    """
    leaves, structure = tree.flatten((args, kwargs))
    if current() is None:
        callbacks.effects_barrier()
        fun(*args, **kwargs)
        return
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (Tracer, Array, np.ndarray))]
    fixed = {i: leaf for i, leaf in enumerate(leaves) if i not in places}
    call = _Call(fun, structure, fixed)
    bind("debug_callback", *(operand(leaves[i]) for i in places), callback=call, members=())


class _Call:
    """A host function of the values of its traced arguments; the others it knows."""

    def __init__(self, fun: Callable, structure: tree.Structure, fixed: dict[int, Any]) -> None:
        self.fun, self.structure, self.fixed = fun, structure, fixed

    def __call__(self, *values: Any) -> None:
        found = iter(values)
        count = range(self.structure.num_leaves)
        leaves = [self.fixed[i] if i in self.fixed else _array(next(found)) for i in count]
        args, kwargs = tree.unflatten(self.structure, leaves)
        self.fun(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{getattr(self.fun, '__name__', self.fun)}>"


def _array(value: Any) -> Array:
    return Array.from_host(np.asarray(value))


__all__ = [
    "callback",
    "inspect_array_sharding",
    "print",
    "visualize_array_sharding",
    "visualize_sharding",
]
