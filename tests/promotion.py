"""What dtype comes of which operands: the cases, and how a library's answers are written.

Invariant: `promotion.json` holds JAX's answers; tests/conformance/test_promotion.py asks it again,
tests/test_promotion.py compares ours with them on machines without JAX.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).with_name("promotion.json")
DTYPES = ("bool", "int32", "uint32", "float16", "bfloat16", "float32")
NUMBERS = {
    "True": True,
    "2": 2,
    "1.5": 1.5,
    "np.float64": np.float64(1.5),
    "np.float32": np.float32(1.5),
    "np.int64": np.int64(2),
    "np.bool": np.bool_(True),
}
WEAK = {"weak int": 2, "weak float": 1.5}
OPERANDS = (*DTYPES, *WEAK, *NUMBERS)

_TWO = """
    add subtract multiply divide floor_divide mod fmod power maximum minimum equal less
    bitwise_and left_shift logical_or arctan2 hypot logaddexp copysign isclose outer dot matmul
    tensordot append result_type heaviside nextafter float_power
""".split()
_ONE = """
    exp log tanh sqrt abs negative square sign floor round reciprocal isnan invert logical_not
    sum prod max mean var cumsum argmax any sort ravel zeros_like ones_like asarray sin arctan log1p
    clip diff median
""".split()


def _functions(j: Any) -> dict[str, Callable]:
    """The operations of one library, by name."""
    n, lax = j.numpy, j.lax
    found = {name: getattr(n, name) for name in (*_TWO, *_ONE)}
    return found | {
        "clip": lambda x: n.clip(x, 0, 1),
        "where": lambda x, y: n.where(True, x, y),
        "concatenate": lambda x, y: n.concatenate([n.ravel(x), n.ravel(y)]),
        "stack": lambda x, y: n.stack([n.ravel(x)[0], n.ravel(y)[0]]),
        "einsum": lambda x, y: n.einsum("i,i", *n.broadcast_arrays(n.ravel(x), n.ravel(y))),
        "set": lambda x, y: n.ravel(x).at[0].set(n.ravel(y)[0]),
        "full": lambda x: n.full((2,), x),
        "full_like": lambda x, y: n.full_like(x, n.ravel(y)[0]),
        "scan": lambda x, y: lax.scan(lambda c, v: (c + v, c), n.ravel(x)[0], n.ravel(y)),
        "while": lambda x, y: lax.while_loop(lambda c: c < 3, lambda c: c + n.ravel(y)[0], x),
        "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: c + i, x),
        "relu": lambda x: j.nn.relu(x),
        "softmax": lambda x: j.nn.softmax(n.ravel(x)),
        "silu": lambda x: j.nn.silu(x),
        "jit": lambda x: j.jit(lambda v: v)(x),
        "vmap": lambda x: j.vmap(lambda v: v * 2)(n.ravel(x)),
    }


UNARY = (*_ONE, "full", "fori", "relu", "softmax", "silu", "jit", "vmap")
BINARY = (*_TWO, "where", "concatenate", "stack", "einsum", "set", "full_like", "scan", "while")


def operand(j: Any, kind: str) -> Any:
    """A vector of a dtype, a weak one, or a number."""
    if kind in NUMBERS:
        return NUMBERS[kind]
    if kind in WEAK:
        return j.numpy.full((2,), WEAK[kind])
    return j.numpy.ones(2, kind)


def answer(j: Any, name: str, *kinds: str) -> str:
    """`float32`, `float32*` if weak, several with commas, or `error`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = [operand(j, k) for k in kinds]
            fun = _functions(j)[name]
            out = fun(*given) if name == "result_type" else j.eval_shape(lambda: fun(*given))
    except Exception:
        return "error"
    return ",".join(_told(x) for x in (out if isinstance(out, tuple) else (out,)))


def _told(x: Any) -> str:
    name = x.name if isinstance(x, np.dtype) else np.dtype(x.dtype).name
    # Of bools a weak type says nothing, and JAX leaves it on some.
    return name + "*" * (name != "bool" and bool(getattr(x, "weak_type", False)))


def answers(j: Any, name: str) -> list:
    """The row of an operation in the table: one answer, or a list of them, for each operand."""
    if name in UNARY:
        return [answer(j, name, k) for k in OPERANDS]
    return [[answer(j, name, a, b) for b in OPERANDS] for a in OPERANDS]


def table() -> dict[str, list]:
    return json.loads(TABLE.read_text())


# Where ours is weak and JAX's is not, or the other way round, or where JAX refuses what ours takes.
LOOSE = ("softmax", "silu", "round", "power", "hypot", "heaviside")
LACKS = {"nextafter": ("float16", "bfloat16")}  # operands that ours refuses


def differences(name: str, ours: list, theirs: list) -> list[str]:
    """One line for each combination of operands that differs."""
    found = []
    for i, a in enumerate(OPERANDS):
        pairs = [(ours[i], theirs[i], a)]
        if name in BINARY:
            pairs = [(ours[i][k], theirs[i][k], f"{a}, {b}") for k, b in enumerate(OPERANDS)]
        found += [f"{name}({what}): {x} instead of {y}" for x, y, what in pairs if x != y]
    return found


def faults(name: str, ours: list, theirs: list) -> list[str]:
    """`differences` but for the known ones."""
    found = differences(name, ours, theirs)
    if name in LOOSE:
        found = [d for d in found if not _only_weakness(d)]
    return [d for d in found if not any(k in d for k in LACKS.get(name, ()))]


def _only_weakness(difference: str) -> bool:
    mine, theirs = difference.rpartition(": ")[2].split(" instead of ")
    return theirs == "error" or mine.rstrip("*") == theirs.rstrip("*")
