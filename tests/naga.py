"""naga, the WGSL compiler of the runtime, as it checks a module on the adapter at hand."""

from __future__ import annotations

from functools import cache

import runtime


@cache
def check(wgsl: str) -> None:
    """Raise with naga's message if it refuses the module. Skips nothing: an adapter is needed."""
    runtime.default_device().raw.create_shader_module(code=wgsl)
