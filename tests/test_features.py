"""FEATURES.md says what is: it is what its generator writes, and its notes contradict nothing.

Invariant: runs without JAX; the suites that judge values are run apart (`tests/conformance`).
"""

from __future__ import annotations

from collections import Counter

import pytest

from .conformance import features, notes, programs, reasons, results


def test_the_page_is_what_the_generator_writes():
    found = features.PAGE.read_text() if features.PAGE.exists() else ""
    hint = "FEATURES.md is stale: run python -m tests.conformance.features"
    assert found == features.page(), hint


def test_no_name_has_two_reasons_to_be_left_out():
    for path, listing in notes.NOT_PLANNED.items():
        listed = [n for _, names in listing for n in names.split()]
        assert len(listed) == len(set(listed)), path


@pytest.mark.parametrize("path", notes.NOT_PLANNED)
def test_names_left_out_are_names_of_jax(path):
    unknown = set(features.not_planned(path)) - set(features.names()[path])
    assert not unknown, f"JAX has no {', '.join(sorted(unknown))} in {path}"


def test_what_is_exported_is_not_called_missing():
    rows = {row.name: row for row in features.rows("jax", features.names()["jax"])}
    assert rows["jit"].state in ("supported", "partly")
    assert rows["grad"].used > 10
    assert rows["pmap"].state == "not planned" and rows["pmap"].why


def test_missing_parameters_are_found():
    def lacking(x, axis=None):
        return x

    assert features.missing_parameters(lacking, "axis out keepdims") == ["keepdims"]
    assert features.missing_parameters(lambda x, **kwargs: x, "axis keepdims") == []


def test_every_program_that_is_recorded_exists():
    existing = {p.name for p in programs.everything()}
    recorded = results.load()["import swap"]["program"]
    assert recorded["run"] == len(existing) >= 150
    assert recorded["modules"] == Counter(map(results.module_of, existing))
    assert set(recorded["failures"]) <= existing == set(features.uses())


def test_ranges_of_samples_are_joined():
    names = ["sort#0", "sort#1", "sort#2", "sort#5", "a.b"]
    assert results.grouped(names) == ["sort#0-2,5", "a.b"]


def test_equal_causes_count_together():
    failures = {"a": "missing: numpy.sort", "b": "jit: missing: numpy.sort", "c": "value: 1 != 2"}
    assert results.causes(failures)[0] == ("missing: numpy.sort", ["a", "b"])


def test_every_recorded_failure_is_listed_under_its_reason():
    page = features.page()
    for suite, section in results.load().items():
        for check, one in section.items():
            if one["failures"]:
                assert f"### {suite}: {check}\n" in page
            for why, failures in reasons.by_reason(one["failures"]).items():
                assert f"{len(failures)} × **{why}**" in page
                owners = {name.partition("#")[0] for name in failures}
                assert all(owner in page for owner in owners)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        ("missing: numpy.sort", reasons.NOT_YET),
        ("jit: argument: f() got an unexpected keyword argument 'x'", reasons.NOT_YET),
        ("missing: lax.lgamma", reasons.SPECIAL),
        ("error: IndexError: boolean indices would make the result's shape depend on data",
         reasons.SHAPES),
        ("unmapped: dropout", reasons.REFUSED),
        ("value: jit: 1.0 instead of 2.0 (1 of 3 elements)", reasons.DEFECT["differs"]),
        ("error: TypeError: no", reasons.DEFECT["raises"]),
        ("message: 'a' lacks 'b'", reasons.DEFECT["text"]),
    ],
)  # fmt: skip
def test_reasons(failure, why):
    assert reasons.reason(failure) == why
