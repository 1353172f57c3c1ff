"""Queries over expression graphs that need no construction.

Invariant: traversal is iterative and visits a shared node once, so cost is linear in the number of
distinct nodes and depth is not limited by Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterator

from .index import exact, terms_of
from .node import Expr


def walk(*roots: Expr) -> Iterator[Expr]:
    """All nodes of the graphs below `roots`, each once, operands before users."""
    seen: set[Expr] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        x, ready = stack.pop()
        if ready:
            yield x
        elif x not in seen:
            seen.add(x)
            stack.append((x, True))
            stack.extend([(a, False) for a in reversed(x.args)])


def loads(expr: Expr) -> list[Expr]:
    """The distinct load nodes of `expr`, operands before users."""
    return [x for x in walk(expr) if x.op == "load"]


def depends(expr: Expr, symbol: Expr) -> bool:
    """Whether `symbol` occurs in `expr`."""
    return any(x is symbol for x in walk(expr))


def stride(expr: Expr, symbol: Expr) -> int | None:
    """The constant coefficient of `symbol` in an index, 0 if absent, None if not affine in it."""
    found = 0
    for term, k in terms_of(expr):
        if term is symbol:
            found = k
        elif term is not None and depends(term, symbol):
            return None
    return found


def divisible(expr: Expr, n: int) -> bool:
    """Whether an integer expression is provably a multiple of n."""
    wraps = not exact(expr) and 2**32 % n != 0
    return not wraps and all(k % n == 0 or _multiple(t, n, k) for t, k in terms_of(expr))


def _multiple(term: Expr | None, n: int, k: int) -> bool:
    if term is None:
        return False
    if term.op == "mul":
        return any(divisible(a, n) for a in term.args) and _no_wrap(term, n)
    if term.op in ("min", "max"):
        return all(divisible(a, n) for a in term.args)
    if term.op == "select":
        return all(divisible(a, n) for a in term.args[1:])
    if term.op == "rem" and term.args[1].op == "const":
        return term.args[1].value % n == 0 and divisible(term.args[0], n)
    return False


def _no_wrap(product: Expr, n: int) -> bool:
    a, b = product.args
    return 2**32 % n == 0 or a.hi * b.hi == product.hi
