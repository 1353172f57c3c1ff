"""The shape of the source tree: who may import whom, sizes, and what no text may mention.

Invariant: all of it is read from the syntax trees and texts of the files, never by importing, so
imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ir", "codegen", "runtime", "tracer", "picotron")
ALLOWED = {
    "ir": {"numpy", "ml_dtypes"},
    "codegen": {"ir", "numpy", "jinja2"},
    "runtime": {"ir", "codegen", "numpy", "wgpu", "platformdirs", "mpi4py"}
    | {"cffi", "_cffi_backend"},  # by which wgpu's Python package calls its library
    "tracer": {"ir", "numpy", "optree", "runtime", "codegen", "rich"},
    "picotron": {"tracer", "runtime", "codegen", "numpy", "safetensors", "tyro", "rich"}
    | {"matplotlib", "platformdirs", "ml_dtypes", "tensorboard", "wandb"}
    | {"tokenizers", "datasets", "jinja2"},
}
# Libraries that we are compared with, in the modules that compare, imported when asked for.
PEERS = {"torch", "transformers", "jax", "tinygrad"}
PEER_HOMES = {"bench_peers.py", "bench_decode.py"}
PEER_HOMES |= {"bench_torch_step.py", "bench_jax_step.py", "bench_tinygrad_step.py"}
# Where a package's lower layers may appear at all; elsewhere in it they are out of bounds.
ONLY_IN = {
    "tracer": ({"runtime", "codegen"}, {"backend.py", "spmd.py"}),
    "picotron": (
        {"runtime", "codegen"},
        {
            "doctor.py",
            "device.py",
            "bench.py",
            "bench_mpi.py",
            "launch.py",
            "plan.py",
            "measure.py",
        },
    ),
}
GENERATED = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}
GENERATED |= {"build", "dist", "checkpoints", "runs", ".mypy_cache", "node_modules"}
MODULE_LINES, TEST_LINES, FUNCTION_LINES = 400, 720, 80


def files(suffix: str = "") -> Iterator[Path]:
    """The project's own files, without what tools and runs leave behind."""
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(d for d in below if d not in GENERATED and not d.endswith(".egg-info"))
        own = (n for n in sorted(names) if n != ".git")  # a file in a second working tree
        yield from (Path(folder, n) for n in own if n.endswith(suffix))


def modules(package: str) -> list[Path]:
    return [p for p in files(".py") if p.relative_to(ROOT).parts[0] == package]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(top-level package, line) of every import; relative ones resolve to the own package."""
    depth = len(path.relative_to(ROOT).parts) - 1
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= depth, f"{path}:{node.lineno} leaves its package"


def lazy_lines(path: Path) -> set[int]:
    """Lines inside functions or under TYPE_CHECKING: what importing the module does not run."""
    lines: set[int] = set()
    for node in ast.walk(tree_of(path)):
        checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if checked or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_downwards(package):
    allowed = ALLOWED[package] | {package} | set(sys.stdlib_module_names)
    peers = {
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name in PEERS and path.name in PEER_HOMES and line in lazy_lines(path)
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name not in allowed
    ]
    assert modules(package)
    wrong = [line for line in wrong if line not in peers]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ONLY_IN)
def test_lower_layers_are_reached_in_few_places(package):
    guarded, homes = ONLY_IN[package]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}; only {', '.join(sorted(homes))} may"
        for path in modules(package)
        for name, line in imports(path)
        if name in guarded and path.name not in homes
    ]
    assert not wrong, "\n".join(wrong)


def test_tracing_needs_neither_device_nor_code_generator_to_import():
    path = ROOT / "tracer" / "backend.py"
    lazy = lazy_lines(path)
    eager = [f"{n} at line {at}" for n, at in imports(path) if n in PACKAGES and at not in lazy]
    assert not [e for e in eager if e.startswith(("runtime", "codegen"))]


def test_no_import_cycles_between_packages():
    uses = {p: {n for path in modules(p) for n, _ in imports(path)} for p in PACKAGES}
    for lower in range(len(PACKAGES)):
        assert not uses[PACKAGES[lower]] & {"picotron", "tests"} - {PACKAGES[lower]}
    assert "tracer" not in uses["codegen"] | uses["runtime"] | uses["ir"]


def test_every_package_is_in_the_distribution():
    packages = {
        str(p.parent.relative_to(ROOT)).replace(os.sep, ".")
        for p in files("__init__.py")
        if p.relative_to(ROOT).parts[0] in PACKAGES
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(settings["packages"]) == packages
    without = {str(p.parent.relative_to(ROOT)) for k in PACKAGES for p in modules(k)}
    assert {w.replace(os.sep, ".") for w in without} == packages


# --- sizes and style ------------------------------------------------------------------------------


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(where, lines) of every function, its decorators not counted."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield where, node.end_lineno - node.lineno + 1


def test_no_function_is_long():
    long = [w for path in files(".py") for w, n in functions(path) if n > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_functions_are_short_as_a_rule():
    sizes = sorted(n for p in PACKAGES for path in modules(p) for _, n in functions(path))
    assert statistics.median(sizes) <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 30


def test_no_module_is_long():
    long = []
    for path in files(".py"):
        where = path.relative_to(ROOT)
        count = len(path.read_text().splitlines())
        if count > (TEST_LINES if where.parts[0] == "tests" else MODULE_LINES):
            long.append(f"{where}: {count}")
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is():
    bare = [
        str(path.relative_to(ROOT))
        for p in PACKAGES
        for path in modules(p)
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ]
    assert not bare, "\n".join(bare)


# --- texts ----------------------------------------------------------------------------------------

# In pieces, so that this file passes its own test.
BANNED = {
    "a path of one machine": "|".join(
        ["/wor" + "k/", "/tmp/" + "spec", "/roo" + "t/", "/home/" + r"\w"]
    ),
    "a package host": "|".join(
        ["pypi" + r"\.", "python" + "hosted", "index-" + "url", "art" + "ifactory"]
    ),
    "how it was written": "|".join(
        ["clau" + "de", "anthro" + "pic", "chat" + "gpt", "co" + "pilot"]
    ),
    "unfinished business": "|".join(
        ["TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"]
    ),
}


def texts() -> Iterator[tuple[Path, str]]:
    for path in files():
        if "data" not in path.relative_to(ROOT).parts:
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


@pytest.mark.parametrize("what", BANNED)
def test_no_text_mentions(what):
    flags = re.IGNORECASE if what == "how it was written" else 0
    pattern = re.compile(BANNED[what], flags)
    found = [
        f"{path.relative_to(ROOT)}:{at}: {line.strip()[:80]}"
        for path, text in texts()
        for at, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_patterns_do_find_what_they_name():
    seen = ["cd /wor" + "k/x", "https://pypi" + ".org/simple", "Clau" + "de", "# TO" + "DO: later"]
    for (what, pattern), line in zip(BANNED.items(), seen, strict=True):
        assert re.search(pattern, line, re.IGNORECASE), what
    assert sum(1 for _ in texts()) > 50
