"""Looking at a jitted function between its trace and its kernels.

Invariant: nothing here runs anything but `CompiledCall.__call__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ir import show
from ir.graph import Graph
from ir.passes.shard import Options
from ir.prims.fused import total_flops
from ir.spmd import ShardedGraph

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

    def sharded(self, options: Options | None = None, zigzag: Sequence[str] = ()) -> ShardedGraph:
        """The program of one device, for arrays that lie as the shardings of `jit` say.

        Arguments without one, and constants, are on every device. `options` are those of
        `ir.passes.shard`; along the mesh axes in `zigzag` each device has an early and a late part.
        Raises ValueError if there is no mesh, and if a size does not divide; ShardingTypeError
        where it is ambiguous.
        """
        return self._jitted.placement.sharded(
            self._signature, self._traced, options or Options(), zigzag
        )

    def on_one_device(self) -> Graph:
        """The graph that each device runs; `graph` itself where there is no mesh."""
        return self._jitted.on_one_device(self._signature, self._traced)

    def as_text(self) -> str:
        return show(self.graph)

    def compile(self) -> CompiledCall:
        return CompiledCall(self._jitted._compile(self._signature, self._traced), self._signature)


@dataclass(frozen=True)
class MemoryStats:
    """Bytes of a compiled call. Arguments, results and temporaries together, less what results
    share with donated arguments, are what the device holds while it runs."""

    argument_size_in_bytes: int
    output_size_in_bytes: int
    alias_size_in_bytes: int
    temp_size_in_bytes: int
    generated_code_size_in_bytes: int


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

    def cost_analysis(self) -> dict[str, float]:
        """`flops`, `bytes accessed` and `kernels` of one call; a while loop counts once.

        On the oracle there are no kernels: the arithmetic is that of the graph.
        """
        if self.program is None:
            return {"flops": float(total_flops(self._call.executable.graph))}
        p = self.program
        counts = {"flops": p.flops, "bytes accessed": p.bytes_accessed, "kernels": p.dispatch_count}
        return {name: float(count) for name, count in counts.items()}

    def memory_analysis(self) -> MemoryStats | None:
        """Device memory that a call takes; None on the oracle, which takes none."""
        p = self.program
        if p is None:
            return None
        kinds = p.bytes_by_kind()
        ins, outs = set(p.in_slots), set(p.out_slots)

        def size(slots: set[int]) -> int:
            return sum(p.slots[slot].nbytes for slot in slots)

        return MemoryStats(
            argument_size_in_bytes=size(ins),
            output_size_in_bytes=size(outs),
            alias_size_in_bytes=size(ins & outs),
            temp_size_in_bytes=kinds.get("temp", 0) + kinds.get("constant", 0),
            generated_code_size_in_bytes=len(self.as_text().encode()),
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, in_tree = tree.flatten((args, kwargs))
        avals = tuple(map(leaf_aval, leaves))
        if in_tree != self._signature.in_tree or avals != self._signature.avals:
            raise located(
                TypeError, "a compiled call takes arguments of the types it was lowered for"
            )
        return self._call(leaves)
