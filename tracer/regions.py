"""Functions that stand for a region of a program: composites, and code for one platform.

Invariant: what they compute is what their body says; compilers that know a region by its name may
take another way, and this one does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .api import named_scope
from .config import default_backend
from .errors import located


def composite(decomposition: Callable, name: str, version: int = 0) -> Callable:
    """`decomposition` as an operation with a name, which kernels' sources carry as a scope.

    Keyword arguments are the operation's attributes. `version` belongs to the name.
    """

    @wraps(decomposition)
    def call(*args: Any, **attributes: Any) -> Any:
        with named_scope(f"{name}.v{version}" if version else name):
            return decomposition(*args, **attributes)

    return call


def platform_dependent(
    *args: Any, default: Callable | None = None, **per_platform: Callable
) -> Any:
    """The function for the backend in use, "webgpu" or "oracle", or else `default`, of `args`.

    Raises ValueError if there is neither, naming those there are.
    """
    chosen = per_platform.get(default_backend(), default)
    if chosen is None:
        raise located(
            ValueError,
            f"platform_dependent has no branch for {default_backend()}, where this process runs, "
            f"and no default: {', '.join(sorted(per_platform))}",
        )
    return chosen(*args)


__all__ = ["composite", "platform_dependent"]
