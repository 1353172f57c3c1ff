"""Pytrees."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

import dataclasses
from collections import namedtuple

import numpy as np

from . import floats, program

Pair = namedtuple("Pair", ["left", "right"])


@program()
def leaves_in_order(j):
    tree = {"b": 1, "a": [2, (3, None)], "c": {}}
    return j.tree.leaves(tree), j.tree.structure(tree).num_leaves


@program()
def flatten_and_unflatten(j):
    leaves, structure = j.tree.flatten({"x": (1, 2), "y": [3]})
    return leaves, j.tree.unflatten(structure, [v * 10 for v in leaves])


@program()
def map_of_two_trees(j):
    return j.tree.map(lambda a, b: a + b, {"x": [1, 2], "y": None}, {"x": [10, 20], "y": None})


@program()
def map_with_is_leaf(j):
    pair = lambda t: isinstance(t, tuple)
    return j.tree.map(lambda t: len(t), {"a": (1, 2), "b": (3,)}, is_leaf=pair)


@program()
def reduce_of_a_tree(j):
    tree = [1, {"a": 2}, (3,)]
    return j.tree.reduce(lambda a, b: a + b, tree), j.tree.reduce(lambda a, b: a * b, tree, 2)


@program()
def all_of_a_tree(j):
    return j.tree.all({"a": True, "b": [1, True]}), j.tree.all([True, 0])


@program()
def paths_of_leaves(j):
    tree = {"layer": [{"w": 1}, {"w": 2}], "pair": Pair(3, 4)}
    keystr = j.tree_util.keystr
    return [(keystr(path), leaf) for path, leaf in j.tree.leaves_with_path(tree)]


@program()
def map_with_path(j):
    tree = {"a": 1, "b": [2]}
    keystr = j.tree_util.keystr
    return j.tree.map_with_path(lambda path, v: f"{keystr(path)}={v}", tree)


@program(floats(3))
def named_tuples_pass_through_jit(j, x):
    out = j.jit(lambda p: Pair(p.left * 2, p.left + p.right))(Pair(x, x + 1))
    return out.left, out.right, type(out).__name__


@program(floats(3))
def registered_dataclass(j, x):
    @dataclasses.dataclass
    class State:
        value: object
        scale: float

    j.tree_util.register_dataclass(State, data_fields=["value"], meta_fields=["scale"])
    out = j.jit(lambda s: State(s.value * s.scale, s.scale))(State(x, 3.0))
    return out.value, out.scale


@program(floats(3))
def registered_node_class(j, x):
    @j.tree_util.register_pytree_node_class
    class Box:
        def __init__(self, a):
            self.a = a

        def tree_flatten(self):
            return (self.a,), None

        @classmethod
        def tree_unflatten(cls, aux, children):
            return cls(*children)

    return j.jit(lambda b: Box(b.a + 1))(Box(x)).a, j.grad(lambda b: (b.a**2).sum())(Box(x)).a


@program(floats(3))
def registered_node_by_functions(j, x):
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

    j.tree_util.register_pytree_node(
        Point, lambda p: ((p.x, p.y), None), lambda _, children: Point(*children)
    )
    out = j.vmap(lambda p: Point(p.y, p.x * 2))(Point(x, x + 1))
    return out.x, out.y


@program()
def transpose_of_a_tree(j):
    outer = j.tree.structure([0, 0])
    inner = j.tree.structure({"a": 0, "b": 0})
    return j.tree.transpose(outer, inner, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])


@program()
def structures_compare_equal(j):
    s = j.tree.structure
    return s({"a": 1}) == s({"a": 2}), s({"a": 1}) == s({"b": 1}), s((1,)) == s([1])


@program(floats(2))
def results_keep_their_containers(j, x):
    return j.jit(lambda v: {"list": [v], "tuple": (v, None), "none": None})(x)


@program()
def none_results(j):
    return j.jit(lambda x: (None, x))(1.0)


@program()
def partial_is_a_pytree(j):
    f = j.tree_util.Partial(lambda a, b: a * b, j.numpy.arange(3.0))
    return j.jit(lambda g, x: g(x))(f, 2.0)


@program()
def numpy_leaves_are_arrays(j):
    tree = {"a": np.ones(3, np.float32), "b": np.int32(2), "c": 1.5}
    return j.jit(lambda t: j.tree.map(lambda v: v * 2, t))(tree)


@program()
def ravel_a_tree(j):
    from importlib import import_module

    flatten = import_module(f"{j.__name__}.flatten_util").ravel_pytree
    flat, back = flatten({"a": j.numpy.arange(2.0), "b": j.numpy.ones((2, 2))})
    return flat, back(flat * 2)
