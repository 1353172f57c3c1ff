"""Names of tensors in generated WGSL.

Invariant: a name that `unique` gives out is a WGSL identifier, is no word of the language, and is
not declared by any template or writer, so that it never hides or is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

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
acc b batch bits col col4 d d4 float_of g group half head highest hits i j k k4 lane lowest mac
main n named partial r row row4 s start t tops total val word
"""
RESERVED = frozenset((_LANGUAGE + _DECLARED).split())
_FAMILIES = re.compile(r"(load|store|scratch|total|highest|lowest)_\w+|\w+_tile\d*|c\d+")

WORDS = 3  # of a path, at the most
_NOUNS = {
    "dot": ("product",),
    "attention": ("attended", "lse"),
    "attention_dq": ("dq",),
    "attention_dkv": ("dk", "dv"),
    "sum": ("sums",),
    "reduce_max": ("maxima",),
    "reduce_min": ("minima",),
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


Path = tuple[str, ...]


def tensor_namer(graph: Graph) -> Callable[[Var], Path]:
    """The words for a tensor: the user's path to an input, else a noun for what made the value."""
    made = {v: (e, at) for e in graph.eqns for at, v in enumerate(e.outs)}

    def path_of(v: Var) -> Path:
        if v in made:
            return (_noun(*made[v]),)
        return tuple(p for p in v.hint.replace(".", "_").split("_") if p) or ("arg",)

    return path_of


def _noun(eqn: Eqn, at: int) -> str:
    nouns = _NOUNS.get(eqn.prim.name)
    return nouns[at] if nouns else f"{eqn.prim.name.rstrip('_')}_in"


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last words of each path, behind the word that tells it from paths of equal end."""
    ends = [_end(path) for path in paths]
    rivals: dict[str, list[Path]] = {}
    for path, end in zip(paths, ends, strict=True):
        rivals.setdefault(end, []).append(path)
    return [
        _told_apart(path, end, [p for p in rivals[end] if p != path])
        for path, end in zip(paths, ends, strict=True)
    ]


def _end(path: Path) -> str:
    words = [word for word in path if not word.isdigit()]
    return "_".join(words[-WORDS:]) or "arg"


def _told_apart(path: Path, end: str, others: Sequence[Path]) -> str:
    """`mu_head_weight` where `nu_head_weight` is read as well."""
    if not others:
        return end
    shared = min(_common_end(path, other) for other in others)
    rest = path[: len(path) - shared]
    return f"{rest[-1]}_{end}" if rest and not rest[-1].isdigit() else end


def _common_end(a: Path, b: Path) -> int:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def unique(wanted: Sequence[str]) -> tuple[str, ...]:
    """Distinct WGSL identifiers close to the names asked for: `w`, `w_b`, `w_c`, ..."""
    chosen: dict[str, None] = {}
    for text in wanted:
        base = identifier(text)
        chosen[next(name for name in _candidates(base) if name not in chosen)] = None
    return tuple(chosen)


def identifier(text: str) -> str:
    """A lower-case WGSL identifier that no kernel declares: `k_in` for `k`."""
    plain = re.sub(r"\W+", "_", text.encode("ascii", "ignore").decode()).lower()
    base = re.sub(r"__+", "_", plain).strip("_") or "x"
    base = f"x_{base}" if base[0].isdigit() else base
    return f"{base}_in" if base in RESERVED or _FAMILIES.fullmatch(base) else base


def _candidates(base: str) -> Iterator[str]:
    """Letters tell tensors apart, because numbers tell apart the elements loaded from one."""
    yield base
    yield from (f"{base}_{letter}" for letter in letters() if letter != "a")
