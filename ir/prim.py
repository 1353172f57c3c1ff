"""What a primitive is: one stateless class with every rule the rest of the compiler asks for.

Invariants: the set is closed (`PRIMITIVES` is filled by importing `ir.prims`); `kind` alone decides
how code is generated, so nothing in `codegen` names a primitive except contractions, scatters and
the composites that have a kernel of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .factors import Factors
from .graph import Aval, Eqn, Graph, Value, Var

KINDS = (
    "elementwise",  # out[i] = f(x[i], ...)
    "view",  # out[i] = x[map(i)], or a constant
    "source",  # out[i] = f(i)
    "gather",  # out[i] = x[ids[...]]
    "reduce",  # out[i] = monoid over some axes
    "contract",  # sums of products
    "scatter",  # accumulate updates at data-dependent places
    "control",  # graphs run many times, or one of several
    "effect",  # no results: the host is told the operands
    "collective",  # between the members of a named axis
    "composite",  # defined by an expansion in the other kinds; may have its own kernel
)
PRIMITIVES: dict[str, Primitive] = {}
# In place of a cotangent: the operand must not be differentiated.
CLOSED_OVER = object()


class Primitive:
    """Base class. Subclasses set `name` and `kind` and override the rules they have."""

    name: str = ""
    kind: str = ""
    multi = False  # several results: typeof, eval and expand return tuples, vjp takes a tuple
    nested = False  # there are composites in its expansion

    def typeof(self, *avals: Aval, **params: Any) -> Aval | tuple[Aval, ...]:
        """The result type; raises TypeError naming the operands' types when they do not fit."""
        raise TypeError(f"{self.name} declares no typing rule")

    def eval(self, *xs: Any, **params: Any) -> Any:
        """The numpy meaning, at whatever float precision `xs` have."""
        raise TypeError(f"{self.name} declares no evaluation rule")

    def lockstep(self, ins: Sequence[list], run: Callable[..., list], **params: Any) -> list[list]:
        """The numpy results on every device of a mesh, for operands of every device.

        `run(graph, ins)` does the same for a graph. Only what holds graphs needs it.
        """
        raise TypeError(f"{self.name} holds no graph that devices could run together")

    def vjp(self, ct: Any, out: Any, *ins: Value, **params: Any) -> tuple[Value | None, ...]:
        """Cotangents of `ins`, emitted as IR; None where the derivative is zero by definition."""
        raise TypeError(f"{self.name} has no derivative; wrap its operand in stop_gradient")

    def jvp(
        self, ins: Sequence[Value], tangents: Sequence[Value | None], **params: Any
    ) -> tuple[tuple[Value, ...], tuple[Value | None, ...]]:
        """(results, their tangents) for tangents of the operands; None is a tangent of zeros.

        Derived from the cotangent rule, whose transpose it is, unless a primitive says otherwise.
        """
        from .passes.forward import push_through

        return push_through(self, ins, tangents, params)

    def trimmed(self, eqn: Eqn, live: set[Var]) -> Eqn:
        """`eqn` without results that are not in `live` and what they alone need."""
        return eqn

    def callee(self, *avals: Aval, **params: Any) -> Graph | None:
        """A graph that computes the same; None of what stands for no graph."""
        return None

    # A primitive whose backward pass wants more than its operands and results defines, instead of
    # vjp, `forward(*ins, **params) -> (outs, saved)` and `backward(cts, saved, *ins, **params)`.
    forward = None

    # Whether `batch` also takes `name`, the name of the mapped axis or None: collectives, and what
    # holds graphs in which there may be collectives.
    named = False

    def batch(
        self, ins: Sequence[Value], mask: tuple[bool, ...], size: int, **params: Any
    ) -> Value | tuple[Value, ...]:
        """The primitive for each of `size` members; operands in `mask` have a leading axis of them.

        At least one operand is batched, and then every result that `batched` names leads with the
        axis as well. If `named`, there may be no batched operand.
        """
        raise TypeError(f"{self.name} has no batching rule")

    def batched(self, mask: tuple[bool, ...], results: int, **params: Any) -> tuple[bool, ...]:
        """Which results of `batch` lead with the mapped axis; if `named`, `params` has `name`."""
        return (self.named or any(mask),) * results

    def factors(self, *avals: Aval, **params: Any) -> Factors:
        """Which axes of operands and results are one and the same; see `ir.factors`."""
        raise TypeError(f"{self.name} has no factor rule")

    def linear(self, mask: tuple[bool, ...], **params: Any) -> bool:
        """Whether the sum over results for parts of the operands in `mask` is the result for the
        sums: f(x1 + x2, y) = f(x1, y) + f(x2, y)."""
        return False

    def localise(self, params: dict[str, Any], ins: tuple, outs: tuple) -> dict[str, Any]:
        """`params` for parts of operands and results, of the shapes `ins` and `outs`."""
        return params

    def kernel(self, profile: Any, *avals: Aval, **params: Any) -> Any:
        """A `codegen.handwritten.Handwritten` for these types and limits, of a composite; None for
        the kernels of its expansion."""
        return None

    def flops(self, *avals: Aval, **params: Any) -> int:
        """Floating-point operations of one evaluation."""
        out = self.typeof(*avals, **params)
        return (out[0] if isinstance(out, tuple) else out).size

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self):  # copies and pickles stay the one instance
        return named, (self.name,)


def named(name: str) -> Primitive:
    """The primitive of a name."""
    return PRIMITIVES[name]


def register(cls: type[Primitive]) -> Primitive:
    """Class decorator: instantiate the primitive and enter it in `PRIMITIVES`."""
    prim = cls()
    if not prim.name or prim.kind not in KINDS or prim.name in PRIMITIVES:
        raise TypeError(f"primitive {cls.__name__} needs a unique name and a kind of {KINDS}")
    PRIMITIVES[prim.name] = prim
    return prim
