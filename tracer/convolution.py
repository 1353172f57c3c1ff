"""Convolutions of lax: windows of one array against a kernel that slides over it.

Invariant: layouts and groups become letters of one `conv` equation, so nothing is transposed;
sizes, strides and paddings are checked here, with lax's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ir.prims.convolve import spread_size

from . import shaping, strict
from .array import aval_of
from .conv_layouts import ConvDimensionNumbers, Pairs, conv_dimension_numbers, pads_of
from .errors import located
from .lax_filling import pad
from .lax_products import accumulated
from .operands import astype
from .staging import bind


def conv_general_dilated(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: str | Pairs,
    lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, feature_group_count: int = 1, batch_group_count: int = 1,
    precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """Windows of `lhs` times `rhs`, summed over channels and places in the window.

    `lhs` is spread by `lhs_dilation` and padded, `rhs` spread by `rhs_dilation`; windows start
    `window_strides` apart. With groups, each part of the channels (or of the batch) meets its own
    part of the kernels. Layouts are as of `conv_dimension_numbers`. Raises TypeError, ValueError.
    """
    x, w = strict.arrays("conv_general_dilated", (lhs, rhs))
    for place, v in enumerate((x, w)):
        strict.accept("conv_general_dilated", v, strict.NUMBER, place)
    strict.same_dtypes("conv_general_dilated", (x, w))
    layout = conv_dimension_numbers(aval_of(x).shape, aval_of(w).shape, dimension_numbers)
    groups = (feature_group_count, batch_group_count)
    _check_groups(aval_of(x).shape, aval_of(w).shape, layout, *groups)
    sizes, kernel = (
        [aval_of(v).shape[a] for a in spec[2:]]
        for v, spec in ((x, layout.lhs_spec), (w, layout.rhs_spec))
    )
    count = len(kernel)
    steps = [
        tuple(v) if v is not None else (1,) * count
        for v in (window_strides, lhs_dilation, rhs_dilation)
    ]
    _check_steps(count, *steps)
    strides, x_steps, w_steps = steps
    spans = [list(map(spread_size, v, s)) for v, s in ((sizes, x_steps), (kernel, w_steps))]
    pads = pads_of(padding, *spans, strides)
    params = {
        "strides": strides, "low": tuple(p[0] for p in pads), "high": tuple(p[1] for p in pads),
        "x_steps": x_steps, "w_steps": w_steps,
    }  # fmt: skip
    inner, result = accumulated(aval_of(x).dtype, preferred_element_type)
    x, w = astype(x, inner), astype(w, inner)
    return astype(_grouped(x, w, layout, *groups, params), result)


def _grouped(
    x: Any, w: Any, layout: ConvDimensionNumbers, features: int, batches: int, params: dict
) -> Any:
    """Groups as an axis of their own, in front of the axis that is divided."""
    letters = [_letters(spec, head) for spec, head in zip(layout, ("nc", "oc", "no"), strict=True)]
    space = "".join(chr(ord("p") + i) for i in range(len(params["strides"])))
    groups = max(features, batches)
    if groups > 1:
        divided = ("c" if features > 1 else "n", "o")
        x, w = (
            _divided(v, text.index(c), groups)
            for v, text, c in zip((x, w), letters, divided, strict=False)
        )
        for i, c in enumerate((*divided, "o")):
            letters[i] = letters[i].replace(c, "g" + c)
    spec = f"{letters[0]},{letters[1]}->{letters[2]}"
    out = bind("conv", x, w, spec=spec, spatial=space, **params)
    if groups == 1:
        return out
    at, shape = letters[2].index("g"), aval_of(out).shape
    return shaping.reshape(out, (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]))


def _letters(spec: Sequence[int], head: str) -> str:
    """The einsum term of a layout."""
    found = [""] * len(spec)
    for i, axis in enumerate(spec):
        found[axis] = head[i] if i < 2 else chr(ord("p") + i - 2)
    return "".join(found)


def _divided(x: Any, at: int, groups: int) -> Any:
    shape = aval_of(x).shape
    return shaping.reshape(x, (*shape[:at], groups, shape[at] // groups, *shape[at + 1 :]))


def _check_groups(
    x: Sequence[int], w: Sequence[int], layout: ConvDimensionNumbers, features: int, batches: int
) -> None:
    name = "conv_general_dilated"
    channels, batch = x[layout.lhs_spec[1]], x[layout.lhs_spec[0]]
    out, inner = w[layout.rhs_spec[0]], w[layout.rhs_spec[1]]
    if features < 1 or batches < 1:
        which = "feature" if features < 1 else "batch"
        count = min(features, batches)
        fault = f"{which}_group_count must be a positive integer, got {count}."
    elif features > 1 and batches > 1:
        raise located(
            ValueError,
            "At most one of batch_group_count and feature_group_count may be > 1, got "
            f"batch_group_count={batches} and feature_group_count={features}",
        )
    elif channels % features:
        fault = "feature_group_count must divide lhs feature dimension size, but "
        fault += f"{features} does not divide {channels}."
    elif channels // features != inner:
        fault = "lhs feature dimension size divided by feature_group_count must equal the rhs "
        fault += f"input feature dimension size, but {channels} // {features} != {inner}."
    elif out % features or out % batches:
        which = "feature" if out % features else "batch"
        fault = f"rhs output feature dimension size must be a multiple of {which}_group_count, "
        fault += f"but {out} is not a multiple of {max(features, batches)}."
    elif batch % batches:
        fault = "batch_group_count must divide lhs batch dimension size, but "
        fault += f"{batches} does not divide {batch}."
    else:
        return
    raise located(ValueError, f"{name} {fault}")


def _check_steps(
    count: int, strides: Sequence[int], x_steps: Sequence[int], w_steps: Sequence[int]
) -> None:
    if len(strides) != count:
        raise located(
            ValueError,
            "conv_general_dilated window and window_strides must have the same number of "
            f"dimensions, but got {count} and {len(strides)}",
        )
    for name, steps in (("lhs_dilation", x_steps), ("rhs_dilation", w_steps)):
        if len(steps) != count:
            raise located(
                ValueError, f"conv_general_dilated {name} needs {count} entries, got {steps}"
            )
    if min((*strides, *x_steps, *w_steps), default=1) < 1:
        raise located(
            ValueError,
            "conv_general_dilated strides and dilations must be positive, got "
            f"{strides}, {x_steps} and {w_steps}",
        )


def conv(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: str,
    precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """`conv_general_dilated` with channels first and no dilations."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any, rhs: Any, window_strides: Sequence[int], padding: str | Pairs,
    lhs_dilation: Sequence[int] | None, rhs_dilation: Sequence[int] | None,
    precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """`conv_general_dilated` with channels first."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


CHANNELS_LAST = {
    2: ("NC", "IO", "NC"),
    3: ("NHC", "HIO", "NHC"),
    4: ("NHWC", "HWIO", "NHWC"),
    5: ("NHWDC", "HWDIO", "NHWDC"),
}


def conv_transpose(
    lhs: Any, rhs: Any, strides: Sequence[int], padding: str | Pairs,
    rhs_dilation: Sequence[int] | None = None, dimension_numbers: Any = None,
    transpose_kernel: bool = False, precision: Any = None, preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:  # fmt: skip
    """A convolution of `lhs` spread by `strides`; channels last unless told otherwise.

    A padding with a name, or with `use_consistent_padding` any, is that of the convolution whose
    gradient this is; other widths are of this one. `transpose_kernel` reverses the kernel and
    swaps its channels, which makes it that gradient. Raises TypeError, ValueError.
    """
    x, w = strict.arrays("conv_transpose", (lhs, rhs))
    rank = aval_of(x).ndim
    if dimension_numbers is None and rank not in CHANNELS_LAST:
        raise located(ValueError, f"conv_transpose of {rank} axes needs dimension_numbers")
    numbers = CHANNELS_LAST[rank] if dimension_numbers is None else dimension_numbers
    layout = conv_dimension_numbers(aval_of(x).shape, aval_of(w).shape, numbers)
    space = layout.rhs_spec[2:]
    steps = (1,) * len(space) if rhs_dilation is None else tuple(rhs_dilation)
    pads: Any = padding
    if use_consistent_padding or padding in ("SAME", "VALID"):
        spans = [spread_size(aval_of(w).shape[a], s) for a, s in zip(space, steps, strict=True)]
        each = [padding] * len(space) if isinstance(padding, str) else padding
        pads = [_transposed_pad(*v) for v in zip(spans, strides, each, strict=True)]
    if transpose_kernel:
        w = shaping.swapaxes(shaping.flip(w, space), *layout.rhs_spec[:2])
    return conv_general_dilated(
        x, w, (1,) * len(space), pads, strides, steps, layout,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip


def _transposed_pad(k: int, s: int, padding: str | tuple[int, int]) -> tuple[int, int]:
    """The widths that undo those of a convolution with a kernel of k elements and stride s."""
    if padding == "SAME":
        low = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
        return low, k + s - 2 - low
    if padding == "VALID":
        return k - 1, s - 1 + max(k - s, 0)
    if isinstance(padding, str):
        raise located(ValueError, f"Invalid padding mode: {padding}")
    return k - padding[0] - 1, k - padding[1] - 1


def conv_general_dilated_patches(
    lhs: Any, filter_shape: Sequence[int], window_strides: Sequence[int], padding: str | Pairs,
    lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None, precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """The windows themselves: as many channels as the window has elements, for each channel.

    The result has the layout that `dimension_numbers` gives it, channels ordered by input channel
    and then by place in the window.
    """
    x = strict.array("conv_general_dilated_patches", lhs)
    rank, count = aval_of(x).ndim, len(filter_shape)
    layout = conv_dimension_numbers(aval_of(x).shape, (1,) * rank, dimension_numbers)
    x = shaping.transpose(x, layout.lhs_spec)
    strides, x_steps, w_steps = (
        tuple(v) if v is not None else (1,) * count
        for v in (window_strides, lhs_dilation, rhs_dilation)
    )
    spans = [
        list(map(spread_size, v, s))
        for v, s in ((aval_of(x).shape[2:], x_steps), (filter_shape, w_steps))
    ]
    pads = pads_of(padding, *spans, strides)
    config = [(lo, hi, s - 1) for (lo, hi), s in zip(pads, x_steps, strict=True)]
    x = pad(x, aval_of(x).dtype.np.type(0), [(0, 0, 0), (0, 0, 0), *config])
    found = bind(
        "windows", x, axes=tuple(range(2, rank)), sizes=tuple(filter_shape), strides=strides,
        dilations=w_steps,
    )  # fmt: skip
    places = range(rank, rank + count)
    found = shaping.transpose(found, (0, 1, *places, *range(2, rank)))
    shape = aval_of(found).shape
    channels = prod(shape[1 : 2 + count])
    found = shaping.reshape(found, (shape[0], channels, *shape[2 + count :]))
    back = sorted(range(rank), key=layout.out_spec.__getitem__)
    found = shaping.transpose(found, back)
    return found if preferred_element_type is None else astype(found, preferred_element_type)


__all__ = [
    "conv",
    "conv_general_dilated",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
]
