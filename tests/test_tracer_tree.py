"""Pytrees: order, structure, paths, registered classes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from tracer import flatten_util, grad, jit, tree, tree_util
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


class Pair(NamedTuple):
    left: object
    right: object


@dataclass
class State:
    weights: object
    step: object
    name: str = "run"


tree_util.register_dataclass(State, ("weights", "step"), ("name",))
NESTED = {"b": [1, (2, None)], "a": Pair(3, {"x": 4})}


def test_dict_keys_are_sorted_and_none_is_empty():
    assert tree.leaves(NESTED) == [3, 4, 1, 2]
    leaves, structure = tree.flatten(NESTED)
    assert tree.unflatten(structure, leaves) == NESTED
    assert structure == tree.structure(NESTED) and hash(structure) == hash(tree.structure(NESTED))
    assert tree.leaves(None) == []


def test_map_and_reduce():
    assert tree.map(lambda x, y: x + y, NESTED, NESTED) == {
        "b": [2, (4, None)],
        "a": Pair(6, {"x": 8}),
    }
    assert tree.reduce(lambda a, b: a * b, NESTED) == 24
    assert tree.reduce(lambda a, b: a + b, NESTED, 100) == 110
    assert tree.map(len, [(1, 2), (3,)], is_leaf=lambda x: isinstance(x, tuple)) == [2, 1]
    with pytest.raises(ValueError):
        tree.map(lambda x, y: x, [1, 2], [1, 2, 3])


def test_reduce_of_pairs_keeps_the_order():
    assert tree.reduce_associative(lambda a, b: f"({a}{b})", list("abcde")) == "(((ab)(cd))e)"
    assert tree.reduce_associative(max, [], identity=0) == 0
    with pytest.raises(TypeError, match="no identity"):
        tree.reduce_associative(max, [])
    with pytest.raises(TypeError, match="empty"):
        tree.reduce(max, [])


def test_all_broadcast_and_transpose():
    assert tree.all([1, {"a": True}]) and not tree.all([1, [0]]) and tree.all(None)
    assert tree.broadcast({"a": 1, "b": [2]}, {"a": (0, 0), "b": [{"c": 0}]}) == {
        "a": (1, 1),
        "b": [{"c": 2}],
    }
    with pytest.raises(ValueError):
        tree.broadcast({"a": 1}, {"b": 1})
    outer, inner = tree.structure([0, 0]), tree.structure({"a": 0, "b": 0})
    swapped = {"a": [1, 3], "b": [2, 4]}
    for known in (inner, None):
        assert tree.transpose(outer, known, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == swapped
    with pytest.raises(TypeError, match="Mismatch"):
        tree.transpose(outer, inner, [1, 2])


def test_paths():
    keys = tree_util.DictKey("w"), tree_util.SequenceKey(1)
    assert tree.leaves_with_path({"w": [5, 6]})[1] == (keys, 6)
    found, structure = tree.flatten_with_path(NESTED)
    assert [tree_util.keystr(path) for path, _ in found] == [
        "['a'].left",
        "['a'].right['x']",
        "['b'][0]",
        "['b'][1][0]",
    ]
    assert structure == tree.structure(NESTED)
    assert tree_util.keystr(found[1][0], simple=True, separator="/") == "a/right/x"
    named = tree.map_with_path(lambda path, x, y: f"{tree.keystr(path)}={x}{y}", [5, 6], [7, 8])
    assert named == ["[0]=57", "[1]=68"]
    kept = tree.leaves_with_path({"a": (1, 2)}, is_leaf=lambda x: isinstance(x, tuple))
    assert kept == [((tree_util.DictKey("a"),), (1, 2))]


class Box:
    """Registered below, with keys."""

    def __init__(self, inside, label):
        self.inside, self.label = inside, label

    def tree_flatten_with_keys(self):
        return [(tree_util.GetAttrKey("inside"), self.inside)], self.label

    @classmethod
    def tree_unflatten(cls, label, children):
        return cls(*children, label)


class Bare:
    """Registered below, without keys."""

    def __init__(self, *parts):
        self.parts = parts

    def tree_flatten(self):
        return self.parts, None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


tree_util.register_pytree_with_keys_class(Box)
tree_util.register_pytree_node_class(Bare)


def test_registered_classes_are_nodes():
    nested = Box({"a": Bare(1, 2)}, "label")
    paths = [tree_util.keystr(path) for path, _ in tree.leaves_with_path(nested)]
    assert paths == [".inside['a'][<flat index 0>]", ".inside['a'][<flat index 1>]"]
    doubled = tree.map(lambda x: 2 * x, nested)
    assert doubled.label == "label" and doubled.inside["a"].parts == (2, 4)
    assert tree.structure(nested) != tree.structure(Box({"a": Bare(1, 2)}, "other"))
    assert grad(lambda b: jnp.sum(b.parts[0] ** 2))(Bare(jnp.float32(3.0))).parts[0] == 6
    with pytest.raises(ValueError, match="already registered"):
        tree_util.register_pytree_node_class(Bare)


def test_static_classes_have_no_leaves():
    @tree_util.register_static
    class Mode(str):
        pass

    assert tree.leaves(Mode("add")) == []
    run = jit(lambda x, mode: x + 1 if mode == "add" else x - 1)
    assert (run(1.0, Mode("add")), run(1.0, Mode("sub"))) == (2, 0)


def test_partial_is_a_node():
    inner = tree_util.Partial(pow, 2)
    outer = tree_util.Partial(inner, 5)
    assert outer() == 32 and tree.leaves(outer) == [5] and tree.leaves(inner) == [2]
    assert tree.structure(outer) == tree.structure(tree_util.Partial(inner, 6))
    found = jit(lambda f, x: f(x))(tree_util.Partial(lambda a, b: a * b, jnp.arange(3.0)), 2.0)
    np.testing.assert_array_equal(np.asarray(found), [0, 2, 4])


def test_structures_of_children():
    structure = tree.structure(({"a": 1}, [2, 3]))
    assert tree_util.treedef_children(structure) == [
        tree.structure({"a": 0}),
        tree.structure([0, 0]),
    ]
    assert tree_util.treedef_tuple(tree_util.treedef_children(structure)) == structure
    assert tree_util.treedef_is_leaf(tree.structure(1)) and not tree_util.treedef_is_leaf(structure)
    assert tree_util.all_leaves([1, 2.0]) and not tree_util.all_leaves([1, [2]])


def test_ravel_pytree():
    nested = {"a": np.arange(4, dtype=np.float32).reshape(2, 2), "b": np.float32(7)}
    flat, unravel = flatten_util.ravel_pytree(nested)
    np.testing.assert_array_equal(np.asarray(flat), [0, 1, 2, 3, 7])
    back = unravel(flat * 2)
    np.testing.assert_array_equal(np.asarray(back["a"]), nested["a"] * 2)
    assert back["b"].shape == () and back["b"] == 14
    with pytest.raises(ValueError, match="Sum of sizes 5"):
        unravel(jnp.ones(4))
    with pytest.raises(TypeError, match="dtype int32"):
        unravel(jnp.arange(5))
    empty, unravel = flatten_util.ravel_pytree({"a": None})
    assert empty.shape == (0,) and unravel(empty) == {"a": None}


def test_registered_dataclasses_are_nodes():
    state = State(np.ones(3, np.float32), np.int32(0))
    assert len(tree.leaves(state)) == 2
    step = jit(lambda s: State(s.weights * 2, s.step + 1, s.name))
    new = step(state)
    assert isinstance(new, State) and new.name == "run" and int(new.step) == 1
    assert tree.structure(state) != tree.structure(State(1, 2, "other"))
    found = grad(lambda w: jnp.sum(w["s"].weights ** 2))({"s": State(jnp.ones(2), None)})
    np.testing.assert_allclose(np.asarray(found["s"].weights), [2, 2])


def test_fields_made_static_are_structure():
    @tree_util.register_dataclass
    @dataclass
    class Layer:
        weight: object
        name: str = tree.static(default="linear")

    assert tree.leaves(Layer(1)) == [1] and tree.map(str, Layer(1)) == Layer("1")
    assert tree_util.keystr(tree.leaves_with_path(Layer(1))[0][0]) == ".weight"


def test_register_dataclass_names_unknown_fields():
    @dataclass
    class Other:
        a: int

    with pytest.raises(ValueError, match="Unexpected fields"):
        tree_util.register_dataclass(Other, ["a", "b"], [])
    with pytest.raises(ValueError, match="Missing fields"):
        tree_util.register_dataclass(Other, [], [])
    with pytest.raises(ValueError, match="must not overlap"):
        tree_util.register_dataclass(Other, ["a"], ["a"])
    with pytest.raises(TypeError, match="both be specified"):
        tree_util.register_dataclass(Other, ["a"])
    with pytest.raises(TypeError, match="not a dataclass"):
        tree_util.register_dataclass(int)
