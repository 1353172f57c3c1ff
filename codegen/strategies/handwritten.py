"""A kernel that its primitive provides as WGSL.

Invariant: the source is emitted as it stands, behind a header, bindings and constants.
"""

from __future__ import annotations

from dataclasses import replace

from ..frame import Frame
from ..handwritten import handwritten
from ..profile import Profile
from ..program import KernelCode
from .base import Kernel


def build_handwritten(frame: Frame, profile: Profile) -> Kernel:
    """The kernel of an equation whose primitive has `kernel`."""
    eqn = frame.region.root
    own = handwritten(eqn, profile)
    frame = replace(frame, names=(*own.operands, *own.results))
    groups = " x ".join(str(n) for n in own.grid if n > 1) or "1"
    size = " x ".join(str(n) for n in own.workgroup if n > 1) or "1"
    text = f"handwritten, {groups} workgroups of {size}"
    constants = [f"const {name} = {value}u;" for name, value in own.constants.items()]
    parts = (
        frame.header(text),
        frame.declarations([1] * len(frame.vars)) + "\n",
        *(["\n".join(constants) + "\n"] if constants else []),
        own.source.strip() + "\n",
    )
    code = KernelCode(
        frame.name, "handwritten", "\n".join(parts), own.workgroup, frame.bindings(),
        own.workgroup_bytes, own.loop_iterations,
    )  # fmt: skip
    return Kernel(code, own.grid)
