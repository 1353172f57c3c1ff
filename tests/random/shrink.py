"""Making a failing program small, line by line.

Invariant: each step removes lines or results and keeps the failure: the same kind of exception
with the same beginning of its message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .writer import Program


def failure(test: Callable[[Program], None], program: Program) -> str | None:
    """What a test says of a program, cut to what stays the same when the program shrinks."""
    try:
        test(program)
    except Exception as error:
        said = re.sub(r"[-\d.e+]+|\w+\d*\[[\d, ]*\]", "#", str(error))
        return f"{type(error).__name__}: {said[:24]}"
    return None


def smallest(test: Callable[[Program], None], program: Program) -> Program:
    """A program that fails as `program` does, and of which no line can be left out."""
    told = failure(test, program)
    smaller: Program | None = program
    while smaller is not None:
        program = smaller
        smaller = next((p for p in _smaller(program) if failure(test, p) == told), None)
    return program


def _smaller(program: Program) -> Iterator[Program]:
    lines = program.text.splitlines()
    *_, last = lines
    names = last.removeprefix("    return (").rstrip(",)").split(", ")
    if len(names) > 1:
        yield from (Program("\n".join([*lines[:-1], f"    return ({n},)"]) + "\n") for n in names)
    for at in range(len(lines) - 2, 0, -1):
        end = at + 1
        while lines[end].startswith(_indent(lines[at]) + " "):
            end += 1
        if not lines[at].lstrip().startswith("return"):
            yield Program("\n".join([*lines[:at], *lines[end:]]) + "\n")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
