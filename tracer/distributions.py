"""Random numbers by rejection, and those made of other samples.

Invariant: as in `sampling`, the steps and the splits of keys are JAX's, so samples agree up to
rounding. Rejection is a `while_loop`: no derivative with respect to the parameters passes through.
"""

from __future__ import annotations

import operator
from typing import Any

from ir.dtypes import f32, i32

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .batching import vmap
from .contraction import einsum
from .creation import zeros_like
from .errors import located
from .factorizations import cholesky, qr
from .gamma import lgamma
from .linalg import norm
from .loops import while_loop
from .nn.softmax import softmax
from .operands import astype
from .prng import single, split_data
from .promotion import requested
from .reductions import any as any_of
from .reductions import sum as sum_of
from .sampling import exponential, float_dtype, normal, rademacher, sample_shape, shape_of, uniform
from .staging import operand
from .typed import user_type
from .whole import one_program


def _parameters(name: str, shape: Any, dtype: Any, *params: Any) -> tuple[tuple[int, ...], list]:
    """The result's shape, and the parameters as arrays of `dtype` and of that shape."""
    kind = float_dtype(name, dtype)
    ready = [operand(p, name) for p in params]
    sizes = sample_shape(name, shape, *ready)
    return sizes, [shaping.broadcast_to(astype(p, kind), sizes) for p in ready]


# --- gamma ------------------------------------------------------------------------------------


def _gamma(name: str, key: Any, a: Any, shape: Any, dtype: Any, in_log: bool) -> Any:
    sizes, (alpha,) = _parameters(name, shape, dtype, a)
    alpha = shaping.ravel(alpha)
    keys = split_data(single(key, name), aval_of(alpha).shape)
    made = vmap(lambda k, at: _gamma_one(k, at, in_log))(keys, alpha)
    return shaping.reshape(made, sizes)


def _gamma_one(key: Any, alpha: Any, in_log: bool) -> Any:
    """One number by the method of Marsaglia and Tsang (ACM TOMS 26, 2000), or its logarithm.

    Below 1 it is a sample for alpha + 1, times uniform ** (1 / alpha).
    """
    kind, boosted = aval_of(alpha).dtype, alpha < 1.0
    d = ew.where(boosted, alpha + 1.0, alpha) - 1.0 / 3.0
    c = 1.0 / 3.0 / ew.sqrt(d)

    def rejected(state: tuple) -> Any:
        _, square, cube, u = state
        rough = u >= 1.0 - 0.0331 * (square * square)
        return rough & (ew.log(u) >= square * 0.5 + d * (1.0 - cube + ew.log(cube)))

    def again(state: tuple) -> tuple:
        rest, for_x, for_u = _keys(state[0], 3)
        start = for_x, zeros_like(d), zeros_like(d) - 1.0
        _, x, v = while_loop(lambda s: s[2] <= 0.0, draw, start)
        return rest, x * x, v * v * v, uniform(for_u, (), kind)

    def draw(state: tuple) -> tuple:
        rest, mine = _keys(state[0], 2)
        x = normal(mine, (), kind)
        return rest, x, 1.0 + x * c

    rest, for_boost = _keys(key, 2)
    zero = zeros_like(d)
    _, _, cube, _ = while_loop(rejected, again, (rest, zero, zero + 1.0, zero + 2.0))
    if in_log:
        drop = -exponential(for_boost, (), kind)
        return ew.log(d) + ew.log(cube) + ew.where(boosted & (drop != 0.0), drop / alpha, 0.0)
    u = 1.0 - uniform(for_boost, (), kind)
    return d * cube * ew.where(boosted, u ** (1.0 / alpha), 1.0)


def _keys(key: Any, count: int) -> list:
    made = split_data(key, (count,))
    return [made[i] for i in range(count)]


@one_program
def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Numbers of density proportional to x**(a - 1) exp(-x), x >= 0."""
    return _gamma("gamma", key, a, shape, dtype, in_log=False)


@one_program
def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """The logarithms of what `gamma` gives, exact where those are too small for a float."""
    return _gamma("loggamma", key, a, shape, dtype, in_log=True)


@one_program
def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Numbers of density proportional to x**(a - 1) (1 - x)**(b - 1), 0 <= x <= 1."""
    sizes, (a, b) = _parameters("beta", shape, dtype, a, b)
    first, second = _keys(single(key, "beta"), 2)
    x, y = loggamma(first, a, sizes, dtype), loggamma(second, b, sizes, dtype)
    most = ew.maximum(x, y)
    x, y = ew.exp(x - most), ew.exp(y - most)
    return x / (x + y)


@one_program
def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Sums of the squares of `df` standard normal numbers."""
    sizes, (df,) = _parameters("chisquare", shape, dtype, df)
    return 2.0 * ew.exp(loggamma(single(key, "chisquare"), df / 2.0, sizes, dtype))


@one_program
def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Points [*shape, n] of the simplex, of density proportional to prod x_i**(alpha_i - 1)."""
    alpha = astype(alpha, float_dtype("dirichlet", dtype))
    places = aval_of(alpha).shape
    if not places:
        text = "dirichlet requires alpha.ndim >= 1, got alpha.ndim == 0"
        raise located(ValueError, text)
    sizes = shape_of("dirichlet", shape, places[:-1])
    logs = loggamma(single(key, "dirichlet"), alpha, (*sizes, places[-1]), dtype)
    return softmax(logs, -1)


@one_program
def t(key: Any, df: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Numbers of Student's distribution with `df` degrees of freedom."""
    sizes, (df,) = _parameters("t", shape, dtype, df)
    first, second = _keys(single(key, "t"), 2)
    half = df / 2.0
    return normal(first, sizes, dtype) * ew.sqrt(half / gamma(second, half, sizes, dtype))


@one_program
def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Ratios of two `chisquare` numbers, each over its degrees of freedom."""
    sizes, (top, bottom) = _parameters("f", shape, dtype, dfnum, dfden)
    second, first = _keys(single(key, "f"), 2)
    above = chisquare(first, top, sizes, dtype) / top
    return above / (chisquare(second, bottom, sizes, dtype) / bottom)


@one_program
def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers of density proportional to exp(-|x|**p)."""
    sizes = sample_shape("generalized_normal", shape)
    size, sign = _keys(single(key, "generalized_normal"), 2)
    magnitude = gamma(size, 1 / p, sizes, dtype) ** (1 / p)
    return rademacher(sign, sizes, dtype) * magnitude


@one_program
def ball(key: Any, d: Any, p: Any = 2, shape: Any = (), dtype: Any = f32) -> Any:
    """Points [*shape, d], uniform in the unit ball of the Lp norm.

    Barthe, Guedon, Mendelson and Naor, A probabilistic approach to the geometry of the Lp ball.
    """
    sizes = sample_shape("ball", shape)
    first, second = _keys(single(key, "ball"), 2)
    points = generalized_normal(first, p, (*sizes, operator.index(d)), dtype)
    norms = sum_of(ew.abs(points) ** p, -1) + exponential(second, sizes, dtype)
    return points / shaping.expand_dims(norms ** (1 / p), -1)


# --- of one other sample ----------------------------------------------------------------------


@one_program
def lognormal(key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = f32) -> Any:
    """exp of normal numbers of standard deviation `sigma`."""
    sizes, (sigma,) = _parameters("lognormal", shape, dtype, sigma)
    return ew.exp(normal(key, sizes, dtype) * sigma)


@one_program
def maxwell(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Lengths of vectors of three standard normal numbers."""
    return norm(normal(key, (*sample_shape("maxwell", shape), 3), dtype), axis=-1)


@one_program
def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """`maxwell` of either sign, times `scale`, plus `loc`; their shape comes after `shape`."""
    inner, (loc, scale) = _parameters("double_sided_maxwell", None, dtype, loc, scale)
    sizes = (*(sample_shape("double_sided_maxwell", shape) or inner), *inner)
    first, second = _keys(single(key, "double_sided_maxwell"), 2)
    return rademacher(second, sizes, dtype) * maxwell(first, sizes, dtype) * scale + loc


@one_program
def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers with P(x > s) = exp(-(s / scale)**concentration)."""
    u = uniform(key, sample_shape("weibull_min", shape), dtype)
    return (-ew.log1p(-u)) ** (1.0 / concentration) * scale


@one_program
def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Numbers with P(x > s) = s**-b, x >= 1."""
    sizes, (b,) = _parameters("pareto", shape, dtype, b)
    return ew.exp(exponential(key, sizes, dtype) / b)


@one_program
def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Lengths of vectors of two normal numbers of standard deviation `scale`."""
    sizes, (scale,) = _parameters("rayleigh", shape, dtype, scale)
    return scale * ew.sqrt(-2.0 * ew.log(uniform(key, sizes, dtype)))


@one_program
def triangular(
    key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = f32
) -> Any:
    """Numbers whose density rises from `left` to `mode` and falls to `right`, in straight lines."""
    sizes, (left, mode, right) = _parameters("triangular", shape, dtype, left, mode, right)
    u, width = uniform(key, sizes, dtype), right - left
    rising = left + ew.sqrt(u * width * (mode - left))
    falling = right - ew.sqrt((1.0 - u) * width * (right - mode))
    return ew.where(u < (mode - left) / width, rising, falling)


@one_program
def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """When Brownian motion with drift 1 / mean first reaches 1: the inverse Gaussian of scale 1."""
    sizes, (mean,) = _parameters("wald", shape, dtype, mean)
    first, second = _keys(single(key, "wald"), 2)
    y, z = normal(first, sizes, dtype) ** 2, uniform(second, sizes, dtype)
    root = ew.sqrt(4.0 * mean * y + mean**2 * y**2)
    x = mean + mean**2 * y / 2.0 - mean / 2.0 * root
    return ew.where(z <= mean / (mean + x), x, mean**2 / x)


@one_program
def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = i32) -> Any:
    """How many trials of probability `p` it takes until one succeeds."""
    sizes, (p,) = _parameters("geometric", shape, f32, p)
    u = uniform(key, sizes, f32)
    trials = ew.floor(ew.log(ew.where(u == 0.0, 1.0, u)) / ew.log1p(-p)) + 1.0
    return astype(trials, requested(dtype))


# --- counts -----------------------------------------------------------------------------------


@one_program
def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = i32) -> Any:
    """Numbers of events where `lam` are expected; -1 where that is NaN.

    Products of uniform numbers (Knuth) below 10, transformed rejection (Hormann, 1993) above.
    """
    sizes, (lam,) = _parameters("poisson", shape, f32, lam)
    data, few = single(key, "poisson"), ew.isnan(lam) | (lam < 10.0)
    small = _poisson_by_products(data, ew.where(few, lam, 0.0), sizes)
    large = _poisson_by_rejection(data, ew.where(few, 1e5, lam), sizes)
    return astype(ew.where(lam == 0.0, 0, ew.where(few, small, large)), requested(dtype))


def _poisson_by_products(key: Any, lam: Any, sizes: tuple[int, ...]) -> Any:
    def draw(state: tuple) -> tuple:
        rest, mine = _keys(state[1], 2)
        count = ew.where(state[2] > -lam, state[0] + 1, state[0])
        return count, rest, state[2] + ew.log(uniform(mine, sizes))

    start = astype(zeros_like(lam), i32), key, zeros_like(lam)
    return while_loop(lambda s: any_of(s[2] > -lam), draw, start)[0] - 1


def _poisson_by_rejection(key: Any, lam: Any, sizes: tuple[int, ...]) -> Any:
    b = 0.931 + 2.53 * ew.sqrt(lam)
    a = -0.059 + 0.02483 * b
    scale, enough = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2.0)

    def draw(state: tuple) -> tuple:
        rest, for_u, for_v = _keys(state[2], 3)
        u, v = uniform(for_u, sizes) - 0.5, uniform(for_v, sizes)
        us = 0.5 - ew.abs(u)
        k = ew.floor((2.0 * a / us + b) * u + lam + 0.43)
        fits = ew.log(v * scale / (a / (us * us) + b)) <= k * ew.log(lam) - lam - lgamma(k + 1.0)
        out = (k < 0.0) | ((us < 0.013) & (v > us))
        taken = ((us >= 0.07) & (v <= enough)) | (~out & fits)
        return ew.where(taken, k, state[0]), state[1] | taken, rest

    start = zeros_like(lam) - 1.0, lam != lam, key
    return astype(while_loop(lambda s: ~s[1].all(), draw, start)[0], i32)


# --- of matrices ------------------------------------------------------------------------------


@one_program
def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = f32, method: str = "cholesky"
) -> Any:
    """Vectors [*shape, n] of mean [..., n] and covariance [..., n, n], which is factorized.

    The one `method` is "cholesky", which wants a positive definite covariance.
    """
    if method != "cholesky":
        text = f"multivariate_normal has the method 'cholesky', not {method!r}"
        raise located(ValueError, text)
    kind = float_dtype("multivariate_normal", dtype)
    mean, cov = astype(mean, kind), astype(cov, kind)
    places, square = aval_of(mean).shape, aval_of(cov).shape
    if not places or square[-2:] != (places[-1], places[-1]):
        raise located(
            ValueError,
            "multivariate_normal requires mean.shape == (..., n) and cov.shape == (..., n, n), "
            f"got {user_type(aval_of(mean))} and {user_type(aval_of(cov))}",
        )
    sizes = shape_of("multivariate_normal", shape, places[:-1], square[:-2])
    steps = normal(key, (*sizes, places[-1]), dtype)
    return mean + einsum("...ij,...j->...i", cholesky(cov), steps)


@one_program
def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = f32, m: int | None = None) -> Any:
    """Matrices [*shape, n, m] (m = n by default) with orthonormal rows or columns, uniform.

    Mezzadri, How to generate random matrices from the classical compact groups (2007).
    """
    sizes, m = sample_shape("orthogonal", shape), n if m is None else m
    normals = normal(key, (*sizes, max(n, m), min(n, m)), dtype)
    q, r = qr(normals)
    diagonal = shaping.expand_dims(r.diagonal(axis1=-2, axis2=-1), -2)
    signed = q * ew.where(diagonal < 0.0, -1.0, 1.0)
    return shaping.swapaxes(signed, -1, -2) if n < m else signed


__all__ = [
    "ball",
    "beta",
    "chisquare",
    "dirichlet",
    "double_sided_maxwell",
    "f",
    "gamma",
    "generalized_normal",
    "geometric",
    "loggamma",
    "lognormal",
    "maxwell",
    "multivariate_normal",
    "orthogonal",
    "pareto",
    "poisson",
    "rayleigh",
    "t",
    "triangular",
    "wald",
    "weibull_min",
]
