"""The lines that random programs consist of: one small function for each family.

Invariant: a step returns an expression that is valid for the values it picked, or None where no
value fits; it never relies on another step. Results are tame: no division by zero, no overflow.
"""

from __future__ import annotations

from collections.abc import Callable

from ir import Aval, bool_, f32, i32, u32
from tracer.writing import Places

from .writer import DEEPEST, Writer

Step = Callable[[Writer], str | None]


def is_float(a: Aval) -> bool:
    return a.dtype is f32


def ranked(low: int, kind: object = f32, high: int = 9) -> Callable[[Aval], bool]:
    """Types of `low` to `high` axes without empty ones."""
    return lambda a: a.dtype is kind and low <= a.ndim <= high and a.size > 0


def _type(w: Writer, name: str) -> Aval:
    return w.values[name]


def _axis(w: Writer, name: str) -> int:
    n = _type(w, name).ndim
    return w.integer(-n, n - 1)


def _fits(x: Aval, y: Aval) -> bool:
    """Whether two shapes broadcast to one of theirs."""
    pairs = zip(reversed(x.shape), reversed(y.shape), strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs)


# --- elementwise ----------------------------------------------------------------------------------

SMOOTH_UNARY = (
    "jnp.sin({})", "jnp.cos({})", "jnp.tanh({})", "-{}", "jnp.exp(-{0} * {0})", "nn.sigmoid({})",
    "jnp.sqrt({0} * {0} + 1)", "jnp.log1p({0} * {0})", "nn.silu({})", "nn.gelu({})",
    "jnp.arctan({})", "nn.softplus({})", "lax.rsqrt({0} * {0} + 0.5)", "jnp.tanh({0} ** 3)",
    "jnp.abs({})", "nn.relu({})", "jnp.clip({}, -0.5, 0.75)", "jnp.expm1(jnp.tanh({}))",
    "1 / (1 + {0} * {0})", "jnp.square(jnp.sin({}))", "nn.leaky_relu({})", "lax.erf({})",
)  # fmt: skip
STEPPED_UNARY = (
    "jnp.floor({})", "jnp.round({})", "jnp.sign({})", "lax.stop_gradient({})", "jnp.trunc({})",
    "jnp.ceil({})", "jnp.where(jnp.isfinite({0}), {0}, 0)",
)  # fmt: skip


def unary(w: Writer) -> str | None:
    forms = SMOOTH_UNARY if w.smooth else SMOOTH_UNARY + STEPPED_UNARY
    x = w.pick()
    return x and w.choose(forms).format(x)


BINARY = (
    "jnp.tanh({0} + {1})", "jnp.tanh({0} - {1})", "jnp.tanh({0} * {1})", "jnp.maximum({0}, {1})",
    "jnp.minimum({0}, {1})", "jnp.tanh({0} / ({1} * {1} + 0.5))", "jnp.where({0} < {1}, {0}, {1})",
    "jnp.arctan2({0}, {1} * {1} + 1)", "jnp.logaddexp({0}, {1})", "jnp.hypot({0}, {1} + 2)",
)  # fmt: skip


def binary(w: Writer) -> str | None:
    x = w.pick()
    if x is None:
        return None
    y = w.pick(lambda a: is_float(a) and _fits(a, _type(w, x)))
    y = w.choose((y, "0.5", "1.0", "-1.0", "0.0", "2.0"))
    return w.choose(BINARY).format(x, y)


MIXED = (
    "jnp.tanh({0} + {1})", "jnp.tanh({0} * {1})", "jnp.where({0} > {1}, {0}, {1}) * 0.125",
    "jnp.tanh({1} - {0})", "jnp.minimum({0}, {1}) / 4", "jnp.maximum({0}, {1}) > 0.5",
    "jnp.tanh({0} / ({1} * {1} + 1))", "jnp.stack([{0} * 0 + {1} % 3, {1} % 3 + {0} * 0])",
)  # fmt: skip


def mixed(w: Writer) -> str | None:
    """Operands of two dtypes, converted as the rules of promotion say."""
    x = w.pick(lambda a: a.dtype in (f32, i32, bool_))
    y = x and w.pick(lambda a: a.dtype is i32 and _fits(a, _type(w, x)))
    return y and w.choose(MIXED).format(x, y)


INTEGER = (
    "({0} * 3 - {1}) % 7", "{0} // 3 + {1} % 5", "jnp.maximum({0}, {1}) & 15", "{0} ^ {1} & 7",
    "jnp.minimum({0} + {1}, 9) | 1", "-{0} % 11", "jnp.abs({0} - {1}) % 17", "jnp.sign({0})",
    "jnp.where({0} > {1}, {0}, 2) % 13", "jnp.clip({0}, 0, 3)", "lax.rem({0}, 4)",
)  # fmt: skip


def integer(w: Writer) -> str | None:
    x = w.pick(lambda a: a.dtype is i32)
    if x is None:
        return None
    y = w.pick(lambda a: a.dtype is i32 and _fits(a, _type(w, x)))
    return w.choose(INTEGER).format(x, y)


WORDS = (
    "{0} * 1664525 + 1013904223", "{0} ^ {0} >> 16", "{0} << 5 | {0} >> 27", "~{0}", "{0} // 3",
    "{0} % 1000", "jnp.where({0} > 2147483648, {0}, 7)", "{0} - 1", "jnp.maximum({0}, 17)",
)  # fmt: skip


def words(w: Writer) -> str | None:
    x = w.pick(lambda a: a.dtype is u32)
    return x and w.choose(WORDS).format(x)


def compare(w: Writer) -> str | None:
    x = w.pick()
    if x is None:
        return None
    y = w.choose((w.pick(lambda a: is_float(a) and _fits(a, _type(w, x))), "0.25"))
    return f"{x} {w.choose(('<', '<=', '>', '!='))} {y}"


def boolean(w: Writer) -> str | None:
    x = w.pick(lambda a: a.dtype is bool_)
    if x is None:
        return None
    y = w.pick(lambda a: a.dtype is bool_ and _fits(a, _type(w, x)))
    return w.choose(("{0} & {1}", "{0} | ~{1}", "{0} ^ {1}", "jnp.logical_not({0})")).format(x, y)


def where(w: Writer) -> str | None:
    c = w.pick(lambda a: a.dtype is bool_)
    x = c and w.pick(lambda a: is_float(a) and _fits(a, _type(w, c)))
    return x and f"jnp.where({c}, {x}, {w.choose((0.5, f'jnp.sin({x})', 0.0))})"


CONVERSIONS = {
    f32: ("{0} != 0", "jnp.clip({0} * 4, -99, 99).astype('int32')",
          "(jnp.abs(jnp.clip({0}, -3, 3)) * 1000).astype('uint32')"),
    u32: ("({0} >> 8).astype('float32') * 2.0**-24", "{0}.astype('int32') % 9",
          "lax.bitcast_convert_type({0} >> 9 | 1065353216, 'float32') - 1"),
    i32: ("jnp.sin({0}.astype('float32'))", "{0} != 0", "{0}.astype('uint32')",
          "jnp.tanh({0} * 0.125)", "({0} % 5) / 4"),
    bool_: ("{0}.astype('float32')", "{0}.astype('int32')"),
}  # fmt: skip


def convert(w: Writer) -> str | None:
    """Between all dtypes; integers of any size become small floats."""
    x = w.pick(lambda a: True)
    return w.choose(CONVERSIONS[_type(w, x).dtype]).format(x)


# --- views ----------------------------------------------------------------------------------------


def slices(w: Writer) -> str | None:
    x = w.pick(lambda a: a.ndim > 0 and a.size > 0)
    if x is None:
        return None
    parts = []
    for n in _type(w, x).shape[: w.integer(1, _type(w, x).ndim)]:
        whole = (":", "::-1", f"{w.integer(0, n - 1)}:", f":{w.integer(1, n)}", "::2")
        parts.append(w.choose((*whole, "-1", str(w.integer(0, n - 1)), "None, :", "-3:3:2")))
    return f"{x}[{', '.join(parts)}]"


SHAPED = (
    "{0}.reshape(-1)", "jnp.transpose({0})", "jnp.expand_dims({0}, 0)", "jnp.flip({0})",
    "jnp.broadcast_to({0}, (2, *{0}.shape))", "jnp.stack([{0}, {0}])", "{0}[..., None]",
)  # fmt: skip
AXIS_SHAPED = (
    "jnp.concatenate([{0}, {0}], {1})", "jnp.roll({0}, 1, {1})", "jnp.repeat({0}, 2, {1})",
    "jnp.moveaxis({0}, {1}, 0)", "jnp.pad({0}, 1)", "jnp.flip({0}, {1})",
    "jnp.swapaxes({0}, {1}, -1)",
    "jnp.concatenate([{0}[:1], {0}], 0)", "jnp.tile({0}, 2)", "jnp.stack([{0}, {0}], {1})",
)  # fmt: skip


def shaped(w: Writer) -> str | None:
    x = w.pick(lambda a: True)
    if _type(w, x).ndim and w.flag():
        return w.choose(AXIS_SHAPED).format(x, _axis(w, x))
    return w.choose(SHAPED).format(x)


# --- reductions, products -------------------------------------------------------------------------

REDUCTIONS = (
    "jnp.tanh(jnp.sum({0}, {1}))", "jnp.mean({0}, {1})", "jnp.max({0}, {1})", "jnp.min({0}, {1})",
    "jnp.prod(jnp.tanh({0}), {1})", "jnp.var({0}, {1})", "nn.logsumexp({0}, {1})",
    "jnp.mean({0}, {1}, keepdims=True)", "jnp.sqrt(jnp.sum({0} * {0}, {1}) + 1)",
)  # fmt: skip
SCANS = (
    "jnp.tanh(jnp.cumsum({0}, {1}))", "nn.softmax({0}, {1})", "nn.log_softmax({0}, {1})",
    "jnp.sort({0}, {1})", "lax.cummax({0}, {1} % {0}.ndim)", "jnp.diff({0}, axis={1})",
)  # fmt: skip


def reduction(w: Writer) -> str | None:
    x = w.pick(lambda a: is_float(a) and a.size > 0)
    if x is None:
        return None
    n = _type(w, x).ndim
    axes = [None] if not n else [None, _axis(w, x), (0,), tuple(range(n)), (n - 1,)]
    if n and w.flag():
        return w.choose(SCANS).format(x, _axis(w, x))
    return w.choose(REDUCTIONS).format(x, w.choose(axes))


COUNTS = ("jnp.argmax({0}, {1})", "jnp.argmin({0}, {1})", "jnp.argsort({0}, {1})")
KEPT = ("jnp.sum({0}, {1})", "jnp.max({0}, {1})", "jnp.cumsum({0}, {1})", "jnp.sort({0}, {1})")


def count(w: Writer) -> str | None:
    x = w.pick(lambda a: a.ndim > 0 and a.size > 0)
    if x is None:
        return None
    forms = {f32: COUNTS, bool_: ("jnp.any({0}, {1})", "jnp.all({0}, {1})", "jnp.sum({0}, {1})")}
    return w.choose(forms.get(_type(w, x).dtype, KEPT)).format(x, _axis(w, x))


def product(w: Writer) -> str | None:
    x = w.pick(ranked(1, high=3))
    if x is None:
        return None
    a = _type(w, x)
    last = a.shape[-1]
    y = w.pick(
        lambda b: is_float(b) and b.ndim in (1, 2) and b.size and b.shape[-min(b.ndim, 2)] == last
    )
    forms = ["jnp.einsum('...i,...i->...', {0}, {0}) * 0.25"]
    forms += ["({0} @ {1}) * 0.25"] if y else []
    if a.ndim > 1:
        forms += [
            "({0} @ jnp.swapaxes({0}, -1, -2)) * 0.25",
            "jnp.tensordot({0}, {0}, ((0,), (0,))) * 0.1",
        ]
        forms += ["jnp.einsum('...ij,...kj->...ki', {0}, jnp.sin({0})) * 0.25"]
    else:
        forms += [
            "jnp.outer({0}, {0})",
            "jnp.dot({0}, {0}) * 0.25",
            "jnp.convolve({0}, {0}) * 0.25",
        ]
    return w.choose(forms).format(x, y)


def layer(w: Writer) -> str | None:
    """Functions of neural networks over the last axis."""
    x = w.pick(ranked(1))
    if x is None:
        return None
    ones = f"jnp.full({_type(w, x).shape[-1:]}, 0.5)"
    return w.choose(
        (f"nn.rms_norm({x}, {ones}, 1e-3)", f"nn.layer_norm({x}, {ones}, {ones}, 1e-2)",
         f"nn.softmax({x})", f"nn.log_softmax({x})", f"nn.one_hot(jnp.argmax({x}, -1), 3)")
    )  # fmt: skip


# --- indexing -------------------------------------------------------------------------------------


def gather(w: Writer) -> str | None:
    x = w.pick(lambda a: is_float(a) and a.ndim > 0 and a.size > 0)
    if x is None:
        return None
    shape = _type(w, x).shape
    forms = [f"lax.dynamic_slice({x}, (1,) * {len(shape)}, {tuple(min(2, n) for n in shape)})"]
    forms += [f"jnp.take_along_axis({x}, jnp.argsort({x}, -1), -1)", f"{x}[jnp.argmax({x}, 0) % 2]"]
    ids = w.pick(lambda a: a.dtype is i32 and a.size <= 8)
    if ids:
        # Out of range a read clamps, and its derivative is dropped, as in JAX: no slope to compare.
        clamped = [f"{x}[{ids}]", f"jnp.take({x}, {ids}, axis=-1, mode='clip')", f"{x}[..., {ids}]"]
        forms += [] if w.smooth else clamped
        forms += [f"{x}[{ids} % {shape[0]}]"]
        if _type(w, ids).size == 1:
            forms += [
                f"lax.dynamic_slice({x}, ({ids}.reshape(()),) * {len(shape)}, {(1,) * len(shape)})"
            ]
    return w.choose(forms)


# Those of JAX's updates that exist.
COMBINES = tuple(m for m in ("add", "multiply", "min", "max") if hasattr(Places, m))


def write(w: Writer) -> str | None:
    x = w.pick(lambda a: is_float(a) and a.ndim > 0 and a.size > 0)
    if x is None:
        return None
    n = _type(w, x).shape[0]
    forms = [
        f"{x}.at[0].set(0.5)",
        f"{x}.at[-1].add({x}[0])",
        f"{x}.at[1:].{w.choose(COMBINES)}(0.5)",
    ]
    forms += [f"{x}.at[::2].set({x}[::2] * 2)", f"{x}.at[..., 0].set(0.125)"]
    forms += [
        f"lax.dynamic_update_slice({x}, jnp.sin({x}[:1]), ({n - 1},) + (0,) * ({x}.ndim - 1))"
    ]
    ids = w.pick(lambda a: a.dtype is i32 and a.ndim == 1 and a.size)
    if ids:
        forms += [f"{x}.at[{ids}].add(0.5)", f"{x}.at[{ids} % {n}].add({x}[{ids} % {n}])"]
        forms += [f"{x}.at[{ids}].set(0.5)", f"{x}.at[{ids}].{w.choose(COMBINES)}(0.5)"]
    return w.choose(forms)


def draw_numbers(w: Writer) -> str | None:
    shape = w.choose(((3,), (2, 3), (4,), ()))
    seed = w.integer(0, 9)
    whole = w.pick(lambda a: a.dtype is i32 and a.ndim == 0)
    key = f"random.fold_in(random.key({seed}), {whole})" if whole else f"random.key({seed})"
    kind = (
        w.choose(("normal", "uniform", "uniform"))
        if w.smooth
        else w.choose(("normal", "uniform", "bits"))
    )
    return f"random.{kind}({key}, {shape})"


# --- functions ------------------------------------------------------------------------------------


def _body(w: Writer, most: int = 3) -> None:
    w.extend(steps(w.smooth, inner=w.depth < DEEPEST), 1, most)


def _float(w: Writer) -> str:
    return w.newest(is_float) or "jnp.full((), 0.5)"


def _calling(wrap: str, ends: str = "{}", smooth: bool = False) -> Step:
    """A function of one float array, transformed and called."""

    def step(w: Writer) -> str | None:
        x = w.pick()
        if x is None:
            return None
        with w.function(smooth, x=_type(w, x)) as f:
            _body(f)
            f.result = ends.format(_float(f))
        return wrap.format(f.name, x)

    return step


inner_jit = _calling("jit({0})({1})")
inner_checkpoint = _calling("checkpoint({0})({1})")
inner_grad = _calling("grad({0})({1})", "jnp.sum(jnp.tanh({}))", smooth=True)
inner_jvp = _calling("jvp({0}, ({1},), (jnp.cos({1}),))[1]", smooth=True)


def inner_vmap(w: Writer) -> str | None:
    x = w.pick(ranked(1))
    if x is None:
        return None
    a, axis = _type(w, x), w.integer(0, _type(w, x).ndim - 1)
    y = w.pick(lambda b: True)
    with w.function(x=Aval(a.shape[:axis] + a.shape[axis + 1 :], a.dtype), y=_type(w, y)) as f:
        _body(f)
        f.result = _float(f)
    return f"vmap({f.name}, ({axis}, None))({x}, {y})"


def inner_map(w: Writer) -> str | None:
    x = w.pick(lambda a: a.ndim > 0 and 0 < a.shape[0] <= 4)
    if x is None:
        return None
    a = _type(w, x)
    with w.function(x=Aval(a.shape[1:], a.dtype)) as f:
        _body(f)
        f.result = f.newest()
    return f"lax.map({f.name}, {x})"


def inner_scan(w: Writer) -> str | None:
    init = w.pick(lambda a: is_float(a) and a.size <= 32)
    xs = w.pick(lambda a: a.ndim > 0 and 0 < a.shape[0] <= 4)
    if init is None or xs is None:
        return None
    a = _type(w, xs)
    with w.function(c=_type(w, init), x=Aval(a.shape[1:], a.dtype)) as f:
        _body(f, 4)
        f.result = f"jnp.tanh({f.like(_type(w, init))}), {f.newest()}"
    reverse = w.choose(("", ", reverse=True"))
    return f"lax.scan({f.name}, {init}, {xs}{reverse})"


def inner_loop(w: Writer) -> str | None:
    x = w.pick(lambda a: is_float(a) and a.size <= 32)
    if x is None:
        return None
    with w.function(x=_type(w, x)) as f:
        _body(f)
        f.result = f"jnp.tanh({f.like(_type(w, x))})"
    forms = ["lax.fori_loop(0, 3, lambda i, x: {0}(x), {1})"]
    forms += ["lax.fori_loop(1, 4, lambda i, x: {0}(x) * jnp.sin(i * 0.5), {1})"]
    if not w.smooth:
        forms += [
            "lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, {0}(s[1])), (0, {1}))[1]"
        ]
    return w.choose(forms).format(f.name, x)


def inner_cond(w: Writer) -> str | None:
    x = w.pick()
    if x is None:
        return None
    p = w.pick(lambda a: a.dtype is bool_ and a.ndim == 0) or f"jnp.sum({x}) > 0.1"
    with w.function(x=_type(w, x)) as f:
        _body(f)
        made = f.result = f.newest(is_float)
    with w.function(x=_type(w, x)) as g:
        _body(g)
        g.result = g.like(f.values[made])
    return f"lax.cond({p}, {f.name}, {g.name}, {x})"


PLAIN = (
    unary, binary, convert, where, slices, shaped, reduction, product, layer, gather, write,
)  # fmt: skip
STEPPED = (integer, mixed, words, compare, boolean, count)
CALLS = (
    inner_jit, inner_checkpoint, inner_vmap, inner_map, inner_scan, inner_loop, inner_cond,
    inner_grad, draw_numbers,
)  # fmt: skip


def steps(smooth: bool, inner: bool = True) -> tuple[Step, ...]:
    """All families; `smooth` ones hide no dependence from derivatives."""
    calls = CALLS if smooth else (*CALLS, inner_jvp)
    return (*PLAIN, *STEPPED, *(calls if inner else ()))


__all__ = ["steps"]
