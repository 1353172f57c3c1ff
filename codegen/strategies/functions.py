"""The small WGSL functions through which heavy templates read operands and store results.

Invariant: a function takes u32 coordinates that may lie in the padded range of the kernel's tiles
and never touches memory out of range; the template need not know what the operand is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..expr import Expr
from ..frame import Frame
from ..wgsl import Writer


def function(name: str, params: Sequence[str], result: str, body: Sequence[str]) -> str:
    """`fn name(a: u32, ...) -> result { body }`; no arrow if `result` is empty."""
    head = f"fn {name}({', '.join(params)})" + (f" -> {result}" if result else "") + " {"
    return "\n".join([head, *body, "}"])


def loader(
    frame: Frame,
    vec: Sequence[int],
    name: str,
    params: Sequence[str],
    lets: Sequence[str],
    value: Expr,
    lane: Expr | None,
) -> str:
    """A function that returns a vec4<f32> (given a lane) or an f32."""
    writer = frame.writer(vec)
    writer.plan([value], lane)
    text = writer.value4(value, lane) if lane else writer.value(value)
    if writer.lines and writer.lines[-1].startswith(f"  let {text} = "):
        text = writer.lines.pop().partition(" = ")[2].removesuffix(";")
    result = "vec4<f32>" if lane else "f32"
    body = with_lets(lets, [*writer.lines, f"  return {text};"])
    return function(name, [f"{p}: u32" for p in params], result, body)


def with_lets(lets: Sequence[str], lines: Sequence[str]) -> list[str]:
    """`lines` after those of `lets` (`let name = ...;`) whose name they use."""
    return [f"  {let}" for let in lets if mentioned(let.split()[1], lines)] + list(lines)


def mentioned(name: str, lines: Iterable[str]) -> bool:
    """Whether statements use a variable."""
    word = re.compile(rf"\b{name}\b")
    return any(word.search(line) for line in lines)


def guarded(lines: Sequence[str], guard: str) -> list[str]:
    """Statements under a condition, if there is one."""
    if not guard:
        return list(lines)
    return [f"  if ({guard}) {{", *("  " + line for line in lines), "  }"]


__all__ = ["Writer", "function", "guarded", "loader", "mentioned", "with_lets"]
