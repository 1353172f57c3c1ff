"""The verifier: re-derives what the IR promises.

Invariant checked: every Var is defined once and before its uses, every equation's results have the
types its primitive derives, and the same holds in graphs that are parameters. Failure prints the
neighbouring equations and the user's line.
"""

from __future__ import annotations

from .build import describe_src
from .graph import Aval, Eqn, Graph, Var
from .show import names, show_eqn


class GraphError(AssertionError):
    """A pass produced an ill-formed graph: a defect of this library, not of the user's program."""


def check(graph: Graph) -> Graph:
    """Return `graph` if it is well-formed; raise GraphError otherwise."""
    defined: set[Var] = set()
    for v in graph.ins:
        _define(v, defined, graph, 0)
    for at, eqn in enumerate(graph.eqns):
        for v in eqn.ins:
            if isinstance(v, Var) and v not in defined:
                raise _fault("reads a value that is not defined yet", graph, at)
        derived = _derive(eqn, graph, at)
        if derived != tuple(v.aval for v in eqn.outs):
            raise _fault(f"should have type {', '.join(map(str, derived))}", graph, at)
        for v in eqn.outs:
            _define(v, defined, graph, at)
    for v in graph.outs:
        if isinstance(v, Var) and v not in defined:
            raise GraphError(f"the graph returns a value of type {v.aval} that nothing defines")
    for inner in graph.subgraphs():
        check(inner)
    return graph


def _derive(eqn: Eqn, graph: Graph, at: int) -> tuple[Aval, ...]:
    try:
        derived = eqn.prim.typeof(*(v.aval for v in eqn.ins), **eqn.params)
    except (TypeError, KeyError, ValueError) as error:
        raise _fault(f"does not fit its operands ({error})", graph, at) from error
    return derived if isinstance(derived, tuple) else (derived,)


def _define(v: Var, defined: set[Var], graph: Graph, at: int) -> None:
    if v in defined:
        raise _fault("defines a value a second time", graph, at)
    defined.add(v)


def _fault(what: str, graph: Graph, at: int) -> GraphError:
    """An error showing five equations either side of the one at fault."""
    fresh, named = names(), {}
    for v in (*graph.ins, *(v for e in graph.eqns for v in e.outs)):
        named.setdefault(v, next(fresh))
    low = max(0, at - 5)
    near = [_line(e, named, low + i == at) for i, e in enumerate(graph.eqns[low : at + 6])]
    src = describe_src(graph.eqns[at].src) if graph.eqns else ""
    return GraphError(f"equation {at} {what}:\n" + "\n".join(near) + src)


def _line(eqn: Eqn, named: dict[Var, str], marked: bool) -> str:
    return f"{'->' if marked else '  '} {show_eqn(eqn, named)}"
