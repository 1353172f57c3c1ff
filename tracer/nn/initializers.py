"""First values of weights: functions of (key, shape, dtype) made from a few settings.

Invariant: the same key gives the numbers that JAX gives, the same bits where they are uniform;
normal ones may differ in the last place. Axes that are neither in, out nor batch axes are the
window of a convolution and count for both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ir.dtypes import f32

from .. import creation, random, shaping
from .. import elementwise as ew
from ..errors import located
from ..operands import astype
from ..promotion import requested
from ..staging import operand

Axes = int | Sequence[int]


class Initializer(Protocol):
    """A function of a key, a shape and a dtype."""

    def __call__(self, key: Any, shape: Any, dtype: Any = f32) -> Any: ...


def zeros(key: Any, shape: Any, dtype: Any = f32) -> Any:
    """Zeros; the key is not used."""
    return creation.zeros(shape, f32 if dtype is None else dtype)


def ones(key: Any, shape: Any, dtype: Any = f32) -> Any:
    """Ones; the key is not used."""
    return creation.ones(shape, f32 if dtype is None else dtype)


def constant(value: Any, dtype: Any = f32) -> Initializer:
    """Every element `value`."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        return creation.full(shape, value, f32 if dtype is None else dtype)

    return init


def _scaled(draw: Callable, factor: Any, dtype: Any) -> Initializer:
    """Samples `draw(key, shape, dtype)` times a number."""

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        kind = f32 if dtype is None else requested(dtype)
        return ew.multiply(draw(key, shape, kind), astype(operand(factor), kind))

    return init


def uniform(scale: Any = 1e-2, dtype: Any = f32) -> Initializer:
    """Evenly spread between 0 and `scale`."""
    return _scaled(random.uniform, scale, dtype)


def normal(stddev: Any = 1e-2, dtype: Any = f32) -> Initializer:
    """Normal, with mean 0."""
    return _scaled(random.normal, stddev, dtype)


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = f32, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """Normal numbers given that they lie between `lower` and `upper`, then scaled."""

    def draw(key: Any, shape: Any, kind: Any) -> Any:
        return random.truncated_normal(key, lower, upper, shape, kind)

    return _scaled(draw, stddev, dtype)


# --- by the numbers of inputs and outputs -----------------------------------------------------


def _size(shape: Sequence[int], axes: Axes) -> int:
    return shape[axes] if isinstance(axes, int) else math.prod(shape[a] for a in axes)


def _fans(shape: Sequence[int], inner: Axes, outer: Axes, batch: Axes) -> tuple[float, float]:
    """(inputs of an output, outputs of an input) of a layer with weights of this shape."""
    if inner == -2 and len(shape) <= 1:
        raise located(
            ValueError,
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor "
            "with default in_axis. Must be at least 2D or specify in_axis explicitly.",
        )
    sizes = [_size(shape, axes) for axes in (inner, outer, batch)]
    window = math.prod(shape) / sizes[0] / sizes[1] / sizes[2]
    return sizes[0] * window, sizes[1] * window


_COUNTS: dict[str, Callable[[float, float], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: (fan_in * fan_out) ** 0.5,
}
_CUT = 0.87962566103423978  # standard deviation of a normal number cut at 2 of its own


def variance_scaling(
    scale: Any, mode: str, distribution: str, in_axis: Axes = -2, out_axis: Axes = -1,
    batch_axis: Axes = (), dtype: Any = f32,
) -> Initializer:  # fmt: skip
    """Mean 0 and variance scale / n, where n counts inputs, outputs or their average.

    `mode` is fan_in, fan_out, fan_avg or fan_geo_avg, `distribution` truncated_normal, normal or
    uniform. Raises ValueError when called with others, or for a shape without these axes.
    """

    def init(key: Any, shape: Any, dtype: Any = dtype) -> Any:
        kind, sizes = f32 if dtype is None else requested(dtype), creation.as_shape(shape)
        fans = _fans(sizes, in_axis, out_axis, batch_axis)
        if mode not in _COUNTS:
            raise located(ValueError, f"invalid mode for variance scaling initializer: {mode}")
        variance = astype(operand(scale / _COUNTS[mode](*fans)), kind)
        if distribution == "normal":
            return ew.multiply(random.normal(key, sizes, kind), ew.sqrt(variance))
        if distribution == "uniform":
            spread = ew.sqrt(ew.multiply(variance, 3))
            return ew.multiply(random.uniform(key, sizes, kind, -1), spread)
        if distribution != "truncated_normal":
            raise located(
                ValueError,
                f"invalid distribution for variance scaling initializer: {distribution}",
            )
        stddev = ew.divide(ew.sqrt(variance), _CUT)
        return ew.multiply(random.truncated_normal(key, -2, 2, sizes, kind), stddev)

    return init


def _named(scale: float, mode: str, distribution: str, doc: str) -> Callable[..., Initializer]:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = f32
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__doc__ = doc
    return make


glorot_uniform = xavier_uniform = _named(
    1.0, "fan_avg", "uniform", "Uniform; inputs and outputs averaged (Glorot and Bengio, 2010)."
)
glorot_normal = xavier_normal = _named(
    1.0, "fan_avg", "truncated_normal", "Truncated normal; inputs and outputs averaged."
)
lecun_uniform = _named(1.0, "fan_in", "uniform", "Uniform with variance 1 / inputs.")
lecun_normal = _named(1.0, "fan_in", "truncated_normal", "Truncated normal, 1 / inputs.")
he_uniform = kaiming_uniform = _named(
    2.0, "fan_in", "uniform", "Uniform with variance 2 / inputs (He et al., 2015)."
)
he_normal = kaiming_normal = _named(
    2.0, "fan_in", "truncated_normal", "Truncated normal, 2 / inputs."
)


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = f32) -> Initializer:
    """Uniform among the matrices with orthonormal columns, or rows where there are fewer.

    The columns lie along `column_axis`, all other axes make a row (Saxe et al., 2014).
    """

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        if len(shape) < 2:
            raise located(ValueError, "orthogonal initializer requires at least a 2D shape")
        if 0 in shape:
            return creation.zeros(shape, dtype)
        columns, others = shape[column_axis], list(shape)
        del others[column_axis]
        made = random.orthogonal(key, math.prod(others), (), dtype, columns)
        made = shaping.moveaxis(shaping.reshape(made, (*others, columns)), -1, column_axis)
        return ew.multiply(made, astype(operand(scale), requested(dtype)))

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = f32) -> Initializer:
    """A convolution kernel [*places, inputs, outputs] that is 0 but in the middle, where it is
    `orthogonal` (Xiao et al., 2018)."""

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Any:
        if len(shape) not in (3, 4, 5):
            raise located(ValueError, "Delta orthogonal initializer requires a 3D, 4D or 5D shape.")
        if shape[-1] < shape[-2]:
            raise located(ValueError, "`fan_in` must be less or equal than `fan_out`.")
        made = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        around = [((n - 1) // 2, n // 2) for n in shape[:-2]]
        full = shaping.expand_dims(made, tuple(range(len(around))))
        return shaping.pad(full, (*around, (0, 0), (0, 0)))

    return init


__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
