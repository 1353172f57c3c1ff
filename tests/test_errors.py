"""Everything that users get wrong, in one table: the error, its first line, and their own line.

Invariant: each case is one function of one line, which raises; the message begins as JAX's does
where JAX has the same error, and ends with that line.
"""

# ruff: noqa: E731 - a case is written the way that users write it
from __future__ import annotations

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import tracer
from tracer import errors, grad, jit, jvp, lax, nn, random, value_and_grad, vjp, vmap
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


def ones(*shape, dtype=None):
    return jnp.ones(shape, dtype)


def generator(x):
    yield x


def leak():
    kept = []
    jit(lambda x: kept.append(x * 2) or x)(1.0)
    return kept[0]


BOOLEAN = r"Attempted boolean conversion of traced array with shape bool\[\]\.$"
ABSTRACT = r"Abstract tracer value encountered where concrete value is expected"
INDEX = r"The __index__\(\) method was called on traced array with shape int32\[\]$"
NUMPY = r"The numpy.ndarray conversion method __array__\(\) was called on traced array with shape"
UNHASHABLE = (
    r"Non-hashable static arguments are not supported. An error occurred while trying to hash an "
    r"object of type"
)
RETURNED = r"function <lambda> at .*test_errors.py:\d+ traced for jit returned a value of type"
ARGUMENT = (
    r"Error interpreting argument to <function .*> as an abstract array. The problematic value is "
    r"of type"
)
CASES = [
    # --- values that are not known while tracing
    (errors.TracerBoolConversionError, BOOLEAN, lambda: jit(lambda x: x if x > 0 else -x)(1.0)),
    (errors.TracerBoolConversionError, BOOLEAN, lambda: jit(lambda x: x in [1, 2])(1)),
    (
        errors.ConcretizationTypeError,
        rf"{ABSTRACT}: traced array with shape float32\[\]$",
        lambda: jit(lambda x: float(x))(1.0),
    ),
    (
        errors.ConcretizationTypeError,
        rf"{ABSTRACT}: traced array with shape int32\[\]$",
        lambda: jit(lambda x: int(x))(1),
    ),
    (errors.ConcretizationTypeError, ABSTRACT, lambda: jit(lambda x: complex(x))(1.0)),
    (errors.ConcretizationTypeError, ABSTRACT, lambda: grad(lambda x: x.item() * x)(1.0)),
    (errors.ConcretizationTypeError, ABSTRACT, lambda: vmap(lambda x: x.tolist())(ones(3))),
    (
        errors.ConcretizationTypeError,
        ABSTRACT,
        lambda: jit(lambda x, a: jnp.sum(x, axis=a))(ones(3), 0),
    ),
    (errors.ConcretizationTypeError, ABSTRACT, lambda: jit(jnp.arange)(3)),
    (errors.TracerIntegerConversionError, INDEX, lambda: jit(lambda n: [1, 2][n])(1)),
    (errors.TracerIntegerConversionError, INDEX, lambda: jit(lambda n: sum(range(n)))(3)),
    (
        errors.TracerArrayConversionError,
        rf"{NUMPY} float32\[3\]$",
        lambda: jit(lambda x: np.sin(x))(ones(3)),
    ),
    (
        TypeError,
        r"Shapes must be 1D sequences of concrete values of integer type, got \(Traced<int32",
        lambda: jit(lambda n: jnp.zeros((n, 2)))(3),
    ),
    (
        TypeError,
        r"Shapes must be 1D sequences of concrete values of integer type",
        lambda: jit(lambda n: ones(6).reshape(n, 2))(3),
    ),
    (errors.ConcretizationTypeError, r"", lambda: jit(jnp.nonzero)(ones(3))),
    (errors.ConcretizationTypeError, r"", lambda: jit(jnp.unique)(ones(3))),
    # --- values that outlive their trace
    (
        errors.UnexpectedTracerError,
        r"Encountered an unexpected tracer\. .* type float32\[\] to escape",
        lambda: leak() + 1,
    ),
    (
        errors.UnexpectedTracerError,
        r"Encountered an unexpected tracer",
        lambda: jit(lambda x, y: x)(1.0, leak()),
    ),
    (
        errors.UnexpectedTracerError,
        r"Encountered an unexpected tracer",
        lambda: (lambda k: jit(lambda x: x + k)(1.0))(leak()),
    ),
    # --- what is passed to jit
    (
        ValueError,
        rf"{UNHASHABLE} <class 'list'>, \[1\]. The error was:$",
        lambda: jit(lambda x, n: x, static_argnums=1)(1.0, [1]),
    ),
    (ValueError, UNHASHABLE, lambda: jit(lambda x, n: x, static_argnames="n")(1.0, n={})),
    (
        ValueError,
        r"Jitted function has static_argnums=\(3,\), but only accepts 1 positional arguments\.",
        lambda: jit(lambda x: x, static_argnums=3),
    ),
    (
        ValueError,
        r"Jitted function has donate_argnums=\(3,\), but only accepts 1 positional arguments\.",
        lambda: jit(lambda x: x, donate_argnums=3),
    ),
    (
        ValueError,
        r"Jitted function has invalid argnames {'q'} in static_argnames\.",
        lambda: jit(lambda x: x, static_argnames="q"),
    ),
    (
        ValueError,
        r"static_argnames and donate_argnames cannot intersect. Argument names {'x'}",
        lambda: jit(lambda x: x, static_argnums=0, donate_argnums=0),
    ),
    (TypeError, r"Expected a callable value, got 3$", lambda: jit(3)),
    (TypeError, r"Expected a callable value, got None$", lambda: jit(None)),
    (TypeError, r"Expected a callable value, got 3$", lambda: grad(3)),
    (TypeError, r"Expected a callable value, got text$", lambda: value_and_grad("text")),
    (TypeError, r"Expected a callable value, got 3$", lambda: vmap(3)),
    (
        TypeError,
        r"Expected a function, got a generator function: <function generator",
        lambda: jit(generator),
    ),
    (
        TypeError,
        rf"{RETURNED} <class 'str'> at output component \['a'\]\[1\]",
        lambda: jit(lambda x: {"a": [x, "text"]})(1.0),
    ),
    (TypeError, rf"{RETURNED} <class 'set'>,", lambda: jit(lambda x: {1, 2})(1.0)),
    (
        TypeError,
        rf"{ARGUMENT} <class 'str'> and was passed to the function at path y\['a'\]\[0\]\.$",
        lambda: jit(lambda x, y: x)(1.0, {"a": ["text"]}),
    ),
    (ValueError, r"f was given the same array twice", lambda: given_twice()),
    # --- shapes
    (
        TypeError,
        r"add got incompatible shapes for broadcasting: \(3,\), \(4,\)",
        lambda: ones(3) + ones(4),
    ),
    (
        TypeError,
        r"(dot_general|matmul).* dimensions? to have the same",
        lambda: ones(3, 4) @ ones(5, 2),
    ),
    (
        TypeError,
        r"cannot reshape array of shape \(6,\) \(size 6\) into shape \(4, 2\) \(size 8\)",
        lambda: ones(6).reshape(4, 2),
    ),
    (
        ValueError,
        r"axis 2 is out of bounds for array of dimension 1",
        lambda: jnp.sum(ones(3), axis=2),
    ),
    (
        ValueError,
        r"axis -3 is out of bounds for array of dimension 2",
        lambda: jnp.max(ones(3, 2), axis=-3),
    ),
    (
        ValueError,
        r"axis 1 is out of bounds for array of dimension 1",
        lambda: nn.softmax(ones(3), axis=1),
    ),
    (ValueError, r"axis 5 is out of bounds", lambda: jnp.concatenate([ones(3), ones(3)], axis=5)),
    (ValueError, r"duplicate", lambda: jnp.sum(ones(3, 2), axis=(0, 0))),
    ((TypeError, ValueError), r"", lambda: jnp.stack([ones(2), ones(3)])),
    (IndexError, r"[Tt]oo many indices", lambda: ones(2, 3)[0, 1, 2]),
    (TypeError, r"iteration over a 0-d array", lambda: list(jnp.array(1.0))),
    (TypeError, r"len\(\) of unsized object", lambda: len(jnp.array(1.0))),
    (
        ValueError,
        r"The truth value of an array with more than one element is ambiguous\.",
        lambda: bool(ones(3)),
    ),
    (ValueError, r"The truth value of an empty array is ambiguous", lambda: bool(ones(0))),
    (
        TypeError,
        r"Only scalar arrays can be converted to Python scalars; got arr.ndim=1",
        lambda: float(ones(3)),
    ),
    (
        TypeError,
        r"Only integer scalar arrays can be converted to a scalar index",
        lambda: [1, 2][jnp.array(1.0)],
    ),
    (
        TypeError,
        r"arrays are immutable and do not support in-place item assignment\.",
        lambda: ones(3).__setitem__(0, 1),
    ),
    # --- derivatives
    (
        TypeError,
        r"Gradient only defined for scalar-output functions. Output had shape: \(3,\)",
        lambda: grad(lambda x: x * 2)(ones(3)),
    ),
    (
        TypeError,
        r"grad requires real- or complex-valued inputs .* but got int32",
        lambda: grad(lambda x: x * 2.0)(3),
    ),
    (
        TypeError,
        r"grad requires real-valued outputs .* but got int32",
        lambda: grad(lambda x: (x > 0).astype("int32"))(1.0),
    ),
    (
        (TypeError, ValueError),
        r"differentiating with respect to argnums=2 requires at least 3 positional arguments",
        lambda: grad(lambda x: x, argnums=2)(1.0),
    ),
    (
        TypeError,
        r"primal and tangent arguments to ",
        lambda: jvp(lambda x: x, (1.0, 2.0), (1.0,)),
    ),
    ((TypeError, ValueError), r"", lambda: vjp(lambda x: x * 2, ones(3))[1](ones(2))),
    # --- mapping and loops
    (
        ValueError,
        r"vmap got inconsistent sizes for array axes to be mapped",
        lambda: vmap(lambda a, b: a)(ones(3), ones(4)),
    ),
    (
        ValueError,
        r"vmap must have at least one non-None value in in_axes",
        lambda: vmap(lambda a: a, in_axes=None)(ones(3)),
    ),
    (
        TypeError,
        r"scan body function carry input and carry output must have equal types",
        lambda: lax.scan(lambda c, x: (c > x, c), jnp.zeros(()), ones(3)),
    ),
    (
        TypeError,
        r"scan body function carry input and carry output must have equal types",
        lambda: lax.scan(lambda c, x: (c > x, c), 0.0, ones(3)),
    ),
    (
        ValueError,
        r"scan got values with different leading axis sizes",
        lambda: lax.scan(lambda c, x: (c, x), 0.0, (ones(3), ones(4))),
    ),
    (
        ValueError,
        r"scan got no values to scan over and `length` not provided",
        lambda: lax.scan(lambda c, x: (c, x), 0.0),
    ),
    (TypeError, r"scan body output must be a pair", lambda: lax.scan(lambda c, x: c, 0.0, ones(3))),
    (
        TypeError,
        r"body_fun|while_loop body function",
        lambda: lax.while_loop(lambda x: x.sum() < 3, lambda x: x.sum(), ones(2)),
    ),
    (
        TypeError,
        r"cond_fun must return a boolean scalar",
        lambda: lax.while_loop(lambda x: x < 3, lambda x: x, ones(2)),
    ),
    (TypeError, r".*[Pp]red must be a scalar", lambda: lax.cond(ones(2) > 0, lambda: 1, lambda: 2)),
    (TypeError, r".*must have", lambda: lax.cond(True, lambda x: x, lambda x: (x, x), 1.0)),
    (ValueError, r"Empty branch sequence", lambda: lax.switch(0, [], 1.0)),
    # --- dtypes that there are none of
    (
        TypeError,
        r"dtype complex64 is not supported on WebGPU devices; use one of float32",
        lambda: jnp.zeros(3, "complex64"),
    ),
    (TypeError, r"dtype complex128 is not supported", lambda: jnp.asarray(np.ones(3, complex))),
    (
        TypeError,
        r"dtype complex64 is not supported",
        lambda: jnp.multiply(ones(3), np.complex64(1j)),
    ),
    (TypeError, r"data type 'flot32' not understood", lambda: ones(3).astype("flot32")),
    (
        ValueError,
        r"64-bit types are not available: WGSL has none",
        lambda: tracer.config.update("jax_enable_x64", True),
    ),
    # --- what no device holds
    (
        ValueError,
        r"an array of shape \(1048576, 1048576\) has 1099511627776 elements, and ind",
        lambda: jnp.zeros((1 << 20, 1 << 20)),
    ),
    (
        ValueError,
        r"broadcast makes a f32\[131072, 131072\], which has 17179869184 el",
        lambda: jnp.outer(ones(1 << 17), ones(1 << 17)),
    ),
    (ValueError, r"an array of shape \(8589934592,\) has", lambda: jnp.arange(1 << 33)),
    # --- random keys
    (TypeError, r"normal needs a key made by random.key, got 0.5", lambda: random.normal(0.5)),
    (
        ValueError,
        r"normal accepts a single key, but was given a key array of shape \(2,\)",
        lambda: random.normal(random.split(random.key(0))),
    ),
    (
        errors.KeyReuseError,
        r"Previously-consumed key passed to",
        lambda: drawn_twice(random.key(0)),
    ),
    # --- options
    (
        AttributeError,
        r"Unrecognized config option: jax_nope",
        lambda: tracer.config.update("jax_nope", 1),
    ),
]
CASES = [
    pytest.param(*case, id=f"{n:02}-{case[0].__name__ if isinstance(case[0], type) else n}")
    for n, case in enumerate(CASES)
]  # fmt: skip


def given_twice():
    def f(a, b):
        return a + b

    x = ones(3) + 1
    return jit(f, donate_argnums=0)(x, x)


def drawn_twice(key):
    with tracer.debug_key_reuse(True):
        return random.normal(key), random.normal(key)


@pytest.mark.parametrize(("kind", "first", "mistake"), CASES)
def test_one_clear_error_with_the_users_line(kind, first, mistake):
    with pytest.raises(kind) as caught:
        mistake()
    text = str(caught.value)
    assert re.match(first, text.splitlines()[0]), text
    last = text.splitlines()[-1]
    assert re.match(rf"  at {re.escape(__file__)}:\d+: \S", last), text
    assert "<frozen" not in text and len(text) < 1500
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, AssertionError)


def test_a_concrete_value_names_function_and_argument():
    def scaled(x, factor):
        return x * float(jnp.sum(factor) + 1)

    with pytest.raises(errors.ConcretizationTypeError) as caught:
        jit(scaled)(ones(3), ones(2))
    line = inspect.getsourcelines(scaled)[1]
    told = f"The error occurred while tracing the function scaled at {__file__}:{line} for jit. "
    assert told in str(caught.value)
    assert "because it depends on the value of the argument factor.\n" in str(caught.value)

    def inside(x, y):
        return grad(lambda v: v * (2 if v * y > 0 else 3))(x)

    with pytest.raises(errors.TracerBoolConversionError, match=r"arguments? .*y"):
        jit(inside)(1.0, 2.0)


def test_a_leak_names_its_maker_and_its_line():
    kept = []

    def leaky(x):
        kept.append(jnp.sin(x))
        return x

    jit(leaky)(1.0)
    with pytest.raises(errors.UnexpectedTracerError) as caught:
        kept[0] + 1
    text = str(caught.value)
    assert f"when the value leaked was leaky at {__file__}" in text and "traced for jit" in text
    assert "The value was made by sin" in text and "kept.append(jnp.sin(x))" in text
    assert text.endswith("kept[0] + 1")


def test_kinds_are_those_that_jax_users_catch():
    assert issubclass(errors.TracerBoolConversionError, errors.ConcretizationTypeError)
    assert issubclass(errors.NonConcreteBooleanIndexError, IndexError)
    for kind in (errors.ConcretizationTypeError, errors.TracerIntegerConversionError,
                 errors.TracerArrayConversionError, errors.UnexpectedTracerError,
                 errors.KeyReuseError):  # fmt: skip
        assert issubclass(kind, TypeError)
    assert set(errors.__all__) == {n for n in vars(errors) if n.endswith("Error")} - {
        "LeakedTracerError"
    }


def test_a_tensor_beyond_a_binding_is_refused_with_the_line():
    from codegen.compile import CompileError, compile_graph
    from codegen.profile import WEBGPU_DEFAULT

    wide = lambda x, y: jnp.outer(x, y)
    graph = tracer.graph_of(wide)(ones(1 << 14), ones(1 << 13))
    with pytest.raises(CompileError, match=r"takes 512 MiB.*binding") as caught:
        compile_graph(graph, WEBGPU_DEFAULT)
    assert re.search(rf"\n  at {re.escape(__file__)}:\d+: wide = ", str(caught.value))


SCRIPT = """
from tracer import jit, use_backend
from tracer import numpy as jnp
use_backend("oracle")

def inner(x):
    return jnp.sum(x, axis=3)

@jit
def f(x):
    return inner(x) + 1

f(jnp.ones(3))
"""


@pytest.mark.parametrize("filtered", ["1", "0"])
def test_printed_tracebacks_end_with_the_users_line(tmp_path, filtered):
    script = tmp_path / "wrong.py"
    script.write_text(SCRIPT)
    env = {"PICO_FILTER_TRACEBACKS": filtered, "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=env, check=False
    )
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', done.stderr)
    assert frames[0] == (str(script), "13", "<module>")
    mine = [f for f in frames if f[0] == str(script)]
    assert mine == [(str(script), "13", "<module>"), (str(script), "11", "f"),
                    (str(script), "7", "inner")]  # fmt: skip
    assert (frames == mine) is (filtered == "1")
    assert done.stderr.rstrip().endswith(f"at {script}:7: return jnp.sum(x, axis=3)")
