"""Attention of one new token to a cache: a workgroup for each row and key head, or query head.

Invariant: only slots that the row sees are read, whatever the cache could hold. Several slots are
read at a time, each by as many lanes as its head has vec4s; all query heads of a workgroup are
served by one read. Where the token's own key and value are to be kept, every workgroup computes
them and one of those that share a key head stores them, to a slot that none reads.
"""

from __future__ import annotations

from ir.dtypes import f32
from ir.graph import Eqn, Value

from .. import expr as ex
from ..cached import Cached, cached_layout
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
    """The kernel of a `cached_attention` or `attention_with_cache` equation."""
    eqn = frame.region.root
    record = cached_layout(eqn, profile)
    hooks = _Hooks(frame, eqn, record)
    text = f"{record.batch} x {record.heads} heads of {record.head_dim} ({record.kv_heads} of keys)"
    text = f"{text}, 1 query x at most {record.slots} keys, {record.threads} invocations for "
    text += "each head" if record.group == 1 else f"{record.group} heads"
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
    """What the template calls: `load_q`, `load_k`, `load_v`, `load_first`, `load_stop`, `store_o`,
    and where there is something to keep `new_k`, `new_v`, `load_slot`, `store_k`, `store_v`."""

    def __init__(self, frame: Frame, eqn: Eqn, record: Cached) -> None:
        self.frame, self.record = frame, record
        self.low = Lowering(frame.region.graph, frame.sources, {})
        values, bounds = self._written(eqn) if record.writes else self._read(eqn)
        self.vec = choose_vec(values.values(), LANE, len(frame.vars), frame.elements)
        for target in frame.targets:
            self.vec[target] = 4
        self.functions = [self._loader(name, x) for name, x in values.items()]
        self.functions += [self._bound(name, x, top) for name, (x, top) in bounds.items()]
        self.functions.append(self._store("o", self._place(eqn.ins[0], "head"), 0))
        if record.writes:
            for n, name in enumerate("kv"):
                at = (ex.index(n), *self._kept()[:3], self._d(eqn.ins[1]))
                self.functions.append(self._store(name, flat_index(at, eqn.ins[3].aval.shape), 1))

    def _read(self, eqn: Eqn) -> tuple[dict, dict]:
        """{name: value} of heads, {name: (value, greatest)} of slots."""
        q, k, v, first, stop = eqn.ins
        kept = (*self._kept()[:3], ex.add(self._d(k), LANE))
        values = {"load_q": self._new(q), "load_k": self.low.value(k, kept)}
        values["load_v"] = self.low.value(v, kept)
        return values, self._bounds(first, self.low.value(stop, ()))

    def _written(self, eqn: Eqn) -> tuple[dict, dict]:
        q, k, v, cache, first, slot = eqn.ins
        kept = (*self._kept()[:3], ex.add(self._d(k), LANE))
        values = {"load_q": self._new(q), "new_k": self._new(k), "new_v": self._new(v)}
        values["load_k"] = self.low.value(cache, (ex.index(0), *kept))
        values["load_v"] = self.low.value(cache, (ex.index(1), *kept))
        own = self.low.value(slot, ())
        bounds = self._bounds(first, ex.op("add", own, ex.const(1, own.dtype)))
        return values, bounds | {"load_slot": (own, self.record.slots - 1)}

    def _bounds(self, first: Value, stop: Expr) -> dict:
        start = self.low.value(first, (sym("batch", 0, self.record.batch - 1),))
        return {"load_first": (start, self.record.slots), "load_stop": (stop, self.record.slots)}

    def _kept(self) -> tuple[Expr, ...]:
        """Row, slot and key head."""
        k = self.record
        return (
            sym("batch", 0, k.batch - 1), sym("s", 0, k.slots - 1), sym("head", 0, k.kv_heads - 1)
        )  # fmt: skip

    def _place(self, v: Value, head: str) -> Expr:
        """Where four elements of a new token's head [B, 1, heads, D] begin."""
        batch, head = sym("batch", 0, v.aval.shape[0] - 1), sym(head, 0, v.aval.shape[2] - 1)
        return flat_index((batch, ex.index(0), head, self._d(v)), v.aval.shape)

    def _new(self, v: Value) -> Expr:
        batch, head = sym("batch", 0, v.aval.shape[0] - 1), sym("head", 0, v.aval.shape[2] - 1)
        return self.low.value(v, (batch, ex.index(0), head, ex.add(self._d(v), LANE)))

    def _d(self, v: Value) -> Expr:
        return ex.mul(sym("d4", 0, v.aval.shape[3] // 4 - 1), 4)

    def _loader(self, name: str, value: Expr) -> str:
        slot = ["s"] if name in ("load_k", "load_v") else []
        params = ["batch", *slot, "head", "d4"]
        return loader(self.frame, self.vec, name, params, [], value, LANE)

    def _bound(self, name: str, value: Expr, top: int) -> str:
        """A slot number, from 0 to `top`."""
        writer = self.frame.writer(self.vec)
        writer.plan([value])
        text = writer.value(value)
        body = [*writer.lines, f"  return u32(clamp({text}, 0i, {top}i));"]
        return function(name, ["batch: u32"], "u32", body)

    def _store(self, name: str, at: Expr, result: int) -> str:
        value = sym("val", None, None, f32)
        writer = self.frame.writer(self.vec)
        writer.declare_vector(value)
        writer.store4(self.frame.targets[result], at, value, LANE)
        slot = ["s: u32"] if result else []
        params = ["batch: u32", *slot, "head: u32", "d4: u32", "val: vec4<f32>"]
        return function(f"store_{name}", params, "", with_lets([], writer.lines))
