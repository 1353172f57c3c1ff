"""What the text of a value is made of, by elements or by the four values of a lane.

Invariant: the parts of a key are known before anything is written and do not depend on what was,
so counting uses and writing agree. In lane mode only what depends on the lane is a vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .expr import Expr, divisible, floordiv, index, load, mod, stride, substitute, walk
from .index import linear, terms_of
from .spell import expand

_TYPES = ("i8", "i16", "i32", "i64")  # what a numbered integer must not be called


class Key(NamedTuple):
    """A value to write: `expr`, for all four values of `lane` unless that is None."""

    expr: Expr
    lane: Expr | None = None


class Parts:
    """What the writers of one kernel share: use counts, names and how values decompose."""

    def __init__(
        self, tensor_names: Sequence[str], vec: Sequence[int], packed: Sequence[str] = ()
    ) -> None:
        self.tensor_names = list(tensor_names)
        self.vec = list(vec)
        self.packed = list(packed) or [""] * len(vec)
        self.uses: Counter[Key] = Counter()
        self.in_place: set[Key] = set()
        self.vectors: set[Expr] = set()
        self._taken = {*tensor_names, *_TYPES}
        self._next: Counter[str] = Counter()
        self.bases: dict[Expr, Expr] = {}
        self._terms: dict[Key, tuple[list[tuple[Expr, int]], int]] = {}
        self._known: dict[Key, list[Key]] = {}
        self._laned: dict[Expr, dict[Expr, bool]] = {}

    def key(self, expr: Expr, lane: Expr | None) -> Key:
        """The key of `expr`, scalar if it does not depend on the lane."""
        if lane is None:
            return Key(expr)
        known = self._laned.setdefault(lane, {})
        if expr not in known:
            for x in walk(expr):
                known[x] = x is lane or x in self.vectors or any(known[a] for a in x.args)
        return Key(expr, lane if known[expr] else None)

    def count(self, roots: Iterable[Key]) -> None:
        """Count one use of each root, and of all parts below those not counted before."""
        stack = list(roots)
        self.uses.update(stack)
        while stack:
            key = stack.pop()
            if key in self._known:
                continue
            if key.expr.op == "sym":
                self._taken.add(key.expr.value)
            parts = self.of(key)
            self.uses.update(parts)
            stack.extend(parts)

    def of(self, key: Key) -> list[Key]:
        """The values that the text of `key` is made of."""
        if key not in self._known:
            self._known[key] = self._decompose(*key)
        return self._known[key]

    def _decompose(self, x: Expr, lane: Expr | None) -> list[Key]:
        if x.op == "load":
            return self._load_parts(x, lane)
        if x.op == "linear":
            return [self.key(part, lane) for part, _ in self.terms(Key(x, lane))[0]]
        simpler = expand(x)
        args = x.args if simpler is x else (simpler,)
        return [self.key(arg, lane) for arg in args]

    def _load_parts(self, x: Expr, lane: Expr | None) -> list[Key]:
        at = x.args[0]
        if lane is None:
            which = [mod(at, 2)] if self.packed[x.value] else []
            return [Key(part) for part in (*self.position(x.value, at), *which)]
        if self.vec[x.value] == 4 and consecutive(at, lane):
            return [Key(floordiv(_at_lane(at, lane, 0), 4))]
        gathered = [Key(load(x.value, _at_lane(at, lane, n), x.dtype)) for n in range(4)]
        self.in_place.update(gathered)
        self._share_base(at, lane, [key.expr.args[0] for key in gathered])
        return gathered

    def _share_base(self, at: Expr, lane: Expr, gathered: list[Expr]) -> None:
        """Spell what the indices of one gather have in common as one value."""
        shared = {t: k for t, k in terms_of(at) if t and k > 0 and not self.key(t, lane).lane}
        if len(shared) > 1:
            base = linear(dict(shared), at.dtype)
            for x in gathered:
                terms = dict(terms_of(x))
                if all(terms.get(t) == k for t, k in shared.items()):
                    self.bases[x] = base

    def position(self, tensor: int, at: Expr) -> list[Expr]:
        """The subscripts of one element, or of the word that holds it: two where the tensor is an
        array of vectors."""
        if self.packed[tensor]:
            word = floordiv(at, 2)
            return [floordiv(at, 4), mod(word, 2)] if self.vec[tensor] == 4 else [word]
        return [floordiv(at, 4), mod(at, 4)] if self.vec[tensor] == 4 else [at]

    def name(self, x: Expr) -> str:
        """A fresh name: `x_0` for a load of tensor x, `i0` for an integer, else `v0`."""
        if x.op == "load":
            stem = self.tensor_names[x.value] + "_"
        else:
            stem = "i" if x.dtype.is_integer else "v"
        return self.fresh(stem)

    def fresh(self, stem: str) -> str:
        """`stem0`, `stem1`, ..."""
        while True:
            name = f"{stem}{self._next[stem]}"
            self._next[stem] += 1
            if name not in self._taken:
                self._taken.add(name)
                return name

    def terms(self, key: Key) -> tuple[list[tuple[Expr, int]], int]:
        """The terms and the constant that a linear form is spelt with."""
        if key not in self._terms:
            self._terms[key] = self._split_terms(*key)
        return self._terms[key]

    def _split_terms(self, x: Expr, lane: Expr | None) -> tuple[list[tuple[Expr, int]], int]:
        terms = dict(terms_of(x))
        const = terms.pop(None)
        wide = {t: k for t, k in terms.items() if self.key(t, lane).lane}
        if wide:
            free = {t: k for t, k in terms.items() if t not in wide}
            base = linear({**free, None: const}, x.dtype)
            lead = [] if base.op == "const" and base.value == 0 else [(base, 1)]
            return lead + list(wide.items()), 0
        base = self.bases.get(x)
        if base is not None and base is not x:
            own = {t: k for t, k in terms.items() if t not in base.args}
            return [(base, 1), *own.items()], const
        if const and min(terms.values()) > 0:  # indices that differ by a constant share the rest
            return [(linear(terms, x.dtype), 1)], const
        return list(terms.items()), const


def _at_lane(x: Expr, lane: Expr, n: int) -> Expr:
    return substitute(x, {lane: index(n)})


def consecutive(at: Expr, lane: Expr) -> bool:
    """Whether four lanes read one aligned vec4."""
    return stride(at, lane) == 1 and divisible(_at_lane(at, lane, 0), 4)
