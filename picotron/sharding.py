"""The parallel plan of the model: a table of where weights and named values lie on a mesh.

Invariant: all there is to know about parallelism is here; model and step mention names of values at
most. The mesh has the axes dp (sequences), cp (positions) and tp (heads, columns, rows,
vocabulary); pipeline stages cut the program, not its values. Axes of one member may stay.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from picotron.config import ModelConfig
from picotron.model import flatten, parameter_shapes, unflatten
from picotron.validate import misfits
from tracer import jit, tree
from tracer.sharding import Mesh, NamedSharding, P, constrained, named_values

DATA = ("dp", "cp")  # along these axes every member has the same weights, and data of its own

# Where weights lie: the first pattern that a path ends with. Matrices are [in, out].
WEIGHTS: tuple[tuple[str, P], ...] = (
    (r"(q|k|v|gate|up)_proj\.weight", P(None, "tp")),  # columns: heads, inner features
    (r"(q|k|v|gate|up)_proj\.bias", P("tp")),
    (r"(o|down)_proj\.weight", P("tp", None)),  # rows: their products are partial sums
    (r"embed_tokens\.weight", P("tp", None)),  # rows of the vocabulary
    (r"lm_head\.weight", P(None, "tp")),  # its columns, and the loss in parts
    (r".*", P()),  # norms and other biases
)


@dataclass(frozen=True)
class Layout:
    """A mesh and what is cut on it.

    `sp` cuts positions along tp as well wherever a layer works row by row (sequence parallel);
    `fsdp` cuts weights along dp and cp at rest, and gathers them before use (ZeRO-3); `zero1` cuts
    the optimizer's moments alone.
    """

    sizes: Mapping[str, int]
    sp: bool = False
    fsdp: bool = False
    zero1: bool = False

    def size(self, *axes: str) -> int:
        return prod(self.sizes.get(a, 1) for a in axes)

    def local_size(self, shape: tuple[int, ...], spec: P) -> int:
        """Elements of a device's part of an array."""
        axes = ((s,) if isinstance(s, str) else s for s in spec if s is not None)
        return prod(shape) // prod(self.size(*a) for a in axes)

    # --- weights ---

    def used(self, path: str, ndim: int) -> P:
        """Where a weight lies while it is used."""
        spec = next(s for pattern, s in WEIGHTS if re.search(f"(^|\\.){pattern}$", path))
        return P(*spec, *(None,) * (ndim - len(spec)))

    def at_rest(self, path: str, shape: tuple[int, ...]) -> P:
        """Where a weight lies between steps."""
        return self._spread(path, shape) if self.fsdp else self.used(path, len(shape))

    def moments(self, path: str, shape: tuple[int, ...]) -> P:
        """Where the optimizer's moments of a weight lie."""
        cut = self.fsdp or self.zero1
        return self._spread(path, shape) if cut else self.used(path, len(shape))

    def _spread(self, path: str, shape: tuple[int, ...]) -> P:
        """`used`, also cut along the data axes where tp does not cut it and they divide it."""
        spec = list(self.used(path, len(shape)))
        axes = tuple(a for a in DATA if self.size(a) > 1)
        for d, n in enumerate(shape):
            if axes and spec[d] is None and n % self.size(*axes) == 0:
                spec[d] = axes
                break
        return P(*spec)

    def specs(self, config: ModelConfig, which: str = "at_rest") -> dict[str, Any]:
        """A tree of specs like the parameters: `at_rest`, or where `moments` lie."""
        of = getattr(self, which)
        return unflatten({path: of(path, s) for path, s in parameter_shapes(config).items()})

    def in_use(self, params: Any, gathered: bool = False) -> Any:
        """Parameters as the model reads them: gathered if they are cut at rest, unless they come
        `gathered`.

        Their gradients go the other way: as sums in parts, to where the weights lie.
        """
        if self.fsdp and not gathered:
            params = self._placed(params, self.at_rest)
        elif self.size("tp") == 1:
            return params
        return self._placed(params, lambda path, shape: self.used(path, len(shape)))

    def for_update(self, grads: Any) -> Any:
        """Gradients where the moments lie, if these are cut apart from the weights."""
        return self._placed(grads, self.moments) if self.zero1 and not self.fsdp else grads

    def _placed(self, weights: Any, spec: Callable[[str, tuple[int, ...]], P]) -> Any:
        flat = flatten(weights).items()
        return unflatten({path: constrained(w, spec(path, w.shape)) for path, w in flat})

    # --- a train step ---

    def jitted(self, step: Callable, config: ModelConfig) -> Any:
        """(state, batch) -> (state, metrics) jitted with where everything lies.

        The mesh is one of numbers, which say which device is meant.
        """
        every = {**dict.fromkeys((*DATA, "tp"), 1), **self.sizes}
        sizes = tuple(every.values())
        mesh = Mesh(np.arange(prod(sizes)).reshape(sizes), tuple(every))

        def on(specs: Any) -> Any:
            return tree.map(lambda s: NamedSharding(mesh, s), specs, is_leaf=_is_spec)

        weights, moments = self.specs(config), self.specs(config, "moments")
        state = {"params": weights, "optimizer": {"count": P(), "mu": moments, "nu": moments}}
        batch = dict.fromkeys(("inputs", "targets"), self.batch(3))

        @functools.wraps(step)
        def named(state: Any, batch: Any) -> Any:
            with named_values(self.names()):
                return step(state, batch)

        shardings = on((state, batch)), (on(state), None)
        return jit(named, donate_argnums=0, in_shardings=shardings[0], out_shardings=shardings[1])

    # --- values ---

    def batch(self, ndim: int) -> P:
        """Where token ids [.., B, S] lie."""
        return P(*(None,) * (ndim - 2), "dp", "cp")

    def names(self) -> dict[str, tuple[P, ...]]:
        """Where values lie that the model names, one spec after the other."""
        whole, cut = P("dp", "cp", None), P("dp", ("cp", "tp"), None)
        # Where attention weights are computed as such, every query meets all keys.
        keys = P("dp", "cp", "tp", None), P("dp", None, "tp", None)
        if not self.sp or self.size("tp") == 1:
            return {"residual": (whole,), "keys": keys}
        partial = P("dp", "cp", None, unreduced={"tp"})
        return {"residual": (cut,), "normed": (cut, whole), "added": (partial, cut), "keys": keys}

    # --- what does not fit ---

    def check(self, config: ModelConfig, batch: int, length: int) -> None:
        """Raises ValueError that lists everything that does not fit, with the nearest that does."""
        if wrong := list(self.problems(config, batch, length)):
            mesh = ",".join(f"{axis}={n}" for axis, n in self.sizes.items())
            raise ValueError("\n  ".join([f"the mesh {mesh} does not fit:", *wrong]))

    def problems(self, config: ModelConfig, batch: int, length: int) -> Iterator[str]:
        """A sentence for every size that the mesh does not divide, with the nearest that do."""
        for m in misfits(config, self.sizes, self.sp, batch, length):
            what = f"{'*'.join(m.axes)} cuts it into {m.parts}, which does not divide it"
            yield f"{m.name}={m.size}: {what}; {m.near} would do"


def _is_spec(x: Any) -> bool:
    return isinstance(x, P)


ONE_DEVICE = Layout({})

__all__ = ["DATA", "ONE_DEVICE", "WEIGHTS", "Layout"]
