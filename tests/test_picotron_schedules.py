"""Pipeline schedules: orders, memory and bubbles as their papers say."""

from __future__ import annotations

from collections import Counter

import pytest

from picotron.schedules import (
    SCHEDULES,
    Action,
    ScheduleError,
    needs,
    order,
    schedule,
    simulate,
    split_layers,
    stages_of,
)

SIZES = [(1, 1), (1, 4), (2, 2), (4, 4), (4, 8), (3, 9), (5, 20), (8, 8)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("ranks", "micros"), SIZES)
def test_every_pass_of_every_micro_batch_once_and_in_order(name, ranks, micros):
    made = schedule(name, ranks, micros)
    stages = stages_of(name, ranks)
    kinds = "FIW" if name == "zb-h1" else "FB"
    every = Counter(a for actions in made for a in actions)
    wanted = [Action(k, s, m) for k in kinds for s in range(stages) for m in range(micros)]
    assert every == Counter(wanted)
    assert all(a.stage % ranks == rank for rank, actions in enumerate(made) for a in actions)
    done = set()
    for _, action in order(made):
        assert all(one in done for one in needs(action, stages))
        done.add((("B" if action.kind == "I" else action.kind), *action[1:]))


def test_live_activations():
    assert simulate(schedule("afab", 4, 8)).live == (8, 8, 8, 8)
    assert simulate(schedule("1f1b", 4, 8)).live == (4, 3, 2, 1)
    assert simulate(schedule("zb-h1", 4, 8)).live == (4, 4, 4, 4)


@pytest.mark.parametrize(("ranks", "micros"), [(2, 4), (4, 8), (4, 16), (8, 16)])
def test_bubbles(ranks, micros):
    """Shares of the ideal time: (p-1)/m, and 1/v of it with v chunks on a rank; of a split backward
    pass, (p-1)(F + B - W) of time are left."""
    plain = (ranks - 1) / micros
    assert simulate(schedule("afab", ranks, micros)).bubble == pytest.approx(plain)
    assert simulate(schedule("1f1b", ranks, micros)).bubble == pytest.approx(plain)
    assert simulate(schedule("interleaved", ranks, micros)).bubble == pytest.approx(plain / 2)
    timeline = simulate(schedule("zb-h1", ranks, micros))
    assert [timeline.idle(r) for r in range(ranks)] == [ranks - 1.0] * ranks


def test_one_picture():
    made = schedule("1f1b", 2, 3)
    assert [" ".join(map(str, actions)) for actions in made] == [
        "F0 F1 B0 F2 B1 B2",
        "F0@1 B0@1 F1@1 B1@1 F2@1 B2@1",
    ]


def test_what_cannot_be():
    with pytest.raises(ScheduleError, match="there is no schedule 'gpipe'; there are afab, 1f1b"):
        schedule("gpipe", 2, 2)
    with pytest.raises(ScheduleError, match="does not divide 6; 4 or 8 would do"):
        schedule("interleaved", 4, 6)
    with pytest.raises(ScheduleError, match="0 micro-batches"):
        schedule("afab", 2, 0)
    waits = ((Action("B", 0, 0), Action("F", 0, 0)), (Action("F", 1, 0), Action("B", 1, 0)))
    with pytest.raises(ScheduleError, match=r"wait for ever: rank 0 for B0, rank 1 for F0@1"):
        order(waits)


def test_layers_of_stages():
    assert [list(r) for r in split_layers(5, 2)] == [[0, 1, 2], [3, 4]]
    assert [len(r) for r in split_layers(10, 4)] == [3, 3, 2, 2]
    with pytest.raises(ScheduleError, match="3 layers cannot be spread over 4"):
        split_layers(3, 4)
