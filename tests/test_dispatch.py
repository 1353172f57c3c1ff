"""Calling a jitted function again: the short way gives what the long way does, nothing grows."""

from __future__ import annotations

import collections
import dataclasses
import gc
import operator
import sys
import tracemalloc

import numpy as np
import pytest

import tracer
from tracer import jit, random, tree
from tracer import numpy as jnp
from tracer.flattening import MAX_LEAVES, flattener

Point = collections.namedtuple("Point", "x y")
TREES = [
    (),
    ((1, [2, 3], {"b": 4, "a": (5,)}), {"k": 6}),
    ({"odd key": 1, 2: 2, ("t", 1): 3}, None, Point(4, [5])),
    ([None, {}, []], 1),
]

pytestmark = pytest.mark.usefixtures("oracle")


@pytest.mark.parametrize("given", TREES)
def test_a_flattener_finds_the_leaves_of_its_structure(given):
    try:
        leaves, structure = tree.flatten(given)
    except TypeError:  # keys that cannot be sorted
        pytest.skip("no order of keys")
    assert flattener(structure)(given) == leaves


@pytest.mark.parametrize(
    "other",
    [
        {"a": 1},
        {"a": 1, "c": 2},
        {"a": 1, "b": 2, "c": 3},
        collections.OrderedDict(a=1, b=2),
        collections.defaultdict(int, a=1, b=2),
        [1, 2],
        None,
        3,
    ],
)
def test_a_flattener_knows_other_structures(other):
    assert flattener(tree.structure({"a": 1, "b": 2}))(other) is None


def test_sequences_are_not_each_other():
    assert flattener(tree.structure((1, 2)))([1, 2]) is None
    assert flattener(tree.structure((1, 2)))(Point(1, 2)) is None
    assert flattener(tree.structure(Point(1, 2)))((1, 2)) is None
    assert flattener(tree.structure((1, None)))((1, 2)) is None


def test_what_has_no_flattener_is_called_the_long_way():
    assert flattener(tree.structure(collections.OrderedDict(a=1))) is None
    assert flattener(tree.structure(list(range(MAX_LEAVES + 1)))) is None
    f = jit(lambda d: jnp.stack(list(d.values())))
    for _ in range(3):
        assert f(collections.OrderedDict(b=1.0, a=2.0)).tolist() == [1, 2]
        assert f(collections.OrderedDict(a=1.0, b=2.0)).tolist() == [1, 2]
        assert f({"a": 1.0, "b": 2.0}).tolist() == [1, 2]


@tracer.tree_util.register_dataclass
@dataclasses.dataclass
class Named:
    data: object
    name: str = dataclasses.field(default="", metadata={"static": True})


@tracer.tree_util.register_pytree_node_class
@dataclasses.dataclass
class Numbers:
    """A node that is made of numbers alone."""

    both: tuple

    def tree_flatten(self):
        return self.both, None

    @classmethod
    def tree_unflatten(cls, _, both):
        return cls(tuple(x + 0 for x in both))


def test_nodes_of_registered_classes_are_taken_apart():
    given = {"key": random.key(3), "x": Named([1, (2,)], "a")}
    leaves, structure = tree.flatten(given)
    apart = flattener(structure)
    assert len(leaves) == 3 and all(map(operator.is_, apart(given), leaves))
    for other in (Named([1, (2,)], "b"), Named([1, [2]], "a"), Named([1], "a"), [1, (2,)]):
        assert apart({**given, "x": other}) is None
    assert flattener(tree.structure(Numbers((1, 2)))) is None


def test_a_function_of_keys_is_called_the_short_way(monkeypatch):
    f = jit(lambda key, x: random.normal(key, (3,)) + x)
    want = [f(random.key(n), 1.0).tolist() for n in range(3)]
    monkeypatch.setattr(f, "_entry", None)
    assert [f(random.key(n), 1.0).tolist() for n in range(3)] == want


def test_the_order_of_a_dict_is_that_of_its_keys():
    f = jit(lambda d: jnp.stack(list(d["x"].values())))
    for _ in range(3):
        assert f({"x": {"b": 1.0, "a": 2.0}}).tolist() == [2, 1]
        assert f({"x": {"a": 1.0, "b": 2.0}}).tolist() == [1, 2]
    assert f._entries.keys() == {f._last.signature}
    seen = []
    jit(lambda p: seen.append((list(p.x), [list(v) for v in p.y])))(
        Point({"b": 1.0, "a": 2.0}, [{1: 2.0, 0: 1.0}])
    )
    assert seen == [(["a", "b"], [[0, 1]])]


def test_a_leaf_that_becomes_a_tree_is_another_signature():
    f = jit(lambda x: tree.map(lambda v: v * 2, x))
    for _ in range(3):
        assert float(f(3.0)) == 6
        assert [float(v) for v in f([3.0, 4.0])] == [6, 8]
        assert f({"a": 1.0})["a"].tolist() == 2
    with pytest.raises(TypeError, match="Error interpreting argument"):
        f("text")


def test_statics_and_types_decide_on_the_short_way_too():
    f = jit(lambda x, n: x * n, static_argnames="n")
    for _ in range(3):
        assert f(2.0, n=2).tolist() == 4
        assert f(2.0, n=3).tolist() == 6
        assert f(2, n=3).dtype == np.int32
        assert f(np.ones(2, np.float32), n=3).tolist() == [3, 3]
        assert f(jnp.ones(2), 3).tolist() == [3, 3]


def test_a_repeated_call_runs_little_python():
    state = {f"layer{i}": {"w": jnp.ones(2), "b": jnp.ones(2)} for i in range(50)}
    step = jit(lambda s, x: (tree.map(lambda v: v + x, s), x), donate_argnums=0)
    for _ in range(3):
        state, _ = step(state, 1.0)
    step.executable.run = lambda inputs: list(inputs[:100])
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        step(state, 1.0)
    finally:
        sys.setprofile(None)
    assert calls <= 100 + 60, f"{calls} calls of Python functions for 100 results"


def test_repeated_calls_leave_nothing_behind():
    state = {f"layer{i}": {"w": jnp.ones(3), "b": jnp.ones(2)} for i in range(20)}
    step = jit(lambda s, x: tree.map(lambda v: v + x, s), donate_argnums=0)
    for _ in range(20):
        state = step(state, 1.0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            state = step(state, 1.0)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 16_000, f"{grown} bytes in 300 calls"
    assert len(step._entries) == 1
    assert float(state["layer0"]["w"][0]) == 321
