"""Which groups share a dispatch, side by side: after fusion, before kernels are built.

Invariant: the groups of a bundle neither read each other's results nor overwrite what another one
reads, so their workgroups may run in any order. Groups only ever move to places at which all that
they read has been computed, and no result loses the memory that it was to take over.
"""

from __future__ import annotations

from collections.abc import Iterable

from ir.graph import Var
from ir.prims.contract import parse, roles

from .dataflow import IN_PLACE, Dataflow, Group
from .matvec import is_matvec
from .profile import Profile
from .records import Attention, Matmul
from .tiles import attention_config, joint_configs, side_by_side_fits

WINDOW = 12  # dispatches that a group may move: what it needs is not kept for longer
MOST = 12  # groups of one bundle: a kernel is compiled as a whole
LATER = 1 << 16  # elements of a group that may wait for company
_LIGHT = ("map", "row", "column")
_BACKWARD = ("attention_dq", "attention_dkv")

Bundle = list[Group]


def bundle(flow: Dataflow, ordered: Iterable[Group]) -> list[Bundle]:
    """The groups in bundles that run one after another.

    One dispatch costs a GPU some microseconds, and its last workgroups leave most of it idle. A
    software adapter gains nothing that would pay for the larger kernels.
    """
    if flow.profile.kind == "cpu":
        return [[g] for g in ordered]
    bundles: list[Bundle] = []
    for group in ordered:
        found = _earlier(flow, bundles, group)
        if found is None:
            bundles.append([group])
        else:
            found.append(group)
    return list(map(_longest_first, _delayed(flow, bundles)))


def _earlier(flow: Dataflow, bundles: list[Bundle], group: Group) -> Bundle | None:
    """The latest bundle that the group can join at its place."""
    donors = _donors(flow, group)
    sources = set(flow.sources(group)) - {group}
    for found in reversed(bundles[-WINDOW:]):
        if _suits(flow, found, group):
            return found
        if any(g in sources or not donors.isdisjoint(g.reads) for g in found):
            return None
    return None


def _delayed(flow: Dataflow, bundles: list[Bundle]) -> list[Bundle]:
    """Small groups that nobody near waits for join a later bundle."""
    kept: list[Bundle] = []
    for at, own in enumerate(bundles):
        small = len(own) == 1 and own[0].rows * own[0].width <= LATER
        found = _later(flow, bundles[at + 1 : at + 1 + WINDOW], own[0]) if small else None
        if found is None:
            kept.append(own)
        else:
            found.append(own[0])
    return kept


def _later(flow: Dataflow, following: list[Bundle], group: Group) -> Bundle | None:
    made = set(group.outs)
    for found in following:
        if any(not made.isdisjoint(g.reads) for g in found):
            return None
        if _suits(flow, found, group):
            return found
        if any(not _donors(flow, g).isdisjoint(group.reads) for g in found):
            return None
    return None


def _donors(flow: Dataflow, group: Group) -> set[Var]:
    """What the group may overwrite."""
    return {flow.donors[v] for v in group.outs if v in flow.donors}


# --- who suits whom -------------------------------------------------------------------------------


def _suits(flow: Dataflow, bundle: Bundle, group: Group) -> bool:
    family = _family(group, flow.profile)
    if family is None or family != _family(bundle[0], flow.profile) or len(bundle) >= MOST:
        return False
    if group.replay != bundle[0].replay or not all(_apart(flow, g, group) for g in bundle):
        return False
    together = [*bundle, group]
    return _within_bindings(flow, together) and _shaped_alike(flow, family, together)


def _family(group: Group, profile: Profile) -> str | None:
    if not group.rows:
        return None
    if group.kind in _LIGHT:
        return "light"
    if group.kind == "attention":
        return "attention" if group.root.prim.name in _BACKWARD else None
    tiled = group.kind == "dot" and not is_matvec(group.root, profile)
    return "dot" if tiled else None


def _apart(flow: Dataflow, a: Group, b: Group) -> bool:
    """Neither reads what the other writes, or writes over."""
    written = [{*g.outs, *_donors(flow, g)} for g in (a, b)]
    return written[0].isdisjoint(b.reads) and written[1].isdisjoint(a.reads)


def _within_bindings(flow: Dataflow, groups: list[Group]) -> bool:
    """A tensor that two kernels read may have to be bound twice, as scalars and as vectors."""
    count = 0
    read: set[Var] = set()
    for g in groups:
        shared = [v for v in g.outs if g.kind in IN_PLACE and flow.donors.get(v) in g.reads]
        count += len(g.reads) + len(g.outs) - len(shared)
        read |= g.reads
    return count <= flow.profile.storage_buffers


def _shaped_alike(flow: Dataflow, family: str, groups: list[Group]) -> bool:
    """Whether one size of workgroups, and its memory, serves all."""
    profile = flow.profile
    if family == "light":
        return True
    if family == "dot":
        return joint_configs([_matmul(g) for g in groups], profile) is not None
    roots = [g.root for g in groups]
    kernels = [eqn.prim.name.removeprefix("attention_") for eqn in roots]
    pairs = zip(map(Attention.of, roots), kernels, strict=True)
    configs = [attention_config(record, profile, kernel) for record, kernel in pairs]
    return side_by_side_fits(configs, profile)


def _matmul(group: Group) -> Matmul:
    """Sizes of a product; how its operands lie in memory is not known yet."""
    eqn = group.root
    a, b, _ = parse(eqn.params["spec"])
    shapes = (v.aval.shape for v in eqn.ins)
    sizes = {c: n for cs, s in zip((a, b), shapes, strict=True) for c, n in zip(cs, s, strict=True)}
    found = [1, 1, 1, 1]
    for position, letters in enumerate(roles(eqn.params["spec"])):
        for c in letters:
            found[position] *= sizes[c]
    return Matmul(*found)


def _longest_first(bundle: Bundle) -> Bundle:
    """Workgroups that take longest start first, so that none runs alone at the end."""
    if len(bundle) == 1 or bundle[0].kind != "dot":
        return bundle
    return sorted(bundle, key=lambda g: -_matmul(g).k)
