"""Settings: switches, context managers, devices, logs, and running without jit."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tracer
from tracer import jit, lax, settings
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")

# --- config ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["debug_nans", "jax_debug_nans"])
def test_an_option_goes_by_both_names(name):
    assert tracer.config.read(name) is False
    tracer.config.update(name, True)
    try:
        assert tracer.config.debug_nans is tracer.config.jax_debug_nans is True
        assert tracer.config.values["debug_nans"] is True
    finally:
        tracer.config.update(name, False)
    assert tracer.debug_nans.value is False


def test_unknown_options_and_values():
    with pytest.raises(AttributeError, match="Unrecognized config option: jax_nope; the options"):
        tracer.config.update("jax_nope", 1)
    with pytest.raises(ValueError, match="debug_nans is a switch: True or False, not 'maybe'"):
        tracer.config.update("debug_nans", "maybe")
    with pytest.raises(ValueError, match="64-bit types are not available: WGSL has none"):
        tracer.config.update("jax_enable_x64", True)
    with pytest.raises(ValueError, match="64-bit types"):
        tracer.enable_x64(True)
    with tracer.enable_x64(False):
        assert tracer.config.jax_enable_x64 is False


def test_a_context_manager_holds_inside_and_in_its_thread():
    seen = []
    with tracer.debug_infs(True):
        worker = threading.Thread(target=lambda: seen.append(tracer.debug_infs.value))
        worker.start()
        worker.join()
        with tracer.debug_infs(False):
            assert not tracer.debug_infs.value
        assert tracer.debug_infs.value
        tracer.config.update("log_compiles", True)
        assert tracer.log_compiles.value, "another option set for the process holds here too"
        tracer.config.update("log_compiles", False)
    assert seen == [False] and not tracer.debug_infs.value


def test_the_environment_sets_switches():
    found = settings.from_environment({"PICO_DEBUG_NANS": "1", "PICO_LOG_COMPILES": "off"})
    assert found.debug_nans and not found.log_compiles
    with pytest.raises(ValueError, match="PICO_DISABLE_JIT is a switch"):
        settings.from_environment({"PICO_DISABLE_JIT": "perhaps"})


# --- devices --------------------------------------------------------------------------------------


def test_devices():
    (device,) = tracer.devices()
    assert str(device) == "oracle:0" and tracer.default_backend() == "oracle"
    assert tracer.local_devices() == [device] and tracer.device_count() == 1
    assert (tracer.process_index(), tracer.process_count()) == (0, 1)
    with tracer.default_device(device):
        assert tracer.config.default_device == device
    assert tracer.config.default_device is None
    with pytest.raises(RuntimeError, match="Unknown backend cuda"):
        tracer.devices("cuda")
    with pytest.raises(ValueError, match="there is no device 'tpu'"):
        tracer.default_device("tpu")


def test_live_arrays_are_those_that_something_holds():
    x = jnp.ones(3) + 1
    assert any(y is x for y in tracer.live_arrays())
    x.delete()
    assert not any(y is x for y in tracer.live_arrays())


def test_environment_info_names_versions_and_changed_options(capsys):
    with tracer.debug_nans(True):
        text = tracer.print_environment_info(return_string=True)
    assert f"numpy:   {np.__version__}" in text and "{'debug_nans': True}" in text
    tracer.print_environment_info()
    assert "oracle" in capsys.readouterr().out


# --- logs -----------------------------------------------------------------------------------------


def test_a_compile_is_logged_in_one_line(caplog):
    step = jit(lambda x, y: x * 2 + y)
    with tracer.log_compiles(True):
        step(jnp.ones(3), 1.0)
        step(jnp.ones(3), 1.0)
        step(jnp.ones(4), 1.0)
    lines = [r.message for r in caplog.records if r.message.startswith("Compiled <lambda>")]
    assert len(lines) == 2
    assert lines[0].startswith("Compiled <lambda>(f32[3], f32[]) in ")
    assert lines[0].endswith("first call") and lines[1].endswith("argument x: f32[3] -> f32[4]")


def test_a_function_that_is_made_again_is_told(caplog):
    with tracer.explain_cache_misses(True):
        for _ in range(2):
            jit(lambda x: x * 3)(1.0)
    first, second = (r.message for r in caplog.records)
    assert first.splitlines()[1:] == ["  first call"]
    assert "new function object" in second and "jitted before" in second


# --- disable_jit ----------------------------------------------------------------------------------


def test_without_jit_python_sees_values():
    seen = []

    @jit
    def f(x):
        seen.append(float(x))
        return x * 2 if x > 0 else -x

    with tracer.disable_jit():
        assert float(f(jnp.array(3.0))) == 6 and float(f(jnp.array(-3.0))) == 3
    assert seen == [3, -3]


def test_without_jit_loops_are_python():
    seen = []

    def step(carry, x):
        seen.append((float(carry), float(x)))
        return carry + x, carry * 10

    with tracer.disable_jit():
        carry, ys = lax.scan(step, 0.0, jnp.arange(3.0), reverse=True)
        total = lax.fori_loop(0, 3, lambda i, x: x + float(i), 1.0)
        found = lax.while_loop(lambda x: bool(x < 3), lambda x: x + 1, 0)
        doubled = lax.map(lambda x: float(x) * 2, jnp.arange(3.0))
    assert seen == [(0, 2), (2, 1), (3, 0)]
    assert float(carry) == 3 and np.asarray(ys).tolist() == [30, 20, 0]
    assert total == 4 and found == 3 and np.asarray(doubled).tolist() == [0, 2, 4]


def test_without_jit_one_branch_runs():
    ran = []
    with tracer.disable_jit():
        found = lax.cond(jnp.array(1.0) > 0, lambda x: ran.append(1) or x, ran.append, 2.0)
        last = lax.switch(7, [lambda x: x, lambda x: (x, x)], 1.0)
    assert (found, last, ran) == (2.0, (1.0, 1.0), [1])


# --- leaks ----------------------------------------------------------------------------------------


def test_a_leak_is_found_where_it_happens():
    kept = []

    def leaky(x):
        kept.append(x * 2)
        return x

    jit(leaky)(1.0)
    with tracer.checking_leaks(), pytest.raises(tracer.errors.UnexpectedTracerError) as caught:
        jit(leaky)(jnp.ones(2))
    text = str(caught.value)
    assert text.startswith("Leaked trace. Leaked tracer: Traced<float32[2]>")
    assert f"leaky at {__file__}" in text and "kept.append(x * 2)" in text
    with tracer.checking_leaks():
        assert float(jit(lambda x: lax.scan(lambda c, _: (c * x, None), x, None, 3)[0])(2.0)) == 16


# --- promotion ------------------------------------------------------------------------------------


def test_ranks_and_dtypes_may_be_held_apart():
    x = jnp.ones((2, 3))
    with tracer.numpy_rank_promotion("raise"):
        with pytest.raises(ValueError, match=r"for add on shapes \(2, 3\) \(3,\) and with the con"):
            x + jnp.ones(3)
        assert (x + 1).shape == (x + jnp.ones((1, 3))).shape == (2, 3)
    with tracer.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="test_config.py"):
        x + jnp.ones(3)
    with tracer.numpy_dtype_promotion("strict"):
        with pytest.raises(ValueError, match="no available implicit dtype promotion path"):
            x * jnp.ones((2, 3), int)
        with pytest.raises(tracer.errors.TypePromotionError, match="'float32', 'int32'"):
            jnp.ones(3, int) + 1.5
        assert (x * 2).dtype == np.float32 and (jnp.ones(3, int) + 1).dtype == np.int32


def test_what_tracing_reads_is_part_of_what_a_trace_serves():
    f, x, y = jit(lambda x, y: x + y), jnp.ones((2, 3)), jnp.ones(3)
    g, i = jit(lambda y, i: y * i), jnp.ones(3, int)
    for _ in range(3):  # the third call is found the short way
        assert f(x, y).shape == (2, 3) and g(y, i).dtype == np.float32
    with tracer.numpy_rank_promotion("raise"):
        with pytest.raises(ValueError, match="numpy_rank_promotion='raise'"):
            f(x, y)
        with pytest.raises(ValueError, match="numpy_rank_promotion='raise'"):
            f.lower(x, y)
    with tracer.numpy_dtype_promotion("strict"):
        with pytest.raises(tracer.errors.TypePromotionError):
            g(y, i)
        assert f(x, y).shape == (2, 3)
    assert f.explain() == "numpy_dtype_promotion: standard -> strict"
    kept = []
    leaky = jit(lambda x: kept.append(x) or x)
    leaky(1.0), leaky(1.0)
    with tracer.checking_leaks(), pytest.raises(Exception, match="Leaked"):
        leaky(1.0)
    assert len(f._entries) == 2 and len(g._entries) == 1


def test_what_tracing_does_not_read_traces_nothing_again():
    f, x = jit(lambda x: x @ x), jnp.ones((2, 2))
    f(x)
    with tracer.default_matmul_precision("highest"), tracer.debug_nans(True):
        f(x)
    assert len(f._entries) == 1


def test_options_say_what_they_may_be():
    with pytest.raises(ValueError, match="is one of 'allow', 'warn', 'raise', not 'never'"):
        tracer.config.update("jax_numpy_rank_promotion", "never")
    with tracer.default_matmul_precision("bfloat16"):
        exact = jnp.ones((1, 1)) * 1.0001 @ jnp.ones((1, 1))
    assert abs(float(exact[0, 0]) - 1.0001) < 1e-6


def test_a_train_step_keeps_to_the_strictest_rules():
    from picotron import reference

    step, arguments = reference.train_step()
    with tracer.numpy_dtype_promotion("strict"), tracer.numpy_rank_promotion("raise"):
        tracer.graph_of(step)(*arguments)


def test_regions_are_what_their_bodies_say():
    double = lax.composite(lambda x, *, by: x * by, "test.scale", 2)
    assert float(double(3.0, by=2.0)) == 6
    assert lax.platform_dependent(1, default=lambda x: x + 1, oracle=lambda x: x + 2) == 3
    with pytest.raises(ValueError, match=r"no branch for oracle.*and no default: cuda"):
        lax.platform_dependent(1, cuda=lambda x: x)
    assert tracer.typeof(jnp.ones((2, 3))).shape == (2, 3) and tracer.typeof(1.0).weak_type
    with pytest.raises(TypeError, match=r"Argument 'a' of type .* is not a valid JAX type"):
        tracer.typeof("a")
