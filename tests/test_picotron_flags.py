"""Mistakes in flags: all at once, each with its cure, and none where there is none."""

from __future__ import annotations

import re

import pytest

from picotron import cli
from picotron.errors import ConfigError
from picotron.flags import check_flags, flags_of


def told(verb, words):
    with pytest.raises(ConfigError) as error:
        cli.parse([verb, *words.split()])
    return str(error.value)


def test_all_mistakes_are_told_at_once():
    assert told("train", "--training.learning-rat 1 --mbs x --logging.no-plots --steps") == (
        "4 problems in the flags:\n"
        "  - there is no flag --training.learning-rat; did you mean '--training.learning-rate'?\n"
        "  - --mbs must be an integer, not 'x'\n"
        "  - there is no flag --logging.no-plots; did you mean '--logging.no-plot'?\n"
        "  - --steps needs a value: an integer"
    )


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        (
            "train",
            "--learning_rate 1",
            "--learning_rate; did you mean '--training.learning-rate'",
        ),
        ("train", "--lr 1", "there is no flag --lr; did you mean '--training.learning-rate'"),
        ("train", "--training.learning-rate=fast", "must be a number, not 'fast'"),
        ("train", "--training.seed 1.5", "--training.seed must be an integer, not '1.5'"),
        ("train", "--preset huge", "--preset must be one of 'novel', 'tiny'"),
        ("train", "--model.rope-scaling.rope-type x", "must be one of 'default', 'linear'"),
        ("train", "--data --steps 3", "--data needs a value: a string"),
        ("generate", "--temprature 1", "did you mean '--temperature'"),
        ("generate", "--model m --top-k many", "--top-k must be an integer, not 'many'"),
        ("plan", "--zzz", "there is no flag --zzz"),
        ("bench", "--rounds 3 gem", "'mpi', not 'gem'; did you mean 'gemm'?"),
        ("bench", "foo --json", "WHAT must be one of 'step', 'host', 'gemm', 'attention', 'rows'"),
        ("bench", "gemm rows", "nothing takes 'rows'"),
        ("plan", "tiny", "nothing takes 'tiny': options begin with --"),
        ("export", "--dtype float16", "FOLDER is missing"),
        ("plot", "", "RUNS is missing"),
    ],
)
def test_each_has_its_cure(verb, words, message):
    assert message in told(verb, words)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("train", "--training.learning_rate -1 --seq_len=3 --logging.no-plot --sp True"),
        ("train", "--training.min-learning-rate None --print-config --config x"),
        ("train", "--training.param-groups.0.pattern x"),
        ("generate", "--ckpt x --stop --- a b --prompt -x"),
        ("export", "somewhere --ckpt x --dtype float16"),
        ("plan", "--preset tiny --fsdp --mesh dp=2"),
        ("bench", "--json gemm --rounds=2 --vs numpy"),
        ("plot", "one two three"),
        ("train", "--nothing-like-it --help"),
    ],
)
def test_right_flags_pass(verb, words):
    kind = cli.command(verb)
    spelled = getattr(kind, "spelled", list)
    check_flags(kind, spelled(words.split()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "name a command: train, generate,"),
        ("trian", "there is no command 'trian'; did you mean 'train'?"),
        ("--steps 3 train", "--steps stands before the command; name one first: train, generate,"),
    ],
)
def test_a_command_comes_first(words, message, capsys):
    assert cli.main(words.split()) == 2
    assert capsys.readouterr().err.startswith(f"picotron: {message}")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_flag_of_the_help_is_known(verb, capsys):
    with pytest.raises(SystemExit):
        cli.parse([verb, "--help"])
    known = {f"--{name}" for name, _ in flags_of(cli.command(verb))}
    rows = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    shown = {row.split()[0].strip(",.") for row in rows if re.match("--[a-z]", row)}
    assert shown <= known, shown - known
