"""Short loops that a CPU driver must not unroll.

Invariant: a kernel's loops run as often as before; only their bounds are written so that the driver
cannot foresee them. Mesa unrolls short loops whole, and lavapipe turns each load and store of a
body into a branch per lane and component: a norm over 128 elements then takes ten seconds to
compile (Mesa 25.0), rolled a tenth of one.

Mesa decides by a loop's whole body, inner loops and fused arithmetic included, so this pass decides
by the finished text. A template could not: it sees the calls of hooks, not what they expand to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FEW = 4  # iterations that may as well be unrolled,
LIGHT = 32  # if they have no more statements than this together
FORESEEN = 32  # iterations above which Mesa leaves a loop alone (max_unroll_iterations)
BODIES = 26 * 32  # instructions of all iterations above which it does, too
STATEMENT = 2  # instructions of the cheapest statement

_LOOP = re.compile(
    r"^(?P<indent> *)for \(var (?P<i>\w+) = [^;]+; (?P=i) < (?P<end>\d+)u; "
    r"(?P=i)(?:\+\+| \+= (?P<step>\d+)u)\) \{\n(?P<body>.*?)^(?P=indent)\}",
    re.MULTILINE | re.DOTALL,
)
_TENSOR = re.compile(r"@binding\(\d+\) var<storage, \w+> (\w+): array<")
_FIRST = re.compile(r"^(?:// .*\n)*(?:fn |@compute|var<workgroup>)", re.MULTILINE)

_HELPER = """\
// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {{
  return n * min(arrayLength(&{tensor}), 1u);
}}

"""


def declared(length: int) -> int:
    """Elements to declare an array of an invocation with, that a loop walks `length` of: Mesa takes
    an array's length for a guess of how often the loop runs, and unrolls what it guesses short."""
    return max(length, FORESEEN + 1)


def keep_rolled(wgsl: str) -> str:
    """The kernel with every loop that the driver would unroll kept as a loop."""
    tensor = _TENSOR.search(wgsl)
    if tensor is None:
        return wgsl
    ends = [m.span("end") for m in loops(wgsl) if _unrolls(m)]
    for start, stop in reversed(ends):
        wgsl = f"{wgsl[:start]}rolled({wgsl[start:stop]}u){wgsl[stop + 1 :]}"
    if "rolled(" not in wgsl:
        return wgsl
    at = _FIRST.search(wgsl, tensor.end()).start()
    return wgsl[:at] + _HELPER.format(tensor=tensor[1]) + wgsl[at:]


def loops(wgsl: str) -> Iterator[re.Match]:
    """Every loop of known length, the inner ones after the outer."""
    at = 0
    while loop := _LOOP.search(wgsl, at):
        yield loop
        at = loop.start("body")


def _unrolls(loop: re.Match) -> bool:
    trips = -(-int(loop["end"]) // int(loop["step"] or 1))
    statements = trips * loop["body"].count(";")
    harmless = trips == 1 or (trips <= FEW and statements <= LIGHT)
    return not harmless and trips <= FORESEEN and statements <= BODIES // STATEMENT
