"""Control flow on the device: scan, loops and branches.

Invariant: a body is traced once, whatever the number of iterations; what it captures becomes a
constant operand of the loop. Both branches of a `cond` are computed and one is selected, because
kernels have no cheaper way to skip work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.build import current
from ir.graph import Aval

from . import stepwise, tree
from .array import Tracer, aval_of
from .errors import located
from .staging import Traced, bind, operand, run_now, trace, visible


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
    structure, shapes and dtypes. `unroll` is accepted and has no effect: an iteration costs no
    host time. Raises TypeError naming the types at odds, ValueError for unequal lengths.
    """
    if stepwise.stepwise():
        return stepwise.scan(f, init, xs, _length(tree.leaves(xs), length), reverse)
    if current() is None:
        return run_now(lambda: scan(f, init, xs, length, reverse))
    carry_leaves, carry_tree = _operands(init, "scan")
    x_leaves, x_tree = _operands(xs, "scan")
    count = _length(x_leaves, length)
    trees = []

    def body(*flat: Any) -> Any:
        carry = tree.unflatten(carry_tree, flat[: len(carry_leaves)])
        out = f(carry, tree.unflatten(x_tree, flat[len(carry_leaves) :]))
        if not isinstance(out, tuple) or len(out) != 2:
            text = "scan body output must be a pair (carry, y), got"
            raise located(TypeError, f"{text} {type(out).__name__}")
        new, new_tree = tree.flatten(out[0])
        ys, y_tree = tree.flatten(out[1])
        _same_carry(carry_leaves, carry_tree, new, new_tree)
        trees.append(y_tree)
        return [*new, *ys]

    elements = [Aval(aval_of(x).shape[1:], aval_of(x).dtype) for x in x_leaves]
    traced = trace(body, [*(aval_of(x) for x in carry_leaves), *elements])
    outs = _bind_scan(traced, carry_leaves, x_leaves, count, reverse)
    carry = tree.unflatten(carry_tree, outs[: len(carry_leaves)])
    return carry, tree.unflatten(trees[0], outs[len(carry_leaves) :])


def _bind_scan(traced: Traced, carry: list, xs: list, count: int, reverse: bool) -> list:
    captured = [Tracer(v) for v in traced.captured]
    return bind(
        "scan", *captured, *carry, *xs, body=traced.graph, consts=len(captured),
        carry=len(carry), length=count, reverse=bool(reverse),
    )  # fmt: skip


def _operands(values: Any, name: str) -> tuple[list, tree.Structure]:
    leaves, structure = tree.flatten(values)
    return [operand(x, name) for x in leaves], structure


def _length(xs: Sequence[Any], length: int | None) -> int:
    for x in xs:
        if not aval_of(x).shape:
            raise located(ValueError, "scan got a scalar to scan over; it needs a leading axis")
    sizes = {aval_of(x).shape[0] for x in xs} | ({int(length)} if length is not None else set())
    if not sizes:
        raise located(ValueError, "scan got no values to scan over and `length` not provided")
    if len(sizes) > 1:
        raise located(
            ValueError, f"scan got values with different leading axis sizes: {sorted(sizes)}"
        )
    return sizes.pop()


def _same_carry(
    old: list, old_tree: Any, new: list, new_tree: Any, what: str = "scan body function"
) -> None:
    text = f"{what} carry input and carry output must have equal types"
    if new_tree != old_tree:
        raise located(TypeError, f"{text}; the structure was {old_tree} and became {new_tree}")
    for before, after in zip(old, new, strict=True):
        if aval_of(before) != aval_of(operand(after)):
            was, now = aval_of(before), aval_of(operand(after))
            raise located(TypeError, f"{text}; got {was} before and {now} after; use .astype")


def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any) -> Any:
    """val = body_fun(val) while cond_fun(val); the number of iterations may depend on data.

    The host reads one flag every few iterations. Not differentiable in reverse mode.
    """
    if stepwise.stepwise():
        return stepwise.while_loop(cond_fun, body_fun, init_val)
    if current() is None:
        return run_now(lambda: while_loop(cond_fun, body_fun, init_val))
    leaves, structure = _operands(init_val, "while_loop")

    def step(*flat: Any) -> Any:
        new, new_tree = tree.flatten(body_fun(tree.unflatten(structure, flat)))
        _same_carry(leaves, structure, new, new_tree, "while_loop body function")
        return [_flag(cond_fun(tree.unflatten(structure, new))), *new]

    traced = trace(step, [aval_of(x) for x in leaves])
    captured = [Tracer(v) for v in traced.captured]
    outs = bind(
        "while_loop", _flag(cond_fun(tree.unflatten(structure, leaves))), *captured, *leaves,
        step=traced.graph, consts=len(captured), carry=len(leaves),
    )  # fmt: skip
    return tree.unflatten(structure, outs)


def _flag(value: Any) -> Any:
    from .operands import astype

    x = operand(value, "while_loop")
    if aval_of(x).shape or aval_of(x).dtype.name != "bool":
        text = f"cond_fun must return a boolean scalar, but got pytree {aval_of(x)}"
        raise located(TypeError, text)
    return astype(x, "bool")


def fori_loop(lower: int, upper: int, body_fun: Callable, init_val: Any) -> Any:
    """x = body_fun(i, x) for i in lower..upper - 1; the bounds are Python ints.

    Differentiable, since the number of iterations is known. Raises TypeError for traced bounds.
    """
    if stepwise.stepwise():
        return stepwise.fori_loop(lower, upper, body_fun, init_val)
    for bound in (lower, upper):
        if isinstance(bound, Tracer):
            raise located(
                TypeError,
                "fori_loop bounds must be Python ints here, got a traced value; "
                "use a fixed upper bound and jnp.where inside the body",
            )
    lower, upper = int(lower), int(upper)

    def step(carry: Any, _: Any) -> Any:
        i, value = carry
        return (i + 1, body_fun(i, value)), None

    from .creation import asarray

    start = asarray(lower, "int32")
    return scan(step, (start, init_val), None, max(0, upper - lower))[0][1]


def map(f: Callable, xs: Any) -> Any:
    """f of each element along the leading axis of `xs`, one after another, results stacked."""
    return scan(lambda _, x: ((), f(x)), (), xs)[1]


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """true_fun(*operands) if `pred` else false_fun(*operands).

    Both are computed and their results selected, so a branch whose derivative is infinite or NaN
    spoils the gradient even where it is not taken. Raises TypeError unless they agree in structure
    and types.
    """
    branches = [false_fun, true_fun]
    if stepwise.stepwise():
        return stepwise.switch(bool(pred), branches, operands)
    return switch(_as_index(pred), branches, *operands)


def _as_index(pred: Any) -> Any:
    from .elementwise import not_equal
    from .operands import astype

    pred = operand(pred, "cond")
    if aval_of(pred).shape:
        raise located(TypeError, f"Pred must be a scalar, got shape {aval_of(pred).shape}")
    return astype(not_equal(astype(pred, "int32"), 0), "int32")


def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """branches[index](*operands), with the index clamped into range."""
    from .elementwise import clip, equal, where

    if not branches:
        raise located(ValueError, "Empty branch sequence: switch needs at least one branch")
    if stepwise.stepwise():
        return stepwise.switch(index, branches, operands)
    given = tree.map(lambda x: visible(operand(x, "switch")), operands)
    results = [tree.flatten(branch(*given)) for branch in branches]
    _same_branches(results)
    index = clip(operand(index, "switch"), 0, len(branches) - 1)
    chosen = list(results[-1][0])
    for i in reversed(range(len(branches) - 1)):
        pairs = zip(results[i][0], chosen, strict=True)
        chosen = [where(equal(index, i), a, b) for a, b in pairs]
    return tree.unflatten(results[0][1], chosen)


def _same_branches(results: list) -> None:
    leaves, structure = results[0]
    for other, other_tree in results[1:]:
        text = "branch outputs must have the same type structure"
        if other_tree != structure:
            raise located(TypeError, f"{text}, got {structure} and {other_tree}")
        for a, b in zip(leaves, other, strict=True):
            if aval_of(operand(a)) != aval_of(operand(b)):
                was, now = aval_of(operand(a)), aval_of(operand(b))
                raise located(TypeError, f"{text}, got {was} and {now}")


def associative_scan(fn: Callable, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Running combination of `elems` along `axis` by an associative function of two pytrees.

    log2(n) steps, each over the whole array (Hillis and Steele, 1986).
    """
    from .numpy import concatenate, flip, moveaxis

    leaves, structure = _operands(elems, "associative_scan")
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
