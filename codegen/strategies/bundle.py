"""Bundles: independent kernels side by side in one dispatch.

Invariant: each part keeps its own text and workgroups, all of one size; a workgroup serves exactly
one part, so no part waits for another at a barrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..choices import Decision, choosing
from ..compose import joint_grid, parse, side_by_side
from ..frame import Frame, make_frame
from ..fuse import Region
from ..profile import Profile
from ..program import Binding, KernelCode
from ..records import Attention
from ..tiles import attention_config, joint_configs, joint_key, joint_options, side_by_side_fits
from .attention import build_attention
from .base import Kernel
from .column import build_column
from .dot import build_dot, matmul_of
from .map import build_map
from .row import build_row

THREADS = 256  # of a workgroup of light kernels, where the profile allows it
_LIGHT = {"map": build_map, "row": build_row, "column": build_column}


def build_bundle(frame: Frame, profile: Profile) -> Kernel:
    """One kernel of all parts of the region."""
    parts = [_part_frame(frame, part, n) for n, part in enumerate(frame.region.parts, 1)]
    kernels = _kernels(parts, profile)
    codes = [k.code for k in kernels]
    grids = [k.grid for k in kernels]
    threads = codes[0].workgroup[0]
    grid = joint_grid(grids)
    title = f"// {frame.name}: {len(parts)} kernels side by side"
    wgsl, bound, memory = side_by_side(title, [parse(c.wgsl) for c in codes], grids, threads)
    code = KernelCode(
        frame.name, "bundle", wgsl, (threads, 1, 1),
        tuple(Binding(name, access) for access, name, _ in bound), memory,
        max(c.loop_iterations for c in codes),
    )  # fmt: skip
    place = {name: n for n, name in enumerate(frame.names)}
    order = tuple(place[_tensor(name)] for _, name, _ in bound)
    return Kernel(code, grid, order, _decision(parts, kernels, profile))


def _decision(
    parts: Sequence[Frame], kernels: Sequence[Kernel], profile: Profile
) -> Decision | None:
    """Products share a size of workgroups, and attention's kernels a form, so that they still fit
    into one module; light kernels have no choice."""
    kind = parts[0].region.kind
    if kind == "dot":
        records = [matmul_of(p) for p in parts]
        threads = f"{kernels[0].code.workgroup[0]} invocations"
        return Decision((joint_key(records),), tuple(joint_options(records, profile)), threads)
    own = [k.decision for k in kernels]
    if kind != "attention":
        return None
    keys = tuple(dict.fromkeys(key for d in own for key in d.keys))
    options = (o for o in own[0].options if all(o in d.options for d in own[1:]))
    fitting = tuple(o for o in options if _fits(parts, choosing(profile, dict.fromkeys(keys, o))))
    return Decision(keys, fitting, " and ".join(dict.fromkeys(d.chosen for d in own)))


def _fits(parts: Sequence[Frame], profile: Profile) -> bool:
    roots = [p.region.root for p in parts]
    kernels = [eqn.prim.name.removeprefix("attention_") for eqn in roots]
    pairs = zip(map(Attention.of, roots), kernels, strict=True)
    return side_by_side_fits([attention_config(r, profile, k) for r, k in pairs], profile)


def _tensor(name: str) -> str:
    """The tensor of a binding: what is bound twice has a second name."""
    return name.removesuffix("_again")


def _part_frame(whole: Frame, part: Region, number: int) -> Frame:
    """The part's tensors under the names that they have in the bundle."""
    own = make_frame(part, f"part_{number}", lambda v: ("arg",))
    named = dict(zip(whole.vars, whole.names, strict=True))
    return replace(own, names=tuple(named[v] for v in own.vars))


def _kernels(parts: Sequence[Frame], profile: Profile) -> list[Kernel]:
    kind = parts[0].region.kind
    if kind == "dot":
        configs = joint_configs([matmul_of(p) for p in parts], profile)
        return [build_dot(p, profile, c) for p, c in zip(parts, configs, strict=True)]
    if kind == "attention":
        return [build_attention(p, profile) for p in parts]
    threads = min(THREADS, profile.invocations)
    return [_LIGHT[p.region.kind](p, profile, threads) for p in parts]
