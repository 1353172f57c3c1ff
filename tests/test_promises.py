"""Every promise has a test, and the page says which."""

import re

import pytest

from . import promises


@pytest.mark.parametrize(("row", "test"), promises.named())
def test_the_test_of_a_promise_exists(row, test):
    assert promises.exists(test), f"{row} names tests/{test}, which is not there"


def test_every_row_of_the_seed_is_there():
    assert list(promises.SEED) == [f"W{n:02}" for n in range(1, 23)]
    assert list(promises.FAULTS) == [f"H{n}" for n in range(1, 15)]
    rows = [row for section in promises.SECTIONS.values() for row in section.items()]
    assert not [name for name, (_, tests) in rows if not tests]


def test_absent_tests_are_noticed():
    assert not promises.exists("test_nothing.py")
    assert not promises.exists("test_promises.py::test_nothing")
    assert promises.exists("test_promises.py::test_absent_tests_are_noticed")


def test_the_page_is_current():
    assert promises.PAGE.read_text() == promises.page(), "run python -m tests.promises"


def test_what_a_report_asks_for_works(monkeypatch):
    """README leads to the page; its command is a verb, its variables have the effect it says."""
    from picotron.cli import VERBS
    from runtime.settings import settings
    from tracer.settings import backend, use_backend

    assert "(CONTRIBUTING.md)" in (promises.ROOT / "README.md").read_text()
    text = (promises.ROOT / "CONTRIBUTING.md").read_text().partition("## Report a problem")[2]
    quoted = re.findall(r"`([^`]+)`", text)
    verbs = [words[1] for q in quoted if (words := q.split())[0] == "picotron"]
    assert verbs and set(verbs) <= set(VERBS)
    variables = dict(q.split("=") for q in quoted if "=" in q)
    assert sorted(variables) == ["PICO_BACKEND", "PICO_CHECK"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    use_backend(None)
    assert backend() == "oracle" and settings.__wrapped__().check


def test_the_licence_is_shipped():
    """The file, and its name in what is installed."""
    import tomllib

    settings = tomllib.loads((promises.ROOT / "pyproject.toml").read_text())["project"]
    assert settings["license"] == "MIT" or settings["license"]["text"] == "MIT"
    assert (promises.ROOT / "LICENSE").read_text().startswith("MIT License")
