"""Random well-typed graphs, for properties that must hold of every graph.

Invariant: a graph is a pure function of what hypothesis draws, so a failure shrinks; values stay
of moderate size, since tanh follows arithmetic, and finite, since nothing divides
by zero.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

import ir
from ir import PRIMITIVES, Aval, Var, bool_, emit, f32, i32
from ir.prims.reduce import argmax

SHAPES = ((), (1,), (3,), (2, 3), (3, 1), (0, 2), (2, 1, 3), (4,), (4, 8), (2, 3, 4))
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
    x, name = pool.pick(), pool.choose(("add", "sub", "mul", "max", "min", "div"))
    y = pool.like(x)
    if name == "div":  # by no zero: devices may assume that infinities do not occur
        y = op("mul", y, y) + 0.5
    return op("tanh", op(name, x, y))


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

    def row(value):
        return ir.lit(value, f32, x.aval.shape[-1:])

    forms = {
        "sum": lambda: op("tanh", op("sum", x, axes=last)),
        "max": lambda: op("reduce_max", x, axes=last),
        "softmax": lambda: op("softmax", x),
        "rms_norm": lambda: op("rms_norm", x, row(0.5), eps=1e-3),
        "argmax": lambda: argmax(x, last[0]),
        "columns": lambda: op("tanh", op("sum", x, axes=(0,))),
        "all": lambda: op("tanh", op("sum", x, axes=tuple(range(x.aval.ndim)))),
        "centred": lambda: op("layer_norm", x, row(1.0), row(0.0), eps=1e-3),
    }
    return forms[pool.choose(forms)]()


def _convert(pool: Pool):
    x = pool.pick(lambda v: True)
    return op("cast", x, dtype=pool.choose((f32, i32, bool_)))


def _again(pool: Pool):
    """The same equation a second time, for common subexpressions to be found."""
    x = pool.pick()
    return op("add", op("sin", x), op("sin", x))


def _product(pool: Pool):
    """A contraction, sometimes with a little arithmetic on an operand and on the result."""
    x = pool.pick()
    if x.aval.ndim > 3:
        return op("sin", x)
    y = pool.like(x)
    letters = "bij"[3 - x.aval.ndim :]
    lead, last = letters[:-1], letters[-1:]
    specs = [f"{letters},{letters}->{lead}", f"{letters},{letters}->{letters}"]
    if x.aval.ndim > 1:
        other = letters.replace("i", "k")
        specs += [f"{letters},{other}->{letters[:-2]}ik", f"{letters},{other}->{letters[:-2]}ki"]
        specs += [f"{letters},{letters.replace('j', 'k')}->{letters[:-2]}{last}k"]
    y = op("sin", y) if pool.choose((True, False)) else y
    z = op("dot", x, y, spec=pool.choose(specs))
    return op("tanh", z * 0.25) if pool.choose((True, False)) else z * 0.1


def _index(pool: Pool):
    x = pool.pick()
    if 0 in x.aval.shape[:1] or not x.aval.ndim:
        return op("sin", x)
    n, rest = x.aval.shape[0], x.aval.shape[1:]
    count = op("iota", shape=(n,), dtype=i32, axis=0)
    ids = op("sub", op("mul", count, ir.lit(2, i32, (n,))), ir.lit(1, i32, (n,)))
    low = tuple(ir.lit(d, i32) for d in range(x.aval.ndim))
    forms = {
        "take": lambda: op("take", x, ids),
        "scatter": lambda: op("scatter", ir.lit(0, f32, (3, *rest)), ids, x, combine="add"),
        "dynamic_slice": lambda: op("dynamic_slice", x, *low, sizes=(1, *rest)),
        "dynamic_update": lambda: op("dynamic_update", x, ir.lit(2, f32, (1, *rest)), *low),
        "pad": lambda: op(
            "pad", x, low=(1, *(0,) * len(rest)), high=(0,) * x.aval.ndim,
            interior=(1,) * x.aval.ndim, value=0.5,
        ),
    }  # fmt: skip
    return forms[pool.choose(forms)]()


STEPS = (
    _unary,
    _binary,
    _identity,
    _compare,
    _select,
    _view,
    _row,
    _convert,
    _again,
    _product,
    _index,
)


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
            if made.aval.size <= 256:
                pool.values.append(made)
        outs = draw(st.lists(st.sampled_from(pool.values), min_size=1, max_size=3))
        return builder.close(outs)
