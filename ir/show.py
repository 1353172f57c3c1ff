"""The one textual form of a graph, and its parser.

Invariant: names are invented in order, so equal graphs print equal text, and `parse(show(g))` has
the key of `g`. Dumps, goldens and error messages all use this form. A graph that is a parameter
prints inside its equation, indented, with names of its own. Where it is known how a mesh cuts a
value, its type says so: `f32[8@dp, 128@(cp,tp)]{+tp}` has sizes as in the graph, the mesh axes that
cut each axis, and those over which the value is yet to be summed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from itertools import count, product
from string import ascii_lowercase
from typing import Any

from .dtypes import DTYPES, DType
from .graph import Aval, Eqn, Graph, Lit, Src, Value, Var
from .sharding import Spec


def names():
    """a, b, ..., z, aa, ab, ..."""
    for width in count(1):
        for letters in product(ascii_lowercase, repeat=width):
            name = "".join(letters)
            if name not in ("graph", "return"):
                yield name


def show(graph: Graph, where: Callable[[Src], str] | None = None) -> str:
    """Print a graph. `where` spells each equation's source line, appended as a comment."""
    fresh, named = names(), {}
    for v in graph.ins:
        named[v] = next(fresh)
    head = ", ".join(f"{named[v]}: {v.type}" for v in graph.ins)
    lines = [f"graph({head}) {{"]
    for eqn in graph.eqns:
        named.update((v, next(fresh)) for v in eqn.outs)
        note = f"  # {where(eqn.src)}" if where and eqn.src else ""
        lines.append(f"  {show_eqn(eqn, named)}{note}")
    lines.append(f"  return {', '.join(_ref(v, named) for v in graph.outs)}")
    return "\n".join([*lines, "}"])


def show_eqn(eqn: Eqn, named: dict[Var, str]) -> str:
    """`c: f32[8] = sum[axes=(1,)] b`; unnamed Vars print as `_`."""
    outs = ", ".join(f"{named.get(v, '_')}: {v.type}" for v in eqn.outs)
    params = ", ".join(f"{n}={_param(eqn.params[n])}" for n in sorted(eqn.params))
    ins = "".join(f" {_ref(v, named)}" for v in eqn.ins)
    made = f"{outs} = " if outs else ""
    return f"{made}{eqn.prim.name}{f'[{params}]' if params else ''}{ins}"


def _ref(v: Value, named: dict[Var, str]) -> str:
    return f"{v.value!r}:{v.aval}" if isinstance(v, Lit) else named.get(v, "_")


def _param(value: Any) -> str:
    if isinstance(value, Graph):
        return show(value).replace("\n", "\n  ")
    if isinstance(value, tuple) and any(isinstance(v, Graph) for v in value):
        return f"({''.join(f'{_param(v)}, ' for v in value)})"
    return value.name if isinstance(value, DType) else repr(value)


# --- parsing ------------------------------------------------------------------------------------

_TYPE = r"(\w+)\[([\d, ]*)\]"
_CUT = r"(\w+)\[([^\]]*)\](?:\{([+\w]+)\})?"  # the type of a value that a mesh may cut
_OPERAND = re.compile(rf"\s*(?:(-?[\d.]+(?:e[+-]?\d+)?|inf|-inf|nan|True|False):{_TYPE}|(\w+))")
_BINDER = re.compile(rf"(\w+): {_CUT}")
_FLAT = r"(?:[^{}]|\{\+[^{}]*\})*"  # text with no graph inside
_NESTED = re.compile(rf"(?<=[=( ])graph\({_FLAT}\) \{{{_FLAT}\}}")


class ParseError(ValueError):
    """Text that is not a printed graph; the message names the line."""


def parse(text: str) -> Graph:
    """The graph that `show` printed. Raises ParseError naming the offending line."""
    text = "\n".join(line.split("  # ")[0].strip() for line in text.strip().splitlines())
    inner: dict[str, Graph] = {}
    while found := _NESTED.search(text):
        name = f"graph_{len(inner)}"
        inner[name] = _parse_flat(found.group(), inner)
        text = text[: found.start()] + name + text[found.end() :]
    return _parse_flat(text, inner)


def _parse_flat(text: str, inner: dict[str, Graph]) -> Graph:
    """Parse a graph whose graph parameters have been replaced by their names in `inner`."""
    lines = text.splitlines()
    if len(lines) < 3 or not lines[0].startswith("graph(") or lines[-1] != "}":
        raise ParseError("a printed graph starts with `graph(...) {` and ends with `}`")
    env: dict[str, Var] = {}
    ins = [_bind(m, env) for m in _BINDER.finditer(lines[0])]
    eqns = tuple(_parse_eqn(line, env, inner) for line in lines[1:-2])
    outs = _operands(_strip(lines[-2]), env)
    return Graph(tuple(ins), eqns, tuple(outs))


def _strip(line: str) -> str:
    """Return operands separated by blanks; commas inside types stay."""
    return re.sub(r",\s*(?![^\[]*\])", " ", line.removeprefix("return"))


def _aval(dtype: str, dims: str) -> Aval:
    if dtype not in DTYPES:
        raise ParseError(f"unknown dtype {dtype!r}; one of {', '.join(DTYPES)}")
    return Aval(tuple(int(n) for n in dims.split(",") if n.strip()), DTYPES[dtype])


def _bind(match: re.Match, env: dict[str, Var]) -> Var:
    name, dtype, dims, sums = match.groups()
    cuts = [_axes(c) for c in re.findall(r"\d+(?:@(\([^)]*\)|\w+))?", dims)]
    known = sums is not None or any(cuts)
    spec = Spec(tuple(cuts), frozenset((sums or "").split("+")[1:])) if known else None
    env[name] = Var(_aval(dtype, re.sub(r"@(\([^)]*\)|\w+)", "", dims)), spec=spec)
    return env[name]


def _axes(text: str) -> tuple[str, ...]:
    return tuple(text.strip("()").split(",")) if text else ()


def _parse_eqn(line: str, env: dict[str, Var], inner: dict[str, Graph]) -> Eqn:
    from .prim import PRIMITIVES

    match = re.fullmatch(r"(.+?) = (\w+)((?:\[.*?\])?)((?: .*)?)", line)
    split = match and _split_params(line, match.start(2) + len(match.group(2)), inner)
    if not match or match.group(2) not in PRIMITIVES:
        raise ParseError(f"not an equation: {line}")
    params, rest = split
    ins = tuple(_operands(rest, env))
    outs = tuple(_bind(m, env) for m in _BINDER.finditer(match.group(1)))
    return Eqn(PRIMITIVES[match.group(2)], ins, outs, params)


def _split_params(line: str, at: int, inner: dict[str, Graph]) -> tuple[dict[str, Any], str]:
    """The `[name=value, ...]` at position `at`, if any, and the operands after it."""
    if line[at : at + 1] != "[":
        return {}, line[at:]
    depth, end = 0, at
    for end in range(at, len(line)):
        depth += {"[": 1, "]": -1}.get(line[end], 0)
        if depth == 0:
            break
    call = ast.parse(f"f({line[at + 1 : end]})", mode="eval").body
    return {k.arg: _literal(k.value, inner) for k in call.keywords}, line[end + 1 :]


def _literal(node: ast.expr, inner: dict[str, Graph]) -> Any:
    if isinstance(node, ast.Name) and node.id in inner:
        return inner[node.id]
    if isinstance(node, ast.Name) and node.id in DTYPES:
        return DTYPES[node.id]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(part, inner) for part in node.elts)
    text = ast.unparse(node)
    if text in ("inf", "-inf", "nan"):  # how floats print that are no Python literals
        return float(text)
    return ast.literal_eval(node)


def _operands(text: str, env: dict[str, Var]) -> list[Value]:
    found: list[Value] = []
    for match in _OPERAND.finditer(text):
        value, dtype, dims, name = match.groups()
        if name is not None and name not in env:
            raise ParseError(f"`{name}` is used before it is defined")
        found.append(env[name] if name else Lit(_scalar(value), _aval(dtype, dims)))
    return found


def _scalar(text: str) -> float | int | bool:
    return float(text) if "inf" in text or "nan" in text else ast.literal_eval(text)
