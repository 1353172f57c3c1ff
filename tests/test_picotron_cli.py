"""The table of verbs: every line of it leads to a command, and only to that."""

import dataclasses
import subprocess
import sys

import pytest

from picotron import cli


@pytest.mark.parametrize("verb", cli.VERBS)
def test_verbs_are_documented_commands(verb):
    kind = cli.command(verb)
    assert dataclasses.is_dataclass(kind) and kind.__doc__ and callable(kind.run)
    assert not kind.__doc__.startswith(kind.__name__ + "(")  # what dataclasses make up


def test_the_overview_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in cli.VERBS)


def test_a_mistyped_verb_gets_a_hint(capsys):
    assert cli.main(["trian"]) == 2
    assert capsys.readouterr().err.endswith("'trian'; did you mean 'train'?\n")
    assert cli.main(["qqq"]) == 2
    assert "there are train, generate" in capsys.readouterr().err


@pytest.mark.parametrize("verb", cli.VERBS)
def test_reading_flags_imports_no_compiler(verb):
    script = (
        "import sys; from picotron import cli; cli.command(sys.argv[1]);"
        "sys.exit(', '.join({'tracer', 'runtime', 'codegen', 'wgpu'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, verb], capture_output=True, text=True)
    assert done.returncode == 0, f"{verb} imports {done.stderr}"
