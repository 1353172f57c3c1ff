"""Walking over arrays: `scan`, `map` and `associative_scan`.

Invariant: a body is traced once, whatever the number of iterations; what it captures becomes a
constant operand of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.build import current

from . import stepwise, tree
from .agreement import operands, parameter, same_carry
from .array import aval_of
from .carries import results, settled
from .errors import located
from .staging import run_now, type_like
from .typed import user_type
from .unrolling import bind_scan


def scan(
    f: Callable,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """(carry, ys) of carry, y = f(carry, x) over the leading axis of xs.

    `xs` is a pytree of arrays of equal leading size, or None with a `length`. The carry keeps its
    structure, shapes and dtypes; Python numbers in it take the dtypes that `f` gives them.
    `unroll` iterations (True: all) become one, whose kernels are fused together. Raises TypeError
    naming the types at odds, ValueError for unequal lengths.
    """
    if not callable(f):
        raise located(TypeError, "lax.scan: f argument should be a callable.")
    if stepwise.stepwise():
        return stepwise.scan(f, init, xs, _length(tree.leaves(xs), length), reverse)
    if current() is None:
        return run_now(lambda: scan(f, init, xs, length, reverse, unroll))
    carry_leaves, carry_tree = operands(init, "scan")
    x_leaves, x_tree = operands(xs, "scan")
    count = _length(x_leaves, length)
    name, trees = parameter(f, 0, "carry"), []

    def body(*flat: Any) -> Any:
        carry = tree.unflatten(carry_tree, flat[: len(carry_leaves)])
        out = f(carry, tree.unflatten(x_tree, flat[len(carry_leaves) :]))
        if not isinstance(out, tuple) or len(out) != 2:
            got = tree.map(lambda x: user_type(aval_of(x)), out)
            raise located(TypeError, f"scan body output must be a pair, got {got}.")
        ys, y_tree = tree.flatten(out[1])
        trees.append(y_tree)
        return [*same_carry("scan body function", name, init, carry_leaves, out[0]), *ys]

    elements = [type_like(x, aval_of(x).shape[1:]) for x in x_leaves]
    traced = settled(body, carry_leaves, elements)
    times = count if unroll is True else int(unroll)
    outs = bind_scan(traced, carry_leaves, x_leaves, count, reverse, times)
    outs = results(outs, traced, carry_leaves)
    carry = tree.unflatten(carry_tree, outs[: len(carry_leaves)])
    return carry, tree.unflatten(trees[0], outs[len(carry_leaves) :])


def _length(xs: Sequence[Any], length: int | None) -> int:
    for x in xs:
        if not aval_of(x).shape:
            text = f"scan got value with no leading axis to scan over: {x}."
            raise located(ValueError, text)
    sizes = sorted({aval_of(x).shape[0] for x in xs})
    if not sizes and length is None:
        raise located(ValueError, "scan got no values to scan over and `length` not provided.")
    if length is not None and sizes not in ([], [length]):
        text = f"scan got `length` argument of {length} which disagrees with leading axis sizes"
        raise located(ValueError, f"{text} {sizes}.")
    if len(sizes) > 1:
        shown = ", ".join(str(aval_of(x).shape[0]) for x in xs)
        raise located(ValueError, f"scan got values with different leading axis sizes: {shown}.")
    return sizes[0] if sizes else int(length)


def map(f: Callable, xs: Any, *, batch_size: int | None = None) -> Any:
    """f of each element along the leading axis of `xs`, one after another, results stacked.

    With `batch_size`, so many elements at a time, by `vmap`.
    """
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    from .batching import vmap
    from .numpy import concatenate

    leaves, structure = operands(xs, "map")
    count = _length(leaves, None)
    whole = count // batch_size * batch_size
    each, parts = vmap(f), []
    if whole:
        rows = [x[:whole].reshape(-1, batch_size, *x.shape[1:]) for x in leaves]
        found = map(each, tree.unflatten(structure, rows))
        parts.append(tree.map(lambda y: y.reshape(-1, *y.shape[2:]), found))
    if whole < count or not parts:
        parts.append(each(tree.unflatten(structure, [x[whole:] for x in leaves])))
    return parts[0] if len(parts) == 1 else tree.map(lambda *ys: concatenate(ys, 0), *parts)


def associative_scan(fn: Callable, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Running combination of `elems` along `axis` by an associative function of two pytrees.

    log2(n) steps, each over the whole array (Hillis and Steele, 1986). Raises ValueError for an
    axis out of bounds and for leaves of unequal sizes along it.
    """
    from .numpy import concatenate, flip, moveaxis

    if not callable(fn):
        raise located(TypeError, "lax.associative_scan: fn argument should be callable.")
    leaves, structure = operands(elems, "associative_scan")
    for x in leaves:
        if not -aval_of(x).ndim <= axis < aval_of(x).ndim:
            text = f"axis {axis} is out of bounds for array of dimension {aval_of(x).ndim}"
            raise located(ValueError, text)
    if len({aval_of(x).shape[axis] for x in leaves}) > 1:
        text = "Array inputs to associative_scan must have the same first dimension. (saw:"
        raise located(ValueError, f"{text} {[aval_of(x).shape for x in leaves]})")
    rows = [moveaxis(x, axis, 0) for x in leaves]
    rows = [flip(x, 0) for x in rows] if reverse else rows
    count = aval_of(rows[0]).shape[0]
    shift = 1
    while shift < count:
        before = tree.unflatten(structure, [x[: count - shift] for x in rows])
        after = tree.unflatten(structure, [x[shift:] for x in rows])
        joined = tree.leaves(fn(before, after))
        rows = [concatenate([x[:shift], j], 0) for x, j in zip(rows, joined, strict=True)]
        shift *= 2
    rows = [flip(x, 0) for x in rows] if reverse else rows
    return tree.unflatten(structure, [moveaxis(x, 0, axis) for x in rows])
