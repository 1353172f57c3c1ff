"""`python -m picotron.selfcheck`: does this machine's adapter compute what numpy computes?

Invariant: every case runs the same function on the adapter and on the numpy interpreter. The cases
are what drivers have been seen to get wrong: long loops, half floats, barriers, subgroups, loops
replayed by the host, and a train step as a whole. Exit code 1 and one line for the first
difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from picotron import reference
from tracer import device_get, jit, lax, nn, tree, use_backend
from tracer import numpy as jnp

TINY = reference.Shapes(V=64, H=32, NH=4, NKV=2, L=1, I=48, S=32, B=2)
TOLERANCE = 2e-5  # of the largest element: float32 sums in another order


def cases() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """(what it is, function, arguments)."""
    draw = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape, np.float32)

    yield "a sum of 131,072 ones", lambda x: jnp.sum(x, 1), (np.ones((2, 131_072), np.float32),)
    yield "a softmax over 131,101", lambda x: nn.softmax(x, axis=-1), (normal(2, 131_101),)
    yield "a product with inner size 70,000", jnp.matmul, (normal(8, 70_000), normal(70_000, 8))
    yield "a product of odd sizes", jnp.matmul, (normal(67, 129), normal(129, 35))
    yield "column sums", lambda x: jnp.sum(x, 0), (normal(3000, 37),)
    yield "half floats", lambda x: (x.astype("bfloat16") * 3).astype("float32"), (normal(64, 34),)
    yield "a sort", jnp.sort, (normal(5, 1000),)
    yield "a loop", _loop, (normal(16),)
    step, arguments = reference.train_step(TINY)
    yield "a train step", step, arguments


def _loop(x: Any) -> Any:
    return lax.fori_loop(0, 300, lambda i, carry: carry * 0.99 + i * 0.01, x)


def first_difference() -> str | None:
    """What differs, in words; None if nothing does."""
    for name, function, arguments in cases():
        found = tree.leaves(device_get(jit(function)(*arguments)))
        use_backend("oracle")
        wanted = tree.leaves(device_get(jit(function)(*arguments)))
        use_backend(None)
        for have, want in zip(found, wanted, strict=True):
            have, want = (np.asarray(leaf, np.float64) for leaf in (have, want))
            scale = max(float(np.abs(want).max(initial=0)), 1e-3)
            error = float(np.abs(have - want).max(initial=0)) / scale
            if not error <= TOLERANCE:
                return f"{name} is off by {error:.1e} of its largest value"
    return None


def main() -> int:
    problem = first_difference()
    if problem:
        print(problem)
    return int(problem is not None)


if __name__ == "__main__":
    sys.exit(main())
