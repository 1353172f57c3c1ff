"""From expressions to WGSL statements, one element or four consecutive elements at a time.

Invariant: a value used more than once among the planned statements, and every load, is computed
once, in a `let` named after what it is; other values are written in place. Output depends only on
the expressions, the tensor names and the order of calls.

Lanes: in vec4 mode one symbol, the lane, stands for 0..3. Values that do not depend on it stay
scalars until WGSL asks for a vector; a load at consecutive aligned indices is one vec4 load.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence

from ir.dtypes import bool_, u32

from .expr import Expr, add, divisible, floordiv, loads, mul
from .parts import Key, Parts, consecutive
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


class Writer:
    """Writes statements into `lines`.

    `tensor_names[t]` is the WGSL name of binding t, `vec[t]` the number (1 or 4) of elements that
    it is declared with, and `packed[t]` the dtype's name if two elements share a word. Call `plan`
    with everything a block will write before writing it, so that shared values are named; what was
    not planned is planned by itself when it is written.
    """

    def __init__(
        self,
        tensor_names: Sequence[str],
        vec: Sequence[int],
        indent: str = "    ",
        packed: Sequence[str] = (),
    ) -> None:
        self.lines: list[str] = []
        self._indent = indent
        self._parts = Parts(tensor_names, vec, packed)
        self._names: ChainMap[Key, Text] = ChainMap()

    def child(self) -> Writer:
        """A writer for a nested block: it sees the names of this one but keeps its own."""
        inner = Writer((), (), self._indent + "    ")
        inner._parts = self._parts
        inner._names = self._names.new_child()
        return inner

    def declare_vector(self, symbol: Expr) -> None:
        """Say that `symbol` names a vec4 in vec4 mode: an accumulator, one component per lane."""
        self._parts.vectors.add(symbol)

    def bind(self, expr: Expr) -> None:
        """Give `expr` a name here, so that nested blocks do not compute it again."""
        key = Key(expr)
        if expr.op not in ("const", "sym") and key not in self._names:
            text = self._write(key)
            if key not in self._names:
                self._names[key] = Text(self._let(expr, text))

    def bind4(self, expr: Expr, lane: Expr) -> None:
        """Give the vec4 of `expr` a name here."""
        key = self._parts.key(expr, lane)
        if key.expr.op not in ("const", "sym") and key not in self._names:
            text = self._write(key)
            if key not in self._names:
                self._names[key] = Text(self._let(expr, text), wide=text.wide)

    def plan(
        self,
        exprs: Iterable[Expr],
        lane: Expr | None = None,
        stores: Iterable[tuple[int, Expr, Expr]] = (),
    ) -> None:
        """Count the uses in `exprs`, which will be written with `value` (`value4` given a lane),
        and in `stores`: (tensor, index, value) for `store` (`store4`)."""
        roots = [self._parts.key(x, lane) for x in exprs]
        for tensor, at, value in stores:
            roots += [Key(part) for parts in self._targets(tensor, at, lane) for part in parts]
            roots.append(self._parts.key(value, lane))
        self._parts.count(roots)

    def value(self, expr: Expr) -> str:
        """The text of `expr`, after lines for the names it needs."""
        return self._write(Key(expr)).text

    def value4(self, expr: Expr, lane: Expr) -> str:
        """The text of the vec4 of `expr` at lane = 0, 1, 2, 3."""
        return splat(self._write(self._parts.key(expr, lane)), expr.dtype).text

    def store(self, tensor: int, at: Expr, value: Expr) -> None:
        """`tensor[at] = value;`"""
        text = _stored(value, self._write(Key(value)))
        self._assign(tensor, self._parts.position(tensor, at), text.text)

    def store4(self, tensor: int, at: Expr, value: Expr, lane: Expr) -> None:
        """Store `value` at lane 0..3 to elements at..at+3."""
        text = _stored(value, self._write(self._parts.key(value, lane)))
        targets = self._targets(tensor, at, lane)
        if len(targets) == 1:
            element = u32 if value.dtype is bool_ else value.dtype
            self._assign(tensor, targets[0], self._packed(tensor, splat(text, element).text))
            return
        if self._parts.packed[tensor]:
            raise ValueError(f"{value.dtype} results that share words are stored four at a time")
        subscripts = [Key(part) for target in targets for part in target]
        self._parts.count([key for key in subscripts if not self._parts.uses[key]])
        name = text.text if text.text.isidentifier() else self._let(value, text)
        for target, component in zip(targets, _COMPONENTS, strict=True):
            self._assign(tensor, target, f"{name}.{component}" if text.wide else name)

    def store_words(self, tensor: int, quad: Expr, value: Expr, lane: Expr, words: int) -> None:
        """Store `value` at lane 0..3 to words 2 * quad and 2 * quad + 1 of `words` in all."""
        pair = self._packed(tensor, self.value4(value, lane))
        name = self._parts.fresh("words")
        self.lines.append(f"{self._indent}let {name} = {pair};")
        target = self._parts.tensor_names[tensor]
        first, after = self.value(mul(quad, 2)), add(mul(quad, 2), 1)
        second = self.value(after) if after.op == "const" else f"{first} + 1u"
        self.lines.append(f"{self._indent}{target}[{first}] = {name}.x;")
        last = f"{self._indent}{target}[{second}] = {name}.y;"
        if words % 2:
            last = f"{self._indent}if ({second} < {words}u) {{\n  {last}\n{self._indent}}}"
        self.lines.append(last)

    def _packed(self, tensor: int, text: str) -> str:
        kind = self._parts.packed[tensor]
        return f"pack_{kind}x4({text})" if kind else text

    def _targets(self, tensor: int, at: Expr, lane: Expr | None) -> list[list[Expr]]:
        """The subscripts of each assignment of a store."""
        if lane is None:
            return [self._parts.position(tensor, at)]
        if self._parts.vec[tensor] == 4 and divisible(at, 4):
            return [[floordiv(at, 4)]]
        return [self._parts.position(tensor, add(at, n)) for n in range(4)]

    def _assign(self, tensor: int, subscripts: list[Expr], text: str) -> None:
        places = "".join(f"[{self.value(part)}]" for part in subscripts)
        self.lines.append(f"{self._indent}{self._parts.tensor_names[tensor]}{places} = {text};")

    def _let(self, x: Expr, text: Text) -> str:
        name = self._parts.name(x)
        self.lines.append(f"{self._indent}let {name} = {text.text};")
        return name

    def _write(self, root: Key) -> Text:
        if not self._parts.uses[root]:
            self._parts.count([root])
        done: dict[Key, Text] = {}
        for key in self._order(root):
            text = self._spell(key, [self._text(part, done) for part in self._parts.of(key)])
            if self._deserves_name(key, text, root):
                text = Text(self._let(key.expr, text), wide=text.wide)
                self._names[key] = text
            done[key] = text
        return self._text(root, done)

    def _text(self, key: Key, done: dict[Key, Text]) -> Text:
        return done[key] if key in done else self._names[key]

    def _order(self, root: Key) -> Iterator[Key]:
        """Keys without a name below `root`, parts first."""
        seen: set[Key] = set()
        stack = [(root, False)]
        while stack:
            key, ready = stack.pop()
            if ready:
                yield key
            elif key not in seen and key not in self._names:
                seen.add(key)
                stack.append((key, True))
                stack.extend([(part, False) for part in reversed(self._parts.of(key))])

    def _deserves_name(self, key: Key, text: Text, root: Key) -> bool:
        if key.expr.op in ("const", "sym"):
            return False
        if self._parts.uses[key] > 1 or (len(text.text) > _LONGEST and key != root):
            return True
        return key.expr.op == "load" and key not in self._parts.in_place

    def _spell(self, key: Key, parts: list[Text]) -> Text:
        x, lane = key
        match x.op:
            case "const":
                text = literal(x.value, x.dtype)
                return Text(text, 8 if text.startswith("-") else 9)
            case "sym":
                wide = lane is not None and x in self._parts.vectors
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
        name = self._parts.tensor_names[x.value]
        if kind := self._parts.packed[x.value]:
            return self._spell_packed(kind, name, parts, lane is not None)
        text = Text(name + "".join(f"[{part.text}]" for part in parts), wide=lane is not None)
        if x.dtype is not bool_:
            return text
        zero = splat(Text("0u"), u32) if text.wide else Text("0u")
        return Text(f"{text.text} != {zero.text}", RELATION, text.wide)

    def _spell_packed(self, kind: str, name: str, parts: list[Text], wide: bool) -> Text:
        if wide:
            return Text(f"unpack_{kind}x4({name}[{parts[0].text}])", wide=True)
        *subscripts, which = parts
        word = name + "".join(f"[{part.text}]" for part in subscripts)
        return Text(f"unpack_{kind}({word}, {which.text})")

    def _spell_linear(self, x: Expr, lane: Expr | None, parts: list[Text]) -> Text:
        terms, const = self._parts.terms(Key(x, lane))
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
            if elements[x.value] % 4 == 0 and consecutive(x.args[0], lane):
                widths[x.value] = 4
    return widths
