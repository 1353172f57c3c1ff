"""Collectives of per-device programs, counted and arranged.

Invariant: a pass here changes when and in how many messages data is sent, never what is computed.
Sums are merged only where no product reads their results, so that no product waits for the merged
message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..build import attributed, building, current, emit, read
from ..garbage import uncollected
from ..graph import Eqn, Graph, Value, Var
from ..prim import PRIMITIVES
from ..spmd import ShardedGraph

BUCKET = 25 * 2**20  # bytes of gradients that are summed at once
WINDOW = 64  # how many equations before a collective may wait until it is under way


# --- counting -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One collective: `nbytes` is the larger of what a device gives and gets, `times` how often a
    step does it."""

    kind: str
    axes: tuple[str, ...]
    nbytes: int
    times: int
    backward: bool


def payload(eqn: Eqn) -> int:
    """Bytes of a collective, by the convention of the field: the larger of what a member gives and
    what it gets."""
    return max(sum(v.aval.nbytes for v in side) for side in (eqn.ins, eqn.outs))


def messages(graph: Graph, times: int = 1) -> Iterator[Message]:
    """The collectives of a step of one device, in order; of branches the first counts."""
    for eqn in graph.eqns:
        if eqn.prim.kind == "collective" and eqn.prim.name != "axis_index":
            backward = eqn.scope.startswith("grad")
            yield Message(eqn.prim.message, eqn.params["axes"], payload(eqn), times, backward)
        inner = list(eqn.subgraphs())
        for graph in inner[:1]:
            yield from messages(graph, times * eqn.params.get("length", 1))


def traffic(graph: Graph) -> dict[tuple, tuple[int, int]]:
    """(count, bytes) of a step by (axes, kind, whether backward)."""
    found: dict[tuple, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for m in messages(graph):
        count, nbytes = found[m.axes, m.kind, m.backward]
        found[m.axes, m.kind, m.backward] = count + m.times, nbytes + m.times * m.nbytes
    return dict(found)


def sent(graph: Graph) -> dict[str, dict[str, list[int]]]:
    """[count, bytes] of a step by axes ("dp,cp") and kind, as compiled programs report it."""
    found: dict[str, dict[str, list[int]]] = {}
    for m in messages(graph):
        one = found.setdefault(",".join(m.axes), {}).setdefault(m.kind, [0, 0])
        one[:] = one[0] + m.times, one[1] + m.times * m.nbytes
    return found


# --- fewer ----------------------------------------------------------------------------------------


def bucketed(graph: Graph, limit: int = BUCKET) -> Graph:
    """Sums that no product waits for, of one dtype over the same axes, as messages of about `limit`
    bytes; what reads them comes after. One that is as large by itself goes by itself."""
    late = _late_sums(graph)
    if len(late) < 2:
        return graph
    with building() as builder:
        env: dict[Var, Value] = {}
        for v in graph.ins:
            env[v] = builder.input(v.aval, v.hint)
        rest: Sequence[Eqn] = graph.eqns
        while rest:
            rest = _round(rest, late, env, limit)
        done = builder.close([read(env, v) for v in graph.outs])
    ins = tuple(replace(new, spec=old.spec) for new, old in zip(done.ins, graph.ins, strict=True))
    renamed = dict(zip(done.ins, ins, strict=True))
    eqns = (replace(e, ins=tuple(renamed.get(v, v) for v in e.ins)) for e in done.eqns)
    return Graph(ins, tuple(eqns), tuple(renamed.get(v, v) for v in done.outs))


def _late_sums(graph: Graph) -> set[Eqn]:
    """Sums between devices whose results reach no product, loop or other message."""
    read_by: set[Value] = set()
    late: set[Eqn] = set()
    for eqn in reversed(graph.eqns):
        reaches = any(v in read_by for v in eqn.outs)
        if eqn.prim.name == "psum" and not reaches:
            late.add(eqn)
        heavy = eqn.prim.kind in ("contract", "composite", "control", "scatter", "collective")
        if reaches or (heavy and eqn.prim.name != "psum"):
            read_by.update(v for v in eqn.ins if isinstance(v, Var))
    return late


def _round(eqns: Sequence[Eqn], late: set[Eqn], env: dict, limit: int) -> list[Eqn]:
    """Emit all that waits for no bucket, and the buckets; returns the rest."""
    waiting: list[Eqn] = []
    blocked: set[Value] = set()
    buckets: dict[tuple, list[Eqn]] = defaultdict(list)
    for eqn in eqns:
        if any(v in blocked for v in eqn.ins):
            waiting.append(eqn)
        elif eqn in late:
            key = _kind(eqn)
            if eqn.out.aval.nbytes >= limit:
                _flush([eqn], env)
                blocked.add(eqn.out)
                continue
            buckets[key].append(eqn)
            if sum(e.out.aval.nbytes for e in buckets[key]) >= limit:
                _flush(buckets.pop(key), env)
        else:
            outs = current().repeat(eqn, [read(env, v) for v in eqn.ins])
            env.update(zip(eqn.outs, outs, strict=True))
            continue
        blocked.update(eqn.outs)
    # A bucket that one of those that wait may still join stays open; of all of them, the smallest
    # does not.
    joining = {_kind(e) for e in waiting if e in late}
    sizes = {key: sum(e.out.aval.nbytes for e in bucket) for key, bucket in buckets.items()}
    stays = [key for key in buckets if key in joining]
    if stays and len(stays) == len(buckets):
        stays.remove(min(stays, key=sizes.__getitem__))
    for key, bucket in buckets.items():
        if key not in stays:
            _flush(bucket, env)
    return [*(e for key in stays for e in buckets[key]), *waiting]


def _kind(eqn: Eqn) -> tuple:
    """What sums have in common that can be one."""
    return eqn.params["axes"], eqn.out.aval.dtype


def _flush(bucket: list[Eqn], env: dict) -> None:
    """The sums of a bucket as one."""
    if len(bucket) == 1:
        (eqn,) = bucket
        env[eqn.out] = current().repeat(eqn, [read(env, eqn.ins[0])])[0]
        return
    most = max(bucket, key=lambda e: e.out.aval.nbytes)
    with attributed(most.src, most.scope):
        sums = emit(PRIMITIVES["psums"], *(read(env, e.ins[0]) for e in bucket), **most.params)
    env.update((e.out, v) for e, v in zip(bucket, sums, strict=True))


# --- earlier --------------------------------------------------------------------------------------


def overlapped(graph: Graph) -> Graph:
    """The same equations, so ordered that work which does not need them lies behind collectives.

    Each starts as early as it can. What was computed just before it, and is read only after its
    result is, waits until it is under way; gathers of what a device holds from the start are a step
    ahead of their use.
    """
    eqns = _ahead(graph, list(graph.eqns))
    at = {e: i for i, e in enumerate(eqns)}
    first = _first_use(eqns, at)
    order: list[Eqn] = []
    moved: set[Eqn] = set()
    for eqn in eqns:
        if _is_message(eqn) and eqn in first:
            order = _behind(order, eqn, first, moved)
        else:
            order.append(eqn)
    return Graph(graph.ins, tuple(order), graph.outs)


def _is_message(eqn: Eqn) -> bool:
    return eqn.prim.kind == "collective" and eqn.prim.name != "axis_index"


def _first_use(eqns: Sequence[Eqn], at: dict[Eqn, int]) -> dict[Eqn, int]:
    """Where the result of each equation is first read; absent of what only the caller reads."""
    made = {v: e for e in eqns for v in e.outs}
    found: dict[Eqn, int] = {}
    for eqn in eqns:
        for v in eqn.ins:
            if v in made:
                found.setdefault(made[v], at[eqn])
    return found


def _behind(order: list[Eqn], message: Eqn, first: dict[Eqn, int], moved: set[Eqn]) -> list[Eqn]:
    """`order` with `message`, and behind it what it does not need and nobody reads before its
    result. What is `moved` behind one message stays there, or what it reads would be kept long."""
    use = first[message]
    needed = {v for v in message.ins if isinstance(v, Var)}
    cut = max(0, len(order) - WINDOW)
    before: list[Eqn] = []
    after: list[Eqn] = []
    for eqn in reversed(order[cut:]):
        wanted = any(v in needed for v in eqn.outs)
        stays = _is_message(eqn) or eqn.effectful or eqn in moved
        if wanted or stays or first.get(eqn, use) < use:
            before.append(eqn)
            needed.update(v for v in eqn.ins if isinstance(v, Var))
        else:
            after.append(eqn)
    moved.update(after)
    return [*order[:cut], *reversed(before), message, *reversed(after)]


def _ahead(graph: Graph, eqns: list[Eqn]) -> list[Eqn]:
    """Gathers of inputs where the one before is first used."""
    given = set(graph.ins)
    gathers = [e for e in eqns if e.prim.name == "all_gather" and e.ins[0] in given]
    at = {e: i for i, e in enumerate(eqns)}
    first = _first_use(eqns, at)
    moves: dict[int, list[Eqn]] = defaultdict(list)
    for earlier, gather in pairwise(gathers):
        moves[min(first.get(earlier, at[gather]), at[gather])].append(gather)
    moved = set(gathers[1:])
    order: list[Eqn] = []
    for i, eqn in enumerate(eqns):
        order += moves.get(i, ())
        order += [eqn] if eqn not in moved else []
    return order


def hidden(graph: Graph) -> list[int]:
    """For each collective, the floating-point operations between its start and its first use."""
    at = {e: i for i, e in enumerate(graph.eqns)}
    first = _first_use(graph.eqns, at)
    flops = [0 if e.prim.kind in ("view", "source", "collective", "effect") else
             e.prim.flops(*(v.aval for v in e.ins), **e.params) for e in graph.eqns]  # fmt: skip
    return [sum(flops[i + 1 : first.get(e, len(flops))])
            for e, i in at.items() if _is_message(e)]  # fmt: skip


def regathered(graph: Graph) -> Graph:
    """Gathers of inputs done once more where the backward pass first reads them, so that no device
    keeps the whole between (ZeRO-3)."""
    given, stands, eqns = set(graph.ins), {}, []
    gathers = {e.out: e for e in graph.eqns if e.prim.name == "all_gather" and e.ins[0] in given}
    for eqn in graph.eqns:
        if eqn.scope.startswith("grad"):
            for v in eqn.ins:
                if v in gathers and v not in stands:
                    again = _again(gathers[v], eqn)
                    stands[v] = again[-1].out
                    eqns += again
            eqn = replace(eqn, ins=tuple(stands.get(v, v) for v in eqn.ins))
        eqns.append(eqn)
    return Graph(graph.ins, tuple(eqns), tuple(graph.outs))


def _again(gather: Eqn, reader: Eqn) -> list[Eqn]:
    """The gather behind a barrier, so that no pass takes it for the first one."""
    held = Var(gather.ins[0].aval, spec=gather.ins[0].spec)
    barrier = PRIMITIVES["optimization_barrier"]
    return [
        Eqn(barrier, gather.ins, (held,), {}, reader.src, reader.scope),
        replace(gather, ins=(held,), outs=(Var(gather.out.aval, spec=gather.out.spec),),
                src=reader.src, scope=reader.scope),
    ]  # fmt: skip


# --- in order -------------------------------------------------------------------------------------

PASSES = {"regather": regathered, "bucket": bucketed, "overlap": overlapped}


USUAL = ("bucket", "overlap")


def arranged(sharded: ShardedGraph, passes: Sequence[str] = USUAL) -> ShardedGraph:
    """`sharded` after some of PASSES, in their order. Raises KeyError for others."""
    return replace(sharded, graph=arranged_graph(sharded.graph, passes))


def arranged_graph(graph: Graph, passes: Sequence[str] = USUAL) -> Graph:
    """The same of one graph, such as a part of a pipeline."""
    if unknown := set(passes) - set(PASSES):
        raise KeyError(f"no pass {sorted(unknown)[0]!r}; there are {', '.join(PASSES)}")
    with uncollected():
        for name in [n for n in PASSES if n in passes]:
            graph = PASSES[name](graph)
    return graph


__all__ = ["BUCKET", "PASSES", "Message", "arranged", "arranged_graph", "bucketed", "hidden",
           "messages", "overlapped", "payload", "regathered", "sent", "traffic"]  # fmt: skip
