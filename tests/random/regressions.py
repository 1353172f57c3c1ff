"""Programs that once failed, by the property that they failed; tried first at every run.

Invariant: an entry is never changed or removed while its property exists. A failing run prints the
entry to add.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example

from .writer import Program

# A number as the second operand was a literal without the operators of arrays.
_NUMBER = Program("""\
def program(a: 'f32[3]'):
    v1 = jnp.arctan2(a, 0.5 * 0.5 + 1)
    v2 = jnp.hypot(a, 0.5 + 2)
    return (v1, v2,)
""")
# Padding with 0 was refused for bools, and arrays had no shifts.
_WORDS = Program("""\
def program(a: 'bool[2, 3]', b: 'u32[4]'):
    v1 = jnp.pad(a, 1)
    v2 = b ^ b >> 16
    v3 = b << 5 | b >> 27
    return (v1, v2, v3,)
""")
# 1 - tanh(x)**2 lies on a step of the conversion for small x: noise of one sign only shows it.
_STEP = Program("""\
def program(a: 'f32[3, 1]'):
    v1 = (a @ jnp.swapaxes(a, -1, -2)) * 0.25
    v2 = jnp.einsum('...ij,...kj->...ki', v1, jnp.sin(v1)) * 0.25
    v4 = jnp.expm1(jnp.tanh(v2))
    def f5(x):
        v6 = jnp.minimum(x, 1.0)
        return jnp.sum(jnp.tanh(v6))
    v8 = grad(f5)(v4)
    v11 = jnp.clip(v8 * 4, -99, 99).astype('int32')
    return (v11,)
""")
# A loop whose results were cut for the early part ran there whole, without all that it reads.
_WHOLE = Program("""\
def program(a: 'f32[8]', b: 'f32[1]', c: 'i32[3]', d: 'f32[2, 3]'):
    v1 = d[..., None]
    v2 = jnp.maximum(a, -1.0)
    def f3(c, x):
        def f4(c, x):
            v5 = b <= x
            return jnp.tanh(v2), v5
        v6 = lax.scan(f4, c, d)[0]
        v7 = v1.at[1:].max(0.5)
        return jnp.tanh(v6), v7
    v8 = lax.scan(f3, v2, v1, reverse=True)[1]
    return (v8,)
""")

PASSES: tuple[Program, ...] = (_NUMBER, _WORDS, _STEP)
DEVICE: tuple[Program, ...] = (_NUMBER, _WORDS, _STEP)
BATCHING: tuple[Program, ...] = (_NUMBER, _WORDS)
DERIVATIVES: tuple[Program, ...] = (_NUMBER, _WHOLE)


def first(programs: tuple[Program, ...]) -> Callable:
    """Decorator: these programs are examples of the property, with three seeds each."""

    def decorate(test: Callable) -> Callable:
        for program in programs:
            for seed in range(3):
                test = example(program=program, seed=seed)(test)
        return test

    return decorate
