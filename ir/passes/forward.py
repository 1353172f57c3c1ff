"""Forward mode as Graph -> Graph, from reverse mode alone.

Invariant: ct -> vjp(ct) is linear in ct, so its own vjp takes tangents of the inputs to tangents of
the outputs; no primitive needs a second derivative rule. Nothing of the result depends on ct.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..build import building, inline
from ..graph import Graph, Lit
from .grad import vjp_graph
from .simplify import dce


def jvp_graph(graph: Graph, wrt: Sequence[int], results: int | None = None) -> Graph:
    """(ins..., tangents of ins[i] for i in wrt) -> (outs..., tangents of the float outs).

    With `results`, only the first so many outputs have tangents. Raises TypeError, naming the
    user's line, at a primitive without a derivative.
    """
    count = len(graph.outs) if results is None else results
    first, outs = len(graph.ins), graph.outs[:count]
    pull = vjp_graph(graph, wrt, seeds=count)
    values, grads = pull.outs[: len(graph.outs)], pull.outs[len(graph.outs) :]
    smooth = [first + j for j, v in enumerate(outs) if v.aval.dtype.is_float]
    push = vjp_graph(Graph(pull.ins, pull.eqns, (*grads, *values)), smooth, seeds=len(grads))
    with building() as builder:
        ins = [builder.input(v.aval, v.hint) for v in graph.ins]
        tangents = [builder.input(graph.ins[i].aval) for i in wrt]
        cts = [Lit(0, v.aval) for v in outs]
        return dce(builder.close(inline(push, [*ins, *cts, *tangents])[len(grads) :]))


__all__ = ["jvp_graph"]
