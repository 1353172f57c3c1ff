"""Exact texts: kernels of every template, every stage of a small program, and hashes of the step.

Invariant: a golden depends on its program and profile alone. A change of the code generator shows
here as a diff to read; `python -m pytest tests/golden --update-golden` accepts it.
"""

from __future__ import annotations

import difflib
import hashlib
from functools import cache
from pathlib import Path

import pytest

import ir
from codegen import dump
from codegen.compile import Compilation, statements
from codegen.profile import PROFILES
from codegen.program import KernelCode
from codegen.target import Target, traced_target

from .. import tint
from ..compiled import reference
from ..naga import check as check_naga
from .programs import CASES, Case, classifier

HERE = Path(__file__).parent
KERNELS, STAGES, LOCK = HERE / "kernels", HERE / "stages", HERE / "kernels.lock"
ACCEPT = "accept it with: python -m pytest tests/golden --update-golden"
SHOWN = 80  # lines of a difference

each_profile = pytest.mark.parametrize("profile", PROFILES)


@cache
def compiled(case: Case) -> dict[str, KernelCode]:
    """{name: kernel} of a case's program."""
    target = traced_target(case.function, case.args(), case.donate)
    program = dump.compiled(target, PROFILES[case.profile]).program
    return {k.name: k for k in program.kernels}


def generated(case: Case) -> dict[str, str]:
    """{file name: text} of a case."""
    found = {name: k.wgsl for name, k in compiled(case).items()}
    if not case.kernels:
        assert len(found) == 1, f"{case.name} compiles to {', '.join(found)}: say which to keep"
        return {f"{case.name}.wgsl": text for text in found.values()}
    assert set(case.kernels) <= set(found), f"{case.name} compiles to {', '.join(found)}"
    return {f"{case.name}.{name}.wgsl": found[name] for name in case.kernels}


def compare(path: Path, text: str, update: bool) -> None:
    """Fail with a diff unless the file holds `text`; with `update`, write it."""
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    if not path.exists():
        pytest.fail(f"{path.name} is missing; {ACCEPT}", pytrace=False)
    old = path.read_text(encoding="utf-8")
    if old != text:
        lines = difflib.unified_diff(
            old.splitlines(), text.splitlines(), f"golden/{path.name}", "generated", lineterm=""
        )
        shown = list(lines)
        more = [f"... {len(shown) - SHOWN} more lines"] if len(shown) > SHOWN else []
        message = "\n".join([f"{path.name} differs from what is generated now:", *shown[:SHOWN]])
        pytest.fail("\n".join([message, *more, ACCEPT]), pytrace=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_kernels(case, update_golden):
    for name, text in generated(case).items():
        compare(KERNELS / name, text, update_golden)


def test_goldens_cover_the_templates_and_are_all_generated(update_golden):
    wanted = {name for case in CASES for name in generated(case)}
    found = {p.name for p in KERNELS.glob("*")}
    if update_golden:
        for name in found - wanted:
            (KERNELS / name).unlink()
    else:
        assert found == wanted, f"{sorted(found ^ wanted)}; {ACCEPT}"
    assert len(wanted) >= 20
    templates = {p.name.split(".")[0] for p in Path(dump.__file__).parent.glob("templates/[a-z]*")}
    used = {k.template for case in CASES for k in compiled(case).values()}
    assert used == {*templates, "bundle"}  # which is made of the others


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_goldens_are_valid_everywhere(case):
    for text in generated(case).values():
        check_naga(text)
        tint.check(text)


# --- the stages of one program --------------------------------------------------------------------


@cache
def small() -> tuple[Target, Compilation]:
    function, args = classifier()
    target = traced_target(function, args, (0,))
    return target, dump.compiled(target, PROFILES["webgpu-default"])


@pytest.mark.parametrize("stage", [s for s in dump.STAGES if s != "wgsl"])
def test_golden_stages(stage, update_golden):
    compare(STAGES / f"{stage}.txt", dump.stage_text(stage, *small()), update_golden)


@pytest.mark.parametrize("stage", ["trace", "grad", "simplify", "legalize"])
def test_the_text_of_a_graph_stage_parses_back(stage):
    text = dump.stage_text(stage, *small())
    graph = ir.parse(text)
    ir.check(graph)
    shown = ir.show(graph).splitlines()
    assert [line.split("  # ")[0] for line in text.splitlines()] == shown


# --- the reference train step ---------------------------------------------------------------------


@each_profile
def test_kernels_of_the_reference_step_are_valid_everywhere(profile):
    for kernel in reference(profile).program.kernels:
        try:
            check_naga(kernel.wgsl)
            tint.check(kernel.wgsl)
        except Exception as error:
            pytest.fail(f"{kernel.name}: {error}\n{kernel.wgsl[:2000]}", pytrace=False)


def hashed(kernel: KernelCode) -> str:
    """Statements only: an edit that moves the lines of the model changes no kernel."""
    return hashlib.sha256(statements(kernel.wgsl).encode()).hexdigest()[:12]


def test_kernels_lock(update_golden):
    lines = ["# Hashes of the kernels of the reference train step, comments not counted.\n"]
    for profile in PROFILES:
        lines += [f"{profile} {k.name} {hashed(k)}\n" for k in reference(profile).program.kernels]
    compare(LOCK, "".join(lines), update_golden)
