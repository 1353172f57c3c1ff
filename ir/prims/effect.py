"""Effects: equations that are there for what they tell, not for what they compute.

Invariant: an effect has no results, and no pass drops, merges or reorders it. Code generation never
sees one: `ir.passes.effects` turns what the host is told into results of the program.
"""

from __future__ import annotations

from collections.abc import Callable

from ..build import emit
from ..graph import Aval
from ..prim import Primitive, register
from ..sharding import Spec


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


@register
class inspect_sharding(Primitive):
    """`callback` is to be told how the operand lies, once, when the program is compiled.

    The program of one device has it without operands, and with the `spec` that was found.
    """

    name = "inspect_sharding"
    kind = "effect"
    multi = True

    def typeof(self, *avals: Aval, callback: Callable, spec: Spec | None = None):
        return ()

    def eval(self, *xs, callback, spec=None):
        return ()

    def jvp(self, ins, tangents, *, callback, spec=None):
        emit(inspect_sharding, *ins, callback=callback, spec=spec)
        return (), ()

    def batch(self, ins, mask, size, *, callback, spec=None):
        return emit(inspect_sharding, *ins, callback=callback, spec=spec)

    def flops(self, *avals, callback, spec=None):
        return 0


@register
class key_use(Primitive):
    """A random key is used up by `name`; `ir.passes.keys` looks for keys that are used twice.

    Only there while that is checked, and of no consequence for what is computed.
    """

    name = "key_use"
    kind = "effect"
    multi = True

    def typeof(self, key: Aval, *, by: str):
        return ()

    def eval(self, key, *, by):
        return ()

    def jvp(self, ins, tangents, *, by):
        emit(key_use, *ins, by=by)
        return (), ()

    def batch(self, ins, mask, size, *, by):
        return emit(key_use, *ins, by=by)

    def flops(self, key, *, by):
        return 0
