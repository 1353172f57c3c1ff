"""Floats that share a 32-bit word, two by two: bfloat16, and float16 where a device has none.

Invariant: a kernel computes with them in f32 and rounds every result, so that it gives what the
oracle gives. A word is written by one invocation: tensors are stored four elements at a time, and
those whose last axis is no multiple of four by kernels over the flat index alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ir.build import attributed, building, emit, read
from ir.dtypes import DType, f16, f32, half
from ir.graph import Aval, Eqn, Graph, Lit, Value, Var
from ir.prims.contract import parse, roles
from ir.prims.unary import cast

SUMS = ("reduce", "contract", "scatter")


def register(dtype: DType) -> DType:
    """The dtype of a value while a kernel holds it."""
    return f32 if dtype.packed else dtype


# --- graphs ---------------------------------------------------------------------------------------


def halved(graph: Graph) -> Graph:
    """The graph with packed halves in place of float16."""
    env: dict[Var, Var] = {}

    def retyped(x: Any) -> Any:
        match x:
            case Var():
                return env.setdefault(x, Var(retyped(x.aval), x.hint))
            case Lit():
                return Lit(x.value, retyped(x.aval))
            case Aval():
                return Aval(x.shape, retyped(x.dtype))
            case Graph():
                return halved(x)
            case tuple():
                return tuple(map(retyped, x))
        return half if x is f16 else x

    eqns = []
    for eqn in graph.eqns:
        params = {name: retyped(value) for name, value in eqn.params.items()}
        ins, outs = retyped(eqn.ins), retyped(eqn.outs)
        eqns.append(replace(eqn, ins=ins, outs=outs, params=params))
    return Graph(retyped(graph.ins), tuple(eqns), retyped(graph.outs))


def widened(graph: Graph) -> Graph:
    """Sums and products of packed values in f32, their results rounded once."""
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            ins = [read(env, v) for v in eqn.ins]
            with attributed(eqn.src, eqn.scope):
                outs = _wide(eqn, ins) or builder.emit(eqn.prim, ins, eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(env, v) for v in graph.outs])


def _wide(eqn: Eqn, ins: list[Value]) -> tuple[Value, ...] | None:
    kind = eqn.outs[0].aval.dtype if eqn.outs else f32
    if eqn.prim.kind not in SUMS or not kind.packed or not all(v.aval.size for v in ins):
        return None
    wide = [emit(cast, v, dtype=f32) if v.aval.dtype.packed else v for v in ins]
    return (emit(cast, emit(eqn.prim, *wide, **eqn.params), dtype=kind),)


def is_widening(eqn: Eqn) -> bool:
    """Whether an equation only says that a packed value is used as f32."""
    return eqn.prim is cast and eqn.ins[0].aval.dtype.packed and not eqn.out.aval.dtype.packed


# --- which kernels can store which values ---------------------------------------------------------


def in_quads(aval: Aval) -> bool:
    """Whether rows are whole groups of four elements."""
    return bool(aval.ndim) and aval.shape[-1] % 4 == 0


def storable(kind: str, rows: int, width: int, root: Eqn | None, outs: list[Var]) -> bool:
    """Whether a kernel of this kind and space writes whole words of its packed results."""
    packed = [v for v in outs if v.aval.dtype.packed]
    if not packed:
        return True
    if kind == "map":
        return len(packed) == len(outs) or all(in_quads(v.aval) for v in outs)
    if kind == "row":
        return width > 1 and width % 4 == 0 and all(v.aval.size == rows * width for v in packed)
    return kind == "dot" and _rows_in_quads(root)


def _rows_in_quads(dot: Eqn) -> bool:
    _, _, out = parse(dot.params["spec"])
    _, m, n, _ = roles(dot.params["spec"])
    return bool(out) and out[-1] in m + n and in_quads(dot.out.aval)


def updates_in_quads(eqn: Eqn) -> bool:
    """Whether a dynamic_update may be done in place."""
    x, update = eqn.ins[0].aval, eqn.ins[1].aval
    return not x.dtype.packed or (in_quads(x) and x.shape[-1] == update.shape[-1])


# --- WGSL -----------------------------------------------------------------------------------------

_HELPERS = {
    # Neither naga nor Tint has constants that are not finite; an argument is no constant.
    "float_of": """\
fn float_of(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}""",
    "unpack_bf16": """\
fn unpack_bf16(word: u32, upper: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, upper == 1u));
}""",
    "unpack_bf16x4": """\
fn unpack_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}""",
    "pack_bf16x4": """\
fn pack_bf16x4(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  return (bits.xz >> vec2<u32>(16u)) | (bits.yw & vec2<u32>(0xffff0000u));
}""",
    "round_bf16": """\
// To the nearest value with 8 bits, ties to even; what is not a number stays so.
fn round_bf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let rounded = bits + 0x7fffu + ((bits >> 16u) & 1u);
  let is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return bitcast<f32>(select(rounded, bits | 0x400000u, is_nan) & 0xffff0000u);
}""",
    "round_bf16x4": """\
// To the nearest value with 8 bits, ties to even; what is not a number stays so.
fn round_bf16x4(x: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(x);
  let rounded = bits + vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u));
  let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  let chosen = select(rounded, bits | vec4<u32>(0x400000u), is_nan);
  return bitcast<vec4<f32>>(chosen & vec4<u32>(0xffff0000u));
}""",
    "unpack_half": """\
fn unpack_half(word: u32, upper: u32) -> f32 {
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, upper == 1u);
}""",
    "unpack_halfx4": """\
fn unpack_halfx4(words: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}""",
    "pack_halfx4": """\
fn pack_halfx4(v: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}""",
    # WGSL's quantizeToF16 may flush subnormals. Of constants, Mesa folds `.y` of an unpack to 0.
    "round_half": """\
fn round_half(x: f32) -> f32 {
  return unpack2x16float(pack2x16float(vec2<f32>(x, 0.0))).x;
}""",
    "round_halfx4": """\
fn round_halfx4(v: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(round_half(v.x), round_half(v.y), round_half(v.z), round_half(v.w));
}""",
}
_USED = re.compile(rf"\b({'|'.join(_HELPERS)})(?=\()")
_FIRST = re.compile(r"^(fn |@compute|var<workgroup>|// To )", re.MULTILINE)


def with_helpers(wgsl: str) -> str:
    """A kernel's text with the functions that it calls and that are not its own, above these."""
    called = set(_USED.findall(wgsl))
    called |= {inner for name in called for inner in _USED.findall(_HELPERS[name])}
    if not called:
        return wgsl
    used = sorted(called, key=list(_HELPERS).index)
    at = _FIRST.search(wgsl).start()
    return wgsl[:at] + "".join(f"{_HELPERS[name]}\n\n" for name in used) + wgsl[at:]
