"""Every exported name that has a gradient, with a call to differentiate; and those that have none.

Invariant: the names are those that `tracer.numpy`, `numpy.linalg`, `lax` and `nn` export, found by
themselves. A function without an entry is called on one or two arrays of normal numbers, as many as
it requires; what that does not suit gets a line in `CALLS`, or is listed in `WITHOUT` with the
reason why it has no gradient. Lines may name what JAX has and we do not have yet.

In a line `f` is the function, and these are operands:

    x y  normal, [3, 4]        p q  within 0.5 and 2         u  within -0.8 and 0.8
    g    within 1.2 and 3      v w  normal, [4]              m  normal, [4, 5]
    s    normal, [4, 4]        t    normal, [2, 3, 4]        z  normal, [5, 3, 2]
    r    normal, [2, 4, 5]     i    int32 [3] below 4        j  int32 [3, 4] below 4
    c    bool [3, 4]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import GenericAlias, ModuleType

import numpy as np

from tracer import lax, nn
from tracer import numpy as jnp

MODULES: dict[str, ModuleType] = {
    "numpy": jnp, "numpy.linalg": jnp.linalg, "lax": lax, "nn": nn,
}  # fmt: skip

_RNG = np.random.default_rng(7)
OPERANDS: dict[str, np.ndarray] = {
    **{n: _RNG.standard_normal((3, 4)) for n in "xy"},
    **{n: _RNG.uniform(0.5, 2, (3, 4)) for n in "pq"},
    "u": _RNG.uniform(-0.8, 0.8, (3, 4)),
    "g": _RNG.uniform(1.2, 3, (3, 4)),
    **{n: _RNG.standard_normal(4) for n in "vw"},
    "m": _RNG.standard_normal((4, 5)),
    "s": _RNG.standard_normal((4, 4)),
    "t": _RNG.standard_normal((2, 3, 4)),
    "z": _RNG.standard_normal((5, 3, 2)),
    "r": _RNG.standard_normal((2, 4, 5)),
    "i": np.array([2, 0, 3], np.int32),
    "j": _RNG.integers(0, 4, (3, 4)).astype(np.int32),
    "c": _RNG.random((3, 4)) < 0.5,
}

NUMBERS = {  # of the axes of a gather and of a scatter of rows
    "GATHERED": lax.GatherDimensionNumbers((1,), (0,), (0,)),
    "ROWS": lax.ScatterDimensionNumbers((1,), (0,), (0,)),
}

KEPT = OPERANDS["r"][:, None, :, None]
AT = (np.zeros(1, np.int32), np.int32(2))  # where a row starts, and its new token's slot

_NUMPY = """
    append: f(x, y)                       apply_along_axis: f(lambda r: jnp.sum(r * r), 0, x)
    apply_over_axes: f(jnp.sum, x, [0])   arccos: f(u)
    arccosh: f(g)                         arcsin: f(u)
    arctanh: f(u)                         array_split: f(x, 2)
    astype: f(x, 'float32')               average: f(x, weights=p)
    bincount: f(j[0], v, length=4)        block: f([[x, y]])
    broadcast_arrays: f(x, v)             broadcast_to: f(v, (3, 4))
    cbrt: f(p)                            choose: f(j, [x, y], mode="wrap")
    clip: f(x, -0.5, 0.5)                 column_stack: f([x, y])
    compress: f([True, False, True], x, axis=0)
    concatenate: f([x, y])                convolve: f(v, w)
    correlate: f(v, w)                    cross: f(x[:, :3], y[:, :3])
    cumulative_prod: f(x, axis=1)         cumulative_sum: f(x, axis=1)
    delete: f(v, 1)                       diag: f(v)
    diagflat: f(v)                        divide: f(x, p)
    divmod: f(x, p)                       dot: f(x, m)
    dsplit: f(t, 2)                       dstack: f([x, y])
    ediff1d: f(v)                         einsum: f('ij,jk->ik', x, m)
    expand_dims: f(x, 0)                  extract: f(c, x, size=3)
    fill_diagonal: f(s, x[0, 0], inplace=False)
    float_power: f(p, y)                  fmod: f(x, p)
    full: f((2, 3), x[0, 0])              full_like: f(x, y[0, 0])
    frompyfunc: f(lambda a, b: a * b, 2, 1)(x, y)
    permute_dims: f(t, (2, 0, 1))
    geomspace: f(p, q, 4)                 gradient: f(v)
    hsplit: f(x, 2)                       hstack: f([x, y])
    inner: f(x, y)                        insert: f(v, 1, w[0])
    interp: f(u, jnp.array([-1.0, -0.3, 0.4, 1.0]), v)
    kron: f(v, w)                         ldexp: f(x, 2)
    linspace: f(v, w, 5)                  log: f(p)
    log10: f(p)                           log1p: f(p)
    log2: f(p)                            logspace: f(u, u * 0.5, 4)
    matmul: f(x, m)                       matvec: f(x, v)
    meshgrid: f(v, w)                     mod: f(x, p)
    moveaxis: f(t, 0, 1)                  nanpercentile: f(x, 30.0)
    nanquantile: f(x, 0.3)                outer: f(v, w)
    pad: f(x, 1)                          partition: f(x, 2)
    percentile: f(x, 30.0)                piecewise: f(x, [x < 0, x >= 0], [jnp.sin, jnp.cos])
    poly: f(v)                            polydiv: f(w, v[:2])
    polyadd: f(v, w)                      polyder: f(v)
    polyfit: f(v, w, 1)
    polyint: f(v)                         polymul: f(v, w)
    polysub: f(v, w)                      polyval: f(v, x)
    place: f(x, c, v, inplace=False)      fill_diagonal: f(x, v, inplace=False)
    put: f(v, i, w[:3], inplace=False)
    put_along_axis: f(x, j[:, :1], y[:, :1], axis=1, inplace=False)
    power: f(p, y)                        quantile: f(x, 0.3)
    reciprocal: f(p)                      repeat: f(x, 2)
    reshape: f(x, (2, 6))                 resize: f(x, (5,))
    roll: f(x, 1)                         rollaxis: f(t, 1)
    select: f([c, ~c], [x, y])            split: f(x, 3)
    sqrt: f(p)                            squeeze: f(x[None])
    stack: f([x, y])                      swapaxes: f(x, 0, 1)
    take: f(x, i, axis=1)                 take_along_axis: f(x, j, 1)
    tensordot: f(x, m, 1)                 tile: f(x, 2)
    trace: f(s)                           transpose: f(t, (2, 0, 1))
    vander: f(v)                          vecmat: f(v, m)
    vectorize: f(jnp.sin)(x)              vsplit: f(x, 3)
    vstack: f([x, y])                     where: f(c, x, y)
"""
_LINALG = """
    cholesky: f(s @ s.T + jnp.eye(4))     det: f(s)
    eigvalsh: f(s + s.T)                  inv: f(s)
    lstsq: f(s, v)[0]                     matrix_power: f(s, 3)
    multi_dot: f([x, m, m.T])             pinv: f(s)
    slogdet: f(s)                         solve: f(s, v)
    svdvals: f(s)                         qr: f(s)
    eigh: f(s + s.T)[0]                   svd: f(s)[1]
    cond: f(s)                            tensorinv: f(s.reshape(2, 2, 4), ind=2)
    tensorsolve: f(s, v)                  tensordot: f(x, m, axes=1)
"""
_LAX = """
    acos: f(u)                            acosh: f(g)
    asin: f(u)                            associative_scan: f(jnp.multiply, x)
    atanh: f(u)                           batch_matmul: f(t, r)
    broadcast: f(x, (2,))                 broadcast_in_dim: f(x, (2, 3, 4), (1, 2))
    broadcast_to_rank: f(x, 3)            clamp: f(-0.5, x, 0.5)
    collapse: f(t, 0, 2)                  concatenate: f([x, y], 0)
    composite: f(jnp.sin, 'sine')(x)
    cond: f(c[0, 0], jnp.sin, jnp.cos, x) conv: f(t, z, (1,), 'SAME')
    conv_general_dilated: f(t, z, (1,), 'SAME')
    conv_general_dilated_patches: f(t, (2,), (1,), 'VALID')
    conv_transpose: f(t, r, (1,), 'SAME')
    conv_with_general_padding: f(t, z, (1,), [(0, 0)], None, None)
    convert_element_type: f(x, 'float32') div: f(x, p)
    dot_general: f(x, m, (((1,), (0,)), ((), ())))
    dynamic_index_in_dim: f(x, 1)         dynamic_slice: f(x, (1, 1), (2, 2))
    dynamic_slice_in_dim: f(x, 1, 2)      dynamic_update_index_in_dim: f(x, v, 1, 0)
    dynamic_update_slice: f(x, y[:1], (1, 0))
    dynamic_update_slice_in_dim: f(x, y[:1], 1, 0)
    erf_inv: f(u)                         expand_dims: f(x, (0,))
    fori_loop: f(0, 3, lambda n, a: jnp.sin(a) * 2, x)
    index_in_dim: f(x, 1)                 integer_pow: f(x, 3)
    map: f(jnp.sin, x)                    pad: f(x, y[0, 0], ((1, 1, 0), (0, 0, 1)))
    pow: f(p, y)                          reduce: f(x, 0.0, jnp.add, (0,))
    reduce_max: f(x, (0,))                reduce_min: f(x, (0,))
    reduce_precision: f(x, 8, 23)         reduce_prod: f(x, (0,))
    reduce_sum: f(x, (0,))                reduce_window: f(x, 0.0, jnp.add, (2, 2), (1, 1), 'VALID')
    rem: f(x, p)                          rev: f(x, (0,))
    rsqrt: f(p)                           scan: f(lambda a, b: (jnp.sin(a) * b, a * b), v, x)
    select: f(c, x, y)                    select_n: f(c, x, y)
    slice: f(x, (0, 1), (2, 4))           slice_in_dim: f(x, 0, 2)
    sort_key_val: f(x, y)                 split: f(x, (2, 2), 1)
    squeeze: f(x[None], (0,))             switch: f(j[0, 0] % 2, [jnp.sin, jnp.cos], x)
    tile: f(x, (2, 1))                    top_k: f(x, 2)
    optimization_barrier: f(x)            full: f((2, 3), x[0, 0])
    custom_root: f(lambda a: a, x)        full_like: f(x, y[0, 0])
    igamma: f(p, q)                       lgamma: f(p)
    digamma: f(p)                         betainc: f(p, q, u * 0.5 + 0.5)
    index_take: f(x, (i[:2],), (0,))      platform_dependent: f(x, default=jnp.sin)
    transpose: f(x, (1, 0))               polygamma: f(jnp.full_like(p, 2), p)
    zeta: f(g, p)
    gather: f(x, i[:2, None], GATHERED, (1, 4))
    scatter: f(x, jnp.arange(3)[::-1, None], y, ROWS)
    scatter_add: f(x, jnp.arange(3)[::-1, None], y, ROWS)
    scatter_max: f(x, jnp.arange(3)[::-1, None], y, ROWS)
    scatter_min: f(x, jnp.arange(3)[::-1, None], y, ROWS)
    scatter_mul: f(x, jnp.arange(3)[::-1, None], y, ROWS)
    scatter_sub: f(x, jnp.arange(3)[::-1, None], y, ROWS)
"""
_NN = """
    cross_entropy: f(x, i)                layer_norm: f(x, v, w)
    log1mexp: f(p)                        rms_norm: f(x, v)
    linear_cross_entropy: f(x, m, i)
    attention_with_cache: f(m[None, None], r[None, :1, :1], r[None, 1:, :1], KEPT, *AT)
    cached_attention: f(t[None, :1], t[None], -t[None], i[:1] * 0, jnp.int32(2))
    dot_product_attention: f(t[None], -t[None], r[None, :, :3, :4])
    rope: f(t[None], m[:2, :2], m[2:, :2])
"""


def _lines(text: str) -> dict[str, str]:
    """{name: call} of lines with one `name: call`, or two of which the second is at column 38."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        for part in (line[:38], line[38:]) if line[37:38] == " " and ": " in line[38:] else (line,):
            name, _, call = part.partition(": ")
            found[name.strip()] = call.strip()
    return found


CALLS = {
    "numpy": _lines(_NUMPY),
    "numpy.linalg": _lines(_LINALG),
    "lax": _lines(_LAX),
    "nn": _lines(_NN),
}

_TESTS = "its result is true or false, or counts"
_PLACES = "its result is made of positions"
_MAKES = "it makes values from sizes or settings"
_STEPS = "it is constant but for steps, and its gradient is zero"
_BITS = "it works on bits or integers"
_TYPES = "it tells types or shapes"
_STOPS = "it stops gradients"
_HOST = "it needs values on the host"

WITHOUT: dict[str, str] = {
    _TESTS: """
        all allclose any array_equal array_equiv count_nonzero eq equal ge greater greater_equal gt
        is_finite isclose isfinite isin isinf isnan isneginf isposinf le less less_equal
        logical_and logical_not logical_or logical_xor lt ne not_equal signbit matrix_rank
        reduce_and reduce_or histogram histogram2d histogramdd unique unique_all unique_counts
        unique_inverse unique_values intersect1d setdiff1d setxor1d union1d""",
    _PLACES: """
        argmax argmin argpartition argsort argwhere diag_indices diag_indices_from digitize
        flatnonzero indices ix_ lexsort mask_indices nanargmax nanargmin nonzero ravel_multi_index
        searchsorted tril_indices tril_indices_from triu_indices triu_indices_from unravel_index
        mgrid ogrid""",
    _MAKES: """
        arange bartlett blackman broadcasted_iota empty empty_like eye fromfunction hamming hanning
        identity iota kaiser ones ones_like one_hot tri zeros zeros_like histogram_bin_edges""",
    _STEPS: """
        angle ceil fix floor floor_divide heaviside imag nextafter rint round around sign spacing
        trunc""",
    _BITS: """
        bitcast_convert_type bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not
        bitwise_or bitwise_right_shift bitwise_xor clz frexp gcd invert lcm left_shift
        population_count reduce_xor right_shift shift_left shift_right_arithmetic
        shift_right_logical mulhi packbits unpackbits""",
    _TYPES: """
        broadcast_shapes can_cast conv_dimension_numbers dtype einsum_path finfo isdtype isscalar
        issubdtype iterable iscomplex iscomplexobj isreal isrealobj ndim promote_types result_type
        shape size conv_general_permutations conv_shape_tuple conv_general_shape_tuple
        conv_transpose_shape_tuple reduce_window_shape_tuple shape_as_value padtype_to_pads
        get_printoptions set_printoptions printoptions array_repr array_str""",
    _HOST: """
        from_dlpack frombuffer fromfile fromiter fromstring load save savez trim_zeros""",
    _STOPS: "stop_gradient",
    "how often a while loop runs is not known; its forward mode has tests of its own": "while_loop",
    "a collective has a gradient within shard_map alone": """
        all_gather all_to_all axis_index axis_size pmax pmean pmin ppermute psum psum_scatter
        pswapaxes pshuffle pbroadcast pcast with_sharding_constraint""",
}  # fmt: skip
REASONS = {name: why for why, names in WITHOUT.items() for name in names.split()}


@dataclass(frozen=True)
class Entry:
    """A name and the call that is differentiated; `fun` takes the float operands in `names`."""

    path: str
    call: str
    names: tuple[str, ...]
    fun: Callable

    def __str__(self) -> str:
        return self.path

    @property
    def operands(self) -> list[np.ndarray]:
        return [OPERANDS[n] for n in self.names]


@cache
def entries() -> tuple[Entry, ...]:
    """Every exported function that should have a gradient."""
    found = []
    for path, module in MODULES.items():
        for name in sorted(module.__all__):
            function = getattr(module, name)
            if _is_function(function) and reason(name, function) is None:
                found.append(_entry(f"{path}.{name}", function, _call(path, name, function)))
    return tuple(found)


def _is_function(found: object) -> bool:
    return callable(found) and not isinstance(found, (type, np.dtype, GenericAlias))


def reason(name: str, function: Callable) -> str | None:
    """Why a name has no gradient, or None; an alias has the reason of its function."""
    return REASONS.get(name) or REASONS.get(getattr(function, "__name__", ""))


def _call(path: str, name: str, function: Callable) -> str:
    own = CALLS[path]
    for key in (name, getattr(function, "__name__", name)):
        for lines in (own, CALLS["numpy"]):
            if key in lines:
                return lines[key]
    required = sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in inspect.signature(function).parameters.values()
    )
    return f"f({', '.join('xy'[: max(1, required)])})"


def _entry(path: str, function: Callable, call: str) -> Entry:
    code = compile(call, path, "eval")
    used = [n for n in OPERANDS if n in _mentioned(code)]
    names = tuple(n for n in used if OPERANDS[n].dtype.kind == "f")
    fixed = {n: OPERANDS[n] for n in used if n not in names}

    def fun(*given: object) -> object:
        held = {n: jnp.asarray(a) for n, a in fixed.items()}
        named = dict(zip(names, given, strict=True))
        return eval(
            code, {"f": function, "jnp": jnp, "AT": AT, "KEPT": KEPT, **NUMBERS, **held, **named}
        )

    return Entry(path, call, names, fun)


def _mentioned(code: object) -> set[str]:
    """Names that an expression and the lambdas in it read."""
    inner = [c for c in code.co_consts if hasattr(c, "co_names")]
    return set(code.co_names).union(*(_mentioned(c) for c in inner))
