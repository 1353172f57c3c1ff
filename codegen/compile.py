"""The compiler driver: a tensor graph and a limits profile in, a Program out.

Invariant: a compile is a pure function of (graph, profile, donations). `PASSES` is the whole list
of what happens, in order, so every stage can be dumped by name. Kernels are built once per
structure, whatever the number of layers that use them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ir.build import describe_src
from ir.check import check
from ir.garbage import uncollected
from ir.graph import Graph
from ir.passes.simplify import simplify

from .budget import within_budget
from .frame import make_frame
from .fuse import Region, fuse
from .legalize import as_buffers, legalize
from .loop import iteration
from .names import tensor_namer
from .packing import halved
from .plan import Body, Choice, Exchange, LoopBody, Planned, plan
from .profile import Profile
from .program import KernelCode, Program
from .roll import keep_rolled
from .strategies import BUILDERS, Kernel
from .wrap import wrapped

Donations = tuple[tuple[int, int], ...]


class CompileError(ValueError):
    """The program cannot run within the profile's limits; the message says which and what to do."""


@dataclass
class Compilation:
    """A compile in progress: each pass reads the fields before it and fills its own."""

    name: str
    profile: Profile
    graph: Graph
    donate: Donations = ()
    rendered: bool = True
    stages: dict[str, Graph] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    program: Program | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def _simplify(c: Compilation) -> None:
    c.graph = simplify(c.graph)


def _legalize(c: Compilation) -> None:
    with _limits():
        c.graph = as_buffers(legalize(c.graph, c.profile, c.donate))


def _fuse(c: Compilation) -> None:
    with _limits():
        c.regions = fuse(c.graph, c.profile, c.donate)


def _render(c: Compilation) -> None:
    c.kernels = build_kernels(c.graph, c.regions, c.profile, c.rendered)


def _plan(c: Compilation) -> None:
    donors = {c.graph.outs[j]: c.graph.ins[i] for i, j in c.donate}
    c.program = plan(c.name, c.graph, c.regions, c.kernels, donors)


PASSES: tuple[tuple[str, Callable[[Compilation], None]], ...] = (
    ("simplify", _simplify),
    ("legalize", _legalize),
    ("fuse", _fuse),
    ("wgsl", _render),
    ("plan", _plan),
)


def run_passes(c: Compilation, verify: bool = False) -> Compilation:
    """Run all passes. `verify` checks the graph after each one that changes it."""
    if not c.profile.f16:
        c.graph = halved(c.graph)
    for name, run in PASSES:
        start = time.perf_counter()
        run(c)
        c.seconds[name] = time.perf_counter() - start
        c.stages[name] = c.graph
        if verify:
            check(c.graph)
    return c


def compile_graph(
    graph: Graph,
    profile: Profile,
    donate: Iterable[tuple[int, int]] = (),
    name: str = "main",
    verify: bool = False,
    memory_budget: int = 0,
) -> Program:
    """Compile `graph` for `profile`. `donate` pairs (input, output) that share one buffer.

    Given a `memory_budget`, bytes of all buffers together, the backward pass computes again what it
    must for the program to fit. Raises CompileError when that does not suffice, or a tensor or a
    kernel does not fit the profile's limits.
    """
    donate = tuple(donate)
    graph = fitted(graph, (profile,), donate, memory_budget)
    return run_passes(Compilation(name, profile, graph, donate), verify).program


def foreseen(graph: Graph, profile: Profile, donate: Donations = ()) -> Program:
    """What `compile_graph` makes of a graph, with no text in its kernels: slots and steps, with
    bytes and operations, hang on what is fused alone, and writing kernels is most of a compile.

    Raises CompileError, but not for what only the text of a kernel tells.
    """
    with uncollected():
        return run_passes(Compilation("foreseen", profile, graph, donate, rendered=False)).program


def fitted(
    graph: Graph, profiles: Sequence[Profile], donate: Donations, memory_budget: int
) -> Graph:
    """The graph, computing again what it must to fit a budget in bytes wherever it runs; 0: there
    is none.

    Raises CompileError if it cannot.
    """
    if not memory_budget:
        return graph
    with _limits():
        return within_budget(
            graph,
            memory_budget,
            lambda g: max(foreseen(g, profile, donate).peak_bytes for profile in profiles),
        )


@contextmanager
def _limits() -> Iterator[None]:
    """What no group, tile or loop of the profile can hold is the user's to change."""
    try:
        yield
    except ValueError as error:
        raise CompileError(str(error)) from error


@contextmanager
def _blamed(region: Region) -> Iterator[None]:
    """A refusal ends with the user's line."""
    try:
        yield
    except CompileError as error:
        eqn = region.root or region.graph.eqns[-1]
        raise CompileError(f"{error}{describe_src(eqn.src)}") from None


# --- kernels --------------------------------------------------------------------------------------

_KERNELS: dict[tuple, Kernel] = {}
_KEEP = 4096  # kernels kept in memory across compiles
UNWRITTEN = Kernel(KernelCode("", "", "", (1, 1, 1), ()), (1, 1, 1))


def build_kernels(
    graph: Graph,
    regions: list[Region],
    profile: Profile,
    rendered: bool = True,
    counts: dict[str, int] | None = None,
) -> list[Planned]:
    """One kernel a region, or what a loop or switch holds; structurally equal regions share one,
    named after the first. `counts` says how often a name was used so far. Unless they are to be
    `rendered`, all are UNWRITTEN."""
    path_of = tensor_namer(graph)
    counts = {} if counts is None else counts
    here: dict[tuple, Kernel] = {}
    same: dict[tuple, Kernel] = {}  # regions that differ as graphs may yet be the same kernel
    kernels: list[Planned] = []
    for region in regions:
        if region.kind == "loop":
            one = iteration(region.root)
            body = _body(one.graph, one.donate, profile, rendered, counts)
            kernels.append(LoopBody(one, body))
            continue
        if region.kind == "switch":
            branches = region.root.params["branches"]
            cases = (_body(b, (), profile, rendered, counts) for b in branches)
            kernels.append(Choice(tuple(cases)))
            continue
        if region.kind == "collective":
            kernels.append(Exchange(region.root))
            continue
        if not rendered:
            kernels.append(UNWRITTEN)
            continue
        key = region.key()
        if key not in here:
            with _blamed(region):
                kernel = _kernel(region, key, profile, path_of, counts)
            here[key] = same.setdefault(_essence(kernel), kernel)
            if here[key] is not kernel:  # its name is free again
                counts[kernel_stem(region)] -= 1
        kernels.append(here[key])
    return kernels


def _body(
    graph: Graph, donate: Donations, profile: Profile, rendered: bool, counts: dict[str, int]
) -> Body:
    """Compile what a loop or switch holds, such as one iteration."""
    graph = as_buffers(legalize(simplify(graph), profile, donate))
    regions = fuse(graph, profile, donate)
    return Body(graph, regions, build_kernels(graph, regions, profile, rendered, counts))


def statements(wgsl: str) -> str:
    """A kernel's words without its comments, however its lines are cut."""
    lines = (line.strip() for line in wgsl.splitlines())
    return " ".join(line for line in lines if not line.startswith("//"))


def _essence(kernel: Kernel) -> tuple:
    """What a kernel does, whatever its tensors are called."""
    number = {b.name: f"t{n}" for n, b in enumerate(kernel.code.bindings)}
    names = "|".join(sorted(map(re.escape, number), key=len, reverse=True))
    tensor = re.compile(rf"\b({names})(?=(_\d+)?\b)")
    text = tensor.sub(lambda m: number[m[0]], statements(kernel.code.wgsl))
    return text, kernel.grid, kernel.order


def _kernel(
    region: Region, key: tuple, profile: Profile, path_of, counts: dict[str, int]
) -> Kernel:
    stem = kernel_stem(region)
    counts[stem] = counts.get(stem, 0) + 1
    name = stem if counts[stem] == 1 else f"{stem}_{counts[stem]}"
    frame = make_frame(region, name, path_of)
    places = tuple(dict.fromkeys(str(e.src) for e in region.graph.eqns))
    full = (key, profile, name, frame.names, places)
    if full not in _KERNELS:
        while len(_KERNELS) >= _KEEP:
            _KERNELS.pop(next(iter(_KERNELS)))
        _check_bindings(frame, profile)
        with _limits():
            kernel = BUILDERS[region.kind](frame, profile)
        text = keep_rolled(kernel.code.wgsl) if profile.kind == "cpu" else kernel.code.wgsl
        kernel = replace(kernel, code=replace(kernel.code, wgsl=wrapped(text)))
        _check_kernel(kernel, profile)
        _KERNELS[full] = kernel  # what is refused once is refused every time
    return _KERNELS[full]


def kernel_stem(region: Region) -> str:
    """A name from what the region does: its kind and its telling equations."""
    if region.parts:
        return _joint_stem([kernel_stem(part) for part in region.parts])
    told = [e.prim.name for e in region.graph.eqns if e.prim.kind not in ("view", "source")]
    if region.kind in ("attention", "handwritten"):
        return region.root.prim.name
    if region.kind == "scatter":
        return f"{region.root.prim.name}_{region.root.params['combine']}"
    if region.kind in ("dot", "matvec"):
        after = [n for n in told[told.index("dot") + 1 :] if n not in ("cast", "dot")]
        stem = "matmul" if region.kind == "dot" else "matvec"
        return "_".join([stem, *dict.fromkeys(after)][:4])
    words = list(dict.fromkeys(n.rstrip("_").removeprefix("reduce_") for n in told))
    return "_".join([region.kind, *words[:3]]) if words else f"{region.kind}_copy"


def _joint_stem(stems: Sequence[str]) -> str:
    """`matmul_x3`, `attention_dq_and_attention_dkv`, `column_mul_sum_and_5_more`."""
    first, *others = dict.fromkeys(stems)
    if not others:
        return f"{first}_x{len(stems)}"
    return f"{first}_and_{others[0]}" if len(stems) == 2 else f"{first}_and_{len(stems) - 1}_more"


def _check_bindings(frame, profile: Profile) -> None:
    big = max(frame.vars, key=lambda v: v.aval.nbytes)
    if big.aval.nbytes > profile.binding_bytes:
        raise CompileError(
            f"a tensor of type {big.aval} takes {big.aval.nbytes >> 20} MiB, and a storage binding "
            f"of profile {profile.name!r} holds {profile.binding_bytes >> 20} MiB; use a smaller "
            "batch, sequence or vocabulary"
        )


def _check_kernel(kernel: Kernel, profile: Profile) -> None:
    code = kernel.code
    if len(code.bindings) > profile.storage_buffers:
        raise CompileError(
            f"kernel {code.name} needs {len(code.bindings)} storage buffers, the profile "
            f"{profile.name!r} has {profile.storage_buffers}"
        )
    if code.workgroup_bytes > profile.workgroup_bytes:
        raise CompileError(
            f"kernel {code.name} needs {code.workgroup_bytes} bytes of workgroup memory, the "
            f"profile {profile.name!r} has {profile.workgroup_bytes}"
        )
    if profile.loop_limit and code.loop_iterations > profile.loop_limit:
        raise CompileError(
            f"kernel {code.name} runs {code.loop_iterations} loop iterations per invocation; this "
            f"driver stops silently after {profile.loop_limit}; split the reduced axis by a reshape"
        )
