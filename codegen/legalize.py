"""Rewrites that leave only what the kernel strategies can express.

Invariant: afterwards no value is empty except graph inputs and outputs, composites are expanded
unless they have a kernel that fits, and no reduction asks one invocation for more iterations than
the profile's driver survives or one workgroup for more than it can do in reasonable time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ir.build import attributed, building, emit, read
from ir.dtypes import f32
from ir.graph import Eqn, Graph, Lit, Value, Var
from ir.passes.simplify import expand, simplify
from ir.prim import PRIMITIVES
from ir.prims.call import optimization_barrier
from ir.prims.cond import cond
from ir.prims.contract import dot
from ir.prims.fused import total_flops
from ir.prims.views import concat
from ir.prims.while_loop import while_loop

from .cached import cached_layout, overwritten
from .collectives import canonical, is_member
from .handwritten import handwritten, is_handwritten
from .matvec import is_matvec
from .packing import widened
from .pieces import join_products
from .profile import Profile
from .reductions import in_stages, join_sums
from .scatter import lower_scatter
from .split_k import cut_dot

# Operations that take longer than it takes the host to read one word: 0.2 ms on a GPU that computes
# 10 Tflop/s, 1 ms on a CPU that computes 10 Gflop/s.
_WAIT = {"gpu": 2_000_000_000, "cpu": 10_000_000}


def legalize(graph: Graph, profile: Profile, donate: Iterable[tuple[int, int]] = ()) -> Graph:
    """The graph that `fuse` takes; `donate` pairs (input, output) that share one buffer."""
    kept = overwritten(graph, donate)

    def stays(eqn: Eqn) -> bool:
        if eqn.prim.name == "attention_with_cache" and eqn.ins[3] not in kept:
            return False
        return has_kernel(eqn, profile) or has_steps(eqn, profile)

    graph = expand(graph, stays)
    graph = join_sums(simplify(widened(graph)), profile)
    graph = join_products(graph, profile)
    graph = _rewrite(graph, profile)
    return simplify(graph)


def has_steps(eqn: Eqn, profile: Profile) -> bool:
    """Whether a branch is taken by the plan, which waits for the device to know which one.

    All branches are computed and one is selected where that is cheaper than the wait, and where
    each comes to an end. Nothing else can go wrong: what is not selected reaches no result.
    """
    if eqn.prim is not cond or isinstance(eqn.ins[0], Lit) or eqn.axis_names():
        return False  # members may take different branches, and must meet in their collectives
    branches = eqn.params["branches"]
    costs = list(map(total_flops, branches))
    return sum(costs) - min(costs) > _WAIT[profile.kind] or any(map(_may_not_end, branches))


def _may_not_end(graph: Graph) -> bool:
    own = any(e.prim is while_loop for e in graph.eqns)
    return own or any(map(_may_not_end, graph.subgraphs()))


def has_kernel(eqn: Eqn, profile: Profile) -> bool:
    """Attention keeps its kernel where its head fits vec4 loads, its tensors the bindings, and
    nothing is empty; what brings a kernel of its own decides for itself."""
    if eqn.prim.kind == "composite" and handwritten(eqn, profile) is not None:
        return True
    if eqn.prim.name in ("cached_attention", "attention_with_cache"):
        return cached_layout(eqn, profile) is not None
    if not getattr(eqn.prim, "has_kernel", False):
        return False
    q, k = eqn.ins[0].aval, eqn.ins[1].aval
    blind = eqn.params["causal"] and q.shape[1] > k.shape[1]  # some queries see no key at all
    fits = q.dtype is f32 and not blind and q.shape[3] % 4 == 0 and q.shape[3] <= 128
    bound = len(set(eqn.ins)) + len(eqn.outs)
    return fits and bound <= profile.storage_buffers and q.size > 0 and k.size > 0


def _rewrite(graph: Graph, profile: Profile) -> Graph:
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        joined = {e.out for e in graph.eqns if e.prim is concat}
        for eqn in graph.eqns:
            ins = [read(env, v) for v in eqn.ins]
            whole = eqn.prim is dot and not joined.isdisjoint(eqn.ins)  # read piece by piece
            with attributed(eqn.src, eqn.scope):
                found = None if whole else _legal(eqn, ins, profile)
                outs = found if found else builder.emit(eqn.prim, ins, eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(env, v) for v in graph.outs])


def _legal(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    if eqn.prim.kind != "control" and all(v.aval.size == 0 for v in eqn.outs):
        return tuple(Lit(0, v.aval) for v in eqn.outs)
    if eqn.prim is optimization_barrier:
        return _barrier(ins)
    rule = _RULES.get(eqn.prim.kind)
    return rule(eqn, ins, profile) if rule else None


def _barrier(ins: list[Value]) -> tuple[Value, ...]:
    """Constants need none."""
    held = [v for v in ins if isinstance(v, Var)]
    stands = dict(zip(held, emit(optimization_barrier, *held), strict=True))
    return tuple(stands.get(v, v) for v in ins)


def _contract(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    if any(v.aval.size == 0 for v in ins):
        return (Lit(0.0, eqn.outs[0].aval),)
    if is_matvec(eqn, profile):  # its kernel spreads a sum over a workgroup
        return None
    found = cut_dot(*ins, eqn.params["spec"], profile)
    return (found,) if found else None


def _loop(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    """No iterations, no loop."""
    p = eqn.params
    if p.get("length") != 0:
        return None
    carried = ins[p["consts"] : p["consts"] + p["carry"]]
    return *carried, *(Lit(0, v.aval) for v in eqn.outs[p["carry"] :])


_RULES: dict[str, Callable] = {
    "control": _loop,
    "contract": _contract,
    "scatter": lower_scatter,
    "reduce": in_stages,
    "collective": canonical,
}


def as_buffers(graph: Graph) -> Graph:
    """Give every output a Var of its own that some equation defines, so that each has a kernel.

    Constants, repeated outputs and inputs that are returned as they came are copied, and so are
    constants that a loop, a collective or a handwritten kernel takes: these read buffers. So are
    numbers of this device that are returned.
    """
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope):
                ins = [read(env, v) for v in eqn.ins]
                if eqn.prim.kind in ("control", "collective") or is_handwritten(eqn):
                    ins = [_copy(v) if isinstance(v, Lit) else v for v in ins]
                if is_handwritten(eqn):  # it names each operand, and no buffer is bound twice
                    ins = [_copy(v) if v in ins[:n] else v for n, v in enumerate(ins)]
                outs = builder.emit(eqn.prim, ins, eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
        seen: set[Value] = {env[v] for v in graph.ins}
        seen.update(env[e.out] for e in graph.eqns if is_member(e))
        seen.update(env[v] for e in graph.eqns if e.prim is optimization_barrier for v in e.outs)
        results = []
        for v in graph.outs:
            value = read(env, v)
            if isinstance(value, Lit) or value in seen:
                value = _copy(value)
            seen.add(value)
            results.append(value)
        return builder.close(results)


def _copy(v: Value) -> Var:
    dims = tuple(range(v.aval.ndim))
    return emit(PRIMITIVES["broadcast"], v, shape=v.aval.shape, dims=dims)
