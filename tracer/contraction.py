"""Sums of products: matmul, einsum and their relatives.

Invariant: every product of floats becomes one `dot` whose spec names the caller's axes as they
are, so nothing is transposed or copied to fit a matrix product.
"""

from __future__ import annotations

from string import ascii_letters
from typing import Any

from ir.dtypes import bool_

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .creation import iota
from .errors import located
from .operands import astype, same_dtype
from .reductions import sum as reduce_sum
from .staging import bind, operand


def matmul(x: Any, y: Any) -> Any:
    """numpy's @: the last axis of `x` with the last but one (or only) axis of `y`."""
    x, y = operand(x, "matmul"), operand(y, "matmul")
    a, b = aval_of(x), aval_of(y)
    if a.ndim == 0 or b.ndim == 0:
        raise located(TypeError, f"matmul needs at least one axis each, got {a.shape}, {b.shape}")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise _disagree(a.shape, b.shape)
    left = "m" if a.ndim > 1 else ""
    right = "n" if b.ndim > 1 else ""
    return einsum(f"...{left}k,...k{right}->...{left}{right}", x, y)


def _disagree(x: tuple[int, ...], y: tuple[int, ...]) -> Exception:
    return located(
        TypeError,
        f"dot_general requires contracting dimensions to have the same shape, got {x} and {y}",
    )


def dot(x: Any, y: Any) -> Any:
    """Last axis of `x` with the last but one of `y`; scalars multiply."""
    x, y = operand(x, "dot"), operand(y, "dot")
    a, b = aval_of(x), aval_of(y)
    if a.ndim == 0 or b.ndim == 0:
        return ew.multiply(x, y)
    return tensordot(x, y, ((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def tensordot(x: Any, y: Any, axes: Any = 2) -> Any:
    """Contract the last `axes` axes of x with the first of y, or the two given lists of axes."""
    x, y = operand(x, "tensordot"), operand(y, "tensordot")
    n, m = aval_of(x).ndim, aval_of(y).ndim
    pairs = (range(n - axes, n), range(axes)) if isinstance(axes, int) else axes
    lists = [p if isinstance(p, (tuple, list, range)) else (p,) for p in pairs]
    left = [shaping.canonical_axis(d, n) for d in lists[0]]
    right = [shaping.canonical_axis(d, m) for d in lists[1]]
    if [aval_of(x).shape[d] for d in left] != [aval_of(y).shape[d] for d in right]:
        raise _disagree(aval_of(x).shape, aval_of(y).shape)
    a, b = list(ascii_letters[:n]), list(ascii_letters[n : n + m])
    for i, j in zip(left, right, strict=True):
        b[j] = a[i]
    out = [c for d, c in enumerate(a) if d not in left] + [c for c in b if c not in a]
    return einsum(f"{''.join(a)},{''.join(b)}->{''.join(out)}", x, y)


def outer(x: Any, y: Any) -> Any:
    """x[i] * y[j] of the flattened arrays."""
    x, y = shaping.ravel(x), shaping.ravel(y)
    return ew.multiply(shaping.expand_dims(x, 1), y)


def vdot(x: Any, y: Any) -> Any:
    """Sum of products of the flattened arrays."""
    return tensordot(shaping.ravel(x), shaping.ravel(y), 1)


# --- einsum -----------------------------------------------------------------------------------


def einsum(spec: str, *operands: Any) -> Any:
    """numpy's einsum: any number of operands (left to right), ellipses, repeated letters.

    Raises ValueError for a malformed spec, TypeError for sizes or dtypes at odds.
    """
    xs = [operand(x, "einsum") for x in operands]
    letters, out = _parse(spec, [aval_of(x).ndim for x in xs])
    sizes = _sizes(spec, letters, xs)
    terms = [_prepare(x, t, sizes) for x, t in zip(xs, letters, strict=True)]
    x, term = terms[0]
    for i, (y, other) in enumerate(terms[1:], 1):
        later = set(out).union(*(t for _, t in terms[i + 1 :]))
        x, term = _product(x, term, y, other, later)
    x, term = _sum_out(x, term, set(out))
    return _arrange(x, term, out, sizes)


def _parse(spec: str, ranks: list[int]) -> tuple[list[str], str]:
    """Operand letters and result letters, with ellipses spelt out."""
    compact = spec.replace(" ", "")
    left, arrow, out = compact.partition("->")
    terms = left.split(",")
    letters = set(compact) - set(",->.")
    bad = [c for c in letters if c not in ascii_letters]
    if len(terms) != len(ranks) or bad:
        raise located(
            ValueError, f"einsum spec {spec!r} does not fit {len(ranks)} operands of letters a-z"
        )
    free = [c for c in ascii_letters[::-1] if c not in letters]
    widths = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    if any(w < 0 or (w and "..." not in t) for t, w in zip(terms, widths, strict=True)):
        raise located(ValueError, f"einsum spec {spec!r} does not fit operands of ranks {ranks}")
    dots = "".join(free[: max(widths)])
    full = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    if arrow:
        result = out.replace("...", dots)
    else:
        once = sorted(c for c in letters if left.count(c) == 1)
        result = dots + "".join(once)
    if len(set(result)) != len(result) or set(result) - set("".join(full)):
        raise located(ValueError, f"einsum spec {spec!r} has a result axis twice or from nowhere")
    return full, result


def _sizes(spec: str, letters: list[str], xs: list) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for x, term in zip(xs, letters, strict=True):
        for c, n in zip(term, aval_of(x).shape, strict=True):
            held = sizes.get(c, 1)
            if held != n and 1 not in (held, n):
                shapes = " and ".join(str(aval_of(v).shape) for v in xs)
                raise located(
                    TypeError,
                    "dot_general requires contracting dimensions to have the same shape, "
                    f"got {shapes} (axis `{c}` of {spec!r})",
                )
            sizes[c] = n if held == 1 else held
    return sizes


def _prepare(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Drop axes of size 1 that others repeat, and take diagonals of repeated letters."""
    shape = aval_of(x).shape
    gone = [d for d, c in enumerate(term) if shape[d] == 1 and sizes[c] != 1]
    x = shaping.squeeze(x, tuple(gone)) if gone else x
    term = "".join(c for d, c in enumerate(term) if d not in gone)
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
    return (astype(total, bool_) if kind is bool_ else total), out


def _arrange(x: Any, term: str, out: str, sizes: dict[str, int]) -> Any:
    """Axes in the order of `out`; those that `term` lacks get size 1, or `sizes` if given."""
    order = [c for c in out if c in term]
    x = shaping.transpose(x, [term.index(c) for c in order])
    missing = tuple(d for d, c in enumerate(out) if c not in term)
    if not missing:
        return x
    x = shaping.expand_dims(x, missing)
    return shaping.broadcast_to(x, tuple(sizes[c] for c in out)) if sizes else x
