"""`jit` on the adapter: what only real buffers can get wrong."""

import numpy as np
import pytest

from ir import evaluate
from tracer import Array, device_get, grad, jit, lax, nn, use_backend, value_and_grad
from tracer import numpy as jnp

pytestmark = pytest.mark.device


@pytest.fixture(autouse=True)
def device():
    pytest.importorskip("wgpu")
    use_backend("device")
    yield
    use_backend(None)


def test_bools_and_halves_travel():
    flags = np.array([True, False, True])
    out = jit(lambda b, h: (~b, b & True, h * 2, jnp.where(b, h, 0.0)))(
        flags, np.float16([1, 2, 3])
    )
    assert [x.tolist() for x in out] == [[False, True, False], flags.tolist(), [2, 4, 6], [1, 0, 3]]
    assert out[0].dtype == np.bool_ and out[2].dtype == np.float16
    again = jit(lambda b: b | False)(jnp.asarray(flags))
    assert jit(lambda b: ~b)(again).tolist() == [False, True, False]


def test_empty_and_scalar_arrays():
    out = jit(lambda x, s: (x * 2, x.sum(), s + 1))(np.zeros((0, 3), np.float32), 2.0)
    assert out[0].shape == (0, 3) and out[0].tolist() == []
    assert float(out[1]) == 0 and float(out[2]) == 3


def test_donation_keeps_values_apart():
    step = jit(lambda s, g: ({k: v - g for k, v in s.items()}, s["a"].sum()), donate_argnums=0)
    state = {"a": jnp.ones(5), "b": jnp.zeros(5)}
    sums = []
    for _ in range(4):
        state, total = step(state, 1.0)
        sums.append(total)
    assert state["a"].tolist() == [-3] * 5 and state["b"].tolist() == [-4] * 5
    assert [float(s) for s in sums] == [5, 0, -5, -10]
    assert step.stats()["kernels_per_step"] >= 1


def test_results_outlive_later_runs():
    f = jit(lambda x: x + 1)
    x = jnp.zeros(3)
    kept = []
    for _ in range(4):
        x = f(x)
        x.copy_to_host_async()
        kept.append(x)
    assert [k.tolist()[0] for k in kept] == [1, 2, 3, 4]


def test_swapped_and_repeated_results():
    x, y = jnp.ones(3) * 1, jnp.zeros(3) * 1
    a, b = jit(lambda x, y: (y, x), donate_argnums=(0, 1))(x, y)
    assert a.tolist() == [0, 0, 0] and b.tolist() == [1, 1, 1] and x.is_deleted()
    c, d, e = jit(lambda a: (a * 2, a * 2, jnp.zeros(3)))(b)
    assert c.tolist() == d.tolist() == [2, 2, 2] and e.tolist() == [0, 0, 0]
    f, g = jit(lambda a, b: (b + 1, a + 1), donate_argnums=(0, 1))(a, b)
    assert f.tolist() == [2, 2, 2] and g.tolist() == [1, 1, 1]


def test_simplification_may_turn_a_result_into_an_input():
    x = jnp.arange(3.0) + 1
    y = jit(lambda x: x * 1.0 + 0.0)(x)
    z = jit(lambda x: (x * 1.0, x + 1), donate_argnums=0)(y)
    assert x.tolist() == z[0].tolist() == [1, 2, 3] and z[1].tolist() == [2, 3, 4]


def test_eager_operations():
    x = jnp.arange(6).reshape(2, 3).astype(jnp.float32)
    got = (x @ x.T + 0.5)[::-1, 0] * 2 - x.sum()
    host = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(np.asarray(got), (host @ host.T + 0.5)[::-1, 0] * 2 - host.sum())
    assert [float(x[i, 1]) for i in range(2)] == [1, 4]
    assert float(grad(lambda v: (v**3).sum())(x)[1, 2]) == 75
    assert isinstance(got, Array)


def test_infinities_travel_as_data():
    x = np.float32([1, -1, 2])
    got = jit(lambda x: nn.softmax(jnp.where(x > 0, x, -jnp.inf)))(x)
    e = np.exp(x) * (x > 0)
    np.testing.assert_allclose(np.asarray(got), e / e.sum(), rtol=1e-5)
    tests = jit(lambda x: (jnp.isnan(x), jnp.isinf(x), jnp.isfinite(x)))
    odd = np.float32([1, np.nan, np.inf, -np.inf])
    assert [t.tolist() for t in tests(odd)] == [
        [False, True, False, False],
        [False, False, True, True],
        [True, False, False, False],
    ]


def test_a_small_model_agrees_with_the_oracle():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    p = {"emb": normal(11, 8), "qkv": normal(8, 16), "norm": normal(8), "out": normal(8, 11)}
    ids = rng.integers(0, 11, (2, 5)).astype(np.int32)
    angle = np.arange(5)[:, None] * np.float32([1.0, 0.1])
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def loss(p, ids):
        x = nn.rms_norm(jnp.take(p["emb"], ids, axis=0, mode="clip"), p["norm"])
        q, k, v = jnp.split(x @ p["qkv"], [8, 12], axis=-1)
        q, k = (nn.rope(t.reshape(2, 5, -1, 4), cos, sin) for t in (q, k))
        y = nn.dot_product_attention(q, k, v.reshape(2, 5, 1, 4), is_causal=True)
        x = x + nn.silu(y.reshape(2, 5, 8))
        return jnp.mean(nn.cross_entropy(x @ p["out"], ids[:, ::-1]))

    f = jit(value_and_grad(loss))
    value, found = device_get(f(p, ids))
    graph = f.lower(p, ids).graph
    given = [cos, sin, *(p[n] for n in sorted(p)), ids]
    want, *rest = evaluate(graph, *given)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    for name, host in zip(sorted(p), rest, strict=True):
        np.testing.assert_allclose(found[name], host, rtol=2e-3, atol=1e-5)


def test_indexing_and_writing():
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    rows, columns = np.int32([4, 0, 4]), np.int32([1, 2, 1])

    @jit
    def f(x, rows, columns, i):
        return (
            x[rows, columns],
            x[::-2, 1:],
            x.at[rows].add(1.0),
            x.at[rows, columns].set(-1.0),
            x.at[1:4:2, 0].set(9.0),
            x[i],
            lax.dynamic_update_slice(x, jnp.zeros((2, 2)), (i, 3)),
        )

    got = [np.asarray(v) for v in f(x, rows, columns, np.int32(-2))]
    added, written, strided, updated = (x.copy() for _ in range(4))
    np.add.at(added, rows, 1.0)
    written[rows, columns] = -1
    strided[1:4:2, 0] = 9
    updated[3:5, 2:4] = 0
    want = [x[rows, columns], x[::-2, 1:], added, written, strided, x[-2], updated]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_arrays_follow_a_change_of_backend():
    def made():
        x = jnp.arange(3.0) - 1
        return {"f32": x * 2, "f16": x.astype(jnp.float16), "bool": x > 0, "empty": x[:0] + 1}

    def used(a):
        return a["f32"] + 1, a["f16"] * 2, ~a["bool"], a["empty"] * 2

    want = [-1, 1, 3], [-2, 0, 2], [True, True, False], []
    old, taking = jit(used), jit(used, donate_argnums=0)
    for first, then in (("device", "oracle"), ("oracle", "device")):
        use_backend(first)
        state = made()
        closed = jit(lambda state=state: used(state))
        assert tuple(v.tolist() for v in old(state)) == want, "compiled before the change"
        use_backend(then)
        for call in (used, jit(used), old):
            assert tuple(v.tolist() for v in call(state)) == want
        assert tuple(v.tolist() for v in closed()) == want
        assert tuple(v.tolist() for v in taking(state)) == want
        assert state["f32"].is_deleted()


def test_what_it_tells():
    f = jit(lambda x: jnp.tanh(x) @ x)
    x = jnp.ones((8, 8)) * 0.5
    f(x)
    stats = f.stats()
    assert stats["kernels_per_step"] >= stats["distinct_kernels"] >= 1 and stats["peak_bytes"] > 0
    wgsl = f.lower(x).compile().as_text()
    assert "@compute" in wgsl and "fn main" in wgsl
    donating = jit(lambda s: s + 1, donate_argnums=0)
    memory = donating.lower(x).compile().memory_analysis()
    assert memory.argument_size_in_bytes == memory.output_size_in_bytes == 256
    assert memory.alias_size_in_bytes == 256 and memory.generated_code_size_in_bytes > 100
    state = donating(x)
    assert donating.profile(state) and not state.is_deleted()


def test_what_a_call_costs():
    def steps(x):
        return lax.scan(lambda c, _: (jnp.tanh(c @ x), None), x, length=5)[0]

    x = jnp.ones((16, 16))
    compiled = jit(steps).lower(x).compile()
    cost = compiled.cost_analysis()
    assert 5 * 2 * 16**3 <= cost["flops"] < 5.5 * 2 * 16**3
    assert cost["bytes accessed"] >= 5 * 3 * 1024 and cost["kernels"] >= 5
    assert compiled.memory_analysis().temp_size_in_bytes >= 1024
    use_backend("oracle")
    on_oracle = jit(steps).lower(x).compile()
    use_backend(None)
    assert on_oracle.memory_analysis() is None and on_oracle.cost_analysis()["flops"] > 0


@pytest.mark.parametrize("form", ["log of zero", "root", "quotient", "scalar quotient", "constant"])
def test_constants_that_are_not_finite(form):
    x = np.array([1.0, 0.0, -2.0], np.float32)
    made = {
        "log of zero": lambda m, v: v + m.log(m.zeros((3,), dtype="float32")),
        "root": lambda m, v: m.sqrt(-m.ones((), dtype="float32")) + v,
        "quotient": lambda m, v: v / m.zeros((3,), dtype="float32"),
        "scalar quotient": lambda m, v: v / -0.0,
        "constant": lambda m, v: m.where(v > 0, v, -m.inf),
    }[form]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(jit(lambda v: made(jnp, v))(x), made(np, x))
