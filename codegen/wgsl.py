"""From expressions to WGSL statements, one element or four consecutive elements at a time.

Invariant: a value used more than once among the planned statements, and every load, is computed
once, in a `let` named after what it is; other values are written in place. Output depends only on
the expressions, the tensor names and the order of calls.

Lanes: in vec4 mode one symbol, the lane, stands for 0..3. Values that do not depend on it stay
scalars until WGSL asks for a vector; a load at consecutive aligned indices is one vec4 load.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ir.dtypes import bool_, u32

from .expr import Expr, add, divisible, floordiv, index, load, loads, mod, stride, substitute, walk
from .index import linear, terms_of
from .spell import (
    RELATION,
    Text,
    expand,
    lane_steps,
    literal,
    spell,
    spell_linear,
    splat,
    storage_type,
    value_type,
)

__all__ = ["Writer", "choose_vec", "literal", "storage_type", "value_type"]

_LONGEST = 72  # characters written in place; a longer operand gets a name
_COMPONENTS = "xyzw"


class _Key(NamedTuple):
    """A value to write: `expr`, for all four values of `lane` unless that is None."""

    expr: Expr
    lane: Expr | None = None


class _Kernel:
    """What the writers of one kernel share: use counts, names and how values decompose."""

    def __init__(self, tensor_names: Sequence[str], vec: Sequence[int]) -> None:
        self.tensor_names = list(tensor_names)
        self.vec = list(vec)
        self.uses: Counter[_Key] = Counter()
        self.in_place: set[_Key] = set()
        self.vectors: set[Expr] = set()
        self._taken = set(tensor_names)
        self._next: Counter[str] = Counter()
        self._parts: dict[_Key, list[_Key]] = {}
        self._laned: dict[Expr, dict[Expr, bool]] = {}

    def key(self, expr: Expr, lane: Expr | None) -> _Key:
        """The key of `expr`, scalar if it does not depend on the lane."""
        if lane is None:
            return _Key(expr)
        known = self._laned.setdefault(lane, {})
        if expr not in known:
            for x in walk(expr):
                known[x] = x is lane or x in self.vectors or any(known[a] for a in x.args)
        return _Key(expr, lane if known[expr] else None)

    def count(self, roots: Iterable[_Key]) -> None:
        """Count one use of each root, and of all parts below those not counted before."""
        stack = list(roots)
        self.uses.update(stack)
        while stack:
            key = stack.pop()
            if key in self._parts:
                continue
            if key.expr.op == "sym":
                self._taken.add(key.expr.value)
            parts = self.parts(key)
            self.uses.update(parts)
            stack.extend(parts)

    def parts(self, key: _Key) -> list[_Key]:
        """The values that the text of `key` is made of."""
        if key not in self._parts:
            self._parts[key] = self._decompose(*key)
        return self._parts[key]

    def _decompose(self, x: Expr, lane: Expr | None) -> list[_Key]:
        if x.op == "load":
            return self._load_parts(x, lane)
        if x.op == "linear":
            return [self.key(part, lane) for part, _ in _linear_parts(x, lane, self)[0]]
        simpler = expand(x)
        args = x.args if simpler is x else (simpler,)
        return [self.key(arg, lane) for arg in args]

    def _load_parts(self, x: Expr, lane: Expr | None) -> list[_Key]:
        at = x.args[0]
        if lane is None:
            return [_Key(part) for part in self.position(x.value, at)]
        if self.vec[x.value] == 4 and _consecutive(at, lane):
            return [_Key(floordiv(_at_lane(at, lane, 0), 4))]
        gathered = [_Key(load(x.value, _at_lane(at, lane, n), x.dtype)) for n in range(4)]
        self.in_place.update(gathered)
        return gathered

    def position(self, tensor: int, at: Expr) -> list[Expr]:
        """The subscripts of one element: two where the tensor is an array of vec4."""
        return [floordiv(at, 4), mod(at, 4)] if self.vec[tensor] == 4 else [at]

    def name(self, x: Expr) -> str:
        """A fresh name: `x_0` for a load of tensor x, `i0` for an integer, else `v0`."""
        if x.op == "load":
            stem = self.tensor_names[x.value] + "_"
        else:
            stem = "i" if x.dtype.is_integer else "v"
        while True:
            name = f"{stem}{self._next[stem]}"
            self._next[stem] += 1
            if name not in self._taken:
                self._taken.add(name)
                return name


def _at_lane(x: Expr, lane: Expr, n: int) -> Expr:
    return substitute(x, {lane: index(n)})


def _consecutive(at: Expr, lane: Expr) -> bool:
    """Whether four lanes read one aligned vec4."""
    return stride(at, lane) == 1 and divisible(_at_lane(at, lane, 0), 4)


def _linear_parts(
    x: Expr, lane: Expr | None, kernel: _Kernel
) -> tuple[list[tuple[Expr, int]], int]:
    """Terms and constant to spell. What indices share, all but the constant, is one term."""
    terms = dict(terms_of(x))
    const = terms.pop(None)
    wide = {t: k for t, k in terms.items() if kernel.key(t, lane).lane}
    if wide:
        free = {t: k for t, k in terms.items() if t not in wide}
        base = linear({**free, None: const}, x.dtype)
        lead = [] if base.op == "const" and base.value == 0 else [(base, 1)]
        return lead + list(wide.items()), 0
    if const and min(terms.values()) > 0:
        return [(linear(terms, x.dtype), 1)], const
    return list(terms.items()), const


class Writer:
    """Writes statements into `lines`.

    `tensor_names[t]` is the WGSL name of binding t, and `vec[t]` the width (1 or 4) of the elements
    it is declared with. Call `plan` with everything a block will write before writing it, so that
    shared values are named; what was not planned is planned by itself when it is written.
    """

    def __init__(
        self, tensor_names: Sequence[str], vec: Sequence[int], indent: str = "    "
    ) -> None:
        self.lines: list[str] = []
        self._indent = indent
        self._kernel = _Kernel(tensor_names, vec)
        self._names: ChainMap[_Key, Text] = ChainMap()

    def child(self) -> Writer:
        """A writer for a nested block: it sees the names of this one but keeps its own."""
        inner = Writer((), (), self._indent + "    ")
        inner._kernel = self._kernel
        inner._names = self._names.new_child()
        return inner

    def declare_vector(self, symbol: Expr) -> None:
        """Say that `symbol` names a vec4 in vec4 mode: an accumulator, one component per lane."""
        self._kernel.vectors.add(symbol)

    def bind(self, expr: Expr) -> None:
        """Give `expr` a name here, so that nested blocks do not compute it again."""
        key = _Key(expr)
        if expr.op not in ("const", "sym") and key not in self._names:
            text = self._write(key)
            if key not in self._names:
                self._names[key] = Text(self._let(expr, text))

    def plan(
        self,
        exprs: Iterable[Expr],
        lane: Expr | None = None,
        stores: Iterable[tuple[int, Expr, Expr]] = (),
    ) -> None:
        """Count the uses in `exprs`, which will be written with `value` (`value4` given a lane),
        and in `stores`: (tensor, index, value) for `store` (`store4`)."""
        roots = [self._kernel.key(x, lane) for x in exprs]
        for tensor, at, value in stores:
            roots += [_Key(part) for parts in self._targets(tensor, at, lane) for part in parts]
            roots.append(self._kernel.key(value, lane))
        self._kernel.count(roots)

    def value(self, expr: Expr) -> str:
        """The text of `expr`, after lines for the names it needs."""
        return self._write(_Key(expr)).text

    def value4(self, expr: Expr, lane: Expr) -> str:
        """The text of the vec4 of `expr` at lane = 0, 1, 2, 3."""
        return splat(self._write(self._kernel.key(expr, lane)), expr.dtype).text

    def store(self, tensor: int, at: Expr, value: Expr) -> None:
        """`tensor[at] = value;`"""
        text = _stored(value, self._write(_Key(value)))
        self._assign(tensor, self._kernel.position(tensor, at), text.text)

    def store4(self, tensor: int, at: Expr, value: Expr, lane: Expr) -> None:
        """Store `value` at lane 0..3 to elements at..at+3."""
        text = _stored(value, self._write(self._kernel.key(value, lane)))
        targets = self._targets(tensor, at, lane)
        if len(targets) == 1:
            element = u32 if value.dtype is bool_ else value.dtype
            self._assign(tensor, targets[0], splat(text, element).text)
            return
        name = text.text if text.text.isidentifier() else self._let(value, text)
        for target, component in zip(targets, _COMPONENTS, strict=True):
            self._assign(tensor, target, f"{name}.{component}" if text.wide else name)

    def _targets(self, tensor: int, at: Expr, lane: Expr | None) -> list[list[Expr]]:
        """The subscripts of each assignment of a store."""
        if lane is None:
            return [self._kernel.position(tensor, at)]
        if self._kernel.vec[tensor] == 4 and divisible(at, 4):
            return [[floordiv(at, 4)]]
        return [self._kernel.position(tensor, add(at, n)) for n in range(4)]

    def _assign(self, tensor: int, subscripts: list[Expr], text: str) -> None:
        places = "".join(f"[{self.value(part)}]" for part in subscripts)
        self.lines.append(f"{self._indent}{self._kernel.tensor_names[tensor]}{places} = {text};")

    def _let(self, x: Expr, text: Text) -> str:
        name = self._kernel.name(x)
        self.lines.append(f"{self._indent}let {name} = {text.text};")
        return name

    def _write(self, root: _Key) -> Text:
        if not self._kernel.uses[root]:
            self._kernel.count([root])
        done: dict[_Key, Text] = {}
        for key in self._order(root):
            text = self._spell(key, [self._text(part, done) for part in self._kernel.parts(key)])
            if self._deserves_name(key, text, root):
                text = Text(self._let(key.expr, text), wide=text.wide)
                self._names[key] = text
            done[key] = text
        return self._text(root, done)

    def _text(self, key: _Key, done: dict[_Key, Text]) -> Text:
        return done[key] if key in done else self._names[key]

    def _order(self, root: _Key) -> Iterator[_Key]:
        """Keys without a name below `root`, parts first."""
        seen: set[_Key] = set()
        stack = [(root, False)]
        while stack:
            key, ready = stack.pop()
            if ready:
                yield key
            elif key not in seen and key not in self._names:
                seen.add(key)
                stack.append((key, True))
                stack.extend([(part, False) for part in reversed(self._kernel.parts(key))])

    def _deserves_name(self, key: _Key, text: Text, root: _Key) -> bool:
        if key.expr.op in ("const", "sym"):
            return False
        if self._kernel.uses[key] > 1 or (len(text.text) > _LONGEST and key != root):
            return True
        return key.expr.op == "load" and key not in self._kernel.in_place

    def _spell(self, key: _Key, parts: list[Text]) -> Text:
        x, lane = key
        match x.op:
            case "const":
                text = literal(x.value, x.dtype)
                return Text(text, 8 if text.startswith("-") else 9)
            case "sym":
                wide = lane is not None and x in self._kernel.vectors
                return lane_steps(1, x.dtype) if x is lane else Text(x.value, wide=wide)
            case "load":
                return self._spell_load(x, lane, parts)
            case "linear":
                return self._spell_linear(x, lane, parts)
        return parts[0] if expand(x) is not x else spell(x, parts)

    def _spell_load(self, x: Expr, lane: Expr | None, parts: list[Text]) -> Text:
        if lane is not None and len(parts) == 4:
            elements = ", ".join(part.text for part in parts)
            return Text(f"{value_type(x.dtype, 4)}({elements})", wide=True)
        name = self._kernel.tensor_names[x.value]
        text = Text(name + "".join(f"[{part.text}]" for part in parts), wide=lane is not None)
        if x.dtype is not bool_:
            return text
        zero = splat(Text("0u"), u32) if text.wide else Text("0u")
        return Text(f"{text.text} != {zero.text}", RELATION, text.wide)

    def _spell_linear(self, x: Expr, lane: Expr | None, parts: list[Text]) -> Text:
        terms, const = _linear_parts(x, lane, self._kernel)
        spelled = [
            (lane_steps(k, x.dtype), 1) if term is lane else (text, k)
            for (term, k), text in zip(terms, parts, strict=True)
        ]
        return spell_linear(spelled, const, x.dtype)


def _stored(value: Expr, text: Text) -> Text:
    """A bool as the u32 that buffers hold."""
    if value.dtype is not bool_:
        return text
    zero, one = Text("0u"), Text("1u")
    if text.wide:
        zero, one = splat(zero, u32), splat(one, u32)
    return Text(f"select({zero.text}, {one.text}, {text.text})", wide=text.wide)


def choose_vec(
    exprs: Iterable[Expr], lane: Expr, n_tensors: int, elements: Sequence[int]
) -> list[int]:
    """Element width per tensor: 4 where some load in `exprs` is an aligned vec4 load.

    `elements[t]` is the element count of tensor t; one that is no multiple of 4 stays scalar.
    """
    widths = [1] * n_tensors
    for expr in exprs:
        for x in loads(expr):
            if elements[x.value] % 4 == 0 and _consecutive(x.args[0], lane):
                widths[x.value] = 4
    return widths
