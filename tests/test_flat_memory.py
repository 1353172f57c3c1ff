"""The check of a long run's memory, on a short one."""

import pytest

from benchmarks import flat_memory


@pytest.mark.device
def test_a_short_run_is_watched(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flat_memory, "MARKS", 3)
    found = flat_memory.watched(9)
    assert len(found) == 3
    assert all(min(sizes.values()) > 0 for sizes in found)
    assert found[1]["device"] == found[2]["device"], "a later step holds more than an earlier one"
    assert capsys.readouterr().out.count("step ") == 3
