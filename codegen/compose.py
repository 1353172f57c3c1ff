"""Several kernels in one module: each a function, and a `main` that hands out the workgroups.

Invariant: a kernel's text is a sequence of declarations that begin in the first column, the last of
them `main(group, t)`. Tensors already have one name throughout; functions that differ get names of
their own, and tiles of one name and type, which never are in use at the same time, share memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .grid import Grid, flat_id, fold, spare

_BINDING = re.compile(r"@group\(0\) @binding\(\d+\) var<storage, (\w+)> (\w+): array<(.*)>;")
_SHARED = re.compile(r"var<workgroup> (\w+): array<(.*), (\d+)>;")
_BYTES = {"f16": 2, "f32": 4, "i32": 4, "u32": 4}
_MAIN = "@compute"


@dataclass
class Module:
    """The declarations of one kernel. `bindings` are (access, tensor, element type)."""

    header: list[str] = field(default_factory=list)
    enables: list[str] = field(default_factory=list)
    bindings: list[tuple[str, str, str]] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)  # with the comments above them
    shared: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, type) -> elements
    about: list[str] = field(default_factory=list)  # comments above main
    body: list[str] = field(default_factory=list)


def parse(wgsl: str) -> Module:
    """The declarations of a kernel's text."""
    module = Module()
    comments: list[str] = []
    lines = iter(wgsl.splitlines())
    for line in lines:
        if line.startswith("//"):
            comments.append(line)
        elif line.startswith("enable"):
            module.enables.append(line)
        elif found := _BINDING.fullmatch(line):
            module.header += comments
            comments = []
            module.bindings.append(found.groups())
        elif found := _SHARED.fullmatch(line):
            comments = []
            module.shared[found[1], found[2]] = int(found[3])
        elif line.startswith(("fn ", _MAIN)):
            block = [line, *_until_closed(lines)]
            if line.startswith(_MAIN):
                module.about, module.body = comments, block[2:-1]
            else:
                module.functions[line[3 : line.index("(")]] = "\n".join([*comments, *block])
            comments = []
    return module


def _until_closed(lines) -> list[str]:
    found = []
    for line in lines:
        found.append(line)
        if line == "}":
            break
    return found


def side_by_side(
    title: str, modules: Sequence[Module], grids: Sequence[Grid], threads: int
) -> tuple[str, list[tuple[str, str, str]], int]:
    """(WGSL, its bindings as in Module, bytes of workgroup memory) of kernels of one size."""
    bindings = _joint_bindings(modules)
    shared, modules = _joint_memory(modules)
    functions = _joint_functions(modules)
    lines = [title, *(line for m in modules for line in m.header)]
    lines += dict.fromkeys(line for m in modules for line in m.enables)
    for number, (access, name, element) in enumerate(bindings):
        lines.append(
            f"@group(0) @binding({number}) var<storage, {access}> {name}: array<{element}>;"
        )
    lines += [""] + [text for f in functions for text in (f, "")]
    lines += [f"var<workgroup> {name}: array<{kind}, {n}>;" for (name, kind), n in shared.items()]
    lines += ["", *_main(grids, threads), ""]
    memory = sum(n * _size(kind) for (_, kind), n in shared.items())
    return "\n".join(_single_blanks(lines)), bindings, memory


def _size(kind: str) -> int:
    inner = re.fullmatch(r"vec4<(\w+)>", kind)
    return 4 * _BYTES[inner[1]] if inner else _BYTES[kind]


def _joint_bindings(modules: Sequence[Module]) -> list[tuple[str, str, str]]:
    """Each tensor once for every element type that a kernel reads it with."""
    found: dict[tuple[str, str, str], None] = {}
    names: dict[tuple[str, str], str] = {}
    for module in modules:
        for access, name, element in module.bindings:
            own = names.setdefault((name, element), _free(name, names.values()))
            if own != name:
                _rename(module, name, own)
            found[access, own, element] = None
    return list(found)


def _free(name: str, taken) -> str:
    return name if name not in taken else _free(f"{name}_again", taken)


def _joint_memory(modules: Sequence[Module]) -> tuple[dict[tuple[str, str], int], list[Module]]:
    """The tiles of all, as large as the largest of a name and type."""
    sizes: dict[tuple[str, str], int] = {}
    names: dict[tuple[str, str], str] = {}
    for module in modules:
        for (name, kind), count in module.shared.items():
            own = names.setdefault((name, kind), _free(name, names.values()))
            if own != name:
                _rename(module, name, own)
            sizes[own, kind] = max(count, sizes.get((own, kind), 0))
    return sizes, list(modules)


def _joint_functions(modules: Sequence[Module]) -> list[str]:
    """Functions of equal text once, others under names of their own; then the kernels."""
    found: dict[str, str] = {}
    parts = []
    for number, module in enumerate(modules, 1):
        for name in list(module.functions):
            if found.get(name, module.functions[name]) != module.functions[name]:
                _rename(module, name, f"{name}_{number}")
                module.functions[f"{name}_{number}"] = module.functions.pop(name)
        found.update(module.functions)
        head = f"fn part_{number}(group: vec3<u32>, t: u32) {{"
        parts.append("\n".join([*module.about, head, *module.body, "}"]))
    return [*found.values(), *parts]


def _rename(module: Module, old: str, new: str) -> None:
    word = re.compile(rf"\b{old}\b")
    module.body = [line if line.startswith("//") else word.sub(new, line) for line in module.body]
    module.functions = {n: word.sub(new, text) for n, text in module.functions.items()}


def _main(grids: Sequence[Grid], threads: int) -> list[str]:
    """Workgroups by number: those of the first kernel, then those of the second, and so on."""
    counts = [x * y * z for x, y, z in grids]
    whole = (sum(counts), 1, 1)
    lines = [
        f"@compute @workgroup_size({threads})",
        "fn main(@builtin(workgroup_id) group: vec3<u32>, "
        "@builtin(local_invocation_index) t: u32) {",
        f"  let id = {flat_id(whole)};",
    ]
    start = 0
    for number, (grid, count) in enumerate(zip(grids, counts, strict=True), 1):
        last = number == len(grids) and not spare(whole)
        condition = "" if last else f"if (id < {start + count}u) "
        lines.append(("  } else " if start else "  ") + condition + "{")
        lines += _call(number, grid, start)
        start += count
    return [*lines, "  }", "}"]


def _call(number: int, grid: Grid, start: int) -> list[str]:
    at = f"(id - {start}u)" if start else "id"
    if grid[1] == grid[2] == 1:
        return [f"    part_{number}(vec3<u32>({at.strip('()')}, 0u, 0u), t);"]
    lines = [f"    let n = {at.strip('()')};"] if start else []
    at = "n" if start else "id"
    down = f"{at} / {grid[0]}u" + (f" % {grid[1]}u" if grid[2] > 1 else "")
    deep = f"{at} / {grid[0] * grid[1]}u" if grid[2] > 1 else "0u"
    return [*lines, f"    part_{number}(vec3<u32>({at} % {grid[0]}u, {down}, {deep}), t);"]


def _single_blanks(lines: Sequence[str]) -> list[str]:
    """Without empty lines behind empty lines."""
    return [x for x, before in zip(lines, ["", *lines], strict=False) if x or before]


def joint_grid(grids: Sequence[Grid]) -> Grid:
    """The grid to dispatch for the workgroups of all."""
    return fold((sum(x * y * z for x, y, z in grids), 1, 1))
