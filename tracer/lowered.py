"""Looking at a jitted function between its trace and its kernels.

Invariant: nothing here runs anything but `CompiledCall.__call__`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ir import show
from ir.graph import Graph

from . import tree
from .calls import Signature, leaf_aval
from .compiled import Compiled
from .errors import located
from .staging import Traced

if TYPE_CHECKING:
    from .jit import Jitted


@dataclass(frozen=True)
class Lowered:
    """A traced call: `.graph`, its text, and `.compile()`."""

    _jitted: Jitted
    _signature: Signature
    _traced: Traced

    @property
    def graph(self) -> Graph:
        """The traced graph; constants are its leading inputs."""
        return self._traced.graph

    def as_text(self) -> str:
        return show(self.graph)

    def compile(self) -> CompiledCall:
        return CompiledCall(self._jitted._compile(self._signature, self._traced), self._signature)


@dataclass(frozen=True)
class CompiledCall:
    """A compiled call; itself callable with arguments of the types it was lowered for."""

    _call: Compiled
    _signature: Signature

    @property
    def program(self) -> Any:
        """The codegen Program (None on the oracle)."""
        return self._call.executable.program

    def as_text(self) -> str:
        """The WGSL of every kernel."""
        kernels = self.program.kernels if self.program else ()
        return "\n".join(k.wgsl for k in kernels)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, in_tree = tree.flatten((args, kwargs))
        avals = tuple(map(leaf_aval, leaves))
        if in_tree != self._signature.in_tree or avals != self._signature.avals:
            raise located(
                TypeError, "a compiled call takes arguments of the types it was lowered for"
            )
        return self._call(leaves)
