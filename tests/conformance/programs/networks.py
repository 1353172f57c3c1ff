"""jax.nn, and small models written as their users write them."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import bools, floats, ints, positive, program


@program(floats(3, 4))
def activations(j, x):
    n = j.nn
    return [f(x) for f in (n.relu, n.sigmoid, n.silu, n.softplus, n.gelu, n.swish, n.tanh)]


@program(floats(3, 4))
def more_activations(j, x):
    n = j.nn
    simple = [f(x) for f in (n.elu, n.leaky_relu, n.selu, n.celu)]
    return simple, n.soft_sign(x), n.log_sigmoid(x), n.mish(x), n.squareplus(x)


@program(floats(3, 4, low=-5, high=8))
def hard_activations(j, x):
    n = j.nn
    return [f(x) for f in (n.relu6, n.hard_tanh, n.hard_sigmoid, n.hard_swish, n.hard_silu)]


@program(floats(3, 4))
def exact_gelu(j, x):
    return j.nn.gelu(x, approximate=False)


@program(floats(3, 4))
def gated_linear_unit(j, x):
    return j.nn.glu(x, axis=-1), j.nn.glu(x, axis=1)


@program()
def relu_at_zero(j):
    return j.vmap(j.grad(j.nn.relu))(j.numpy.array([-1.0, 0.0, 1.0]))


@program(floats(3, 4))
def softmaxes(j, x):
    n = j.nn
    return n.softmax(x), n.softmax(x, axis=0), n.log_softmax(x), n.softmax(x * 100, axis=(0, 1))


@program(floats(3, 4), bools(3, 4))
def softmax_under_a_mask(j, x, m):
    return j.nn.softmax(x, where=m.at[:, 0].set(True))


@program(floats(3, 4))
def standardized(j, x):
    return j.nn.standardize(x), j.nn.standardize(x, axis=0, epsilon=1e-3)


@program(ints(5, low=-1, high=5), grad=False)
def one_hots(j, i):
    n = j.nn
    return n.one_hot(i, 4), n.one_hot(i, 4, axis=0), n.one_hot(i, 4, dtype="int32")


@program(floats(2, 5, 2, 4), floats(2, 5, 2, 4), floats(2, 5, 2, 4))
def attention(j, q, k, v):
    return j.nn.dot_product_attention(q, k, v)


@program(floats(2, 5, 4, 8), floats(2, 5, 2, 8), floats(2, 5, 2, 8))
def attention_that_is_causal_and_grouped(j, q, k, v):
    return j.nn.dot_product_attention(q, k, v, is_causal=True, scale=0.3)


@program(floats(2, 5, 2, 4), bools(2, 1, 5, 5))
def attention_under_a_mask(j, q, m):
    mask = m | j.numpy.eye(5, dtype=bool)
    return j.nn.dot_product_attention(q, q, q, mask=mask)


@program(floats(2, 5, 2, 4), floats(2, 2, 5, 5))
def attention_with_a_bias(j, q, b):
    return j.nn.dot_product_attention(q, q, q, bias=b)


@program(floats(4, 6), ints(4, high=6))
def cross_entropy_by_hand(j, logits, labels):
    logp = j.nn.log_softmax(logits)
    return -j.numpy.take_along_axis(logp, labels[:, None], axis=1).mean()


@program(floats(4, 6), ints(4, high=6))
def cross_entropy_by_one_hot(j, logits, labels):
    return -j.numpy.sum(j.nn.one_hot(labels, 6) * j.nn.log_softmax(logits), axis=-1)


@program(floats(3, 8), positive(8), floats(8))
def layer_norm_by_hand(j, x, g, b):
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * j.lax.rsqrt(var + 1e-5) * g + b


@program(floats(3, 8), positive(8))
def rms_norm_by_hand(j, x, g):
    return x * j.lax.rsqrt(j.numpy.mean(x**2, -1, keepdims=True) + 1e-6) * g


@program(floats(1, 4, 2, 8))
def rotary_positions_by_hand(j, x):
    n = j.numpy
    angles = n.outer(n.arange(4.0), 1.0 / 10000 ** (n.arange(0, 4) / 4.0))
    cos, sin = n.cos(angles)[None, :, None], n.sin(angles)[None, :, None]
    a, b = n.split(x, 2, axis=-1)
    return n.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


@program(floats(7, 4), ints(2, 5, high=7))
def embedding_and_its_gradient(j, table, ids):
    return j.grad(lambda t: (t[ids] ** 2).sum())(table)


@program(floats(2, 6, 8), floats(8, 24), floats(8, 8))
def attention_block_by_hand(j, x, wqkv, wo):
    n = j.numpy
    q, k, v = n.split(x @ wqkv, 3, axis=-1)
    heads = lambda t: t.reshape(2, 6, 2, 4).transpose(0, 2, 1, 3)
    q, k, v = heads(q), heads(k), heads(v)
    scores = q @ k.swapaxes(-1, -2) / n.sqrt(4.0)
    mask = n.tril(n.ones((6, 6), dtype=bool))
    weights = j.nn.softmax(n.where(mask, scores, -1e9), axis=-1)
    return (weights @ v).transpose(0, 2, 1, 3).reshape(2, 6, 8) @ wo


@program(floats(3, 4), floats(3, 4))
def adam_step_over_a_tree(j, p, g):
    n = j.numpy
    params, grads = {"a": p, "b": [p[0]]}, {"a": g, "b": [g[0]]}
    m = j.tree.map(lambda x: 0.1 * x, grads)
    v = j.tree.map(lambda x: 0.001 * x**2, grads)
    update = lambda w, a, b: w - 0.01 * (a / 0.1) / (n.sqrt(b / 0.001) + 1e-8)
    return j.tree.map(update, params, m, v)


@program(floats(3, 4))
def clip_by_global_norm(j, x):
    grads = {"a": x, "b": x[0] * 3}
    norm = j.numpy.sqrt(sum(j.numpy.sum(g**2) for g in j.tree.leaves(grads)))
    return j.tree.map(lambda g: g * j.numpy.minimum(1.0, 1.0 / norm), grads)


@program(floats(8, 3), floats(3))
def linear_regression_by_gradient_descent(j, x, w):
    y = x @ j.numpy.array([1.0, -2.0, 0.5])
    loss = lambda p: j.numpy.mean((x @ p - y) ** 2)
    return j.lax.fori_loop(0, 20, lambda i, p: p - 0.1 * j.grad(loss)(p), w)


@program(floats(8, 2), bools(8))
def logistic_regression_gradient(j, x, y):
    def loss(w):
        logits = x @ w
        return j.numpy.mean(j.numpy.logaddexp(0.0, logits) - y * logits)

    return j.value_and_grad(loss)(j.numpy.ones(2) * 0.1)


@program(floats(3, 4), floats(4, 4))
def dropout_with_a_key(j, x, w):
    n, key = j.numpy, j.random.fold_in(j.random.key(7), 3)

    def layers(w):
        h = x
        for layer in range(2):
            keep = j.random.bernoulli(j.random.fold_in(key, layer), 0.7, h.shape)
            h = h + n.where(keep, n.tanh(h @ w) / 0.7, 0.0)
        return h

    return layers(w * 0.1), j.grad(lambda w: n.mean(layers(w)))(w * 0.1)


@program()
def initializers(j):
    init = j.nn.initializers
    key = j.random.key(3)
    return [
        init.glorot_uniform()(key, (4, 5), j.numpy.float32),
        init.he_normal()(key, (4, 5), j.numpy.float32),
        init.normal(0.02)(key, (3,), j.numpy.float32),
        init.zeros(key, (2,), j.numpy.float32),
    ]


@program(floats(4, 3), floats(5, 3))
def gaussian_kernel_matrix(j, x, y):
    k = lambda a, b: j.numpy.exp(-j.numpy.sum((a - b) ** 2) / 2)
    return j.vmap(lambda a: j.vmap(lambda b: k(a, b))(y))(x)


@program(floats(2, 8, 8, 1), floats(3, 3, 1, 4), floats(4))
def small_convolutional_net(j, x, w, b):
    y = j.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return j.nn.relu(y + b).mean(axis=(1, 2))


@program(floats(5, 3))
def mixture_of_experts_by_top_k(j, x):
    n = j.numpy
    gates, chosen = j.lax.top_k(j.nn.softmax(x), 2)
    gates = gates / gates.sum(-1, keepdims=True)
    mixing = n.sum(j.nn.one_hot(chosen, 3) * gates[..., None], axis=1)
    return mixing @ n.arange(6.0).reshape(3, 2)


@program(floats(6, 2))
def cosine_similarity_matrix(j, x):
    unit = x / j.numpy.linalg.norm(x, axis=-1, keepdims=True)
    return unit @ unit.T


@program(floats(2, 7, 8, 4), floats(3, 2, 2, 6))
def convolution_with_everything(j, x, w):
    c = j.lax.conv_general_dilated
    layout = ("NHWC", "HWIO", "NCHW")
    return c(x, w, (2, 1), [(1, 2), (-1, 3)], (1, 2), (2, 1), layout, feature_group_count=2), c(
        x[..., :2], w, (1, 2), "SAME_LOWER", dimension_numbers=layout, batch_group_count=2
    )


@program(floats(2, 5, 6, 3), floats(3, 3, 3, 4))
def transposed_convolutions(j, x, w):
    t = j.lax.conv_transpose
    swapped = j.numpy.swapaxes(w, 2, 3)
    return (
        t(x, w, (2, 2), "SAME"), t(x, w, (2, 3), "VALID"), t(x, w, (1, 2), [(1, 1), (2, 0)]),
        t(x, swapped, (2, 2), "SAME", transpose_kernel=True),
        t(x, w, (4, 1), "SAME", rhs_dilation=(2, 1)),
    )  # fmt: skip


@program(floats(2, 3, 7, 8))
def patches(j, x):
    return j.lax.conv_general_dilated_patches(x, (2, 3), (1, 2), "SAME", rhs_dilation=(2, 1))


@program(floats(2, 3, 6, 6), floats(4, 3, 3, 3))
def convolutions_under_vmap(j, x, w):
    f = lambda a, b: j.lax.conv_general_dilated(a[None], b, (1, 1), "SAME")[0]
    many = j.numpy.stack([w, w * 2])
    return j.vmap(f, (0, None))(x, w), j.vmap(f)(x, many), j.vmap(f, (None, 0))(x[0], many)


@program(floats(1, 3, 8), floats(2, 3, 3))
def second_derivative_of_a_convolution(j, x, w):
    f = lambda v: j.numpy.sum(j.numpy.sin(j.lax.conv(v, w, (1,), "SAME") / 3))
    return j.grad(lambda v: j.numpy.sum(j.grad(f)(v) ** 2))(x)


@program(floats(2, 6, 7, 3))
def pools(j, x):
    r, k = j.lax.reduce_window, j.lax
    two, wide = (1, 2, 2, 1), (1, 3, 3, 1)
    return (
        r(x, -j.numpy.inf, k.max, wide, two, "SAME"), r(x, j.numpy.inf, k.min, two, two, "VALID"),
        r(x, 0.0, k.add, wide, two, "SAME") / r(x * 0 + 1, 0.0, k.add, wide, two, "SAME"),
        r(x, 0.0, k.add, two, (1, 1, 2, 1), [(0, 0), (1, 0), (0, 2), (0, 0)], None, (1, 2, 3, 1)),
    )  # fmt: skip


@program(floats(2, 6, 7), grad=False)
def pools_without_a_gradient(j, x):
    r = lambda init, f: j.lax.reduce_window(x, init, f, (1, 2, 2), (1, 2, 1), "VALID")
    return r(1.0, j.lax.mul), r(-j.numpy.inf, j.numpy.logaddexp), r(3.0, j.lax.add)


@program(floats(2, 6, 6, 3))
def max_pool_of_equal_numbers(j, x):
    x = j.nn.relu(x)
    return j.lax.reduce_window(x, -j.numpy.inf, j.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
