"""Which values exist in memory: rules 1 to 4 and 7 of fusion.

Invariant: afterwards every stored value has a group of its own that fits the binding limit.
"""

from __future__ import annotations

from collections.abc import Iterable

from ir.graph import Eqn, Lit, Value, Var
from ir.prims.contract import parse, roles
from ir.prims.elementwise import add

from .dataflow import STEPS, Dataflow, Group
from .handwritten import is_handwritten
from .matvec import is_matvec
from .packing import is_widening, storable
from .pieces import pieces
from .prologue import absorb, frontier

HEAVY = ("contract", "reduce", "composite", "control", "scatter", "collective")
FREE = ("broadcast", "reshape", "transpose", "slice", "rev", "windows", "cast", "iota", "bitcast")
FREE_STEPS = 16  # integer operations that cost less than storing their result
COSTLY = ("exp", "log", "sin", "cos", "tanh", "logistic", "pow", "sqrt", "rsqrt")
SIMPLE_VIEWS = ("broadcast", "reshape", "transpose", "slice", "rev", "windows", "cast")


def materialise(flow: Dataflow) -> None:
    """Choose the stored values and open a group for each."""
    flow.stored.update(_roots(flow, flow.held))
    flow.absorbed = absorb(flow)
    ends = _claim_epilogues(flow)
    for eqn in flow.graph.eqns:
        computed = eqn.outs[0] not in flow.inputs and eqn.outs[0] not in flow.absorbed
        if eqn.prim.kind in HEAVY and computed:
            flow.stored.update(v for v in eqn.outs if v not in ends)
            if eqn.prim.kind != "reduce":
                flow.stored.update(_operand_roots(flow, eqn))
    _store_shared(flow)
    starts = {end: start for start, end in ends.items()}
    for v in sorted(flow.stored - flow.inputs, key=flow.place.__getitem__):
        if v not in flow.owner:
            flow.open(v, flow.define(starts.get(v, v)))
    for group in [g for g in flow.groups if g.kind not in STEPS]:  # they bind nothing themselves
        while len(group.reads) + len(group.outs) > flow.profile.storage_buffers:
            _split(flow, group)


def _split(flow: Dataflow, group: Group) -> None:
    """Store the intermediate value that takes the most operands off an over-full group."""
    limit = flow.profile.storage_buffers
    best, most = None, 1
    for eqn in flow.pulled(group.outs, set(group.outs)):
        if eqn.prim.kind != "elementwise" or eqn.out in group.outs:
            continue
        reads = flow.reads_of([eqn.out], set())
        if most < len(reads) < limit:
            best, most = eqn.out, len(reads)
    if best is None:
        raise ValueError(
            f"a kernel needs {len(group.reads) + len(group.outs)} buffers and the profile "
            f"{flow.profile.name!r} allows {limit}; combine fewer arrays at once"
        )
    flow.stored.add(best)
    flow.open(best, flow.define(best))
    group.reads = flow.reads_of(group.outs, set(group.outs))


def _claim_epilogues(flow: Dataflow) -> dict[Var, Var]:
    """{contraction result: end of its epilogue}; the chain's values are not stored."""
    ends: dict[Var, Var] = {}
    taken: set[Var] = set()
    for eqn in reversed(flow.graph.eqns):
        if eqn.prim.kind != "contract":
            continue
        chain = [eqn.out]
        while (user := _only_user(flow, chain[-1])) and user.out not in taken:
            chain.append(user.out)
        while len(chain) > 1 and not _ends(flow, eqn, chain[-1]):
            chain.pop()
        taken.update(chain[1:])
        if len(chain) > 1:
            ends[eqn.out] = chain[-1]
    flow.stored.update(ends.values())
    return ends


def _ends(flow: Dataflow, root: Eqn, v: Var) -> bool:
    """Whether a contraction's kernel may store v as the end of its epilogue."""
    return storable("dot", v.aval.size, 1, root, [v]) and not is_widening(flow.define(v))


def _only_user(flow: Dataflow, v: Var) -> Eqn | None:
    """The one elementwise equation of the same shape that reads v, if nothing else does.

    What is stored anyway, as a result or for a second computation, is not passed over.
    """
    users = flow.users.get(v, ())
    if len(users) != 1 or v in flow.stored or users[0].outs[0] in flow.absorbed:
        return None
    eqn = users[0]
    same = eqn.prim.kind == "elementwise" and eqn.out.aval.shape == v.aval.shape
    return eqn if same and not _adds_products(flow, eqn) else None


def _adds_products(flow: Dataflow, eqn: Eqn) -> bool:
    """Whether an addition waits for two tiled products, which are computed side by side: neither
    takes it over."""
    if flow.profile.kind == "cpu" or eqn.prim is not add:
        return False
    made = [flow.define(v) for v in eqn.ins if v in flow.place]
    tiled = [e for e in made if e.prim.kind == "contract" and not is_matvec(e, flow.profile)]
    return len(tiled) == 2


def _operand_roots(flow: Dataflow, eqn: Eqn) -> Iterable[Var]:
    """What a contraction or attention reads, seen through views, unless nearly free.

    A scatter reads its indices over and over, but each row and each update once.
    """
    if eqn.prim.kind in ("control", "collective") or is_handwritten(eqn):  # whole buffers
        yield from (v for v in eqn.ins if v not in flow.inputs)
        return
    attention = eqn.prim.kind == "composite"
    often: Iterable[Value] = eqn.ins[1:-1] if eqn.prim.kind == "scatter" else eqn.ins
    if eqn.prim.name == "cached_attention":  # a query is read once, and so are bounds
        often = eqn.ins[1:3]
    if eqn.prim.name == "attention_with_cache":  # and so are a token's own key and value
        often = eqn.ins[3:4]
    if eqn.prim.kind == "contract":
        joined = (piece for n in range(2) for piece in _pieces(flow, eqn, n))
        often = [x for v in joined for x in frontier(flow, v)]
    yield from _roots(flow, often, also_free=attention)


def _pieces(flow: Dataflow, eqn: Eqn, side: int) -> list[Value]:
    """What an operand of a product is joined of, if that is done for it alone."""
    v, spec = eqn.ins[side], eqn.params["spec"]
    alone = v not in flow.stored and len(flow.users.get(v, ())) <= 1
    if flow.profile.kind == "cpu" or not alone or is_matvec(eqn, flow.profile):
        return [v]
    definitions = {v: flow.define(v)} if v in flow.place else {}
    found = pieces(definitions, v, parse(spec)[side], roles(spec)[3])
    return [piece.value for piece in found]


def _roots(flow: Dataflow, values: Iterable[Value], also_free: bool = False) -> Iterable[Var]:
    """What `values` are views of, unless it is an input or nearly free to compute."""
    for v in values:
        while isinstance(v, Var) and v not in flow.inputs:
            inner = flow.define(v)
            if inner.prim.name not in SIMPLE_VIEWS:
                break
            v = inner.ins[0]
        if isinstance(v, Var) and v not in flow.inputs and (also_free or not _free(flow, v)):
            yield v


def _free(flow: Dataflow, v: Value) -> bool:
    """A pull of a few views, casts, comparisons and integer operations on inputs and constants."""
    stack, seen, steps = [v], {v}, 0
    while stack:
        x = stack.pop()
        if isinstance(x, Lit) or x in flow.inputs:
            continue
        eqn = flow.define(x)
        exact = eqn.prim.kind == "elementwise" and not x.aval.dtype.is_float
        steps += exact
        if not (exact or eqn.prim.name in FREE) or steps > FREE_STEPS:
            return False
        stack += (y for y in eqn.ins if y not in seen)
        seen.update(eqn.ins)
    return True


def _store_shared(flow: Dataflow) -> None:
    """Rule 4, in reverse order: how many different kernels would compute this value?"""
    cost = _costs(flow)
    sinks: dict[Var, set[Var]] = {}
    for eqn in reversed(flow.graph.eqns):
        if eqn.prim.kind in HEAVY or eqn.out in flow.stored or eqn.out in flow.absorbed:
            continue
        mine: set[Var] = set()
        for user in flow.users.get(eqn.out, ()):
            ends = user.prim.kind in HEAVY or user.out in flow.stored
            mine |= {user.out} if ends else sinks.get(user.out, set())
        sinks[eqn.out] = mine
        if _worth_storing(flow, eqn, mine, cost[eqn.out]):
            flow.stored.add(eqn.out)


def _worth_storing(flow: Dataflow, eqn: Eqn, sinks: set[Var], cost: tuple[int, int]) -> bool:
    if eqn.prim.kind != "elementwise" or is_widening(eqn):
        return False
    flops, loads = cost
    repeats = (u for u in flow.users.get(eqn.out, ()) if u.prim.name == "broadcast")
    if flops > 1 and any(u.out.aval.size > eqn.out.aval.size for u in repeats):
        return True
    if len(sinks) < 2:
        return False
    limit = (6, 2) if len(sinks) == 2 else (4, 1)
    return flops > limit[0] or loads > limit[1]


def _costs(flow: Dataflow) -> dict[Var, tuple[int, int]]:
    """(operations, full-size loads) to recompute each value from stored ones; an upper bound."""
    cost: dict[Var, tuple[int, int]] = {}
    for eqn in flow.graph.eqns:
        size = eqn.outs[0].aval.size
        if eqn.prim.kind in HEAVY:
            cost.update((v, (0, 1)) for v in eqn.outs)
            continue
        flops = 4 if eqn.prim.name in COSTLY else 0 if eqn.prim.name in FREE else 1
        loads = 0
        for v in eqn.ins:
            if isinstance(v, Var):
                f, n = (0, 1) if v in flow.stored or v in flow.inputs else cost[v]
                flops += f
                loads += n if v.aval.size * 4 > size else 0
        cost[eqn.out] = flops, loads
    return cost
