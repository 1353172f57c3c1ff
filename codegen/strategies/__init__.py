"""One module per kernel strategy: region -> (WGSL, grid).

Invariant: a strategy decides everything before its template is rendered; templates hold loops,
barriers and workgroup memory, and no arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

from ..frame import Frame
from ..profile import Profile
from .attention import build_attention
from .base import Kernel
from .bundle import build_bundle
from .column import build_column
from .dot import build_dot
from .handwritten import build_handwritten
from .map import build_map
from .matvec import build_matvec
from .row import build_row
from .scatter import build_scatter
from .update import build_update

BUILDERS: dict[str, Callable[[Frame, Profile], Kernel]] = {
    "map": build_map,
    "row": build_row,
    "column": build_column,
    "dot": build_dot,
    "matvec": build_matvec,
    "attention": build_attention,
    "update": build_update,
    "scatter": build_scatter,
    "bundle": build_bundle,
    "handwritten": build_handwritten,
}

__all__ = ["BUILDERS", "Kernel"]
