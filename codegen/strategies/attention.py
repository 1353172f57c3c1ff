"""The attention family: operands are views of stored tensors, read four head elements at a time."""

from __future__ import annotations

from ir.dtypes import f32
from ir.graph import Eqn, Value

from .. import expr as ex
from ..choices import Decision
from ..expr import Expr, sym
from ..frame import Frame
from ..lower import Lowering
from ..profile import Profile
from ..program import KernelCode
from ..records import Attention
from ..render import render
from ..tiles import (
    attention_config,
    attention_grid,
    attention_key,
    attention_loop_iterations,
    attention_options,
    attention_shared_bytes,
    attention_workgroup,
)
from ..wgsl import choose_vec
from .base import LANE, Kernel
from .cached import build_cached
from .functions import function, loader, with_lets

# operands and results by primitive: four head elements at (batch, s, head, d), one value a row at
# (batch, head, s), or the number of a segment at (batch, s)
_READS = ("q", "k", "v", "do", "lse", "delta")
_SEGMENTS = ("query_segment", "key_segment")
_WRITES = {"attention": ("o", "lse"), "attention_dq": ("dq",), "attention_dkv": ("dk", "dv")}
_TEMPLATES = {"attention": "fwd", "attention_dq": "dq", "attention_dkv": "dkv"}
_ROWS = ("lse", "delta")


def build_attention(frame: Frame, profile: Profile) -> Kernel:
    """The kernel of an `attention`, `attention_dq` or `attention_dkv` equation."""
    eqn = frame.region.root
    if eqn.prim.name in ("cached_attention", "attention_with_cache"):
        return build_cached(frame, profile)
    record = Attention.of(eqn)
    what = _TEMPLATES[eqn.prim.name]
    config = attention_config(record, profile, what)
    hooks = _Hooks(frame, eqn)
    mask = "causal" if record.causal else "full"
    mask += ", within segments" if record.segments else ""
    text = f"{mask}, {record.batch} x {record.heads} heads of {record.head_dim}"
    text = f"{text} ({record.kv_heads} of keys), {record.q_len} queries x {record.kv_len} keys"
    wgsl = render(
        f"attention_{what}",
        header=frame.header(text),
        bindings=frame.declarations(hooks.vec) + "\n\n" + "\n\n".join(hooks.functions),
        k=record,
        c=config,
        h=hooks,
        name=frame.name,
    )
    code = KernelCode(
        frame.name,
        f"attention_{what}",
        wgsl,
        attention_workgroup(record, config),
        frame.bindings(),
        attention_shared_bytes(record, config),
        attention_loop_iterations(record, config),
    )
    options = tuple(attention_options(record, profile, what))
    decision = Decision((attention_key(record, what),), options, config.name)
    return Kernel(code, attention_grid(record, config), decision=decision)


class _Hooks:
    """`q4`, `k4`, ..., `lse`, `store_o4`, ... for the templates."""

    def __init__(self, frame: Frame, eqn: Eqn) -> None:
        self.frame = frame
        self.low = Lowering(frame.region.graph, frame.sources, {})
        names = *_READS[: eqn.prim.arrays], *_SEGMENTS
        reads = dict(zip(names, eqn.ins, strict=False))
        values = {name: self._read(v, name) for name, v in reads.items()}
        self.vec = choose_vec(values.values(), LANE, len(frame.vars), frame.elements)
        writes = dict(zip(_WRITES[eqn.prim.name], eqn.outs, strict=True))
        kept = dict(zip(frame.region.outs, frame.targets, strict=True))
        self.kept = {name: kept[v] for name, v in writes.items() if v in kept}
        for name, t in self.kept.items():
            self.vec[t] = 1 if name in _ROWS else 4
        self.functions = [self._loader(n, x) for n, x in values.items()]
        self.functions += [self._storer(n, writes[n]) for n in self.kept]

    def _coords(self, v: Value, name: str) -> tuple[Expr, ...]:
        shape = v.aval.shape
        batch = sym("batch", 0, shape[0] - 1)
        if name in _SEGMENTS:
            return batch, sym("s", 0, shape[1] - 1)
        if name in _ROWS:
            return batch, sym("head", 0, shape[1] - 1), sym("s", 0, shape[2] - 1)
        d = ex.mul(sym("d4", 0, shape[3] // 4 - 1), 4)
        return batch, sym("s", 0, shape[1] - 1), sym("head", 0, shape[2] - 1), d

    def _read(self, v: Value, name: str) -> Expr:
        coords = self._coords(v, name)
        if name in _SEGMENTS:
            return self.low.value(v, coords)
        if name not in _ROWS:
            coords = (*coords[:3], ex.add(coords[3], LANE))
        return ex.cast(self.low.value(v, coords), f32)

    def _loader(self, name: str, value: Expr) -> str:
        if name in _ROWS or name in _SEGMENTS:
            params = ["batch", "head", "s"] if name in _ROWS else ["batch", "s"]
            return loader(self.frame, self.vec, f"load_{name}", params, [], value, None)
        params = ["batch", "s", "head", "d"]
        return loader(
            self.frame, self.vec, f"load_{name}", params, ["let d4 = d / 4u;"], value, LANE
        )

    def _storer(self, name: str, v: Value) -> str:
        from ..lower import flat_index

        at = flat_index(self._coords(v, name), v.aval.shape)
        row = name in _ROWS
        value = sym("val", None, None, f32)
        writer = self.frame.writer(self.vec)
        params = ["batch", "head", "s"] if row else ["batch", "s", "head", "d"]
        if row:
            writer.store(self.kept[name], at, value)
        else:
            writer.declare_vector(value)
            writer.store4(self.kept[name], at, value, LANE)
        lets = [] if row else ["let d4 = d / 4u;"]
        kind = "f32" if row else "vec4<f32>"
        params = [*(f"{p}: u32" for p in params), f"val: {kind}"]
        return function(f"store_{name}", params, "", with_lets(lets, writer.lines))

    def __getattr__(self, name: str):
        if name.startswith("store_"):
            target = name.removeprefix("store_").removesuffix("4")
            if target not in self.kept:
                return lambda *args: ""
            return lambda *args: f"store_{target}({', '.join(args)});"
        if name.removesuffix("4") in (*_READS, *_SEGMENTS):
            return lambda *args: f"load_{name.removesuffix('4')}({', '.join(args)})"
        raise AttributeError(name)
