"""Generated text within a reader's width.

Invariant: a line is cut only at a space, so its words are what they were, in the same order.
"""

from __future__ import annotations

import re
import textwrap
from itertools import groupby

WIDTH = 100
_COMMENT = re.compile(r"\s*// *")
_OPERATOR = r"(?:[-+*/%<>]|&&|\|\||[=!<>]=) "
_CUT = re.compile(rf"(?<=[,;]) | (?={_OPERATOR})")  # behind a comma, before an operator


def wrapped(kernel: str) -> str:
    """A kernel with lines of more than `WIDTH` columns cut and continued further in.

    Comments below the bindings are prose, and filled anew.
    """
    lines = kernel.split("\n")
    if all(len(line) <= WIDTH for line in lines):
        return kernel
    body = next((n for n, line in enumerate(lines) if line.startswith("@group")), len(lines))
    found = [part for line in lines[:body] for part in _parts(line)]
    for start, run in groupby(lines[body:], _comment):
        some = list(run)
        if start and max(map(len, some)) > WIDTH:
            words = " ".join(line.removeprefix(start) for line in some)
            found += textwrap.wrap(words, WIDTH, initial_indent=start, subsequent_indent=start)
        else:
            found += [part for line in some for part in _parts(line)]
    return "\n".join(found)


def _comment(line: str) -> str:
    """How a comment starts, up to its first word."""
    found = _COMMENT.match(line)
    return found[0] if found else ""


def _parts(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    comment = _comment(line)
    start = comment or re.match(r" *", line)[0]
    more = start + ("  " if comment else "    ")
    found = []
    while len(line) > WIDTH:
        at = _last_space(line, len(start)) if comment else _outermost(line, len(start))
        if at is None:
            break
        found.append(line[:at])
        line, start = more + line[at + 1 :], more
    return [*found, line]


def _last_space(line: str, start: int) -> int | None:
    at = line.rfind(" ", start, WIDTH + 1)
    return at if at > 0 else None


def _outermost(line: str, start: int) -> int | None:
    """The last place for a cut within the fewest brackets."""
    places = [m.start() for m in _CUT.finditer(line, start) if start < m.start() <= WIDTH]
    late = [at for at in places if at > WIDTH // 2] or places
    return min(late, key=lambda at: (_depth(line[:at]), -at), default=None)


def _depth(text: str) -> int:
    return sum(text.count(c) for c in "([") - sum(text.count(c) for c in ")]")
