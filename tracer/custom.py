"""Functions with derivatives by hand: `custom_vjp` and `custom_jvp`.

Invariant: outside of any trace such a function is simply called. Inside, its graphs become one
equation, so that whatever transformation comes later finds the derivative that was given for it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from ir.build import current
from ir.graph import Aval, Lit

from . import tree
from .array import Tracer, aval_of, type_of
from .errors import located
from .gradients import float0
from .staging import SCALARS, Traced, bind, closing_over, marked, operand, scalar, trace

# Rules often call their function. Each order of derivative needs one more copy of the rules.
ORDERS = 3
_local = threading.local()


def _open_rules() -> dict[_Custom, int]:
    """How many rules of each function are being traced now, one inside the other."""
    if not hasattr(_local, "open"):
        _local.open = {}
    return _local.open


class _Custom:
    """A function whose arguments at `nondiff_argnums` are handed to its rules as they are."""

    def __init__(self, fun: Callable, nondiff_argnums: int | Sequence[int] = ()) -> None:
        update_wrapper(self, fun, updated=())
        self.fun = fun
        given = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self.nondiff = tuple(given)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else partial(self, instance)

    @property
    def label(self) -> str:
        return getattr(self.fun, "__name__", repr(self.fun))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.check_rules()
        args = self._positional(args, kwargs)
        if current() is None:
            return self.fun(*args)
        call = _Call(self, args)
        primal = trace(lambda *xs: self.fun(*call.arguments(xs)), call.types)
        open_rules = _open_rules()
        depth = open_rules.get(self, 0)
        if depth == ORDERS:
            return _emit(call, primal, dict.fromkeys(self.graphs))
        open_rules[self] = depth + 1
        try:
            return _emit(call, primal, self.rules(call, primal))
        finally:
            open_rules[self] = depth

    def _positional(self, args: tuple, kwargs: dict) -> tuple:
        """All arguments in the order of the parameters, defaults included."""
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except ValueError:  # a builtin without a signature
            return args
        bound.apply_defaults()
        if bound.kwargs:
            names = ", ".join(bound.kwargs)
            raise located(TypeError, f"{self.label} has keyword-only parameters ({names}); rules "
                          "take positional ones")  # fmt: skip
        return bound.args


class _Call:
    """One call: `inputs` are the leaves of the arguments that are differentiated."""

    def __init__(self, of: _Custom, args: tuple) -> None:
        self.prim, self.args = of.prim, args
        self.fixed = {i % len(args) for i in of.nondiff} if args else set()
        self.moving = [i for i in range(len(args)) if i not in self.fixed]
        leaves, self.in_tree = tree.flatten(tuple(args[i] for i in self.moving))
        self.inputs = [operand(x, of.label) for x in leaves]
        self.avals = [aval_of(x) for x in self.inputs]
        self.types = [type_of(x) for x in self.inputs]
        self.smooth = [i for i, a in enumerate(self.avals) if a.dtype.is_float]

    @property
    def nondiff(self) -> list:
        return [self.args[i] for i in sorted(self.fixed)]

    def arguments(self, leaves: Sequence[Any]) -> list:
        """All arguments, with these leaves."""
        given = list(self.args)
        parts = tree.unflatten(self.in_tree, leaves)
        for i, part in zip(self.moving, parts, strict=True):
            given[i] = part
        return given


def _emit(call: _Call, primal: Traced, rules: dict[str, Traced | None]) -> Any:
    """The equation for graphs that may close over different values."""
    graphs = {"body": primal, **rules}
    closed = list(dict.fromkeys(v for t in graphs.values() if t for v in t.captured))
    graphs = {name: t and closing_over(t, closed) for name, t in graphs.items()}
    outs = bind(call.prim, *map(Tracer, closed), *call.inputs, **graphs, closed=len(closed))
    outs = [marked(x, weak) for x, weak in zip(outs, primal.weak, strict=True)]
    return tree.unflatten(primal.out_tree, outs)


class custom_vjp(_Custom):
    """A function whose reverse-mode derivative is given by `defvjp`; usable as a decorator.

    Values that the function closes over are not differentiated: pass them as arguments.
    """

    prim, graphs = "custom_vjp", ("fwd", "bwd")
    _fwd: Callable | None = None
    _bwd: Callable | None = None

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """fwd(*args) -> (out, residuals); bwd(*nondiff, residuals, cotangent) -> cotangents.

        `bwd` returns a tuple with an entry for each differentiated argument: of its structure and
        types, or None for zeros.
        """
        self._fwd, self._bwd = fwd, bwd

    def check_rules(self) -> None:
        if self._fwd is None:
            text = f"No VJP defined for custom_vjp function {self.label} using defvjp."
            raise located(AttributeError, text)

    def rules(self, call: _Call, primal: Traced) -> dict[str, Traced]:
        residual_trees = []

        def forward(*xs: Any) -> list:
            out, residuals = self._pair(self._fwd(*call.arguments(xs)))
            _same_tree(f"Custom VJP fwd rule for function {self.label}", out, primal)
            leaves, structure = tree.flatten(residuals)
            residual_trees.append(structure)
            return [*tree.leaves(out), *leaves]

        fwd = trace(forward, call.types)
        outs = primal.graph.out_avals
        _same_types(f"Custom VJP fwd rule for function {self.label}", fwd.graph.out_avals, outs)
        residuals = fwd.graph.out_avals[len(outs) :]

        def backward(*xs: Any) -> list:
            saved = tree.unflatten(residual_trees[0], xs[: len(residuals)])
            ct = tree.unflatten(primal.out_tree, xs[len(residuals) :])
            return self._cotangents(call, self._bwd(*call.nondiff, saved, ct))

        return {"fwd": fwd, "bwd": trace(backward, [*residuals, *outs])}

    def _pair(self, found: Any) -> tuple:
        if not isinstance(found, tuple) or len(found) != 2:
            raise located(
                TypeError,
                f"Custom VJP fwd rule for function {self.label} must produce a pair (list or tuple "
                "of length two) where the first element represents the primal output and the "
                f"second element represents residuals, got {type(found).__name__}",
            )
        return found

    def _cotangents(self, call: _Call, found: Any) -> list:
        """A leaf for each float input. Raises TypeError for other structures and types."""
        args = [call.args[i] for i in call.moving]
        rule = f"Custom VJP bwd rule for function {self.label}"
        if not isinstance(found, (tuple, list)) or len(found) != len(args):
            got = f"{type(found).__name__}" + (
                f" of length {len(found)}" if isinstance(found, (tuple, list)) else ""
            )
            raise located(
                TypeError,
                f"{rule} must produce a tuple with one entry for each of its {len(args)} "
                f"differentiated arguments, got {got}",
            )
        leaves = []
        for i, (ct, arg) in enumerate(zip(found, args, strict=True)):
            leaves += _prefixed(f"{rule}, for argument {i},", ct, arg)
        return [_cotangent(rule, leaves[i], call.avals[i]) for i in call.smooth]


def _prefixed(rule: str, ct: Any, arg: Any) -> list:
    """The leaves of a cotangent; None stands for zeros of a whole subtree."""
    try:
        found = tree.broadcast_prefix(ct, arg)
    except ValueError:
        found = []
    given = [x for x in found if x is not None]
    partial = len(given) < len(found) and len(given) == len(tree.leaves(ct))
    if not partial and tree.structure(ct) != tree.structure(arg):
        raise located(
            TypeError,
            f"{rule} must produce a pytree of structure {tree.structure(arg)}, with None for "
            f"zeros, got {tree.structure(ct)}",
        )
    return found


def _cotangent(rule: str, ct: Any, aval: Aval) -> Any:
    if ct is None:
        return Tracer(Lit(0.0, aval))
    if isinstance(ct, SCALARS) and not isinstance(ct, np.generic):
        ct = scalar(ct, aval.dtype)
    ct = operand(ct, rule)
    if aval_of(ct) != aval:
        raise located(
            TypeError,
            f"{rule} must produce cotangents of the types of the arguments, but one is of type "
            f"{aval_of(ct)}, corresponding to an input of type {aval}",
        )
    return Tracer(ct) if isinstance(ct, Lit) else ct


def _same_tree(rule: str, out: Any, primal: Traced) -> None:
    if tree.structure(out) != primal.out_tree:
        raise located(
            TypeError,
            f"{rule} must produce a primal output of the same container (pytree) structure as the "
            f"function, {primal.out_tree}, got {tree.structure(out)}",
        )


def _same_types(rule: str, found: Sequence[Aval], wanted: Sequence[Aval]) -> None:
    for got, want in zip(found, wanted, strict=False):
        if got != want:
            text = f"{rule} must produce primal outputs of the function's types"
            raise located(TypeError, f"{text}: {want}, got {got}")


# --- by forward rules -----------------------------------------------------------------------------


class custom_jvp(_Custom):
    """A function whose derivative, forward and reverse, is given by `defjvp`; for decorators too.

    The rule must be linear in the tangents; its transpose serves reverse mode. Values that the
    function closes over are not differentiated.
    """

    prim, graphs = "custom_jvp", ("rule",)
    _rule: Callable | None = None

    def defjvp(self, rule: Callable) -> Callable:
        """rule(*nondiff, primals, tangents) -> (out, tangent of out); returns the rule."""
        self._rule = rule
        return rule

    def defjvps(self, *rules: Callable | None) -> None:
        """A rule(tangent, out, *primals) for each argument, None where the derivative is 0."""

        def rule(*args: Any) -> tuple:
            *fixed, primals, tangents = args
            if fixed:
                text = "Can't use ``defjvps`` with ``nondiff_argnums``."
                raise located(TypeError, text)
            out = self(*primals)
            pairs = zip(rules, tangents, strict=True)
            terms = [r(t, out, *primals) for r, t in pairs if r is not None]
            zeros = tree.map(lambda x: operand(x) * 0, out)
            total = tree.map(lambda *xs: sum(xs[1:], xs[0]), *terms) if terms else zeros
            return out, total

        self._rule = rule

    def check_rules(self) -> None:
        if self._rule is None:
            text = f"No JVP defined for custom_jvp function {self.label} using defjvp."
            raise located(AttributeError, text)

    def rules(self, call: _Call, primal: Traced) -> dict[str, Traced]:
        count = len(call.avals)
        tangents = [call.types[i] for i in call.smooth]

        def push(*xs: Any) -> list:
            return self._pushed(call, primal, xs[:count], xs[count:])

        return {"rule": trace(push, [*call.avals, *tangents])}

    def _pushed(self, call: _Call, primal: Traced, xs: Sequence, ts: Sequence) -> list:
        """The results, and tangents of those that are floats."""
        moving = iter(ts)
        along = [
            next(moving) if a.dtype.is_float else np.zeros(a.shape, float0) for a in call.avals
        ]
        primals, tangents = (tree.unflatten(call.in_tree, v) for v in (xs, along))
        found = self._rule(*call.nondiff, primals, tangents)
        name = f"Custom JVP rule for function {self.label}"
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise located(
                TypeError,
                f"{name} must produce a pair (list or tuple of length two) representing primal and "
                f"tangent outputs, got {type(found).__name__}",
            )
        for part in found:
            _same_tree(name, part, primal)
        avals = primal.graph.out_avals
        _same_types(name, [aval_of(operand(x)) for x in tree.leaves(found[0])], avals)
        pairs = zip(tree.leaves(found[1]), avals, strict=True)
        tangents = [_cotangent(name, t, a) for t, a in pairs if a.dtype.is_float]
        return [*tree.leaves(found[0]), *tangents]


__all__ = ["custom_jvp", "custom_vjp"]
