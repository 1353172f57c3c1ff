"""What a product of few rows computes on its way to them: its prologue.

Invariant: an absorbed value is read by prologues alone, at the element that is computed or at its
row, so every workgroup of a matvec can compute it from what is stored. Sums over a row depend on no
other such sum. A norm or a gate thus costs no kernel of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from ir.graph import Eqn, Lit, Value, Var

from .dataflow import Dataflow
from .matvec import is_matvec, roles_of
from .merge import Space, row_to_element
from .reductions import is_suffix

READS = 4  # buffers that a prologue may bind
INNER = ("elementwise", "view")


def absorb(flow: Dataflow) -> set[Var]:
    """The values that the prologues of matvecs compute."""
    able: dict[Eqn, Value] = {}
    for eqn in flow.graph.eqns:
        if is_matvec(eqn, flow.profile) and roles_of(eqn).rows_lie_together:
            able[eqn] = eqn.ins[roles_of(eqn).vector]
    while True:
        found = _closure(flow, able)
        wrong = [e for e, v in able.items() if not _fits(flow, v, _space(e), found)]
        if not wrong:
            return found
        for eqn in wrong:
            del able[eqn]


def frontier(flow: Dataflow, v: Value) -> Iterable[Var]:
    """What a prologue that ends in `v` reads: values that it does not compute."""
    stack, seen = [v], set()
    while stack:
        x = stack.pop()
        if isinstance(x, Lit) or x in seen:
            continue
        seen.add(x)
        if x in flow.absorbed:
            stack.extend(flow.define(x).ins)
        else:
            yield x


def _space(eqn: Eqn) -> Space:
    """Rows and columns of the operand of few rows."""
    found = roles_of(eqn)
    return Space("row", found.size(found.m), found.size(found.k), None)


def _closure(flow: Dataflow, able: dict[Eqn, Value]) -> set[Var]:
    """Values all of whose users are absorbed, or read them as the rows of an able matvec.

    What two different operands are computed from is stored: the residual stream, above all.
    """
    space: dict[Var, tuple[Value, Space]] = {}
    for eqn in reversed(flow.graph.eqns):
        if len(eqn.outs) != 1 or eqn.prim.kind not in (*INNER, "reduce"):
            continue
        v = eqn.outs[0]
        if v in flow.results or v in flow.held:
            continue
        spaces = {_seen_as(user, v, able, space) for user in flow.users.get(v, ())}
        if len(spaces) != 1 or None in spaces:
            continue
        (own,) = spaces
        if eqn.prim.kind != "reduce" or _sums_rows(eqn, own[1]):
            space[v] = own
    return set(space)


def _seen_as(
    user: Eqn, v: Var, able: dict[Eqn, Value], space: dict[Var, tuple[Value, Space]]
) -> tuple[Value, Space] | None:
    """To which rows, in which space, a user computes v on the way to a matvec; or None."""
    if user in able:
        return (v, _space(user)) if able[user] is v and user.ins.count(v) == 1 else None
    return space.get(user.outs[0]) if len(user.outs) == 1 else None


def _sums_rows(eqn: Eqn, space: Space) -> bool:
    x = eqn.ins[0].aval
    whole = x.size == space.rows * space.width and eqn.out.aval.size == space.rows
    return whole and is_suffix(eqn.params["axes"], x.ndim) and x.dtype.is_float


def _fits(flow: Dataflow, v: Var, space: Space, absorbed: set[Var]) -> bool:
    """Few buffers, every sum over rows used at its own row, and none that needs another."""
    inner = _inner(flow, v, absorbed)
    read = {x for e in inner for x in e.ins if isinstance(x, Var) and x not in absorbed}
    operands = [e.ins[0] for e in inner if e.prim.kind == "reduce"]
    apart = not any(_sums(flow, x, absorbed) for x in operands)
    return len(read) <= READS and apart and _row_wise(flow, v, space, True, absorbed)


def _row_wise(flow: Dataflow, v: Value, space: Space, wide: bool, absorbed: set[Var]) -> bool:
    """Whether what computes v at an element (wide) or a row reads sums at that row alone."""
    if v not in absorbed:
        return True
    eqn = flow.define(v)
    if eqn.prim.kind == "reduce":
        return not wide
    if eqn.prim.kind == "elementwise" or eqn.prim.name == "reshape":
        return all(_row_wise(flow, x, space, wide, absorbed) for x in eqn.ins)
    if eqn.prim.name == "broadcast" and wide and row_to_element(eqn, space):
        return _row_wise(flow, eqn.ins[0], space, False, absorbed)
    return not any(_sums(flow, x, absorbed) for x in eqn.ins)


def _sums(flow: Dataflow, v: Value, absorbed: set[Var]) -> bool:
    """Whether v is computed from an absorbed sum."""
    return any(e.prim.kind == "reduce" for e in _inner(flow, v, absorbed))


def _inner(flow: Dataflow, v: Value, absorbed: set[Var]) -> list[Eqn]:
    found: dict[Eqn, None] = {}
    stack = [v]
    while stack:
        x = stack.pop()
        if x in absorbed and flow.define(x) not in found:
            found[flow.define(x)] = None
            stack.extend(y for y in flow.define(x).ins if isinstance(y, Var))
    return list(found)
