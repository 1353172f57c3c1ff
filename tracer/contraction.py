"""Sums of products: matmul, einsum and their relatives.

Invariant: every product of floats becomes one `dot` whose spec names the caller's axes as they
are, so nothing is transposed or copied to fit a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from string import ascii_letters
from typing import Any

from ir.dtypes import bool_
from ir.prims.contract import mistake

from . import elementwise as ew
from . import shaping
from .array import aval_of, is_weak
from .creation import iota
from .errors import located
from .operands import astype, same_dtype
from .reductions import sum as reduce_sum
from .reductions import without_out
from .staging import bind, marked, operand


def matmul(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """numpy's @: the last axis of `a` with the last but one (or only) axis of `b`.

    Here and below, products are of `preferred_element_type`, and floats are summed in float32
    whatever the `precision`.
    """
    a, b = _preferred("matmul", a, b, preferred_element_type)
    left, right = aval_of(a).shape, aval_of(b).shape
    for i, shape in enumerate((left, right)):
        if not shape:
            raise located(
                ValueError,
                f"matmul input operand {i} must have ndim at least 1, but it has ndim 0",
            )
    inner = right[-2:][0]
    if left[-1] != inner:
        raise _disagree(left[-1:], (inner,), left, right)
    rows, columns = "m" if len(left) > 1 else "", "n" if len(right) > 1 else ""
    return einsum(f"...{rows}k,...k{columns}->...{rows}{columns}", a, b)


def _preferred(name: str, a: Any, b: Any, kind: Any) -> tuple[Any, Any]:
    """Operands, of dtype `kind` if there is one."""
    a, b = operand(a, name), operand(b, name, 1)
    return (a, b) if kind is None else (astype(a, kind), astype(b, kind))


def _disagree(a: tuple, b: tuple, left: tuple, right: tuple) -> Exception:
    return located(
        TypeError,
        f"dot_general requires contracting dimensions to have the same shape, got {a} and {b} "
        f"(of operands {left} and {right})",
    )


def dot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Last axis of `a` with the last but one of `b`; scalars multiply."""
    a, b = _preferred("dot", a, b, preferred_element_type)
    n, m = aval_of(a).ndim, aval_of(b).ndim
    return tensordot(a, b, ((n - 1,), (max(m - 2, 0),))) if n and m else ew.multiply(a, b)


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Contract the last `axes` axes of a with the first of b, or the two given lists of axes."""
    a, b = _preferred("tensordot", a, b, preferred_element_type)
    n, m = aval_of(a).ndim, aval_of(b).ndim
    pairs = (range(n - axes, n), range(axes)) if isinstance(axes, int) else axes
    lists = [p if isinstance(p, (tuple, list, range)) else (p,) for p in pairs]
    if len(lists) != 2 or len(lists[0]) != len(lists[1]):
        raise located(
            ValueError, f"tensordot requires axes lists to have equal length, got {pairs}"
        )
    left = [shaping.canonical_axis(d, n) for d in lists[0]]
    right = [shaping.canonical_axis(d, m) for d in lists[1]]
    shapes = aval_of(a).shape, aval_of(b).shape
    sizes = (tuple(s[d] for d in ds) for s, ds in zip(shapes, (left, right), strict=True))
    if len(set(sizes := tuple(sizes))) > 1:
        raise _disagree(*sizes, *shapes)
    first, second = list(ascii_letters[:n]), list(ascii_letters[n : n + m])
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    out = [c for d, c in enumerate(first) if d not in left]
    out += [c for c in second if c not in first]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(out)}", a, b)


def outer(a: Any, b: Any, out: None = None) -> Any:
    """a[i] * b[j] of the flattened arrays."""
    without_out("outer", out)
    return ew.multiply(shaping.expand_dims(shaping.ravel(a), 1), shaping.ravel(b))


def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Sum of products of the flattened arrays."""
    a, b = _preferred("vdot", a, b, preferred_element_type)
    return tensordot(shaping.ravel(a), shaping.ravel(b), 1)


def vecdot(
    x1: Any,
    x2: Any,
    /,
    *,
    axis: int = -1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Products summed along `axis`; the other axes broadcast."""
    a, b = _preferred("vecdot", x1, x2, preferred_element_type)
    a, b = (shaping.moveaxis(v, axis, -1) for v in (a, b))
    if aval_of(a).shape[-1] != aval_of(b).shape[-1]:
        shapes = shaping.shape(x1), shaping.shape(x2)
        raise located(
            ValueError, f"axes must match; got shapes {shapes[0]} and {shapes[1]} with axis={axis}"
        )
    return einsum("...k,...k->...", a, b)


def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices [.., m, k] times vectors [.., k]; the leading axes broadcast."""
    return einsum("...mk,...k->...m", *_matrix_and_vector("matvec", x1, x2, -1))


def vecmat(x1: Any, x2: Any, /) -> Any:
    """Vectors [.., k] times matrices [.., k, n]; the leading axes broadcast."""
    matrix, vector = _matrix_and_vector("vecmat", x2, x1, -2)
    return einsum("...k,...kn->...n", vector, matrix)


def _matrix_and_vector(name: str, matrix: Any, vector: Any, axis: int) -> tuple[Any, Any]:
    matrix, vector = operand(matrix, name), operand(vector, name)
    shape, other = aval_of(matrix).shape, aval_of(vector).shape
    if len(shape) < 2 or not other:
        raise located(
            ValueError, f"{name} takes a matrix and a vector at least, got {shape} and {other}"
        )
    if shape[axis] != other[-1]:
        raise _disagree((shape[axis],), other[-1:], shape, other)
    return matrix, vector


# --- einsum -----------------------------------------------------------------------------------


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """numpy's einsum: any number of operands (left to right), ellipses, repeated letters.

    The axes may also be numbered: einsum(x, [0, 1], y, [1, 2], [0, 2]). Whatever `optimize`
    says, the order is from left to right. Raises ValueError for a
    malformed spec or sizes at odds.
    """
    without_out("einsum", out)
    if not isinstance(subscripts, str):
        subscripts, operands = _lettered(subscripts, *operands)
    xs = [operand(x, "einsum", i) for i, x in enumerate(operands)]
    if preferred_element_type is not None:
        xs = [astype(x, preferred_element_type) for x in xs]
    letters, result = _parse(subscripts, tuple(aval_of(x).ndim for x in xs))
    sizes = _sizes(letters, xs)
    if (spec := _one_dot(letters, result)) and _is_plain(xs, letters, sizes):
        return bind("dot", *same_dtype("dot", *xs), spec=spec)
    terms = [_prepare(x, t, sizes) for x, t in zip(xs, letters, strict=True)]
    x, term = terms[0]
    for i, (y, other) in enumerate(terms[1:], 1):
        later = set(result).union(*(t for _, t in terms[i + 1 :]))
        x, term = _product(x, term, y, other, later)
    x, term = _sum_out(x, term, set(result))
    return _arrange(x, term, result, sizes)


def _lettered(*items: Any) -> tuple[str, list]:
    """(spec, operands) of operands that alternate with lists of axis numbers or Ellipsis."""
    arrays, lists = items[: len(items) // 2 * 2 : 2], items[1::2]
    terms = ["".join("..." if n is Ellipsis else ascii_letters[n] for n in one) for one in lists]
    spec = ",".join(terms)
    if len(items) % 2:
        spec += "->" + "".join("..." if n is Ellipsis else ascii_letters[n] for n in items[-1])
    return spec, list(arrays)


@lru_cache(maxsize=1024)
def _parse(spec: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """Operand letters and result letters, with ellipses spelt out."""
    compact = spec.replace(" ", "")
    left, arrow, out = compact.partition("->")
    terms = left.split(",")
    letters = set(compact) - set(",->.")
    bad = [c for c in letters if c not in ascii_letters]
    if len(terms) != len(ranks):
        raise located(
            ValueError,
            f"Number of einsum subscripts, {len(terms)}, must be equal to the number of operands, "
            f"{len(ranks)}.",
        )
    if bad:
        raise located(ValueError, f"einsum spec {spec!r} has {bad[0]!r}, which is no letter")
    free = [c for c in ascii_letters[::-1] if c not in letters]
    widths = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    if any(w < 0 or (w and "..." not in t) for t, w in zip(terms, widths, strict=True)):
        raise located(
            ValueError, f"einsum spec {spec!r} does not fit operands of ranks {list(ranks)}"
        )
    dots = "".join(free[: max(widths)])
    full = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        result = out.replace("...", dots)
    else:
        once = sorted(c for c in letters if left.count(c) == 1)
        result = dots + "".join(once)
    if len(set(result)) != len(result) or set(result) - set("".join(full)):
        raise located(ValueError, f"einsum spec {spec!r} has a result axis twice or from nowhere")
    return tuple(full), result


def _sizes(letters: Sequence[str], xs: list) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for i, (x, term) in enumerate(zip(xs, letters, strict=True)):
        for c, n in zip(term, aval_of(x).shape, strict=True):
            held = sizes.get(c, 1)
            if held != n and 1 not in (held, n):
                shapes = " and ".join(str(aval_of(v).shape) for v in xs)
                raise located(
                    ValueError,
                    f"Size of label '{c}' for operand {i} ({held}) does not match previous terms "
                    f"({n}); the operands have shapes {shapes}",
                )
            sizes[c] = n if held == 1 else held
    return sizes


@lru_cache(maxsize=1024)
def _one_dot(letters: tuple[str, ...], result: str) -> str:
    """The spec of the one `dot` that a product is, or nothing."""
    if len(letters) != 2:
        return ""
    a, b = letters
    spec = f"{a},{b}->{result}"
    order = "".join(c for c in a + b.translate({ord(c): "" for c in a}) if c in result)
    return "" if order != result or mistake(spec) else spec


def _is_plain(xs: list, letters: Sequence[str], sizes: dict[str, int]) -> bool:
    """Whether all operands are floats and none has an axis to repeat."""
    avals = list(map(aval_of, xs))
    pairs = zip(avals, letters, strict=True)
    return all(a.dtype.is_float for a in avals) and all(
        a.shape == tuple([sizes[c] for c in term]) for a, term in pairs
    )


def _prepare(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Drop axes of size 1 that others repeat, and take diagonals of repeated letters."""
    shape = aval_of(x).shape
    gone = [d for d, c in enumerate(term) if shape[d] == 1 and sizes[c] != 1]
    if gone:
        x = shaping.squeeze(x, tuple(gone))
        term = "".join(c for d, c in enumerate(term) if d not in gone)
    if len(set(term)) == len(term):
        return x, term
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            x, term = _diagonal(x, term, term.index(c), term.rindex(c))
    return x, term


def _diagonal(x: Any, term: str, i: int, j: int) -> tuple[Any, str]:
    shape = aval_of(x).shape
    same = ew.equal(iota(shape, i), iota(shape, j))
    kept = ew.where(same, x, False if aval_of(x).dtype is bool_ else 0)
    return reduce_sum(kept, j), term[:j] + term[j + 1 :]


def _sum_out(x: Any, term: str, needed: set[str]) -> tuple[Any, str]:
    axes = tuple(d for d, c in enumerate(term) if c not in needed)
    kept = "".join(c for c in term if c in needed)
    return (reduce_sum(x, axes) if axes else x), kept


def _product(x: Any, a: str, y: Any, b: str, needed: set[str]) -> tuple[Any, str]:
    """One pairwise product; letters that nothing later needs are summed."""
    x, a = _sum_out(x, a, needed | set(b))
    y, b = _sum_out(y, b, needed | set(a))
    out = "".join(c for c in a if c in needed) + "".join(c for c in b if c in needed and c not in a)
    x, y = same_dtype("dot", x, y)
    kind = aval_of(x).dtype
    if kind.is_float:
        return bind("dot", x, y, spec=f"{a},{b}->{out}"), out
    every = out + "".join(c for c in a if c in b and c not in out)
    wide = [_arrange(v, t, every, {}) for v, t in ((x, a), (y, b))]
    total = reduce_sum(ew.multiply(*wide), tuple(range(len(out), len(every))))
    return astype(total, bool_) if kind is bool_ else marked(total, is_weak(x)), out


def _arrange(x: Any, term: str, out: str, sizes: dict[str, int]) -> Any:
    """Axes in the order of `out`; those that `term` lacks get size 1, or `sizes` if given."""
    if term == out:
        return x
    order = [c for c in out if c in term]
    x = shaping.transpose(x, [term.index(c) for c in order])
    missing = tuple(d for d, c in enumerate(out) if c not in term)
    if not missing:
        return x
    x = shaping.expand_dims(x, missing)
    return shaping.broadcast_to(x, tuple(sizes[c] for c in out)) if sizes else x
