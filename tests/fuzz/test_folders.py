"""A few hundred damaged folders on every run; the module's own command runs any number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import folders


def test_damaged_folders_are_refused_or_whole(tmp_path):
    counts, failures = folders.run(tmp_path, range(300))
    assert not failures, "\n".join(failures)
    assert counts["refused"] > 150 and counts["read"] > 5


def test_a_case_is_a_function_of_its_number(tmp_path):
    first, second = (folders.make_folders(tmp_path / name) for name in "ab")
    for number in range(20):
        (path, data), (other, again) = folders.case(first, number), folders.case(second, number)
        assert (path.name, data) == (other.name, again)


def test_the_clock_stops_what_does_not_end():
    try:
        with folders.limited(0.05):
            while True:
                np.ones(10).sum()
    except TimeoutError as error:
        assert "0.05" in str(error)


def test_the_untouched_folders_are_read(tmp_path):
    assert [folders.outcome(Path(f)) for f in folders.make_folders(tmp_path)] == ["read"] * 3
