"""Long reductions in stages, and sums of sums as one.

Invariant: what is rewritten here keeps a fixed order of additions, so the same bits come on every
run, and no stage asks one workgroup for more than it can do in reasonable time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby

from ir.build import attributed, building, emit, read
from ir.graph import Aval, Eqn, Graph, Lit, Value, Var
from ir.prims.elementwise import add
from ir.prims.reduce import sum as reduce_sum
from ir.prims.views import pad, reshape_to, transpose_to

from .profile import Profile

LONG_ROW = 65_536  # elements of a row beyond which few rows are summed in two stages
LONG_COLUMN = 256  # elements of a column beyond which few columns are summed in two stages
SUMS = 4  # so many scalar sums that are added up become one
SHORT = 1024  # elements that a sum of sums takes as they come; more are summed in strips before
STRIP = 2048  # elements of a strip, where that makes not fewer or more strips than
STRIPS = (64, 1024)


def in_stages(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    """A reduction too long for one stage in two, one of nothing as a constant; else None."""
    x, out, axes = ins[0], eqn.outs[0].aval, eqn.params["axes"]
    if x.aval.size == 0:
        return (Lit(eqn.prim.identity(out.dtype), out),)
    length = x.aval.size // out.size
    parts = _parts(x.aval, axes, length, profile)
    if parts == 1:
        return None
    return (_two_stage(eqn, x, axes, length, parts),)


def _two_stage(eqn: Eqn, x: Value, axes: tuple[int, ...], length: int, parts: int) -> Value:
    """Reduce `parts` strips of a row or column, then the strips; the last strip may be padded."""
    kept = [d for d in range(x.aval.ndim) if d not in axes]
    out, strip = eqn.outs[0].aval, -(-length // parts)
    short = parts * strip - length
    if is_suffix(axes, x.aval.ndim):
        inner = _strips(eqn, reshape_to(x, (out.size, length)), parts)
        return reshape_to(emit(eqn.prim, inner, axes=(1,)), out.shape)
    moved = transpose_to(x, [*axes, *kept])
    flat = _padded(eqn, reshape_to(moved, (length, out.size)), 0, short)
    inner = emit(eqn.prim, reshape_to(flat, (parts, strip, out.size)), axes=(1,))
    return reshape_to(emit(eqn.prim, inner, axes=(0,)), out.shape)


def _strips(eqn: Eqn, rows: Value, parts: int) -> Value:
    """[rows, parts]: each row of a matrix reduced in strips."""
    count, length = rows.aval.shape
    strip = -(-length // parts)
    flat = _padded(eqn, rows, 1, parts * strip - length)
    return emit(eqn.prim, reshape_to(flat, (count, parts, strip)), axes=(2,))


def _padded(eqn: Eqn, x: Value, axis: int, count: int) -> Value:
    """`count` elements that change nothing behind the end of one axis."""
    if not count:
        return x
    none = (0,) * x.aval.ndim
    high = tuple(count if d == axis else 0 for d in range(x.aval.ndim))
    value = eqn.prim.identity(x.aval.dtype)
    return emit(pad, x, low=none, high=high, interior=none, value=value)


def _parts(x: Aval, axes: tuple[int, ...], length: int, profile: Profile) -> int:
    """Into how many strips to cut a reduction; 1: one stage."""
    outs = x.size // length
    if is_suffix(axes, x.ndim):
        wanted = length // LONG_ROW * 16 if outs < profile.units else 1
    else:
        wanted = _column_strips(length, outs, profile)
        if profile.loop_limit:
            wanted = max(wanted, -(-length // (profile.loop_limit // 2)))
    return _near_divisor(length, wanted) if wanted > 1 else 1


def _column_strips(length: int, outs: int, profile: Profile) -> int:
    """So many that the invocations that walk four columns each fill the device."""
    quads = max(1, outs // 4)
    if profile.kind == "cpu":
        sharing, wanted = 1, 16 * profile.units
    else:
        sharing, wanted = 1 if quads % 8 else 16, 512 * profile.units  # see strategies.column
    if length <= LONG_COLUMN * min(sharing, 4):
        return 1
    return min(length // (32 * sharing), wanted // (quads * sharing))


def _near_divisor(n: int, wanted: int) -> int:
    """A divisor of n close to `wanted`, if there is one: its strips need no padding."""
    near = [d for d in range(max(2, wanted // 2), min(2 * wanted, n) + 1) if n % d == 0]
    return min(near, key=lambda d: abs(d - wanted)) if near else wanted


def is_suffix(axes: tuple[int, ...], ndim: int) -> bool:
    """Whether the reduced axes are the innermost ones, so that a row is contiguous."""
    return tuple(axes) == tuple(range(ndim - len(axes), ndim))


# --- sums of sums ---------------------------------------------------------------------------------


def join_sums(graph: Graph, profile: Profile) -> Graph:
    """Where sums of whole arrays are added up, add the arrays up and sum once.

    The norm of all gradients is such a sum. Arrays of different lengths are padded with zeros.
    """
    trees = dict(_trees(graph))
    if not trees:
        return graph
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope):
                if eqn.outs and eqn.outs[0] in trees:
                    env[eqn.out] = _joined(env, *trees[eqn.out], profile)
                    continue
                outs = builder.emit(eqn.prim, [read(env, v) for v in eqn.ins], eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(env, v) for v in graph.outs])


def _trees(graph: Graph) -> Iterator[tuple[Var, tuple[list[Eqn], list[Value]]]]:
    """(root, (sums, other terms)) of every tree of scalar additions with enough sums."""
    made = {v: e for e in graph.eqns for v in e.outs}
    for eqn, terms in addition_trees(graph):
        if eqn.out.aval.ndim:
            continue
        sums, others = [], []
        for v in terms:
            source = made.get(v) if isinstance(v, Var) else None
            whole = source is not None and source.prim is reduce_sum and source.ins[0].aval.size
            (sums if whole else others).append(source if whole else v)
        if len(sums) >= SUMS:
            yield eqn.out, (sums, others)


def addition_trees(graph: Graph) -> Iterator[tuple[Eqn, list[Value]]]:
    """(root, what is added up, from left to right) of every tree of additions of floats."""
    users, made = graph.users(), {v: e for e in graph.eqns for v in e.outs}
    results = {v for v in graph.outs if isinstance(v, Var)}
    for eqn in graph.eqns:
        if eqn.prim is not add or not eqn.out.aval.dtype.is_float:
            continue
        inner = any(u.prim is add for u in users.get(eqn.out, ()))
        if inner and len(users[eqn.out]) == 1 and eqn.out not in results:
            continue  # part of a larger tree
        yield eqn, _terms(eqn, users, made, results)


def _terms(root: Eqn, users: dict, made: dict[Var, Eqn], results: set[Var]) -> list[Value]:
    """What a tree of additions adds up, from left to right."""
    found: list[Value] = []
    stack: list[Value] = list(reversed(root.ins))
    while stack:
        v = stack.pop()
        eqn = made.get(v) if isinstance(v, Var) else None
        own = eqn is not None and eqn.prim is add and v not in results and len(users[v]) == 1
        if own:
            stack.extend(reversed(eqn.ins))
        else:
            found.append(v)
    return found


def _joined(env: dict, sums: Sequence[Eqn], others: Sequence[Value], profile: Profile) -> Value:
    vectors = [_vector(eqn, read(env, eqn.ins[0])) for eqn in sums]
    batches = _batches(vectors, max(2, profile.storage_buffers - 2))
    totals = [emit(reduce_sum, _added(batch), axes=(0,)) for batch in batches]
    return reduce(lambda a, b: emit(add, a, b), [*totals, *(read(env, v) for v in others)])


def _batches(vectors: Sequence[Value], most: int) -> list[list[Value]]:
    """Vectors of one length as far as they fill a batch: such batches are one kernel."""
    full: list[list[Value]] = []
    rest: list[Value] = []
    ordered = sorted(vectors, key=lambda v: v.aval.size)
    for _, group in groupby(ordered, key=lambda v: v.aval.size):
        equal = list(group)
        whole = len(equal) // most * most
        full += [equal[n : n + most] for n in range(0, whole, most)]
        rest += equal[whole:]
    return full + [rest[n : n + most] for n in range(0, len(rest), most)]


def _vector(eqn: Eqn, x: Value) -> Value:
    """A short vector whose sum is that of x."""
    size = x.aval.size
    if size <= SHORT:
        return reshape_to(x, (size,))
    parts = _near_divisor(size, min(max(size // STRIP, STRIPS[0]), STRIPS[1]))
    return reshape_to(_strips(eqn, reshape_to(x, (1, size)), parts), (parts,))


def _added(vectors: Sequence[Value]) -> Value:
    longest = max(v.aval.size for v in vectors)
    return reduce(lambda a, b: emit(add, a, b), [_extended(v, longest) for v in vectors])


def _extended(v: Value, size: int) -> Value:
    short = size - v.aval.size
    return emit(pad, v, low=(0,), high=(short,), interior=(0,), value=0.0) if short else v
