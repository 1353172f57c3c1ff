"""Names of tensors in generated WGSL.

Invariant: a name that `unique` gives out is a WGSL identifier, is no word of the language, and is
not declared by any template or writer, so that it never hides or is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ir.graph import Eqn, Graph, Var
from ir.show import names as letters

# The keywords and reserved words of WGSL, and the built-in functions and types that kernels use.
_LANGUAGE = """
alias break case const const_assert continue continuing default diagnostic discard else enable
false fn for if let loop override requires return struct switch true var while
NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become
cast catch class co_await co_return co_yield coherent column_major common compile compile_fragment
concept const_cast consteval constexpr constinit crate debugger decltype delete demote
demote_to_helper do dynamic_cast enum explicit export extends extern external fallthrough filter
final finally friend from fxgroup get goto groupshared highp impl implements import inline
instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable
namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null
nullptr of operator package packoffset partition pass patch pixelfragment precise precision
premerge priv protected pub public readonly ref regardless register reinterpret_cast require
resource restrict self set shared sizeof smooth snorm static static_assert static_cast std
subroutine super target template this thread_local throw trait try type typedef typeid typename
typeof union unless unorm unsafe unsized use using varying virtual volatile wgsl where with
writeonly yield
array atomic bool f16 f32 i32 mat2x2 ptr u32 vec2 vec3 vec4 abs acos acosh all any asin asinh atan
atanh atan2 bitcast ceil clamp cos cosh cross degrees determinant distance dot exp exp2 floor fma
fract length log log2 max min mix modf normalize pow radians reflect round sign sin sinh smoothstep
sqrt step tan tanh transpose trunc select workgroupBarrier
"""
# What is declared at module scope, and in functions that name tensors.
_DECLARED = """
acc b batch col col4 d d4 group half head highest i j k k4 lowest mac main r row row4 s t tops
total val
"""
RESERVED = frozenset((_LANGUAGE + _DECLARED).split())
_FAMILIES = re.compile(r"(load|store|scratch|total|highest|lowest)_\w+|\w+_tile\d*")

_NOUNS = {
    "dot": ("product",),
    "attention": ("attended", "lse"),
    "attention_dq": ("dq",),
    "attention_dkv": ("dk", "dv"),
    "sum": ("sums",),
    "take": ("taken",),
    "add": ("added",),
    "sub": ("difference",),
    "mul": ("scaled",),
    "div": ("ratio",),
    "neg": ("negated",),
    "select": ("selected",),
    "logistic": ("sigmoid",),
    "sqrt": ("root",),
    "rsqrt": ("inverse_root",),
}


def tensor_namer(graph: Graph) -> Callable[[Var], str]:
    """Tensor names: what the user called an input, else a noun for what made the value."""
    made = {v: (e, at) for e in graph.eqns for at, v in enumerate(e.outs)}

    def name_of(v: Var) -> str:
        if v in made:
            return _noun(*made[v])
        parts = [p for p in v.hint.replace(".", "_").split("_") if p and not p.isdigit()]
        return "_".join(parts[-2:]) if parts else "arg"

    return name_of


def _noun(eqn: Eqn, at: int) -> str:
    nouns = _NOUNS.get(eqn.prim.name)
    return nouns[at] if nouns else f"{eqn.prim.name.rstrip('_')}_in"


def unique(wanted: Sequence[str]) -> tuple[str, ...]:
    """Distinct WGSL identifiers close to the names asked for: `w`, `w_b`, `w_c`, ..."""
    chosen: dict[str, None] = {}
    for text in wanted:
        base = identifier(text)
        chosen[next(name for name in _candidates(base) if name not in chosen)] = None
    return tuple(chosen)


def identifier(text: str) -> str:
    """A lower-case WGSL identifier that no kernel declares."""
    base = re.sub(r"\W+", "_", text.encode("ascii", "ignore").decode()).strip("_").lower() or "x"
    free = base not in RESERVED and not _FAMILIES.fullmatch(base) and not base[0].isdigit()
    return re.sub(r"__+", "_", base if free else f"x_{base}")


def _candidates(base: str) -> Iterator[str]:
    """Letters tell tensors apart, because numbers tell apart the elements loaded from one."""
    yield base
    yield from (f"{base}_{letter}" for letter in letters() if letter != "a")
