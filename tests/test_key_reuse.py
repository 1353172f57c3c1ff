"""The checker of random keys: which programs it refuses, and which it lets pass."""

from __future__ import annotations

import pytest

import tracer
from tracer import checkpoint, grad, jit, lax, random, vmap
from tracer import numpy as jnp
from tracer.errors import KeyReuseError


@pytest.fixture(autouse=True)
def checked():
    tracer.use_backend("oracle")
    with tracer.debug_key_reuse(True):
        yield
    tracer.use_backend(None)


def split_carry(c, _):
    c, s = random.split(c)
    return c, random.normal(s)


@jit
def drawn(k):
    return random.normal(k)


def twice(first, second):
    return lambda k: (first(k), second(k))


PASSES = {
    "once": random.normal,
    "fold_in before": lambda k: (random.fold_in(k, 1), random.fold_in(k, 2), random.normal(k)),
    "fold_in after": twice(random.normal, lambda k: random.fold_in(k, 1)),
    "key_data": twice(random.normal, random.key_data),
    "clone": twice(random.normal, lambda k: random.normal(random.clone(k))),
    "parts": lambda k: [random.normal(s) for s in random.split(k)],
    "unpacked": lambda k: [random.normal(s) for s in tuple(random.split(k, 3))],
    "raw": lambda k: twice(random.normal, random.normal)(random.key_data(k)),
    "scan": lambda k: lax.scan(split_carry, k, None, 3),
    "scan over keys": lambda k: lax.scan(lambda c, s: (c, random.normal(s)), 0, random.split(k, 3)),
    "one iteration": lambda k: lax.scan(lambda c, _: (c, random.normal(k)), 0, None, 1),
    "branches": lambda k: lax.cond(True, lambda: random.normal(k), lambda: random.uniform(k)),
    "vmap over a constant": lambda k: vmap(lambda x: random.normal(k) + x)(jnp.arange(2.0)),
    "vmap over keys": lambda k: vmap(random.normal)(random.split(k)),
    "gradient": lambda k: grad(lambda x: jnp.sin(random.normal(k) * x))(1.0),
    "rematerialised": lambda k: grad(checkpoint(lambda x: jnp.sin(random.normal(k) * x)))(1.0),
    "pullback": lambda k: tracer.vjp(lambda x: random.normal(k) * x, 1.0)[1](1.0),
    "scan gradient": lambda k: grad(
        lambda x: lax.scan(lambda c, s: (c * random.normal(s), None), x, random.split(k))[0]
    )(1.0),
    "jitted": drawn,
}
FAILS = {
    "twice": twice(random.normal, random.normal),
    "two samplers": twice(random.normal, random.uniform),
    "split first": twice(random.split, random.normal),
    "split after": twice(random.normal, random.split),
    "split twice": twice(random.split, random.split),
    "permutation": twice(lambda k: random.permutation(k, 3), random.normal),
    "a part twice": lambda k: (lambda ks: (random.normal(ks[0]), random.normal(ks[0])))(
        random.split(k)
    ),
    "jitted twice": twice(drawn, drawn),
    "jitted after": twice(random.normal, drawn),
    "scan over a constant": lambda k: lax.scan(lambda c, _: (c, random.normal(k)), 0, None, 3),
    "kept in the carry": lambda k: lax.scan(lambda c, _: (c, random.normal(c)), k, None, 3),
    "after branches": twice(lambda k: lax.cond(True, drawn, random.uniform, k), random.normal),
    "in a gradient": lambda k: grad(lambda x: random.normal(k) * x + random.uniform(k))(1.0),
    "after vmap": lambda k: (lambda ks: (vmap(random.normal)(ks), vmap(random.normal)(ks)))(
        random.split(k)
    ),
    "in a call": lambda k: checkpoint(twice(random.normal, random.normal))(k),
}


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("wrap", [lambda f: f, jit], ids=["at once", "jit"])
def test_keys_used_once_pass(name, wrap):
    wrap(lambda k: PASSES[name](k))(random.key(0))


@pytest.mark.parametrize("name", FAILS)
@pytest.mark.parametrize("wrap", [lambda f: f, jit], ids=["at once", "jit"])
def test_keys_used_twice_are_refused(name, wrap):
    with pytest.raises(KeyReuseError):
        wrap(lambda k: FAILS[name](k))(random.key(0))


def test_both_places_are_told():
    def f(k):
        a = random.normal(k)
        return a + random.uniform(k)

    with pytest.raises(KeyReuseError) as caught:
        jit(f)(random.key(1))
    text = str(caught.value)
    assert text.startswith("In uniform, argument 0 is already consumed: a random key was first ")
    assert "a = random.normal(k)" in text and text.endswith("return a + random.uniform(k)")
    k = random.key(2)
    drawn(k)
    with pytest.raises(KeyReuseError, match=r"passed to jit-compiled function drawn at index 0"):
        drawn(k)


def test_nothing_is_watched_unless_asked(caplog):
    k = random.key(3)
    f = jit(lambda k: random.normal(k) + random.normal(k))
    with tracer.debug_key_reuse(False):
        f(k)
        assert not tracer.graph_of(random.normal)(k).effectful
    with pytest.raises(KeyReuseError):
        f(k)
    with tracer.debug_key_reuse(False):
        f(k)


def test_what_is_drawn_does_not_change():
    draw = jit(lambda k: random.normal(random.split(k, 3)[1], (4,)))
    watched = draw(random.key(5)).tolist()
    with tracer.debug_key_reuse(False):
        assert draw(random.key(5)).tolist() == watched
