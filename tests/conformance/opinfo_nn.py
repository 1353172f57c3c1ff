"""torch's indexing operators and neural network functions in terms of the JAX interface.

Invariant: as in `opinfo_map`, which this module adds to.
"""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

import math
from typing import Any

from .opinfo_map import MAP, Unmapped, as_row, axes_of, dims, op

# --- places ---------------------------------------------------------------------------------------


@op("select")
def select(j, x, dim, at):
    return j.numpy.take(x, at, axis=dim)


@op("narrow")
def narrow(j, x, dim, start, length):
    start = int(start) % max(x.shape[dim], 1)
    return j.lax.slice_in_dim(x, start, start + length, axis=dim)


@op("index_select")
def index_select(j, x, dim, index):
    if not x.ndim:
        return j.numpy.take(x[None], index, axis=0).reshape(())
    return j.numpy.take(x, j.numpy.ravel(index), axis=dim)


@op("gather")
def gather(j, x, dim, index):
    if not x.ndim or not index.ndim:
        return j.numpy.ravel(x)[index]
    if index.ndim != x.ndim:
        raise Unmapped("an index without elements")
    lead = [range(n) if i != dim % x.ndim else None for i, n in enumerate(index.shape)]
    part = x[tuple(slice(None) if r is None else slice(0, len(r)) for r in lead)]
    return j.numpy.take_along_axis(part, index, axis=dim)


@op("take")
def take(j, x, index):
    return j.numpy.take(x, index)


@op("take_along_dim")
def take_along_dim(j, x, index, dim=None):
    return j.numpy.take_along_axis(x, index if dim is not None else j.numpy.ravel(index), axis=dim)


@op("__getitem__")
def getitem(j, x, index):
    if isinstance(index, list):
        numbers = all(isinstance(i, int) for i in index)
        index = j.numpy.asarray(index) if numbers else tuple(index)
    if isinstance(index, tuple):  # torch takes lists of numbers as arrays
        index = tuple(j.numpy.asarray(i) if isinstance(i, list) else i for i in index)
    return x[index]


@op("index_put")
def index_put(j, x, indices, values, accumulate=False):
    if any(i.dtype == bool for i in indices):
        raise Unmapped("a mask that depends on values")
    places = x.at[tuple(indices)]
    return places.add(values) if accumulate else places.set(values)


def _moved(x: Any, dim: int) -> tuple:
    return (slice(None),) * (dim % max(x.ndim, 1))


@op("index_add")
def index_add(j, x, dim, index, source, alpha=1):
    if not x.ndim:
        return x + alpha * j.numpy.sum(source)
    return x.at[(*_moved(x, dim), index)].add(alpha * source)


@op("index_copy")
def index_copy(j, x, dim, index, source):
    if not x.ndim:
        return j.numpy.reshape(source, ())
    return x.at[(*_moved(x, dim), index)].set(source)


@op("index_fill")
def index_fill(j, x, dim, index, value):
    if not x.ndim:
        return x * 0 + value
    return x.at[(*_moved(x, dim), index)].set(value)


def _along(j: Any, index: Any, dim: int) -> tuple:
    places = [
        j.numpy.arange(n).reshape([-1 if k == i else 1 for k in range(index.ndim)])
        for i, n in enumerate(index.shape)
    ]
    places[dim] = index
    return tuple(places)


@op("scatter_add")
def scatter_add(j, x, dim, index, source):
    if not x.ndim:
        return x + j.numpy.sum(source)
    source = source[tuple(slice(0, n) for n in index.shape)]
    return x.at[_along(j, index, dim % x.ndim)].add(source)


@op("scatter")
def scatter(j, x, dim, index, source, reduce=None):
    if not x.ndim or not index.ndim:
        raise Unmapped("a scalar")
    if hasattr(source, "shape") and source.ndim:
        source = source[tuple(slice(0, n) for n in index.shape)]
    places = x.at[_along(j, index, dim % x.ndim)]
    return {None: places.set, "add": places.add, "multiply": places.multiply}[reduce](source)


@op("select_scatter")
def select_scatter(j, x, source, dim, index):
    return x.at[(*_moved(x, dim), index)].set(source)


@op("slice_scatter")
def slice_scatter(j, x, source, dim=0, start=None, end=None, step=1):
    return x.at[(*_moved(x, dim), slice(start, end, step))].set(source)


@op("searchsorted")
def searchsorted(j, table, x, out_int32=False, right=False, side=None, sorter=None):
    side = "right" if right or side == "right" else "left"
    if sorter is not None:
        table = j.numpy.take_along_axis(table, sorter, axis=-1)
    find = lambda row, v: j.numpy.searchsorted(row, v, side=side)
    for _ in range(table.ndim - 1):
        find = j.vmap(find)
    return find(table, x)


# --- activations ----------------------------------------------------------------------------------


@op("softmax")
@as_row
def softmax(j, x, dim=None, dtype=None):
    if dtype is not None:
        raise Unmapped("dtype")
    return j.nn.softmax(x, axis=dim)


MAP["nn.functional.softmin"] = lambda j, x, dim=None, dtype=None: softmax(j, -x, dim, dtype)


@op("log_softmax")
@as_row
def log_softmax(j, x, dim=None, dtype=None):
    if dtype is not None:
        raise Unmapped("dtype")
    return j.nn.log_softmax(x, axis=dim)


@op("nn.functional.gelu")
def gelu(j, x, approximate="none"):
    return j.nn.gelu(x, approximate=approximate == "tanh")


@op("nn.functional.elu")
def elu(j, x, alpha=1.0, inplace=False):
    return j.nn.elu(x, alpha)


@op("nn.functional.celu")
def celu(j, x, alpha=1.0, inplace=False):
    return j.nn.celu(x, alpha)


@op("nn.functional.leaky_relu")
def leaky_relu(j, x, slope=0.01, inplace=False):
    return j.nn.leaky_relu(x, slope)


@op("nn.functional.hardtanh")
def hardtanh(j, x, min_val=-1.0, max_val=1.0, inplace=False):
    return j.numpy.clip(x, min_val, max_val)


@op("nn.functional.softplus")
def softplus(j, x, beta=1, threshold=20):
    return j.numpy.where(x * beta > threshold, x, j.nn.softplus(x * beta) / beta)


@op("nn.functional.softshrink")
def softshrink(j, x, lambd=0.5):
    n = j.numpy
    return n.where(x > lambd, x - lambd, n.where(x < -lambd, x + lambd, x * 0))


@op("nn.functional.hardshrink")
def hardshrink(j, x, lambd=0.5):
    return j.numpy.where(j.numpy.abs(x) > lambd, x, 0.0)


@op("nn.functional.tanhshrink")
def tanhshrink(j, x):
    return x - j.numpy.tanh(x)


@op("nn.functional.threshold")
def threshold(j, x, threshold, value, inplace=False):
    return j.numpy.where(x > threshold, x, value)


@op("nn.functional.glu")
def glu(j, x, dim=-1):
    return j.nn.glu(x, axis=dim)


@op("nn.functional.prelu")
def prelu(j, x, weight):
    if weight.size > 1:
        weight = j.numpy.reshape(weight, (1, -1) + (1,) * (x.ndim - 2))
    return j.numpy.where(x > 0, x, x * j.numpy.squeeze(weight) if weight.size == 1 else x * weight)


# --- layers ---------------------------------------------------------------------------------------


@op("nn.functional.linear")
def linear(j, x, w, b=None):
    y = j.numpy.matmul(x, j.numpy.transpose(w))
    return y if b is None else y + b


@op("nn.functional.layer_norm")
def layer_norm(j, x, shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(-len(shape), 0))
    y = j.nn.standardize(x, axis=axes, epsilon=eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@op("nn.functional.rms_norm")
def rms_norm(j, x, shape, weight=None, eps=None):
    axes = tuple(range(-len(shape), 0))
    eps = 1.1920929e-07 if eps is None else eps
    y = x * j.lax.rsqrt(j.numpy.mean(x * x, axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight


@op("nn.functional.group_norm")
def group_norm(j, x, groups, weight=None, bias=None, eps=1e-5):
    if not x.size:
        raise Unmapped("no elements")
    rows = j.numpy.reshape(x, (x.shape[0], groups, -1))
    y = j.numpy.reshape(j.nn.standardize(rows, axis=-1, epsilon=eps), x.shape)
    over = (1, -1) + (1,) * (x.ndim - 2)
    y = y if weight is None else y * j.numpy.reshape(weight, over)
    return y if bias is None else y + j.numpy.reshape(bias, over)


@op("nn.functional.embedding")
def embedding(j, table, ids, padding_idx=None, max_norm=None, norm_type=2.0,
              scale_grad_by_freq=False, sparse=False):  # fmt: skip
    if max_norm is not None or scale_grad_by_freq or padding_idx is not None:
        raise Unmapped("a gradient that is not the derivative")
    return j.numpy.take(table, ids, axis=0)


@op("nn.functional.normalize")
@as_row
def normalize(j, x, p=2.0, dim=1, eps=1e-12):
    norm = j.numpy.linalg.vector_norm(x, ord=p, axis=dims(dim), keepdims=True)
    return x / j.numpy.maximum(norm, eps)


@op("nn.functional.cosine_similarity")
def cosine_similarity(j, a, b, dim=1, eps=1e-8):
    n = j.numpy
    a, b = n.broadcast_arrays(a, b)
    axis = axes_of(a, dim)
    length = lambda x: n.maximum(n.sqrt(n.sum(x * x, axis=axis)), eps)
    return n.sum(a * b, axis=axis) / (length(a) * length(b))


@op("nn.functional.scaled_dot_product_attention")
def attention(j, q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
              enable_gqa=False):  # fmt: skip
    if dropout_p:
        raise Unmapped("dropout")
    if q.ndim != 4:
        raise Unmapped("other than four axes")
    heads = lambda x: j.numpy.swapaxes(x, 1, 2)
    kind = "mask" if attn_mask is not None and attn_mask.dtype == bool else "bias"
    extra = {}
    if attn_mask is not None:
        shape = (*attn_mask.shape[:-2], q.shape[2], k.shape[2])
        full = j.numpy.broadcast_to(attn_mask, shape)
        extra = {kind: j.numpy.reshape(full, (1,) * (4 - full.ndim) + full.shape)}
    if is_causal and q.shape[2] != k.shape[2]:
        raise Unmapped("another alignment of the causal mask")
    out = j.nn.dot_product_attention(
        heads(q), heads(k), heads(v), is_causal=is_causal, scale=scale, **extra
    )
    return heads(out)


def _convolve(j, x, w, bias, stride, padding, dilation, groups):
    n = w.ndim - 2
    each = lambda v: (v,) * n if isinstance(v, int) else tuple(v) * (n if len(v) == 1 else 1)
    pads = padding.upper() if isinstance(padding, str) else [(p, p) for p in each(padding)]
    batched = x if x.ndim == w.ndim else x[None]
    y = j.lax.conv_general_dilated(
        batched, w, each(stride), pads, rhs_dilation=each(dilation), feature_group_count=groups
    )
    y = y if bias is None else y + j.numpy.reshape(bias, (1, -1) + (1,) * n)
    return y if x.ndim == w.ndim else y[0]


@op("nn.functional.conv1d", "nn.functional.conv2d", "nn.functional.conv3d")
def conv(j, x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if padding == "same" and any(n % 2 == 0 for n in w.shape[2:]):
        raise Unmapped("another side for the odd column of padding")
    return _convolve(j, x, w, bias, stride, padding, dilation, groups)


@op("nn.functional.conv_transpose1d", "nn.functional.conv_transpose2d",
    "nn.functional.conv_transpose3d")  # fmt: skip
def conv_transpose(j, x, w, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                   dilation=1):  # fmt: skip
    n = w.ndim - 2
    each = lambda v: (v,) * n if isinstance(v, int) else tuple(v) * (n if len(v) == 1 else 1)
    pads = [
        (d * (k - 1) - p, d * (k - 1) - p + more)
        for k, d, p, more in zip(
            w.shape[2:], each(dilation), each(padding), each(output_padding), strict=True
        )
    ]
    batched = x if x.ndim == w.ndim else x[None]
    # torch has the kernels as [in, out / groups, ...]; a convolution takes [out, in / groups, ...].
    parts = j.numpy.reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    kernel = j.numpy.reshape(j.numpy.swapaxes(parts, 1, 2), (-1, parts.shape[1], *w.shape[2:]))
    y = j.lax.conv_general_dilated(
        batched, j.numpy.flip(kernel, tuple(range(2, w.ndim))), (1,) * n, pads, each(stride),
        each(dilation), feature_group_count=groups,
    )  # fmt: skip
    y = y if bias is None else y + j.numpy.reshape(bias, (1, -1) + (1,) * n)
    return y if x.ndim == w.ndim else y[0]


def _pool_lists(x, n, kernel, stride, padding, dilation, ceil):
    """Window, strides, paddings, dilations over all axes, the last n of them pooled."""
    each = lambda v: (v,) * n if isinstance(v, int) else tuple(v) * (n if len(v) == 1 else 1)
    k, p, d = each(kernel), each(padding), each(dilation)
    s = k if stride is None or stride == () or stride == [] else each(stride)
    pads, lead = [], x.ndim - n
    for size, kk, ss, pp, dd in zip(x.shape[lead:], k, s, p, d, strict=True):
        span = size + 2 * pp - dd * (kk - 1) - 1
        count = (-(-span // ss) if ceil else span // ss) + 1
        if ceil and (count - 1) * ss >= size + pp:  # a window starts inside of the input
            count -= 1
        pads.append((pp, max((count - 1) * ss + dd * (kk - 1) + 1 - size - pp, 0)))
    one = (1,) * lead
    return one + k, one + s, [(0, 0)] * lead + pads, one + d


def _max_pool(n):
    def pool(j, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
             return_indices=False):  # fmt: skip
        if return_indices:
            raise Unmapped("places in the input")
        lists = _pool_lists(x, n, kernel_size, stride, padding, dilation, ceil_mode)
        return j.lax.reduce_window(x, -math.inf, j.lax.max, *lists[:3], None, lists[3])

    return pool


def _mean_pool(n):
    def pool(j, x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
             divisor_override=None):  # fmt: skip
        if ceil_mode and count_include_pad and not divisor_override:
            raise Unmapped("windows that are cut off at one end alone")
        window, strides, pads, _ = _pool_lists(x, n, kernel_size, stride, padding, 1, ceil_mode)
        add = lambda v: j.lax.reduce_window(v, 0.0, j.lax.add, window, strides, pads)
        if divisor_override or count_include_pad:
            return add(x) / (divisor_override or math.prod(window))
        return add(x) / add(j.numpy.ones_like(x))

    return pool


for n in (1, 2, 3):
    MAP[f"nn.functional.max_pool{n}d"] = _max_pool(n)
    MAP[f"nn.functional.avg_pool{n}d"] = _mean_pool(n)


@op("nn.functional.unfold")
def unfold(j, x, kernel_size, dilation=1, padding=0, stride=1):
    each = lambda v: (v, v) if isinstance(v, int) else tuple(v) * (2 // len(v))
    batched = x if x.ndim == 4 else x[None]
    y = j.lax.conv_general_dilated_patches(
        batched, each(kernel_size), each(stride), [(p, p) for p in each(padding)],
        rhs_dilation=each(dilation),
    )  # fmt: skip
    y = j.numpy.reshape(y, (*y.shape[:2], y.shape[2] * y.shape[3]))
    return y if x.ndim == 4 else y[0]


# --- losses ---------------------------------------------------------------------------------------


def reduced(j: Any, x: Any, reduction: str) -> Any:
    return {"mean": j.numpy.mean, "sum": j.numpy.sum, "none": lambda v: v}[reduction](x)


@op("nn.functional.mse_loss")
def mse_loss(j, x, y, size_average=None, reduce=None, reduction="mean", weight=None):
    loss = (x - y) ** 2 if weight is None else weight * (x - y) ** 2
    return reduced(j, loss, reduction)


@op("nn.functional.l1_loss")
def l1_loss(j, x, y, size_average=None, reduce=None, reduction="mean", weight=None):
    loss = j.numpy.abs(x - y)
    return reduced(j, loss if weight is None else weight * loss, reduction)


@op("nn.functional.smooth_l1_loss")
def smooth_l1(j, x, y, size_average=None, reduce=None, reduction="mean", beta=1.0):
    d = j.numpy.abs(x - y)
    if beta == 0:
        return reduced(j, d, reduction)
    return reduced(j, j.numpy.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


@op("nn.functional.huber_loss")
def huber(j, x, y, reduction="mean", delta=1.0, weight=None):
    d = j.numpy.abs(x - y)
    loss = j.numpy.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))
    return reduced(j, loss if weight is None else weight * loss, reduction)


@op("nn.functional.binary_cross_entropy_with_logits")
def bce_with_logits(j, x, y, weight=None, size_average=None, reduce=None, reduction="mean",
                    pos_weight=None):  # fmt: skip
    positive = y * j.nn.log_sigmoid(x) * (1 if pos_weight is None else pos_weight)
    loss = -(positive + (1 - y) * j.nn.log_sigmoid(-x))
    return reduced(j, loss if weight is None else loss * weight, reduction)


@op("nn.functional.kl_div")
def kl_div(j, x, y, size_average=None, reduce=None, reduction="mean", log_target=False):
    loss = j.numpy.exp(y) * (y - x) if log_target else MAP["xlogy"](j, y, y) - y * x
    if reduction == "batchmean":
        return j.numpy.sum(loss) / (x.shape[0] if x.ndim else 1)
    return reduced(j, loss, reduction)


@op("nn.functional.nll_loss")
def nll_loss(j, logp, labels, weight=None, size_average=None, ignore_index=-100, reduce=None,
             reduction="mean"):  # fmt: skip
    n, axis = j.numpy, 1 if logp.ndim > 1 else 0
    kept = labels != ignore_index
    safe = n.where(kept, labels, 0)
    picked = n.squeeze(n.take_along_axis(logp, n.expand_dims(safe, axis), axis=axis), axis)
    weights = kept.astype("float32") if weight is None else weight[safe] * kept
    loss = -picked * weights
    return n.sum(loss) / n.sum(weights) if reduction == "mean" else reduced(j, loss, reduction)


@op("nn.functional.cross_entropy")
def cross_entropy(j, x, y, weight=None, size_average=None, ignore_index=-100, reduce=None,
                  reduction="mean", label_smoothing=0.0):  # fmt: skip
    logp = j.nn.log_softmax(x, axis=1 if x.ndim > 1 else 0)
    if label_smoothing:
        raise Unmapped("label smoothing")
    if y.shape != x.shape:
        return nll_loss(j, logp, y, weight, None, ignore_index, None, reduction)
    if weight is not None:
        logp = logp * j.numpy.reshape(weight, (-1,) + (1,) * max(x.ndim - 2, 0))
    loss = -j.numpy.sum(y * logp, axis=1 if x.ndim > 1 else 0)
    if reduction == "mean":
        return j.numpy.sum(loss) / (x.size / x.shape[1] if x.ndim > 1 else 1)
    return reduced(j, loss, reduction)


@op("nn.functional.hinge_embedding_loss")
def hinge(j, x, y, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    n = j.numpy
    loss = n.where(y != -1, x, 0.0) + n.where(y != 1, n.maximum(margin - x, 0.0), 0.0)
    return reduced(j, loss, reduction)


@op("nn.functional.pairwise_distance")
def pairwise_distance(j, a, b, p=2.0, eps=1e-6, keepdim=False):
    return j.numpy.linalg.vector_norm(a - b + eps, ord=p, axis=-1, keepdims=keepdim)


@op("nn.functional.pixel_shuffle")
def pixel_shuffle(j, x, upscale_factor):
    r = upscale_factor
    *lead, c, h, w = x.shape
    y = j.numpy.reshape(x, (*lead, c // r**2, r, r, h, w))
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return j.numpy.reshape(j.numpy.transpose(y, order), (*lead, c // r**2, h * r, w * r))


@op("nn.functional.gaussian_nll_loss")
def gaussian_nll(j, x, y, var, full=False, eps=1e-6, reduction="mean"):
    if not hasattr(var, "ndim"):
        raise Unmapped("a variance that is a number")
    var = var if var.ndim == x.ndim else j.numpy.expand_dims(var, -1)
    var = j.numpy.maximum(var, eps)
    loss = 0.5 * (j.numpy.log(var) + (x - y) ** 2 / var)
    return reduced(j, loss + (0.5 * math.log(2 * math.pi) if full else 0.0), reduction)
