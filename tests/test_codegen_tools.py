"""`python -m codegen`: what it prints, what it writes, and what it says to a bad request."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import ir
from codegen import diff
from codegen.__main__ import main
from codegen.dump import STAGES, compiled
from codegen.header import quantity
from codegen.profile import PROFILES, WEBGPU_DEFAULT
from codegen.program import Copy, Dispatch, Program
from codegen.table import kernels_table
from codegen.target import load, written_part
from tracer import ShapeDtypeStruct, graph_of, jit

from .golden.programs import classifier, gated

ROOT = Path(__file__).resolve().parent.parent
TARGET = "tests.golden.programs:classifier"
STRUCT = ShapeDtypeStruct((4, 8), "float32")


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


# Targets of this module, by name.


def plain():
    return gated, (STRUCT, STRUCT)


def single():
    return (lambda x: x + 1), STRUCT


def jitted():
    return jit(lambda x, y: x + y, donate_argnums=1), (STRUCT, STRUCT)


def needs_an_argument(x):
    return x


def returns_nothing():
    return None


NOT_A_FUNCTION = 3


# --- dump -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_prints(capsys, stage):
    code, out, err = run(capsys, "dump", TARGET, "--stage", stage)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) > 10


def test_without_a_stage_the_kernels_are_printed_and_one_can_be_chosen(capsys):
    _, everything, _ = run(capsys, "dump", TARGET)
    _, one, _ = run(capsys, "dump", TARGET, "--kernel", "matmul_tanh")
    assert one.startswith("// matmul_tanh: ") and one in everything
    assert everything.count("@compute") == 9 and one.count("@compute") == 1


def test_kernels_are_chosen_by_beginning_and_pattern(capsys):
    def chosen(asked):
        out = run(capsys, "dump", TARGET, "--kernel", asked)[1]
        return re.findall(r"^// ((?!part_)\w+): ", out, re.MULTILINE)

    everything = chosen("*")
    assert len(everything) == 9 and chosen("matmul_tanh") == ["matmul_tanh"]
    assert chosen("row") == [n for n in everything if n.startswith("row")] != []
    assert chosen("*tanh*") == [n for n in everything if "tanh" in n]


@pytest.mark.parametrize(("stage", "lines"), [("fuse", "group 0: dot"), ("plan", "0  matmul_tanh")])
def test_groups_and_steps_of_one_kernel(capsys, stage, lines):
    code, out, _ = run(capsys, "dump", TARGET, "--stage", stage, "--kernel", "matmul_tanh")
    assert code == 0 and lines in out
    assert "row_mul_sum_add" not in out


def test_trace_shows_what_was_written_and_grad_what_became_of_it(capsys):
    _, traced, _ = run(capsys, "dump", TARGET, "--stage", "trace")
    _, joint, _ = run(capsys, "dump", TARGET, "--stage", "grad")
    assert traced.count(" = rms_norm") == joint.count(" = rms_norm") == 1
    assert "# gradients: f, g, h" in traced.splitlines()[0]
    assert len(joint.splitlines()) > 2 * len(traced.splitlines())


def test_trace_and_grad_are_equal_where_nothing_is_derived(capsys):
    target = f"{__name__}:plain"
    texts = [run(capsys, "dump", target, "--stage", s)[1] for s in ("trace", "grad")]
    assert texts[0] == texts[1]


def test_the_written_part_is_a_graph_that_computes_the_same():
    target = load(TARGET)
    part = written_part(target.graph)
    ir.check(part)
    assert part.outs == target.graph.outs
    assert len(part.ins) == len(target.graph.ins) + 3


def test_profiles_make_other_kernels(capsys):
    texts = {p: run(capsys, "dump", TARGET, "--profile", p)[1] for p in PROFILES}
    assert "subgroupBroadcast" in texts["lavapipe"]
    assert "subgroup" not in texts["webgpu-default"] and "a_tile0" in texts["webgpu-default"]


def test_a_dump_folder_holds_one_file_a_kernel_the_plan_and_the_program(capsys, tmp_path):
    folder = tmp_path / "new" / "dump"
    code, out, _ = run(capsys, "dump", TARGET, "--out", str(folder), "--stage", "simplify")
    program = Program.from_json((folder / "program.json").read_text())
    names = {p.name for p in folder.iterdir()}
    assert code == 0 and f"{len(names)} files" in out
    assert names == {f"{k.name}.wgsl" for k in program.kernels} | {
        "plan.txt",
        "program.json",
        "simplify.txt",
    }
    for kernel in program.kernels:
        assert (folder / f"{kernel.name}.wgsl").read_text() == kernel.wgsl
    assert (folder / "simplify.txt").read_text().startswith("graph(")


def test_a_second_dump_leaves_no_kernels_of_the_first(capsys, tmp_path):
    (tmp_path / "mine.wgsl").write_text("kept")
    run(capsys, "dump", TARGET, "--out", str(tmp_path))
    run(capsys, "dump", f"{__name__}:plain", "--out", str(tmp_path))
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"mine.wgsl", "map_logistic_mul.wgsl", "plan.txt", "program.json"}


# --- targets --------------------------------------------------------------------------------------


def test_a_function_takes_arrays_or_structs_and_one_argument_needs_no_tuple():
    assert load(f"{__name__}:single").graph.in_avals == (ir.Aval((4, 8), ir.f32),)
    assert load(f"{__name__}:plain").donate == ()
    assert load(f"{__name__}:plain", (1,)).donate == ((1, 0),)


def test_a_jitted_function_donates_what_it_says():
    target = load(f"{__name__}:jitted")
    assert target.donate == ((1, 0),)
    program = compiled(target, WEBGPU_DEFAULT).program
    assert program.out_slots[0] == program.in_slots[1]


def test_the_graph_is_the_one_that_jit_would_compile():
    function, args = classifier()
    assert load(TARGET).graph.key() == graph_of(function)(*args).key()


def test_the_default_target_is_the_reference_step_with_its_state_donated():
    target = load()
    assert target.name == "train_step" and len(target.donate) > 30


# --- kernels --------------------------------------------------------------------------------------


def test_the_table_has_a_line_a_kernel_and_totals(capsys):
    code, out, _ = run(capsys, "kernels", TARGET)
    program = compiled(load(TARGET), WEBGPU_DEFAULT).program
    head, *rows, total, memory = out.splitlines()
    columns = ["kernel", "template", "grid", "workgroup", "bindings", "bytes", "flops", "count"]
    assert code == 0 and head.split() == columns
    assert [row.split()[0] for row in rows] == [k.name for k in program.kernels]
    assert total.startswith("9 kernels") and total.endswith(" 9")
    assert memory.startswith(f"buffers: {quantity(program.peak_bytes, 'B')} (input 3.74 kB, ")


def test_totals_count_every_dispatch():
    program = compiled(load(TARGET), WEBGPU_DEFAULT).program
    twice = replace(program, steps=program.steps * 2)
    once, both = (kernels_table(p).splitlines()[-2] for p in (program, twice))
    assert once.endswith(" 9") and both.endswith(" 18")
    flops = [float(line.split()[-3]) for line in (once, both)]
    assert flops[1] == pytest.approx(2 * flops[0], rel=0.01)


# --- diff -----------------------------------------------------------------------------------------


@pytest.fixture
def program() -> Program:
    return compiled(load(TARGET), WEBGPU_DEFAULT).program


def with_kernel(program: Program, at: int, **changes) -> Program:
    kernels = list(program.kernels)
    kernels[at] = replace(kernels[at], **changes)
    return replace(program, kernels=tuple(kernels))


def test_equal_dumps_have_no_difference(capsys, tmp_path):
    for name in ("a", "b"):
        run(capsys, "dump", TARGET, "--out", str(tmp_path / name))
    code, out, _ = run(capsys, "diff", str(tmp_path / "a"), str(tmp_path / "b" / "program.json"))
    assert (code, out) == (0, "no difference\n")


def test_other_profiles_differ(capsys, tmp_path):
    for name in ("h100", "lavapipe"):
        run(capsys, "dump", TARGET, "--profile", name, "--out", str(tmp_path / name))
    code, out, _ = run(capsys, "diff", str(tmp_path / "h100"), str(tmp_path / "lavapipe"))
    assert code == 1
    assert "~ matmul_tanh (matmul_broadcast) changed" in out
    assert "-fn main(@builtin(workgroup_id) group: vec3<u32>" in out


def test_comments_and_names_are_no_difference(program):
    text = program.kernels[0].wgsl.replace("// from golden", "// from elsewhere")
    assert diff.diff(program, with_kernel(program, 0, wgsl=text)) == ""
    assert diff.diff(program, with_kernel(program, 0, name="renamed")) == ""


def test_a_changed_kernel_is_shown_line_by_line(program):
    text = program.kernels[7].wgsl.replace("0.1", "0.2")
    report = diff.diff(program, with_kernel(program, 7, wgsl=text))
    name, template = program.kernels[7].name, program.kernels[7].template
    assert report.startswith(f"~ {name} ({template}) changed\n--- a/{name}\n+++ b/{name}\n@@ ")
    changed = [s for s in report.splitlines() if s[0] in "+-" and s[:3] not in ("+++", "---")]
    assert all("0.2" in s for s in changed if s[0] == "+") and len(changed) >= 2


def test_kernels_that_come_and_go(program):
    text = program.kernels[0].wgsl.replace("tanh", "exp")
    other = with_kernel(program, 0, name="another", wgsl=text)
    lines = diff.diff(program, other).splitlines()
    assert lines == ["- matmul_tanh (matmul_tile) is gone", "+ another (matmul_tile) is new"]


def test_counts_and_bytes(program):
    last = program.steps[-1]
    assert isinstance(last, Dispatch)
    more = replace(program, steps=(*program.steps, last))
    name = program.kernels[last.kernel].name
    report = diff.diff(program, more)
    assert f"# {name}: 1 -> 2 dispatches" in report
    assert "= dispatch count: 9 -> 10 (+1, +11.1%)" in report
    slots = (replace(program.slots[0], nbytes=program.slots[0].nbytes + 2048), *program.slots[1:])
    report = diff.diff(program, replace(program, slots=slots))
    assert "= input buffers: 3.74 kB -> 5.79 kB (+2048, +54.7%)" in report
    assert "+2048" in report.splitlines()[-1]


def test_another_order_or_another_buffer_is_a_difference(program):
    steps = list(program.steps)
    steps[-1], steps[-2] = steps[-2], steps[-1]
    assert "another order" in diff.diff(program, replace(program, steps=tuple(steps)))
    first = replace(program.steps[0], grid=(9, 1, 1))
    assert "other grids" in diff.diff(program, replace(program, steps=(first, *steps[1:])))
    copied = replace(program, steps=(*program.steps, Copy(0, 1, 4)))
    assert "= step count: 9 -> 10" in diff.diff(program, copied)


# --- bad requests ---------------------------------------------------------------------------------

REFUSED = {
    ("dump", TARGET, "--stage", "simplfy"): "no stage 'simplfy'; did you mean 'simplify'?",
    ("dump", TARGET, "--profile", "h10"): "no profile 'h10'; did you mean 'h100'?",
    (
        "dump",
        TARGET,
        "--kernel",
        "matmul_tahn",
    ): "no kernel 'matmul_tahn'; did you mean 'matmul_tanh'?",
    (
        "dump",
        TARGET,
        "--kernel",
        "matmul",
        "--stage",
        "grad",
    ): "the stage grad is not made of kernels",
    ("kernels", "picotron.refrence:train_step"): "no module 'picotron.refrence'; did you mean "
    "'reference'?",
    ("kernels", "picotrn.reference:train_step"): "no module 'picotrn'; did you mean 'picotron'?",
    (
        "kernels",
        "picotron.reference:train_stp",
    ): "no function 'train_stp' in picotron.reference; did you mean 'train_step'?",
    ("kernels", "picotron.reference"): "a target is MODULE:FUNCTION",
    ("kernels", f"{__name__}:needs_an_argument"): "is no function of no arguments",
    ("kernels", f"{__name__}:NOT_A_FUNCTION"): "is no function of no arguments",
    ("kernels", f"{__name__}:returns_nothing"): "must return (function, example arguments)",
    ("kernels", f"{__name__}:plain", "--donate", "2"): "argument 2 cannot be donated: there are 2",
    ("kernels", f"{__name__}:plain", "--donate", "x"): "--donate takes positions such as 0,1",
    ("kernels", f"{__name__}:jitted", "--donate", "0"): "is jitted and says itself",
    ("diff", "nowhere", "nowhere"): "cannot read nowhere: No such file",
    ("diff", "LICENSE", "LICENSE"): "LICENSE is not a program that `dump --out` wrote",
}


@pytest.mark.parametrize("argv", REFUSED, ids=" ".join)
def test_bad_requests_get_one_sentence_and_exit_code_2(capsys, monkeypatch, argv):
    monkeypatch.chdir(ROOT)
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert REFUSED[argv] in err and err.count("\n") == 1


def test_limits_that_do_not_suffice_are_no_traceback(capsys, monkeypatch):
    tiny = replace(WEBGPU_DEFAULT, name="tiny", binding_bytes=1024)
    monkeypatch.setitem(PROFILES, "tiny", tiny)
    code, _, err = run(capsys, "kernels", TARGET, "--profile", "tiny")
    assert code == 2 and "binding" in err and err.count("\n") == 2
    assert "golden/programs.py:" in err.splitlines()[1], "the line that asked for it"


def test_a_module_that_lacks_another_shows_where(monkeypatch, tmp_path):
    (tmp_path / "broken_target.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        load("broken_target:main")


def test_codegen_neither_loads_the_tracer_nor_a_model_by_itself():
    code = "import sys, codegen.__main__\nprint({'tracer', 'picotron'} & set(sys.modules) or None)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == "None\n", found.stderr


def test_the_command_line_works_from_a_shell(tmp_path):
    command = [sys.executable, "-m", "codegen", "kernels", TARGET, "--profile", "lavapipe"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0 and "matmul_broadcast" in found.stdout, found.stderr
    help_text = subprocess.run([*command[:3], "dump", "--help"], capture_output=True, text=True)
    assert all(stage in help_text.stdout for stage in STAGES)


def test_json_is_plain_data(program):
    data = json.loads(program.to_json())
    assert set(data) == {"name", "kernels", "slots", "steps", "in_slots", "out_slots"}
    assert data["steps"][0]["step"] == "Dispatch"
