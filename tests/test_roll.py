"""Loops that a CPU driver would unroll keep their bodies once; all others keep their text."""

import re
from pathlib import Path

import pytest

from codegen.roll import BODIES, FEW, FORESEEN, LIGHT, declared, keep_rolled, loops

GOLDENS = Path(__file__).parent / "golden/kernels"

KERNEL = """\
// sum: 8 rows
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

// What it does.
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) t: u32) {
  var total = 0.0;
  for (var j = 0u; j < BOUND; j++) {
BODY  }
  result[t] = total;
}
"""
LINE = "    total += x[t * 8u + j];\n"


def kernel(bound: str, body: str = LINE) -> str:
    return KERNEL.replace("BOUND", bound).replace("BODY", body)


@pytest.mark.parametrize("trips", [FEW + 1, FORESEEN])
def test_a_short_loop_gets_a_bound_that_cannot_be_foreseen(trips):
    text = keep_rolled(kernel(f"{trips}u"))
    assert f"j < rolled({trips}u);" in text and "arrayLength(&x)" in text
    helper = text[text.index("// n, in words") : text.index("// What it does.")]
    assert text.replace(helper, "").replace(f"rolled({trips}u)", f"{trips}u") == kernel(f"{trips}u")


@pytest.mark.parametrize(
    "text",
    [
        kernel(f"{FEW}u"),
        kernel("1u", LINE * (LIGHT + 1)),
        kernel(f"{FORESEEN + 1}u"),
        kernel("end"),
        kernel("8u", LINE * (BODIES // 8)),
    ],
    ids=["few", "one", "many", "unknown", "long"],
)
def test_what_is_not_unrolled_stays_as_it_is(text):
    assert keep_rolled(text) == text


def test_a_loop_within_a_loop_and_one_by_steps():
    inner = "    for (var i = 0u; i < 64u; i += 8u) {\n      total += x[i];\n    }\n"
    text = keep_rolled(kernel("100u", inner))
    assert "j < 100u;" in text and "i < rolled(64u); i += 8u" in text
    assert text.count("fn rolled(") == 1


def test_no_template_writes_a_loop_of_known_length_in_another_form():
    """The pass reads finished text: what it does not recognise it would leave to the driver."""
    texts = [path.read_text() for path in GOLDENS.glob("*.wgsl")]
    seen = [len(list(loops(text))) for text in texts]
    assert seen == [len(re.findall(r"\bfor \([^;]*;[^;]* <=? \d+u;", text)) for text in texts]
    assert sum(seen) > 20


def test_few_iterations_of_a_long_body():
    assert "j < rolled(2u)" in keep_rolled(kernel("2u", LINE * LIGHT))


@pytest.mark.parametrize("length", [8, FORESEEN, FORESEEN + 1, 64])
def test_no_length_of_an_array_tells_how_often_a_short_loop_runs(length):
    assert max(length, FORESEEN + 1) == declared(length)
