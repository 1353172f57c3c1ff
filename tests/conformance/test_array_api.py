"""The Python array API standard, by its reference implementation array-api-strict.

Invariant: the reference, on numpy, is the judge of names, parameters, values and dtypes (64-bit
ones count as their 32-bit twins); what it has and we have not is a failure, not a skip.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from . import compare
from .results import clean

xp = pytest.importorskip("array_api_strict")

_RNG = np.random.default_rng(3)
# In a call `a b c` stand for arrays of each dtype, x is the namespace; `|` separates calls.
ARRAYS = {
    "float": {
        "a": _RNG.uniform(-3, 3, (3, 4)).astype(np.float32),
        "b": _RNG.uniform(0.25, 3, (3, 4)).astype(np.float32),
        "c": np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, -1.5, 2.5]),
        "u": _RNG.uniform(-0.9, 0.9, (3, 4)).astype(np.float32),
    },
    "int": {
        "a": _RNG.integers(-5, 6, (3, 4)).astype(np.int32),
        "b": _RNG.integers(1, 6, (3, 4)).astype(np.int32),
        "c": np.int32([3, 1, 1, 2, 0, -4, 3]),
    },
    "uint": {
        "a": _RNG.integers(0, 9, (3, 4)).astype(np.uint32),
        "b": _RNG.integers(1, 6, (3, 4)).astype(np.uint32),
        "c": np.uint32([3, 1, 1, 2, 0, 3]),
    },
    "bool": {
        "a": _RNG.integers(0, 2, (3, 4)).astype(bool),
        "b": _RNG.integers(0, 2, (3, 4)).astype(bool),
        "c": np.array([True, False, True, True]),
    },
}
UNARY = """abs acos acosh asin asinh atan atanh bitwise_invert ceil cos cosh exp expm1 floor
    isfinite isinf isnan log log10 log1p log2 logical_not negative positive reciprocal
    round sign signbit sin sinh sqrt square tan tanh trunc""".split()
BINARY = """add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
    copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp
    logical_and logical_or logical_xor maximum minimum multiply nextafter not_equal pow remainder
    subtract""".split()
REDUCTIONS = "all any max mean min prod std sum var argmax argmin count_nonzero".split()
CALLS = {
    **{n: "f(b) | f(c)" if n not in ("acosh",) else "f(b + 1)" for n in UNARY},
    **dict.fromkeys(("acos", "asin", "atanh"), "f(u)"),
    **dict.fromkeys(BINARY, "f(a, b) | f(b[0, :], a) | f(a, 2) | f(2, b)"),
    "pow": "f(b, a) | f(b, b) | f(a, 2)",
    "bitwise_left_shift": "f(a, b) | f(b, 3)",
    "bitwise_right_shift": "f(a, b) | f(b, 1)",
    **dict.fromkeys(REDUCTIONS, "f(a) | f(a, axis=0) | f(a, axis=-1, keepdims=True)"),
    "sum": "f(a) | f(a, axis=(0, 1), keepdims=True) | f(a, dtype=x.float32) | f(a[:0, :], axis=0)",
    "prod": "f(a, axis=0) | f(a, dtype=x.float32) | f(a[:0, :], axis=0)",
    "std": "f(a, axis=0, correction=1) | f(a, keepdims=True)",
    "var": "f(a, axis=(0, 1), correction=0.5) | f(a)",
    "arange": "f(5) | f(2, 9, 3) | f(5.0) | f(6, 1, -2) | f(3, dtype=x.float32)",
    "asarray": "f(a) | f([[1, 2], [3, 4]]) | f(2.5) | f(True) | f(a, dtype=x.float32, copy=True)",
    "empty": "f((2, 3)).shape", "empty_like": "f(a).shape",
    "eye": "f(3) | f(2, 4, k=1) | f(3, dtype=x.int32)",
    "full": "f((2, 3), 7) | f(3, 1.5) | f((), True)",
    "full_like": "f(a, 1) | f(a, 2, dtype=x.float32)",
    "linspace": "f(0, 1, 5) | f(1.0, 3.0, 4, endpoint=False)",
    "meshgrid": "f(c, c[:2]) | f(c, c[:2], indexing='ij')",
    "ones": "f((2, 3)) | f(2, dtype=x.int32)", "ones_like": "f(a)",
    "zeros": "f((2, 3)) | f(2, dtype=x.bool)", "zeros_like": "f(a, dtype=x.float32)",
    "tril": "f(a) | f(a, k=1)", "triu": "f(a) | f(a, k=-1)",
    "astype": "f(a, x.float32) | f(a, x.int32) | f(a, x.bool)",
    "broadcast_shapes": "f((2, 1), (1, 3)) | f((4,), (), (5, 1, 4))",
    "broadcast_arrays": "f(a, b[:1, :])", "broadcast_to": "f(a, (2, 3, 4))",
    "can_cast": "f(x.float32, x.float32) | f(x.int32, x.bool)",
    "finfo": "f(x.float32).bits, f(x.float32).eps, f(x.float32).max",
    "iinfo": "f(x.int32).bits, f(x.int32).max",
    "isdtype": "f(a.dtype, 'integral') | f(a.dtype, ('bool', 'real floating'))",
    "result_type": "f(a, b)", "clip": "f(a, 1, 2) | f(a, min=b) | f(a, max=2)",
    "concat": "f([a, b]) | f([a, b], axis=1) | f((a, b), axis=None)",
    "expand_dims": "f(a, axis=0) | f(a, axis=-1)", "flip": "f(a) | f(a, axis=1)",
    "moveaxis": "f(a, 0, 1)", "permute_dims": "f(a, (1, 0))",
    "repeat": "f(a, 2) | f(a, 3, axis=1)", "reshape": "f(a, (4, 3)) | f(a, (-1,)) | f(a, (2, 6))",
    "roll": "f(a, 2) | f(a, (1, -1), axis=(0, 1))",
    "squeeze": "f(x.expand_dims(a, axis=0), axis=0)",
    "stack": "f([a, b]) | f((a, b), axis=-1)", "tile": "f(a, (2, 1)) | f(a, (2, 1, 2))",
    "unstack": "f(a) | f(a, axis=1)",
    "matmul": "f(a, x.matrix_transpose(b)) | f(a[0, :], b[1, :])", "matrix_transpose": "f(a)",
    "tensordot": "f(a, b, axes=0) | f(a, b) | f(a, b, axes=((0, 1), (0, 1)))",
    "vecdot": "f(a, b) | f(a, b, axis=0)",
    "searchsorted": "f(x.sort(c[:4]), b) | f(x.sort(c[:4]), b, side='right')",
    "nonzero": "f(a) | f(c)", "where": "f(a > b, a, b) | f(a == a, a, 1)",
    "unique_all": "f(a) | f(c)", "unique_counts": "f(a)", "unique_inverse": "f(a)",
    "unique_values": "x.sort(f(a))",
    "argsort": "f(a) | f(a, axis=0, descending=True)", "sort": "f(a) | f(c, descending=True)",
    "cumulative_sum": "f(c) | f(a, axis=0, include_initial=True) | f(a, axis=1, dtype=x.float32)",
    "cumulative_prod": "f(c) | f(a, axis=1) | f(a, axis=0, include_initial=True)",
    "diff": "f(a) | f(a, axis=0) | f(a, n=2) | f(a, prepend=b, append=a)",
    "take": "f(a, x.asarray([2, 0]), axis=0) | f(c, x.asarray([1]))",
    "take_along_axis": "f(a, x.argsort(a, axis=1), axis=1)",
    "isin": "f(a, b) | f(a, c)",
    "from_dlpack": "f(np.ones(3, np.float32))",
    "all": "f(a) | f(a, axis=0) | f(a, axis=(0, 1), keepdims=True)",
    "any": "f(a) | f(a, axis=0) | f(a, axis=(0, 1), keepdims=True)",
    "conj": "", "imag": "", "real": "",
}  # fmt: skip
SQUARE = "x.reshape(x.arange(9, dtype=x.float32) % 5, (3, 3)) + 3 * x.eye(3)"
LINALG = {
    "cross": "f(a[:, :3], b[:, :3]) | f(a, b, axis=0)",
    "diagonal": "f(a) | f(a, offset=1)",
    "matmul": "f(a, x.matrix_transpose(b))", "matrix_transpose": "f(a)",
    "matrix_norm": "f(a) | f(a, ord=1, keepdims=True) | f(a, ord=float('inf'))",
    "matrix_power": f"f({SQUARE}, 3) | f({SQUARE}, 0) | f({SQUARE}, -2)",
    "outer": "f(a[0, :], b[1, :])", "tensordot": "f(a, b)",
    "trace": "f(a) | f(a, offset=1, dtype=x.float32)",
    "vecdot": "f(a, b)",
    "vector_norm": "f(a) | f(a, axis=0, ord=3) | f(a, ord=float('inf'), keepdims=True)",
    "cholesky": "f(x.eye(3) * 4 + 1)", "det": f"f({SQUARE})", "inv": f"f({SQUARE})",
    "solve": f"f({SQUARE}, b[:, :2]) | f({SQUARE}, b[:, 0])",
    "slogdet": f"f({SQUARE})", "qr": "[abs(p) for p in f(b)]",
    "eigvalsh": "f(x.eye(3) * 4 + 1)", "svdvals": "f(b)", "matrix_rank": "f(b)",
    "eigh": "f(x.eye(3) * 4 + x.ones((3, 3)))[0]", "pinv": "f(b)", "svd": "f(b)[1]",
}  # fmt: skip
OPERATORS = {
    "__add__": "a + b", "__sub__": "a - b", "__mul__": "a * b", "__truediv__": "a / b",
    "__floordiv__": "a // b", "__mod__": "a % b", "__pow__": "b ** b", "__matmul__": "a @ b.T",
    "__and__": "a & b", "__or__": "a | b", "__xor__": "a ^ b", "__invert__": "~a",
    "__lshift__": "a << b", "__rshift__": "a >> b", "__neg__": "-a", "__pos__": "+a",
    "__abs__": "abs(a)", "__eq__": "a == b", "__ne__": "a != b", "__lt__": "a < b",
    "__le__": "a <= b", "__gt__": "a > b", "__ge__": "a >= b", "__radd__": "2 + a",
    "__rsub__": "2 - a", "__rmul__": "2 * a", "__bool__": "bool(a[0, 0])",
    "__int__": "int(a[0, 0])", "__float__": "float(a[0, 0])", "__index__": "range(9)[b[0, 0]]",
    "__len__": "a.shape[0]", "__getitem__": "a[1:, ::2] | a[0, -1] | a[None, ..., 1] | a[a > b]",
    "shape": "a.shape", "ndim": "a.ndim", "size": "a.size", "T": "a.T", "mT": "a.mT",
    "__array_namespace__": "a.__array_namespace__() is x", "to_device": "a.to_device(a.device)",
    "dtype": "a.dtype == (a + a).dtype",
}  # fmt: skip


def functions() -> dict[str, tuple[str, Callable]]:
    """{name: (calls, the reference's function)} of what the standard has and dtypes allow."""
    public = [n for n in xp.__all__ if not n.startswith("_") and "array_api" not in n]
    found = {n: (CALLS.get(n), getattr(xp, n)) for n in public}
    found |= {f"linalg.{n}": (LINALG.get(n), getattr(xp.linalg, n)) for n in xp.linalg.__all__}
    return {n: f for n, f in found.items() if inspect.isfunction(f[1]) and f[0] != ""}


FUNCTIONS = functions()


def narrowed(x: Any) -> Any:
    """A result as nested lists of numpy arrays and numbers, 64-bit ones narrowed."""
    if hasattr(x, "_fields") or isinstance(x, (tuple, list)):
        return [narrowed(v) for v in x]
    if isinstance(x, (bool, int, float, str, type(None))):
        return float(x) if isinstance(x, (int, float)) else x
    if type(x).__name__ in ("DType", "dtype", "ScalarType"):
        return str(np.dtype(getattr(x, "_np_dtype", x))).replace("64", "32")
    if not hasattr(x, "dtype"):
        return x
    host = np.asarray(getattr(x, "_array", x))
    return host.astype(
        {"float64": "float32", "int64": "int32", "uint64": "uint32"}.get(
            host.dtype.name, host.dtype.name
        )
    )


def evaluated(space: ModuleType, text: str, found: Any, arrays: dict[str, np.ndarray]) -> Any:
    held = {n: space.asarray(v) for n, v in arrays.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return narrowed(eval(text, {"x": space, "f": found, "np": np, **held}))


def value_difference(j: ModuleType, text: str, ours: Any, theirs: Any) -> str | None:
    """The first difference in the calls of a line, over the dtypes that the reference takes."""
    checked = 0
    for kind, arrays in ARRAYS.items():
        for call in text.split(" | "):
            try:
                want = evaluated(xp, call, theirs, arrays)
            except Exception:  # the standard leaves this dtype, or this call, undefined
                continue
            checked += 1
            try:
                got = evaluated(j, call, ours, arrays)
            except Exception as error:
                return f"{compare.described(error)} in {call} of {kind}"
            if difference := compare.differences(got, want, loose=3):
                return f"{difference} in {call} of {kind}"
    return None if checked else f"program: the reference takes no dtype in {text}"


def parameter_difference(ours: Callable, theirs: Callable) -> str | None:
    """Whether ours can be called in every way that the standard allows."""
    wanted, taken = inspect.signature(theirs), inspect.signature(ours)
    names: dict[str, list] = {"place": [], "either": [], "name": []}
    kinds = {0: "place", 1: "either", 3: "name"}
    for p in wanted.parameters.values():
        if p.kind in kinds:
            names[kinds[p.kind]].append(p.name)
    for cut in range(len(names["either"]) + 1):
        by_place = [0] * (len(names["place"]) + cut)
        by_name = dict.fromkeys([*names["either"][cut:], *names["name"]], 0)
        try:
            taken.bind(*by_place, **by_name)
        except TypeError as error:
            return f"parameters: {error}"
    return None


def found_in(j: ModuleType, name: str) -> Any:
    owner = j
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


def noted(section: Any, name: str, check: str, found: str | None) -> None:
    section("array API").setdefault(name, {})[check] = clean(found) if found else None
    assert not found, found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters(name, library, section):
    ours = found_in(library.numpy, name)
    found = f"missing: {name}" if ours is None else parameter_difference(ours, FUNCTIONS[name][1])
    noted(section, name, "parameters", found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values(name, library, section):
    text, theirs = FUNCTIONS[name]
    assert text, f"give {name} a line"
    ours = found_in(library.numpy, name)
    found = f"missing: {name}"
    if ours is not None:
        found = value_difference(library.numpy, text, ours, theirs)
    noted(section, name, "values", found)


@pytest.mark.parametrize("name", OPERATORS)
def test_array_object(name, library, section):
    found = value_difference(library.numpy, OPERATORS[name], None, None)
    noted(section, f"array.{name}", "values", found)
