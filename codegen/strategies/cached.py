"""Attention of one new token to a cache: a workgroup for each row and key head.

Invariant: only slots that the row sees are read, whatever the cache could hold. Several slots are
read at a time, each by as many lanes as its head has vec4s; all query heads that share a key head
are served by one read of it.
"""

from __future__ import annotations

from ir.dtypes import f32
from ir.graph import Eqn, Value

from .. import expr as ex
from ..cached import cached_layout
from ..expr import Expr, sym
from ..frame import Frame
from ..grid import fold
from ..lower import Lowering, flat_index
from ..profile import Profile
from ..program import KernelCode
from ..render import render
from ..wgsl import choose_vec
from .base import LANE, Kernel
from .functions import function, loader, with_lets


def build_cached(frame: Frame, profile: Profile) -> Kernel:
    """The kernel of a `cached_attention` equation."""
    eqn = frame.region.root
    record = cached_layout(eqn, profile)
    hooks = _Hooks(frame, eqn)
    text = f"{record.batch} x {record.heads} heads of {record.head_dim} ({record.kv_heads} of keys)"
    text = f"{text}, 1 query x at most {record.slots} keys, {record.threads} invocations each"
    wgsl = render(
        "attention_cached",
        header=frame.header(text),
        bindings=frame.declarations(hooks.vec) + "\n\n" + "\n\n".join(hooks.functions),
        k=record,
        name=frame.name,
    )
    code = KernelCode(
        frame.name, "attention_cached", wgsl, (record.threads, 1, 1), frame.bindings(),
        record.shared_bytes, record.iterations,
    )  # fmt: skip
    return Kernel(code, fold(record.tiles))


class _Hooks:
    """`load_q`, `load_k`, `load_v`, `load_first`, `load_stop` and `store_o` for the template."""

    def __init__(self, frame: Frame, eqn: Eqn) -> None:
        self.frame = frame
        self.low = Lowering(frame.region.graph, frame.sources, {})
        q, k, v, first, stop = eqn.ins
        heads = {"q": (q, "head"), "k": (k, "s"), "v": (v, "s")}
        values = {name: self._head(x, name) for name, (x, _) in heads.items()}
        self.vec = choose_vec(values.values(), LANE, len(frame.vars), frame.elements)
        (target,) = frame.targets
        self.vec[target] = 4
        batch = sym("batch", 0, q.aval.shape[0] - 1)
        bounds = {"first": self.low.value(first, (batch,)), "stop": self.low.value(stop, ())}
        at = flat_index((*self._coords(q, "q")[:3], self._d(q)), q.aval.shape)
        self.functions = [self._loader(name, x) for name, x in values.items()]
        self.functions += [self._bound(name, x, k.aval.shape[1]) for name, x in bounds.items()]
        self.functions.append(self._store(target, at))

    def _d(self, v: Value) -> Expr:
        return ex.mul(sym("d4", 0, v.aval.shape[3] // 4 - 1), 4)

    def _coords(self, v: Value, name: str) -> tuple[Expr, ...]:
        batch, head = sym("batch", 0, v.aval.shape[0] - 1), sym("head", 0, v.aval.shape[2] - 1)
        slot = ex.index(0) if name == "q" else sym("s", 0, v.aval.shape[1] - 1)
        return batch, slot, head, ex.add(self._d(v), LANE)

    def _head(self, v: Value, name: str) -> Expr:
        return self.low.value(v, self._coords(v, name))

    def _loader(self, name: str, value: Expr) -> str:
        params = ["batch", "head", "d4"] if name == "q" else ["batch", "s", "head", "d4"]
        return loader(self.frame, self.vec, f"load_{name}", params, [], value, LANE)

    def _bound(self, name: str, value: Expr, slots: int) -> str:
        """A slot number, from 0 to how many there are."""
        writer = self.frame.writer(self.vec)
        writer.plan([value])
        text = writer.value(value)
        body = [*writer.lines, f"  return u32(clamp({text}, 0i, {slots}i));"]
        return function(f"load_{name}", ["batch: u32"], "u32", body)

    def _store(self, target: int, at: Expr) -> str:
        value = sym("val", None, None, f32)
        writer = self.frame.writer(self.vec)
        writer.declare_vector(value)
        writer.store4(target, at, value, LANE)
        params = ["batch: u32", "head: u32", "d4: u32", "val: vec4<f32>"]
        return function("store_o", params, "", with_lets([], writer.lines))
