"""The small WGSL functions through which heavy templates read operands and store results.

Invariant: a function takes u32 coordinates that may lie in the padded range of the kernel's tiles
and never touches memory out of range; the template need not know what the operand is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..expr import Expr
from ..frame import Frame
from ..wgsl import Writer, storage_type


def function(name: str, params: Sequence[str], result: str, body: Sequence[str]) -> str:
    """`fn name(a: u32, ...) -> result { body }`; no arrow if `result` is empty."""
    head = f"fn {name}({', '.join(params)})" + (f" -> {result}" if result else "") + " {"
    return "\n".join([head, *body, "}"])


@dataclass(frozen=True)
class Branch:
    """What a loader returns below `end`, after those of `lets` whose name that uses."""

    end: int
    value: Expr
    lets: tuple[str, ...] = ()


def loader(
    frame: Frame,
    vec: Sequence[int],
    name: str,
    params: Sequence[str],
    lets: Sequence[str],
    value: Expr,
    lane: Expr | None,
) -> str:
    """A function that returns a vec4<f32> (given a lane), or one value of its own dtype."""
    return branched(frame, vec, name, params, "", [Branch(0, value, tuple(lets))], lane)


def branched(
    frame: Frame,
    vec: Sequence[int],
    name: str,
    params: Sequence[str],
    by: str,
    branches: Sequence[Branch],
    lane: Expr | None,
) -> str:
    """The same with one value below each end of the parameter `by`."""
    result = "vec4<f32>" if lane else storage_type(branches[0].value.dtype)
    body: list[str] = []
    for branch in branches[:-1]:
        inner = [f"  {line}" for line in _returned(frame, vec, branch, lane)]
        body += [f"  if ({by} < {branch.end}u) {{", *inner, "  }"]
    body += _returned(frame, vec, branches[-1], lane)
    return function(name, [f"{p}: u32" for p in params], result, body)


def _returned(frame: Frame, vec: Sequence[int], branch: Branch, lane: Expr | None) -> list[str]:
    """Statements that return the value of one branch."""
    writer = frame.writer(vec)
    writer.plan([branch.value], lane)
    text = writer.value4(branch.value, lane) if lane else writer.value(branch.value)
    if writer.lines and writer.lines[-1].startswith(f"  let {text} = "):
        text = writer.lines.pop().partition(" = ")[2].removesuffix(";")
    return with_lets(branch.lets, [*writer.lines, f"  return {text};"])


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


__all__ = [
    "Branch",
    "Writer",
    "branched",
    "function",
    "guarded",
    "loader",
    "mentioned",
    "with_lets",
]
