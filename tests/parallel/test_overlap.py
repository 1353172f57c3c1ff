"""Where collectives between processes begin and end in the steps of a program."""

from __future__ import annotations

from codegen.compile import compile_graph
from codegen.profile import PROFILES
from codegen.program import Collective, Copy, Dispatch, Loop
from picotron.parallel import step_of
from picotron.validate import check
from runtime.overlap import Awaited, awaited

from .test_training import config


def told(src: int, dst: int) -> Collective:
    return Collective("psum", ("dp",), (2,), src, dst, "f32", 4, 16)


def work(*slots: int) -> Dispatch:
    return Dispatch(0, slots, (1, 1, 1))


def shown(steps) -> list:
    """Steps as what they do with which slots."""
    found = []
    for step in steps:
        match step:
            case Collective():
                found.append(("begin", step.dst))
            case Awaited():
                found.append(("end" if step.behind else "end at once", step.step.dst))
            case Loop():
                found.append(shown(step.steps))
            case Copy():
                found.append(("copy", step.src, step.dst))
            case _:
                found.append(step.slots)
    return found


def test_a_message_ends_before_its_result_is_touched():
    steps = [told(0, 1), work(2, 3), Copy(3, 4, 16), work(1, 5), work(6)]
    begins = [("begin", 1), (2, 3), ("copy", 3, 4)]
    assert shown(awaited(steps)) == [*begins, ("end", 1), (1, 5), (6,)]
    assert shown(awaited([told(0, 1), work(1)])) == [("begin", 1), ("end at once", 1), (1,)]


def test_messages_end_in_the_order_in_which_they_began():
    steps = [told(0, 1), told(2, 3), work(4), work(3), work(1)]
    assert shown(awaited(steps)) == [
        ("begin", 1), ("begin", 3), (4,), ("end", 1), ("end", 3), (3,), (1,)
    ]  # fmt: skip
    again = [told(0, 1), work(4), told(0, 1), work(1)]  # the same place once more
    assert shown(awaited(again)) == [
        ("begin", 1), (4,), ("end", 1), ("begin", 1), ("end at once", 1), (1,)
    ]  # fmt: skip


def test_no_message_is_under_way_where_a_body_ends_or_talks():
    steps = [told(0, 1), Loop(2, (work(5), told(2, 3))), work(1)]
    assert shown(awaited(steps)) == [
        ("begin", 1), ("end at once", 1), [(5,), ("begin", 3), ("end at once", 3)], (1,)
    ]  # fmt: skip
    quiet = [told(0, 1), Loop(2, (work(5),)), work(1)]
    assert shown(awaited(quiet)) == [("begin", 1), [(5,)], ("end", 1), (1,)]


def test_gathers_of_weights_have_work_behind_them():
    """Of a step with weights in parts, as it is compiled; what else is computed stays in order."""
    step = step_of(check(config(dp_size=2, fsdp=True)))
    graph = step.one_device().sharded.graph
    program = compile_graph(graph, PROFILES["lavapipe"])
    found = awaited(program.steps)
    assert [s for s in found if not isinstance(s, Awaited)] == list(program.steps)
    ends = [s for s in found if isinstance(s, Awaited)]
    gathers = [s.behind for s in ends if s.step.kind == "all_gather"]
    assert len(ends) == 43 and len(gathers) == 21 and sum(gathers) > 10
