"""Pytrees: order, structure, paths, registered classes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from tracer import grad, jit, tree, use_backend
from tracer import numpy as jnp


@pytest.fixture(autouse=True)
def oracle():
    use_backend("oracle")
    yield
    use_backend(None)


class Pair(NamedTuple):
    left: object
    right: object


@dataclass
class State:
    weights: object
    step: object
    name: str = "run"


tree.register_dataclass(State, meta_fields=("name",))
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


def test_paths():
    assert tree.leaves_with_path({"w": [5, 6]}) == [(("w", 0), 5), (("w", 1), 6)]
    named = tree.map_with_path(lambda path, x: f"{tree.keystr(path)}={x}", {"w": [5, 6]})
    assert named == {"w": ["['w'][0]=5", "['w'][1]=6"]}


def test_registered_dataclasses_are_nodes():
    state = State(np.ones(3, np.float32), np.int32(0))
    assert len(tree.leaves(state)) == 2
    step = jit(lambda s: State(s.weights * 2, s.step + 1, s.name))
    new = step(state)
    assert isinstance(new, State) and new.name == "run" and int(new.step) == 1
    assert tree.structure(state) != tree.structure(State(1, 2, "other"))
    found = grad(lambda w: jnp.sum(w["s"].weights ** 2))({"s": State(jnp.ones(2), None)})
    np.testing.assert_allclose(np.asarray(found["s"].weights), [2, 2])


def test_register_dataclass_names_unknown_fields():
    @dataclass
    class Other:
        a: int

    with pytest.raises(TypeError, match="fields of Other are a"):
        tree.register_dataclass(Other, ["a", "b"])
    with pytest.raises(TypeError, match="needs a dataclass"):
        tree.register_dataclass(int)
