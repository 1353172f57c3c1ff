"""Random well-typed graphs, for properties that must hold of every graph.

Invariant: a graph is a pure function of what hypothesis draws, so a failure shrinks; values stay
of moderate size, since products and exponentials are followed by tanh.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

import ir
from ir import PRIMITIVES, Aval, Var, bool_, emit, f32, i32
from ir.prims.reduce import argmax

SHAPES = ((), (1,), (3,), (2, 3), (3, 1), (0, 2), (2, 1, 3))
LITERALS = (0.0, 1.0, -1.0, 2.0, 0.5)


def op(name: str, *ins, **params):
    """Emit one equation."""
    return emit(PRIMITIVES[name], *ins, **params)


class Pool:
    """The values a graph under construction has so far, and the draws that extend it."""

    def __init__(self, draw: Callable, values: list[Var]) -> None:
        self.draw = draw
        self.values = values

    def pick(self, keep: Callable = lambda v: v.aval.dtype is f32):
        return self.draw(st.sampled_from([v for v in self.values if keep(v)]))

    def like(self, x):
        """A second operand of the same type: another value, or a literal that may fold."""
        same = [v for v in self.values if v.aval == x.aval]
        if x.aval.dtype is f32 and self.draw(st.booleans()):
            return ir.lit(self.draw(st.sampled_from(LITERALS)), f32, x.aval.shape)
        return self.draw(st.sampled_from(same))

    def choose(self, options):
        return self.draw(st.sampled_from(tuple(options)))


def _unary(pool: Pool):
    names = ("neg", "abs", "sin", "cos", "tanh", "logistic", "floor", "sign", "stop_gradient")
    return op(pool.choose(names), pool.pick())


def _binary(pool: Pool):
    x = pool.pick()
    y = op(pool.choose(("add", "sub", "mul", "max", "min", "div")), x, pool.like(x))
    return op("tanh", y)


def _identity(pool: Pool):
    """What simplification should remove."""
    x = pool.pick()
    zero, one = (ir.lit(n, f32, x.aval.shape) for n in (0, 1))
    forms = {
        "add": lambda: op("add", zero, x),
        "sub": lambda: op("sub", x, zero),
        "mul": lambda: op("mul", x, one),
        "div": lambda: op("div", x, one),
        "neg": lambda: op("neg", op("neg", x)),
        "cast": lambda: op("cast", x, dtype=f32),
        "reshape": lambda: op("reshape", x, shape=x.aval.shape),
        "sum": lambda: op("sum", x, axes=()),
        "constant": lambda: op("exp", op("add", one, zero)),
        "broadcast": lambda: op("sum", ir.lit(0.5, f32, (3, *x.aval.shape)), axes=(0,)),
    }
    return forms[pool.choose(forms)]()


def _compare(pool: Pool):
    x = pool.pick()
    return op(pool.choose(("lt", "le", "eq")), x, pool.like(x))


def _select(pool: Pool):
    x = pool.pick()
    y = pool.like(x)
    constant = ir.lit(True, bool_, x.aval.shape)
    return op("select", pool.choose((op("lt", x, y), constant)), x, y)


def _view(pool: Pool):
    x = pool.pick(lambda v: True)
    n, shape = x.aval.ndim, x.aval.shape
    forms = {
        "reshape": lambda: op("reshape", x, shape=(1, *shape)[: n + 1]),
        "flat": lambda: op("reshape", x, shape=(x.aval.size,)),
        "transpose": lambda: op(
            "transpose", x, perm=tuple(pool.choose((range(n), range(n)[::-1])))
        ),
        "broadcast": lambda: op("broadcast", x, shape=(2, *shape), dims=tuple(range(1, n + 1))),
        "rev": lambda: op("rev", x, axes=tuple(range(n))[:1]),
    }
    if n > 1 and shape[0] > 1:
        forms["slice"] = lambda: op(
            "slice", x, start=(1, *(0,) * (n - 1)), limit=shape, stride=(1,) * n
        )
    if n:
        forms["concat"] = lambda: op("concat", x, x, axis=0)
    return forms[pool.choose(forms)]()


def _row(pool: Pool):
    x = pool.pick()
    if not x.aval.ndim or not x.aval.shape[-1]:
        return op("sin", x)
    last = (x.aval.ndim - 1,)
    forms = {
        "sum": lambda: op("tanh", op("sum", x, axes=last)),
        "max": lambda: op("reduce_max", x, axes=last),
        "softmax": lambda: op("softmax", x),
        "rms_norm": lambda: op("rms_norm", x, ir.lit(0.5, f32, x.aval.shape[-1:]), eps=1e-3),
        "argmax": lambda: argmax(x, last[0]),
    }
    return forms[pool.choose(forms)]()


def _convert(pool: Pool):
    x = pool.pick(lambda v: True)
    return op("cast", x, dtype=pool.choose((f32, i32, bool_)))


def _again(pool: Pool):
    """The same equation a second time, for common subexpressions to be found."""
    x = pool.pick()
    return op("add", op("sin", x), op("sin", x))


STEPS = (_unary, _binary, _identity, _compare, _select, _view, _row, _convert, _again)


@st.composite
def graphs(draw, most: int = 12) -> ir.Graph:
    """A graph of one to three f32 inputs, up to `most` steps and one to three results."""
    avals = draw(
        st.lists(st.sampled_from(SHAPES).map(lambda s: Aval(s, f32)), min_size=1, max_size=3)
    )
    with ir.building() as builder:
        pool = Pool(draw, [builder.input(a) for a in avals])
        for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=most)):
            made = step(pool)
            if made.aval.size <= 64:
                pool.values.append(made)
        outs = draw(st.lists(st.sampled_from(pool.values), min_size=1, max_size=3))
        return builder.close(outs)
