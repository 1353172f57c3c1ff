"""Every stage of a compile as text, and a whole compile as a folder.

Invariant: the text of a stage is a pure function of (target, profile): no times, no addresses, and
of a source path only the file and its folder. `program.json` holds all that is needed to run.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from pathlib import Path

from ir.dtypes import bool_
from ir.graph import Graph, Var
from ir.show import names as fresh_names
from ir.show import show, show_eqn

from .compile import Compilation, run_passes
from .dataflow import STEPS
from .fuse import Region
from .header import place
from .plan import bodies
from .profile import Profile
from .program import Program
from .table import plan_text
from .target import Target, UsageError, choose, written_part

STAGES = {
    "trace": "the equations the user wrote, composites whole; gradients appear as inputs",
    "grad": "the traced graph with the backward equations; equal to trace if nothing is derived",
    "simplify": "after folding, merging equal equations and dropping dead ones",
    "legalize": "what fusion sees: composites without a kernel expanded, long reductions split",
    "fuse": "the groups: kind, inputs, results and equations of each kernel",
    "plan": "the steps with their grids, buffers and bytes, and the buffers",
    "wgsl": "the kernels",
}
Kernels = frozenset[str] | None  # names, or all
BY_KERNEL = ("fuse", "plan", "wgsl")  # stages that can be cut to one kernel


def compiled(target: Target, profile: Profile) -> Compilation:
    """Run all passes; raises CompileError where the profile's limits do not suffice."""
    return run_passes(Compilation(target.name, profile, target.graph, target.donate))


def stage_text(stage: str, target: Target, done: Compilation, kernel: str | None = None) -> str:
    """The text of one stage, cut to the kernels of a name, a beginning or a pattern if asked."""
    if kernel is None:
        return _TEXTS[stage](target, done, None)
    if stage not in BY_KERNEL:
        raise UsageError(f"the stage {stage} is not made of kernels; {' or '.join(BY_KERNEL)} is")
    return _TEXTS[stage](target, done, _named(kernel, [k.name for k in done.program.kernels]))


def _named(asked: str, names: list[str]) -> Kernels:
    """The names that are meant: the very one, else all that fit the pattern or begin so."""
    if asked in names:
        return frozenset((asked,))
    found = fnmatch.filter(names, asked) or [n for n in names if asked and n.startswith(asked)]
    return frozenset(found or (choose("kernel", asked, names),))


def write(folder: Path, target: Target, done: Compilation, stage: str | None = None) -> list[Path]:
    """Write NAME.wgsl for each kernel, plan.txt and program.json; with `stage`, its text as well.

    Kernels of an earlier dump in the same folder are removed. Returns the files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    texts = {f"{k.name}.wgsl": k.wgsl for k in done.program.kernels}
    texts |= {"plan.txt": plan_text(done.program), "program.json": done.program.to_json() + "\n"}
    if stage not in (None, "plan", "wgsl"):
        texts[f"{stage}.txt"] = stage_text(stage, target, done)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _clear(folder: Path) -> None:
    try:
        old = Program.from_json((folder / "program.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return
    for kernel in old.kernels:
        (folder / f"{kernel.name}.wgsl").unlink(missing_ok=True)


# --- the texts ------------------------------------------------------------------------------------


def graph_text(graph: Graph) -> str:
    """The graph with the user's line behind each equation; `ir.parse` reads it back."""
    return show(graph, place) + "\n"


def _trace_text(target: Target, done: Compilation, kernels: Kernels) -> str:
    part, fresh = written_part(target.graph), fresh_names()
    names = [next(fresh) for _ in part.ins]
    gradients = ", ".join(names[len(target.graph.ins) :])
    head, rest = graph_text(part).split("\n", 1)
    note = f"  # gradients: {gradients}" if gradients else ""
    return f"{head}{note}\n{rest}"


def _fuse_text(target: Target, done: Compilation, kernels: Kernels) -> str:
    return "\n".join(_groups(done.stages["fuse"], done.regions, done.kernels, kernels, ""))


def _groups(graph: Graph, regions, made: list, only: Kernels, within: str) -> Iterator[str]:
    """The groups of a graph; those that a loop or switch holds are numbered within it."""
    fresh = fresh_names()
    named = {v: next(fresh) for v in (*graph.ins, *(v for e in graph.eqns for v in e.outs))}
    for n, (region, kernel) in enumerate(zip(regions, made, strict=True)):
        number = f"{within}{n}"
        inner = bodies(kernel)
        if region.kind in STEPS and only is None:
            yield _region_text(number, region, f"none: a {region.kind}", named)
        for at, body in enumerate(inner):
            within = f"{number}.{at}." if len(inner) > 1 else f"{number}."
            yield from _groups(body.graph, body.regions, body.kernels, only, within)
        if region.kind in STEPS:
            continue
        if only is None or kernel.code.name in only:
            yield _region_text(number, region, kernel.code.name, named)


def _region_text(number: str, region: Region, kernel: str, named: dict[Var, str]) -> str:
    space = f"{region.rows} x {region.width}" if region.width > 1 else str(region.rows)
    what = f"bundle of {len(region.parts)}" if region.parts else f"{region.kind} over {space}"
    lines = [f"group {number}: {what}, kernel {kernel}"]
    lines += [f"  in   {named[v]}: {v.aval}{_hint(v)}" for v in region.ins]
    over = {o: region.ins[i] for o, i in region.aliases}
    for position, v in enumerate(region.outs):
        note = f" in place of {named[over[position]]}" if position in over else ""
        lines.append(f"  out  {named[v]}: {v.aval}{note}")
    lines += [f"    {show_eqn(eqn, named)}" for eqn in region.graph.eqns]
    return "\n".join([*lines, ""])


def _hint(v: Var) -> str:
    words = " bool as u32" if v.aval.dtype is bool_ else ""
    return f" ({v.hint}){words}" if v.hint else words


def _wgsl_text(target: Target, done: Compilation, kernels: Kernels) -> str:
    made = done.program.kernels
    return "\n".join(k.wgsl for k in made if kernels is None or k.name in kernels)


_TEXTS: dict[str, Callable[[Target, Compilation, Kernels], str]] = {
    "trace": _trace_text,
    "grad": lambda target, done, kernels: graph_text(target.graph),
    "simplify": lambda target, done, kernels: graph_text(done.stages["simplify"]),
    "legalize": lambda target, done, kernels: graph_text(done.stages["legalize"]),
    "fuse": _fuse_text,
    "plan": lambda target, done, kernels: plan_text(done.program, kernels),
    "wgsl": _wgsl_text,
}
