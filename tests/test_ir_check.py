"""The verifier: accepts what is well-formed, and names each planted defect and the user's line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

import ir
from ir import PRIMITIVES, Aval, Eqn, Graph, GraphError, Var, check, emit, f32, i32

from .oracle.random_graphs import graphs, op


def model(x):
    h = emit(PRIMITIVES["sin"], x)
    h = emit(PRIMITIVES["mul"], h, h)
    return emit(PRIMITIVES["sum"], h, axes=(0,))


def good() -> Graph:
    return ir.build(model, Aval((3,), f32))


def swapped(graph: Graph, at: int, **changes) -> Graph:
    """The graph with equation `at` altered and nothing else."""
    eqns = list(graph.eqns)
    old = eqns[at]
    made = {f: changes.get(f, getattr(old, f)) for f in ("prim", "ins", "outs", "params")}
    eqns[at] = Eqn(**made, src=old.src, scope=old.scope)
    return Graph(graph.ins, tuple(eqns), graph.outs)


def fault(graph: Graph) -> str:
    with pytest.raises(GraphError) as caught:
        check(graph)
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(graph=graphs())
def test_random_graphs_are_well_formed(graph):
    assert check(graph) is graph


def test_wrong_result_type():
    graph = good()
    told = fault(swapped(graph, 1, outs=(Var(Aval((4,), f32)),)))
    assert "equation 1 should have type f32[3]" in told
    assert "-> c: f32[4] = mul" in told
    assert f"{__file__}:{graph.eqns[1].src.line}: h = emit" in told


def test_wrong_number_of_results():
    extra = (Var(Aval((), f32)), Var(Aval((), f32)))
    assert "equation 2 should have type f32[]" in fault(swapped(good(), 2, outs=extra))


def test_operands_that_do_not_fit():
    graph = good()
    other = Var(Aval((5,), f32))
    wrong = swapped(
        Graph((*graph.ins, other), graph.eqns, graph.outs), 1, ins=(graph.ins[0], other)
    )
    told = fault(wrong)
    assert "equation 1 does not fit its operands" in told
    assert "incompatible shapes: f32[3] and f32[5]" in told
    assert __file__ in told


def test_params_that_do_not_fit():
    assert "no such axes" in fault(swapped(good(), 2, params={"axes": (1,)}))


def test_double_definition():
    graph = good()
    told = fault(swapped(graph, 1, outs=graph.eqns[0].outs))
    assert "equation 1 defines a value a second time" in told
    assert f"{graph.eqns[1].src}" in told


def test_double_definition_of_an_input():
    graph = good()
    assert "second time" in fault(Graph(graph.ins * 2, graph.eqns, graph.outs))
    assert "second time" in fault(swapped(graph, 0, outs=graph.ins))


def test_use_before_definition():
    graph = good()
    reordered = Graph(graph.ins, (graph.eqns[1], graph.eqns[0], graph.eqns[2]), graph.outs)
    told = fault(reordered)
    assert "equation 0 reads a value that is not defined yet" in told
    assert f"{graph.eqns[1].src}" in told


def test_a_result_that_nothing_defines():
    graph = good()
    told = fault(Graph(graph.ins, graph.eqns, (Var(Aval((2,), i32)),)))
    assert "returns a value of type i32[2] that nothing defines" in told


def test_a_foreign_value_of_the_same_type():
    foreign = good().eqns[0].out
    assert "not defined yet" in fault(swapped(good(), 1, ins=(foreign, foreign)))


def test_the_report_shows_the_neighbours_and_marks_one():
    def long(x):
        for _ in range(30):
            x = op("neg", x)
        return x

    graph = ir.build(long, Aval((), f32))
    told = fault(swapped(graph, 15, outs=(Var(Aval((1,), f32)),)))
    lines = [line for line in told.splitlines() if " = neg" in line]
    assert len(lines) == 11
    assert [line.startswith("->") for line in lines].index(True) == 5


def test_the_line_of_the_report_is_the_line_of_the_equation():
    graph = good()
    first, second = (e.src.line for e in graph.eqns[:2])
    assert second == first + 1
    told = fault(swapped(graph, 1, outs=graph.ins))
    assert f"{__file__}:{second}: h = emit(" in told


def test_records_are_frozen():
    graph = good()
    with pytest.raises(AttributeError):
        graph.outs = ()
    with pytest.raises(AttributeError):
        graph.eqns[0].outs = ()
    assert replace(graph.eqns[0].out.aval, shape=(1,)).shape == (1,)
