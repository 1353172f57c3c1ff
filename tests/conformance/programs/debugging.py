"""Debugging aids: callbacks, NaN checks, key checks and functions that run without jit."""

from __future__ import annotations

import numpy as np

from . import floats, program


def told(j, run):
    """What a program calls back with, as one array per call, in the order of the calls."""
    seen = []

    def tell(*values):
        seen.append(np.asarray([float(v) for v in values], np.float32))

    run(tell)
    j.effects_barrier()
    return np.concatenate(seen) if seen else np.zeros(0, np.float32)


@program(exact=True)
def callbacks_from_jit(j):
    return told(j, lambda tell: j.jit(lambda x: j.debug.callback(tell, x, x + 1))(2.0))


@program(exact=True)
def callbacks_from_a_scan(j):
    def run(tell):
        def step(c, x):
            j.debug.callback(tell, c, x, ordered=True)
            return c + x, c

        j.jit(lambda: j.lax.scan(step, 0.0, j.numpy.arange(3.0), reverse=True))()

    return told(j, run)


@program(exact=True)
def callbacks_from_a_while_loop(j):
    def run(tell):
        def body(x):
            j.debug.callback(tell, x, ordered=True)
            return x + 1

        j.jit(lambda: j.lax.while_loop(lambda x: x < 4, body, 0))()

    return told(j, run)


@program(exact=True)
def callbacks_from_branches(j):
    def run(tell):
        def branch(sign):
            return lambda x: (j.debug.callback(tell, sign * x), x)[1]

        f = j.jit(lambda x: j.lax.cond(x > 0, branch(1), branch(-10), x))
        for x in (1.0, -2.0, 3.0):
            f(x)
            j.effects_barrier()

    return told(j, run)


@program(exact=True)
def callbacks_from_vmap(j):
    return told(
        j, lambda tell: j.vmap(lambda x: j.debug.callback(tell, x) or x)(j.numpy.arange(3.0))
    )


@program(exact=True)
def callbacks_from_gradients(j):
    def run(tell):
        def f(x):
            j.debug.callback(tell, x)
            return x**3

        j.grad(f)(2.0)
        j.effects_barrier()
        j.grad(j.grad(f))(3.0)
        j.effects_barrier()
        j.jit(j.grad(lambda x: j.lax.scan(lambda c, _: (f(c), None), x, None, 2)[0]))(2.0)

    return told(j, run)


@program(exact=True)
def callbacks_of_what_is_rematerialised(j):
    def run(tell):
        j.grad(j.checkpoint(lambda x: (j.debug.callback(tell, x), j.numpy.sin(x))[1]))(2.0)

    return told(j, run)


@program(exact=True)
def without_jit_conditions_are_python(j):
    @j.jit
    def f(v):
        return v * 2 if v.sum() > 0 else -v

    x = j.numpy.arange(1.0, 4.0)
    with j.disable_jit():
        return f(x), f(-x)


@program(exact=True)
def without_jit_loops_are_python(j):
    xs = j.numpy.arange(3)
    with j.disable_jit():
        carry, ys = j.lax.scan(lambda c, x: (c + int(x), c), 0, xs)
        total = j.lax.fori_loop(0, 3, lambda i, v: v + i, 0)
        found = j.lax.while_loop(lambda v: bool(v < 5), lambda v: v + 2, 0)
        branch = j.lax.cond(True, lambda: 1, lambda: (2, 3))
        last = j.lax.switch(7, [lambda: 1, lambda: 2])
    return carry, ys, total, j.numpy.asarray(found), branch, last


@program(says="invalid value (nan) encountered in log")
def nan_of_a_logarithm(j):
    with j.debug_nans(True):
        return j.jit(lambda x: j.numpy.log(x) + 1)(-1.0)


@program(says="invalid value (nan) encountered in div")
def nan_of_a_division_at_once(j):
    with j.debug_nans(True):
        return j.numpy.zeros(2) / j.numpy.zeros(2)


@program(says="invalid value (inf) encountered in exp")
def infinity_of_an_exponential(j):
    with j.debug_infs(True):
        return j.jit(lambda x: j.numpy.exp(x))(1000.0)


@program(floats(3, low=-2, high=-1), grad=False)
def nan_that_is_masked_passes(j, x):
    with j.debug_nans(True):
        return j.jit(lambda v: j.numpy.where(v > 0, j.numpy.sqrt(v), 0.0))(x)


PREVIOUS = "Previously-consumed key passed to"


def checked(j, run):
    """A function of a key, under the checker of keys."""
    with j.debug_key_reuse(True):
        return run(j.random.key(0))


@program(says=PREVIOUS)
def key_used_twice(j):
    return checked(j, lambda k: (j.random.normal(k), j.random.normal(k)))


@program(says=PREVIOUS)
def key_split_and_used(j):
    return checked(j, lambda k: (j.random.split(k), j.random.normal(k)))


@program(says=PREVIOUS)
def key_used_and_split(j):
    return checked(j, lambda k: (j.random.normal(k), j.random.split(k)))


@program(says="already consumed")
def key_used_twice_under_jit(j):
    return checked(j, j.jit(lambda k: j.random.normal(k) + j.random.uniform(k)))


@program(says="body function leads to key reuse when repeatedly executed")
def key_used_in_every_iteration(j):
    def loop(k):
        return j.lax.scan(lambda c, _: (c, j.random.normal(k)), 0.0, None, length=3)

    return checked(j, loop)


@program(grad=False)
def keys_that_are_used_once_pass(j):
    with j.debug_key_reuse(True):
        k = j.random.key(0)
        a, b = j.random.split(j.random.fold_in(k, 1))
        once = j.random.normal(a), j.random.uniform(b)
        again = j.random.normal(j.random.clone(a))
        batch = j.vmap(j.random.normal)(j.random.split(j.random.fold_in(k, 2), 3))
        branch = j.lax.cond(True, lambda: j.random.normal(k), lambda: j.random.uniform(k))
    return once, again, batch, branch


@program(exact=True)
def options_by_their_names(j):
    j.config.update("jax_debug_infs", True)
    on = j.config.jax_debug_infs
    j.config.update("jax_debug_infs", False)
    with j.log_compiles(False), j.debug_nans(True):
        inside = j.config.jax_debug_nans
    return on, inside, j.config.jax_debug_nans, j.config.jax_disable_jit


@program(exact=True)
def one_process_with_one_device(j):
    return j.process_index(), j.process_count(), len(j.local_devices()), j.device_count()
