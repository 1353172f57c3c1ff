"""The documentation says what is: its code runs, its outputs, commands, settings and paths exist.

Invariant: nothing here knows what a page says; it reads the pages as a user would.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import picotron.optim
import runtime
import tracer
from ir import PRIMITIVES
from picotron import cli
from picotron.config import Config

ROOT = Path(__file__).resolve().parent.parent


def _module(path: Path):
    """docs/ is no package: its scripts are loaded by path."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = _module(ROOT / "docs" / "blocks.py")
pictures = _module(ROOT / "docs" / "pictures.py")
by_page = pytest.mark.parametrize("page", docs.PAGES, ids=lambda page: page.name)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """An empty folder to run in; primitives that a page adds are gone afterwards."""
    monkeypatch.chdir(tmp_path)
    before = dict(PRIMITIVES)
    yield tmp_path
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def _needs_adapter() -> None:
    try:
        runtime.default_device()
    except runtime.NoAdapterError as error:
        pytest.skip(str(error))


# --- code and its output --------------------------------------------------------------------------


@pytest.mark.device
@by_page
def test_python_blocks_run_and_print_what_the_page_shows(page, scratch):
    _needs_adapter()
    for block, wanted in docs.run(page):
        assert block.text == wanted, f"{block.where} is out of date: run python docs/blocks.py"


def test_there_is_code_in_the_pages():
    counts = {
        page.name: len([b for b in docs.blocks(page) if b.language == "python"])
        for page in docs.PAGES
    }
    assert counts["README.md"] >= 3
    assert counts["how-to.md"] >= 10
    assert counts["reading-a-kernel.md"] >= 3


@by_page
def test_explained_texts_occur_in_the_kernel_above(page):
    for kernel, rows in _explained(page):
        missing = [row for row in rows if row not in kernel]
        assert not missing, f"{page.name} explains what its kernel does not say: {missing}"


def _explained(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(kernel, first cells) of each table headed `text | meaning`, and the WGSL before it."""
    text = page.read_text(encoding="utf-8")
    for table in re.finditer(r"\| text \| meaning \|\n\|[-|]+\|\n((?:\|.*\n)+)", text):
        before = [
            b for b in docs.blocks(page) if b.language == "wgsl" and b.span[1] < table.start()
        ]
        yield before[-1].text, re.findall(r"^\| `(.+?)` \|", table[1], re.MULTILINE)


def test_the_kernel_page_explains_two_kernels():
    found = list(_explained(ROOT / "docs" / "reading-a-kernel.md"))
    assert len(found) >= 2
    assert all(len(rows) >= 8 for _, rows in found)


def test_folding_keeps_one_of_many():
    text = "a\n" + "".join(f"  x{i} = y[{i}u];\n  z{i} = x{i};\n" for i in range(9)) + "b\n"
    folded = "a\n  x0 = y[0u];\n  z0 = x0;\n  // ... and 8 more like it\nb\n"
    assert docs.fold(text) == folded
    assert (
        docs.fold("let a = 1u;\nlet b = 2u;\nreturn a;\n")
        == "let a = 1u;\nlet b = 2u;\nreturn a;\n"
    )


# --- commands -------------------------------------------------------------------------------------


def _commands() -> Iterator[tuple[str, list[str]]]:
    """(where, words) of each `$ command` in a console block and each command in inline code."""
    for page in docs.PAGES:
        for block in docs.blocks(page):
            if block.language == "console":
                lines = re.findall(r"^\$ (.+)$", block.text, re.MULTILINE)
                yield from ((block.where, shlex.split(line)) for line in lines)
        text = docs._FENCE.sub("", page.read_text(encoding="utf-8"))
        for code in re.findall(r"`((?:picotron|python -m codegen) [^`]+)`", text):
            yield page.name, shlex.split(code)


def _help(main, words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


PICOTRON = [c for c in _commands() if c[1][0] == "picotron"]
CODEGEN = [c for c in _commands() if c[1][:3] == ["python", "-m", "codegen"]]


def test_the_pages_show_commands():
    assert {words[1] for _, words in PICOTRON} >= {"train", "generate", "doctor", "bench"}
    assert {words[3] for _, words in CODEGEN} >= {"dump", "kernels", "diff"}


@pytest.mark.parametrize("verb", sorted({words[1] for _, words in PICOTRON}))
def test_picotron_commands_exist_with_their_flags(verb, capsys):
    known = _help(cli.main, [verb], capsys)
    for where, words in PICOTRON:
        if words[1] == verb:
            _check_flags(where, words[2:], known)


@pytest.mark.parametrize("verb", sorted({words[3] for _, words in CODEGEN}))
def test_codegen_commands_exist_with_their_flags(verb, capsys):
    from codegen.__main__ import main

    known = _help(main, [verb], capsys)
    for where, words in CODEGEN:
        if words[3] == verb:
            _check_flags(where, words[4:], known)


@by_page
def test_codegen_commands_run(page, scratch, monkeypatch, capsys):
    from codegen.__main__ import main

    monkeypatch.syspath_prepend(scratch)
    for block in docs.blocks(page):
        if block.language == "python" and block.title.endswith(".py"):
            (scratch / block.title).write_text(block.text)
        for line in re.findall(r"^\$ python -m codegen (.+)$", block.text, re.MULTILINE):
            assert main(shlex.split(line)) == 0, f"{block.where}: {line}"
            assert capsys.readouterr().out, f"{block.where}: {line}"


def test_every_verb_has_a_section_with_a_command_that_runs():
    page = ROOT / "docs" / "verbs.md"
    parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    sections = {part.split("\n", 1)[0]: part for part in parts}
    assert set(sections) == set(cli.VERBS)
    for verb, part in sections.items():
        assert re.search(rf"^```console run\n\$ picotron {verb} ", part + "\n", re.MULTILINE) or (
            f"```console run\n$ picotron {verb}\n" in part
        ), verb


def _check_flags(where: str, words: list[str], known: str) -> None:
    for flag in (w.split("=")[0] for w in words if w.startswith("--")):
        assert re.search(rf"{re.escape(flag)}(?![\w-])", known), f"{where}: there is no {flag}"


def test_printed_configurations_are_what_flags_ask_for(capsys):
    words = "train --preset medium --training.learning-rate 6e-4 --print-config".split()
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert '"learning_rate": 0.0006' in printed
    assert '"run_name": "medium"' in printed


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", [field.name for field in dataclasses.fields(Config)])
def test_every_setting_is_listed_with_its_default(section):
    text = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    table = re.search(rf"^### {section}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)[1]
    listed = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", table, re.MULTILINE))
    settings = getattr(Config(), section)
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    records = {name for name, value in values.items() if dataclasses.is_dataclass(value)}
    assert listed == {name: repr(value) for name, value in values.items() if name not in records}
    assert records <= set(re.findall(r"^\| `(\w+)` \| \|", table, re.MULTILINE))


# --- links, paths and pictures --------------------------------------------------------------------


@by_page
def test_local_links_lead_somewhere(page):
    text = docs._FENCE.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        place = page.parent / target if target else page
        assert place.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in _anchors(place), f"{page.name} links to {link}"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@by_page
def test_files_that_the_pages_name_exist(page):
    text = docs._FENCE.sub("", page.read_text(encoding="utf-8"))
    packages = "ir|tracer|codegen|runtime|picotron|tests|docs|examples"
    named = re.findall(rf"`((?:{packages})/[\w./-]*)`", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, f"{page.name} names {missing}"


def test_the_readme_lists_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert docs.with_contents(text) == text, "out of date: run python docs/blocks.py"
    assert docs.contents() in text


def _claims() -> dict[str, list[str]]:
    """What the README says of each subject: what works today, what does not yet, what shows it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("| | today | not yet | shown by |\n", 1)[1].split("\n\n")[0]
    rows = (line.strip("|").split("|") for line in table.splitlines()[1:])
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in rows}


def test_what_the_readme_says_works_is_there():
    claims = _claims()
    for subject in ("transformations", "control flow"):
        for name in re.findall(r"`([\w.]+)`", claims[subject][0]):
            place = tracer.lax if subject == "control flow" else tracer
            assert hasattr(place, name.removeprefix("lax.")), name
    counted = int(re.search(r"\((\d+) names\)", claims["arrays"][0])[1])
    assert counted == len(tracer.numpy.__all__)
    for name in re.findall(r"AdamW|SGD|Lion|Muon", claims["trainer"][0]):
        assert callable(getattr(picotron.optim, name.lower()))


def test_every_claim_of_the_readme_names_a_test():
    for subject, (_, _, shown) in _claims().items():
        assert "`tests/" in shown or subject == "tested on", subject


def test_the_readme_lists_every_verb():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("| command | what it does |", 1)[1].split("\n\n")[0]
    missing = [verb for verb in cli.VERBS if not re.search(rf"[` ]{verb}[` ]", table)]
    assert not missing


def test_the_two_commands_stand_in_the_readme():
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    assert "./setup && .venv/bin/picotron train" in lines
    assert "./setup --dev && .venv/bin/python -m pytest" in lines


def test_the_picture_of_the_passes_is_up_to_date():
    assert (ROOT / "docs" / "pipeline.svg").read_text(encoding="utf-8") == pictures.pipeline()


def test_a_loss_curve_is_drawn_from_a_log(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"step": 1, "loss": 4.5}\n{"step": 8, "loss": 2.0}\n{"step": 8, "validation_loss": 2.5}\n'
    )
    drawn = pictures.loss_curve(log)
    assert drawn.count("<polyline") == 6 + 4  # gridlines 0 to 5, two curves, two keys
    assert "validation" in drawn
