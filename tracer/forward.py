"""Forward mode: derivatives along tangents.

Invariant: as in `gradients`, the function is traced to a graph, the graph is transformed and the
result inlined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.build import current
from ir.passes.forward import jvp_graph

from . import tree
from .array import aval_of, type_of
from .errors import Origin, check_callable, located
from .gradients import Flat, as_input, float0, or_float0
from .staging import SCALARS, inline_traced, operand, run_now, scalar, trace


def jvp(fun: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """(fun(*primals), its directional derivative along `tangents`), and aux with `has_aux`.

    Tangents have the structure and types of the primals; those of integers are numpy arrays of
    dtype `float0`. Raises TypeError for other structures and dtypes, ValueError for other shapes.
    """
    check_callable(fun)
    for given in (primals, tangents):
        if not isinstance(given, (tuple, list)):
            raise located(
                TypeError,
                "primal and tangent arguments to jax.jvp must be tuples or lists; found "
                f"{type(primals).__name__} and {type(tangents).__name__}.",
            )
    leaves, in_tree = tree.flatten(tuple(primals))
    inputs = [as_input(leaf, "jvp") for leaf in leaves]
    along = _tangents(inputs, in_tree, tangents)
    body = Flat(fun, in_tree, has_aux)

    def run() -> list:
        traced = trace(body, [type_of(x) for x in inputs], origin=Origin(fun, "jvp"))
        first = len(traced.captured)
        wrt = [first + i for i, t in enumerate(along) if t is not None]
        graph = jvp_graph(traced.graph, wrt, body.count)
        return inline_traced(traced, graph, [*inputs, *(t for t in along if t is not None)])

    outs = run_now(run) if current() is None else run()
    found = iter(outs[body.total :])
    pushed = [or_float0(x, found) for x in outs[: body.count]]
    result = body.value(outs), tree.unflatten(body.out_tree, pushed)
    return (*result, body.aux(outs)) if has_aux else result


def _tangents(inputs: list, in_tree: tree.Structure, tangents: Sequence) -> list:
    """A tangent for each input, None for integers."""
    leaves, given = tree.flatten(tuple(tangents))
    if given != in_tree:
        raise located(
            TypeError,
            "primal and tangent arguments to jax.jvp must have the same tree structure; primals "
            f"have tree structure {in_tree} whereas tangents have tree structure {given}.",
        )
    return [_tangent(x, t) for x, t in zip(inputs, leaves, strict=True)]


def _tangent(x: Any, tangent: Any) -> Any:
    aval = aval_of(x)
    empty = getattr(tangent, "dtype", None) == float0
    if isinstance(tangent, SCALARS) and not isinstance(tangent, np.generic) and aval.dtype.is_float:
        tangent = scalar(tangent, aval.dtype)
    elif not empty:
        tangent = operand(tangent, "jvp")
    kind = float0 if empty else aval_of(tangent).dtype.np
    wanted = aval.dtype.np if aval.dtype.is_float else float0
    if kind != wanted:
        raise located(
            TypeError,
            "primal and tangent arguments to jax.jvp do not match; dtypes must be equal, or in "
            "case of int/bool primal dtype the tangent dtype must be float0.Got primal dtype "
            f"{aval.dtype.np} and so expected tangent dtype {_name(wanted)}, but got tangent "
            f"dtype {_name(kind)} instead.",
        )
    shape = tangent.shape if empty else aval_of(tangent).shape
    if shape != aval.shape:
        raise located(
            ValueError,
            "jvp called with different primal and tangent shapes;Got primal shape "
            f"{aval.shape} and tangent shape as {shape}",
        )
    return None if empty else tangent


def _name(kind: np.dtype) -> str:
    return "float0" if kind == float0 else kind.name


__all__ = ["jvp"]
