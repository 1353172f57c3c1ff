"""`jit`: caching, statics, donation, nesting, and what it tells about itself."""

import dataclasses
import functools
from importlib import import_module

import numpy as np
import pytest

from tracer import ShapeDtypeStruct, clear_caches, explain_cache_misses, grad, jit, use_backend
from tracer import numpy as jnp
from tracer.donation import pair
from tracer.oracle import OracleExecutable

module = import_module("tracer.backend")

pytestmark = pytest.mark.usefixtures("oracle")


@pytest.fixture
def made(monkeypatch):
    """The executables made while a test runs."""
    clear_caches()
    found = []

    def make(graph, donate, name="main", budget=0):
        found.append(OracleExecutable(graph, donate, name))
        return found[-1]

    monkeypatch.setattr(module, "_make_executable", make)
    return found


def counted(fun):
    @functools.wraps(fun)
    def wrapper(*args, **kwargs):
        wrapper.calls += 1
        return fun(*args, **kwargs)

    wrapper.calls = 0
    return wrapper


def test_one_trace_for_each_signature():
    f = counted(lambda x, y: {"out": x * y})
    g = jit(f)
    for x in (np.ones(2, np.float32), jnp.ones(2), np.ones(2)):
        assert g(x, 3.0)["out"].tolist() == [3, 3]
    assert f.calls == 1
    g(np.ones(3, np.float32), 3.0)
    g([np.ones(2, np.float32)][0], 4.0)
    assert f.calls == 2
    g(np.ones(2, np.int32), 4)
    assert f.calls == 3
    g.clear_cache()
    g(np.ones(2, np.float32), 1.0)
    assert f.calls == 4


def test_decorator_forms():
    @jit
    def f(x):
        """Twice."""
        return x * 2

    @jit(static_argnames="n")
    def g(x, n):
        return x * n

    assert f.__name__ == "f" and f.__doc__ == "Twice." and repr(f) == "<jit of f>"
    assert float(f(2.0)) == 4 and float(g(2.0, n=3)) == 6 and float(g(2.0, 3)) == 6

    class Model:
        scale = 3.0

        @functools.partial(jit, static_argnums=0)
        def __call__(self, x):
            return x * self.scale

    assert float(Model()(2.0)) == 6


def test_arguments_and_results_are_pytrees():
    @jit
    def f(tree, *rest, key=None, **more):
        return {"sum": tree["a"] + rest[0] + more["b"], "none": None, "pair": (tree["a"], 1, True)}

    out = f({"a": jnp.ones(2)}, 2.0, b=np.float32(3))
    assert out["sum"].tolist() == [6, 6] and out["none"] is None
    assert out["pair"][1].dtype == np.int32 and bool(out["pair"][2])
    assert jit(lambda: jnp.arange(3))().tolist() == [0, 1, 2]
    assert jit(lambda x: ())(1.0) == ()


def test_results_that_need_no_kernel():
    x, table = jnp.ones(2), jnp.arange(2)
    same, host, twice, again, constant = jit(lambda x, h: (x, h, x * 2, x * 2 + 0, table))(
        x, np.float32(5)
    )
    assert same is x and float(host) == 5 and constant is table
    assert twice.tolist() == again.tolist() == [2, 2]
    assert jit(lambda x: (x * 2,) * 2)(x)[1].tolist() == [2, 2]


# --- statics ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config:
    depth: int


def test_statics_are_python_values():
    def f(x, config, flip=False):
        for _ in range(config.depth):
            x = x * 2
        return -x if flip else x

    g = jit(counted(f), static_argnums=1, static_argnames=("flip",))
    assert float(g(1.0, Config(3))) == 8 and float(g(1.0, Config(2), flip=True)) == -4
    assert float(g(1.0, config=Config(3))) == 8 and float(g(1.0, Config(3), True)) == -8
    calls = g.__wrapped__.calls
    g(2.0, Config(3))
    assert g.__wrapped__.calls == calls


def test_statics_of_equal_value_and_other_type_differ():
    f = jit(lambda x, n: x * n, static_argnums=1)
    assert f(jnp.ones(2), 2).tolist() == [2, 2]
    assert jit(lambda n: n * 2, static_argnums=0)(1).dtype == np.int32
    g = jit(lambda n: jnp.asarray(n), static_argnums=0)
    assert [g(v).dtype.kind for v in (1, 1.0, True)] == ["i", "f", "b"]


def test_wrong_static_and_donated_options():
    def f(x, y):
        return x

    for options, message in (
        ({"static_argnums": 2}, "has static_argnums=.2,., but only accepts 2 positional"),
        ({"static_argnames": "z"}, "invalid argnames {'z'} in static_argnames.*takes x, y"),
        ({"donate_argnames": "z"}, "invalid argnames {'z'} in donate_argnames"),
        (
            {"static_argnums": 0, "donate_argnums": 0},
            "static_argnames and donate_argnames cannot intersect. Argument names {'x'}",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            jit(f, **options)
    with pytest.raises(ValueError, match=r"Non-hashable static.*\n.*\nThe static argument is y"):
        jit(f, static_argnums=1)(1.0, [2])


def test_a_setting_that_is_not_static_names_the_argument():
    with pytest.raises(
        TypeError, match=r"at path options\['mode'\].\nIt is a str.*static_argnames"
    ):

        def f(x, options):
            return x

        jit(f)(1.0, {"mode": "fast"})
    with pytest.raises(TypeError, match=r"a value of type <class .str.>, which is no array"):
        jit(lambda x: "text")(1.0)


# --- donation ---------------------------------------------------------------------------------


def test_weights_that_start_alike_are_donated_side_by_side():
    state = jit(lambda: (jnp.ones(3), jnp.ones(3), jnp.zeros(3)))()
    one, other, _ = jit(lambda *s: tuple(x + 1 for x in s), donate_argnums=(0, 1, 2))(*state)
    assert one.tolist() == other.tolist() == [2, 2, 2]


def test_donated_arrays_are_deleted_and_say_so():
    step = jit(lambda state, g: {k: v - g for k, v in state.items()}, donate_argnums=0)
    state = {"a": jnp.ones(3), "b": jnp.zeros(3)}
    old = state["a"]
    for _ in range(3):
        state = step(state, 1.0)
    assert state["a"].tolist() == [-2] * 3 and old.is_deleted()
    for use in (
        lambda: old + 1,
        lambda: np.asarray(old),
        lambda: step({"a": old, "b": old}, 1.0),
        lambda: old.block_until_ready(),
        lambda: jit(lambda: old * 2)(),
    ):
        with pytest.raises(RuntimeError, match=r"Array has been deleted with shape=float32\[3\]\."):
            use()
    assert "deleted" in repr(old)


def test_donors_pair_with_the_result_at_their_place(made):
    def f(state, batch):
        w = state["params"]["w"] + batch
        return batch.sum(), {"moments": {"w": w * 2}, "params": {"w": w}}

    both = {"params": {"w": jnp.ones(3)}, "moments": {"w": jnp.ones(3)}}
    jit(f, donate_argnames="state")(both, np.ones(3, np.float32))
    # inputs: moments, params, batch; results: sum, moments, params
    assert made[-1].donate == ((0, 1), (1, 2))


def test_pairing_rules():
    a, b = "A", "B"
    ins = [(0, (0, 0, "w"), a), (1, (0, 1, "w"), a), (2, (0, 2, "n"), b)]
    assert pair(ins, [(0, (0, "w"), a), (1, (1, "w"), a)]) == [(0, 0), (1, 1)]
    assert pair(ins, [(0, ("w",), a), (1, ("n",), b)]) == [(0, 0), (2, 1)]
    assert pair(ins, [(0, (9, "n"), b), (1, (8, "x"), a)]) == [(0, 1), (2, 0)]
    assert pair(ins, [(0, (), "C")]) == [] and pair([], [(0, (), a)]) == []


def test_a_returned_donor_keeps_its_memory(made):
    a, b = jnp.ones(2), jnp.zeros(2)
    total, kept = jit(lambda a, b: (a + b, a), donate_argnums=(0, 1))(a, b)
    assert made[-1].donate == ((1, 0),)
    assert total.tolist() == kept.tolist() == [1, 1]
    assert a.is_deleted() and b.is_deleted() and not kept.is_deleted()


def test_nothing_is_donated_and_read_at_once():
    x = jnp.ones(2) * 1
    for args in ((x, x), ({"a": x, "b": x}, 1.0)):
        with pytest.raises(ValueError, match=r"same array twice, and donates.*copy"):
            jit(lambda s, y: (s, y), donate_argnums=0)(*args)
    assert not x.is_deleted()


def test_host_values_can_be_donated():
    f = jit(lambda x: x + 1, donate_argnums=0)
    host = np.zeros(2, np.float32)
    assert f(host).tolist() == [1, 1] and f(f(host)).tolist() == [2, 2] and host.tolist() == [0, 0]


# --- nesting ----------------------------------------------------------------------------------


def test_nested_functions_are_inlined():
    inner = jit(counted(lambda x, n: x**n), static_argnums=1)
    outer = jit(lambda x: inner(x, 3) + inner(x, 2))
    assert float(outer(2.0)) == 12
    assert [e.prim.name for e in outer.lower(2.0).graph.eqns] == ["mul", "mul", "mul", "add"]
    assert float(grad(outer)(2.0)) == 16
    assert float(jit(grad(inner), static_argnums=1)(2.0, 3)) == 12


def test_equal_programs_share_an_executable(made):
    x = jnp.ones(2)
    jit(lambda x: x * 2)(x)
    jit(lambda y: y * 2)(x)
    assert len(made) == 1
    for rate in (0.1, 0.2, 0.3):
        x * rate
    assert len(made) == 2, "a scalar outside of a trace is data"


# --- what it tells ----------------------------------------------------------------------------


def test_a_retrace_says_which_argument_changed(caplog):
    def f(params, flag=True):
        return params["w"] * 2

    g = jit(f, static_argnames="flag")
    assert "not been called" in g.explain()
    g({"w": jnp.ones(3)})
    assert g.explain() == "first call"
    with explain_cache_misses(True):
        g({"w": jnp.ones(4)})
    assert g.explain() == "argument params['w']: f32[3] -> f32[4]"
    (record,) = caplog.records
    first, *rest = record.message.splitlines()
    assert first.startswith(f"TRACING CACHE MISS at {__file__}:") and ": f at " in first
    assert rest == ["  argument params['w']: f32[3] -> f32[4]"]
    g({"w": jnp.ones(4), "b": 1.0})
    assert g.explain() == "argument params['b']: absent -> f32[] (weak)"
    g({"w": jnp.ones(4), "b": 1.0}, flag=False)
    assert g.explain() == "static argument flag: absent -> False"
    g({"w": jnp.ones(4), "b": 1.0}, flag=True)
    assert g.explain() == "static argument flag: False -> True"
    g({"w": jnp.ones(4, jnp.int32), "b": 1.0}, flag=True)
    assert g.explain() == "argument params['w']: f32[4] -> i32[4]"
    with explain_cache_misses(True):
        g({"w": jnp.ones(4)})
    assert len(caplog.records) == 1, "a known signature is no retrace"


def test_lowering_without_values():
    f = jit(lambda x: jnp.tanh(x) @ x.T)
    lowered = f.lower(ShapeDtypeStruct((2, 3), np.float32))
    assert lowered.as_text().startswith("graph(a: f32[2, 3]) {\n  b: f32[2, 3] = tanh a")
    assert lowered.graph.ins[0].hint == "x"
    compiled = lowered.compile()
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(np.asarray(compiled(x)), np.tanh(x) @ x.T, rtol=1e-6)
    with pytest.raises(TypeError, match="types it was lowered for"):
        compiled(np.ones(3, np.float32))


def test_stats():
    f = jit(lambda x: x * 2)
    with pytest.raises(RuntimeError, match="call it first"):
        f.stats()
    f(1.0)
    stats = f.stats()
    assert set(stats) == {
        "kernels_per_step",
        "distinct_kernels",
        "trace_s",
        "compile_s",
        "peak_bytes",
    }
    assert stats["trace_s"] > 0


def test_backends_are_named():
    with pytest.raises(ValueError, match="no backend 'cuda'; choose one of device, oracle"):
        use_backend("cuda")


def test_an_error_in_model_code_names_shapes_and_line():
    def model(p, x):
        return x @ p["w"]

    with pytest.raises(TypeError, match=r"\(2, 4\) and \(3, 2\)") as caught:
        jit(model)({"w": np.ones((3, 2), np.float32)}, np.ones((2, 4), np.float32))
    assert "return x @ p[" in str(caught.value)
