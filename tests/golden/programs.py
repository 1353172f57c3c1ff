"""The programs behind the golden kernels, one for each template and interesting hook.

Their lines appear in the headers of the goldens: add new ones at the end of a section and run
`pytest tests/golden --update-golden` after any edit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracer import ShapeDtypeStruct, grad, lax, nn, value_and_grad
from tracer import numpy as jnp


@dataclass(frozen=True)
class Case:
    """`function` at `shapes` (with dtypes, "float32" unless given), compiled for `profile`.

    `kernels` are the ones to keep, in order; by default the program must have just one.
    """

    name: str
    profile: str
    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    donate: tuple[int, ...] = ()
    kernels: tuple[str, ...] = ()

    def args(self) -> tuple[ShapeDtypeStruct, ...]:
        return tuple(_struct(shape) for shape in self.shapes)


def _struct(spec: Any) -> ShapeDtypeStruct:
    *shape, last = spec if spec else (None,)
    if isinstance(last, str):
        return ShapeDtypeStruct(tuple(shape), last)
    return ShapeDtypeStruct(tuple(spec), "float32")


# --- map ------------------------------------------------------------------------------------------


def gated(gate, up):
    return nn.silu(gate) * up


def affine(x, scale, bias):
    return x * scale + bias


def joined(left, right):
    return jnp.concatenate([left[:, 8:], right], axis=1)


def padded(x):
    return jnp.pad(x, ((1, 1), (4, 4)))


def embedded(table, tokens):
    return table[tokens]


def rotated(x, cos, sin):
    return nn.rope(x, cos, sin)


def polar(angle, radius):
    return radius * jnp.cos(angle), radius * jnp.sin(angle)


def adamw(weight, mu, nu, gradient):
    mu = 0.9 * mu + 0.1 * gradient
    nu = 0.95 * nu + 0.05 * gradient * gradient
    step = mu / (jnp.sqrt(nu) + 1e-8) + 0.1 * weight
    return weight - 0.001 * step, mu, nu


def transposed(x):
    return x.T + 1.0


def masked(scores):
    rows, columns = jnp.arange(16)[:, None], jnp.arange(32)[None, :]
    return jnp.where(columns <= rows + 16, scores, -1e9)


def cached(cache, new, position):
    return lax.dynamic_update_slice(cache, new, (position, 0))


def halved(x, y):
    return (x.astype("float32") * y.astype("float32")).astype("float16")


# --- row ------------------------------------------------------------------------------------------


def softmax(x):
    return nn.softmax(x)


def rms_norm(x, weight):
    return nn.rms_norm(x, weight)


def rms_norm_gradient(x, weight, cotangent):
    return value_and_grad(lambda x: (nn.rms_norm(x, weight) * cotangent).sum())(x)[1]


def cross_entropy(logits, labels):
    return nn.cross_entropy(logits, labels)


def cross_entropy_gradient(logits, labels):
    return value_and_grad(lambda x: nn.cross_entropy(x, labels).sum())(logits)[1]


def deviation(x):
    return jnp.sqrt(((x - x.mean(-1, keepdims=True)) ** 2).mean(-1))


def highest(x):
    return x.max(axis=-1)


# --- column ---------------------------------------------------------------------------------------


def bias_gradient(cotangent):
    return cotangent.sum(axis=0)


# --- matmul ---------------------------------------------------------------------------------------


def product(x, weight):
    return x @ weight


def residual(x, weight, before):
    return before + x @ weight.T


def weight_gradient(x, cotangent):
    return x.T @ cotangent


def activated(x, weight, bias):
    return nn.silu(x @ weight + bias)


def batched(x, y):
    return jnp.einsum("bhmk,bhnk->bhmn", x, y)


def updated(weight, x, cotangent):
    return weight - 0.1 * (x.T @ cotangent)


# --- attention ------------------------------------------------------------------------------------


def attention(q, k, v):
    return nn.dot_product_attention(q, k, v, is_causal=True)


def attention_gradient(q, k, v, cotangent):
    def total(q, k, v):
        return (nn.dot_product_attention(q, k, v, is_causal=True) * cotangent).sum()

    return value_and_grad(total, (0, 1, 2))(q, k, v)[1]


def attention_within(q, k, v, ids):
    return nn.dot_product_attention(
        q, k, v, is_causal=True, query_segment_ids=ids, segments_are_sorted=True
    )


def attention_within_gradient(q, k, v, ids, cotangent):
    def total(q, k, v):
        return (attention_within(q, k, v, ids) * cotangent).sum()

    return value_and_grad(total, (0, 1, 2))(q, k, v)[1]


def placed(ids, rows):
    return jnp.zeros((64, 8)).at[ids].add(rows, unique_indices=True)


def table_gradient(table, ids, cotangent):
    return grad(lambda t: jnp.sum(t[ids] * cotangent))(table)


BESIDE = ("attention_dq_and_attention_dkv",)


# --- several in one dispatch ----------------------------------------------------------------------


def input_gradient(dy, w, dz, v):
    return dy @ w.T + dz @ v.T


def projections(x, query, key, value):
    return nn.silu(x @ query), x @ key, x @ value


def light(x, bias):
    return x * x.sum(axis=1, keepdims=True), (x * x).sum(axis=0), jnp.exp(bias)


# --- of packed floats ---------------------------------------------------------------------------


def rescaled(x, scale):
    return nn.silu(x) * scale


def projected(x, weight, bias):
    return nn.relu(x @ weight + bias)


# --- products of few rows -----------------------------------------------------------------------


def normed_projections(x, scale, query, key, value):
    x = nn.rms_norm(x, scale)
    return x @ query, x @ key, x @ value


def tied_head(x, embedding):
    return x @ embedding.T


def half_weights(gate, up, weight, before):
    return before + (nn.silu(gate) * up) @ weight.astype("float32")


def one_token(query, kept, first, slot):
    return nn.cached_attention(query, kept[0], kept[1], first, slot + 1)


def one_token_kept(query, key, value, kept, first, slot):
    return nn.attention_with_cache(query, key, value, kept, first, slot)


# --- what is kept ---------------------------------------------------------------------------------

CPU, CPU_25, WEB, GPU = "lavapipe", "lavapipe-25", "webgpu-default", "h100"
HEADS = ((2, 32, 4, 16), (2, 32, 2, 16), (2, 32, 2, 16))
BACKWARD = ("attention_dq", "attention_dkv")

CASES = (
    Case("map_vec4", WEB, gated, ((8, 64), (8, 64))),
    Case("map_scalar", WEB, affine, ((5, 7), (5, 1), (7,))),
    Case("map_concat", WEB, joined, ((6, 16), (6, 12))),
    Case("map_pad", WEB, padded, ((6, 8),)),
    Case("map_take", WEB, embedded, ((256, 32), (4, 16, "int32"))),
    Case("map_rope", WEB, rotated, ((2, 16, 4, 32), (16, 16), (16, 16))),
    Case("map_two_results", WEB, polar, ((100,), (100,))),
    Case("map_in_place", WEB, adamw, ((64, 48),) * 4, donate=(0, 1, 2)),
    Case("map_transpose", WEB, transposed, ((24, 40),)),
    Case("map_mask", WEB, masked, ((16, 32),)),
    Case("map_update", WEB, cached, ((32, 16), (1, 16), ("int32",)), donate=(0,)),
    Case("map_f16", CPU, halved, ((8, 64, "float16"), (8, 64, "float16"))),
    Case("map_f16_packed", WEB, halved, ((8, 64, "float16"), (8, 64, "float16"))),
    Case("map_bf16", WEB, rescaled, ((8, 64, "bfloat16"), (64, "bfloat16"))),
    Case("map_bf16_odd", WEB, rescaled, ((3, 7, "bfloat16"), ("bfloat16",))),
    Case("row_softmax_bf16", GPU, softmax, ((64, 256, "bfloat16"),)),
    Case(
        "matmul_bf16",
        WEB,
        projected,
        ((64, 48, "bfloat16"), (48, 64, "bfloat16"), (64, "bfloat16")),
    ),
    Case("scatter_store", WEB, placed, ((40, "int32"), (40, 8))),
    Case("scatter_match_web", WEB, table_gradient, ((50, 24), (30, "int32"), (30, 24))),
    Case("scatter_match_cpu", CPU, table_gradient, ((50, 24), (30, "int32"), (30, 24))),
    Case(
        "scatter_runs",
        CPU,
        table_gradient,
        ((9001, 4), (5000, "int32"), (5000, 4)),
        kernels=("runs_add",),
    ),
    Case("row_softmax_serial", CPU, softmax, ((32, 48),)),
    Case("row_softmax_shared", WEB, softmax, ((32, 512),)),
    Case("row_softmax_held", GPU, softmax, ((512, 4096),)),
    Case("row_softmax_f16", GPU, softmax, ((16, 256, "float16"),)),
    Case("row_rms_norm", CPU, rms_norm, ((4, 16, 64), (64,))),
    Case("row_rms_norm_backward", GPU, rms_norm_gradient, ((64, 256), (256,), (64, 256))),
    Case("row_cross_entropy", WEB, cross_entropy, ((4, 16, 256), (4, 16, "int32"))),
    Case("row_cross_entropy_backward", CPU, cross_entropy_gradient, ((32, 256), (32, "int32"))),
    Case("row_two_phases", WEB, deviation, ((9, 21),)),
    Case("row_max_long", CPU, highest, ((2, 1001),)),
    Case("column_one_stage", CPU, bias_gradient, ((64, 48),)),
    Case(
        "column_two_stages",
        WEB,
        bias_gradient,
        ((4096, 16),),
        kernels=("column_sum", "column_sum_2"),
    ),
    Case("matmul_broadcast_nn", CPU, product, ((4, 32), (32, 64))),
    Case("matmul_broadcast_nt", CPU, residual, ((2, 16, 32), (64, 32), (2, 16, 64))),
    Case("matmul_broadcast_tn_odd", CPU, weight_gradient, ((37, 18), (37, 21))),
    Case("matmul_broadcast_in_place", CPU, updated, ((32, 64), (16, 32), (16, 64)), donate=(0,)),
    Case("matmul_panel_nn", CPU_25, product, ((40, 96), (96, 72))),
    Case("matmul_panel_nt", CPU_25, residual, ((2, 16, 32), (64, 32), (2, 16, 64))),
    Case("matmul_panel_tn_odd", CPU_25, weight_gradient, ((37, 18), (37, 21))),
    Case("matmul_panel_in_place", CPU_25, updated, ((32, 64), (16, 32), (16, 64)), donate=(0,)),
    Case("matmul_tile_nn", WEB, activated, ((64, 48), (48, 64), (64,))),
    Case("matmul_tile_nt_batched", WEB, batched, ((2, 3, 32, 16), (2, 3, 40, 16))),
    Case("matmul_tile_tn_odd", WEB, weight_gradient, ((45, 37), (45, 33))),
    Case(
        "matvec_norm",
        GPU,
        normed_projections,
        ((1, 64), (64,), (64, 64), (64, 32), (64, 32)),
    ),
    Case("matvec_along_k", GPU, tied_head, ((2, 64), (512, 64))),
    Case("matvec_without_subgroups", WEB, tied_head, ((1, 64), (512, 64))),
    Case("matvec_bf16", GPU, half_weights, ((1, 96), (1, 96), (96, 64, "bfloat16"), (1, 64))),
    Case(
        "attention_cached",
        GPU,
        one_token,
        ((1, 1, 6, 64), (2, 1, 128, 2, 64), (1, "int32"), ("int32",)),
    ),
    Case(
        "attention_with_cache",
        GPU,
        one_token_kept,
        (
            (1, 1, 6, 64),
            *((1, 1, 2, 64),) * 2,
            (2, 1, 128, 2, 64),
            (1, "int32"),
            ("int32",),
        ),
        donate=(3,),
    ),
    Case("attention_cpu", CPU, attention, HEADS),
    Case("attention_backward_cpu", CPU, attention_gradient, (*HEADS, HEADS[0]), kernels=BACKWARD),
    Case("attention_web", WEB, attention, HEADS),
    Case("attention_backward_gpu", GPU, attention_gradient, (*HEADS, HEADS[0]), kernels=BESIDE),
    Case("attention_segments_cpu", CPU, attention_within, (*HEADS, (2, 32, "int32"))),
    Case(
        "attention_segments_backward_gpu",
        GPU,
        attention_within_gradient,
        (*HEADS, (2, 32, "int32"), HEADS[0]),
        kernels=BESIDE,
    ),
    Case("matmul_joined", WEB, input_gradient, ((2048, 48), (1024, 48), (2048, 20), (1024, 20))),
    Case("bundle_matmul", GPU, projections, ((64, 32), (32, 64), (32, 32), (32, 32))),
    Case("bundle_light", GPU, light, ((64, 32), (50,))),
)


# --- whole programs for the stages ----------------------------------------------------------------


def two_layers(params, x, labels):
    hidden = nn.rms_norm(jnp.tanh(x @ params["first"]), params["norm"])
    return nn.cross_entropy(hidden @ params["second"], labels).mean()


def descent(params, x, labels):
    """One step of gradient descent on a small classifier."""
    loss, gradient = value_and_grad(two_layers)(params, x, labels)
    return {name: params[name] - 0.1 * gradient[name] for name in params}, loss


def classifier():
    """A builder in the form that the command line takes."""
    params = {"first": (16, 32), "norm": (32,), "second": (32, 8)}
    given = {name: _struct(shape) for name, shape in params.items()}
    return descent, (given, _struct((8, 16)), _struct((8, "int32")))
