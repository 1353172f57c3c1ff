"""Effects: values that leave the program while it runs.

Invariant: an effect has no results, and no pass drops, merges or reorders it. Code generation never
sees one: `ir.passes.effects` turns its operands into results of the program.
"""

from __future__ import annotations

from collections.abc import Callable

from ..build import emit
from ..graph import Aval
from ..prim import Primitive, register


@register
class debug_callback(Primitive):
    """The host calls `callback` with the operands' values, some time after they are computed.

    `members` says how vmap batched it, outermost first: for each batch its size and which operands
    lead with its axis. The host then calls once for each member.
    """

    name = "debug_callback"
    kind = "effect"
    multi = True

    def typeof(self, *avals: Aval, callback: Callable, members: tuple):
        return ()

    def eval(self, *xs, callback, members):
        return ()

    def jvp(self, ins, tangents, *, callback, members):
        emit(debug_callback, *ins, callback=callback, members=members)
        return (), ()

    def batch(self, ins, mask, size, *, callback, members):
        return emit(debug_callback, *ins, callback=callback, members=((size, mask), *members))

    def flops(self, *avals, callback, members):
        return 0
