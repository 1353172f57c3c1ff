"""`picotron bench accuracy`: how far kernels are from float64, by family and dtype.

Invariant: an error is ‖out - ref‖ / ‖ref‖ over whole results, all of an operation together; `ref`
is numpy's in float64 from the very arrays that the device was given, rounded to their dtype before.
Sums accumulate in float32 whatever is stored. With 16 bits each operation's result is rounded, by
2**-12 at most for float16 and 2**-9 for bfloat16: once for products and attention, several times
for what is made of several operations, such as a norm.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from picotron.bench_kernels import DTYPES
from picotron.bench_peers import softmax
from picotron.device import adapter_name
from picotron.measure import geometric_mean
from picotron.terminal import table_width
from tracer import grad, jit, nn
from tracer import numpy as jnp

Arrays = list[np.ndarray]
EPS = 1e-5


@dataclass(frozen=True)
class Family:
    """`fun` on arrays from `draw(rng)`; `ref` is the same in numpy. Integers stay what they are."""

    fun: Callable[..., Any]
    ref: Callable[..., Any]
    draw: Callable[[np.random.Generator], Arrays]


def _normals(*shapes: Callable[[dict[str, int]], tuple], **sizes: tuple[int, int]) -> Callable:
    """Standard normal arrays of shapes made of sizes drawn from these ranges."""

    def draw(rng: np.random.Generator) -> Arrays:
        n = {name: int(rng.integers(low, high + 1)) for name, (low, high) in sizes.items()}
        return [rng.standard_normal(shape(n), np.float32) for shape in shapes]

    return draw


# --- the references -------------------------------------------------------------------------------


def _logsumexp(x: np.ndarray) -> np.ndarray:
    top = x.max(-1)
    return np.log(np.exp(x - top[..., None]).sum(-1)) + top


def _weights(q: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Causal attention's weights [B, N, S, T], and keys with a head for each query head."""
    k = np.repeat(k, q.shape[2] // k.shape[2], 2)
    scores = np.einsum("bsnd,btnd->bnst", q, k) / np.sqrt(q.shape[-1])
    return softmax(np.where(np.tri(q.shape[1], dtype=bool), scores, -np.inf)), k


def _attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    p, _ = _weights(q, k)
    return np.einsum("bnst,btnd->bsnd", p, np.repeat(v, q.shape[2] // v.shape[2], 2))


def _attention_gradients(q: np.ndarray, k: np.ndarray, v: np.ndarray, do: np.ndarray) -> tuple:
    group = q.shape[2] // k.shape[2]
    p, keys = _weights(q, k)
    dp = np.einsum("bsnd,btnd->bnst", do, np.repeat(v, group, 2))
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    shared = (*k.shape[:3], group, k.shape[3])
    dk = np.einsum("bnst,bsnd->btnd", ds, q).reshape(shared).sum(3)
    dv = np.einsum("bnst,bsnd->btnd", p, do).reshape(shared).sum(3)
    return np.einsum("bnst,btnd->bsnd", ds, keys), dk, dv


def _picked(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return _logsumexp(logits) - np.take_along_axis(logits, labels[:, None], 1)[:, 0]


def _added(table: np.ndarray, ids: np.ndarray, update: np.ndarray) -> np.ndarray:
    out = np.zeros_like(table)
    np.add.at(out, ids, update)
    return out


# --- the families ---------------------------------------------------------------------------------

_QUERY, _KEY = (lambda n, h=h: (n["b"], n["s"], h, 4 * n["d"]) for h in (4, 2))
_HEADS = {"b": (1, 2), "s": (17, 160), "d": (4, 16)}
_ROWS = {"m": (9, 300), "n": (33, 700)}


def _attend(q: Any, k: Any, v: Any) -> Any:
    return nn.dot_product_attention(q, k, v, is_causal=True)


def _attend_gradients(q: Any, k: Any, v: Any, do: Any) -> Any:
    # Summed in float32: a sum of 16 bits would round the loss, which no gradient sees.
    loss = lambda *x: (_attend(*x) * do).astype("float32").sum()  # noqa: E731
    return grad(loss, (0, 1, 2))(q, k, v)


def _with_labels(rng: np.random.Generator) -> Arrays:
    [logits] = _normals(lambda n: (n["m"], n["n"]), **_ROWS)(rng)
    return [logits, rng.integers(0, logits.shape[1], len(logits)).astype(np.int32)]


def _with_ids(rng: np.random.Generator) -> Arrays:
    draw = _normals(lambda n: (n["v"], n["h"]), lambda n: (n["m"], n["h"]),
                    v=(9, 200), h=(5, 100), m=(9, 300))  # fmt: skip
    table, update = draw(rng)
    return [table, rng.integers(0, len(table), len(update)).astype(np.int32), update]


def _gathered(table: Any, ids: Any, update: Any) -> Any:
    return grad(lambda t: (t[ids] * update).astype("float32").sum())(table)


def _products(*letters: str, **sizes: tuple[int, int]) -> Callable:
    return _normals(*(lambda n, s=s: tuple(n[c] for c in s) for s in letters), **sizes)


_SIZES = {"m": (20, 300), "n": (20, 300), "k": (20, 700)}
FAMILIES = {
    "products": Family(lambda x, y: x @ y, np.matmul, _products("mk", "kn", **_SIZES)),
    "products, turned": Family(
        lambda x, y: x.T @ y.T, lambda x, y: x.T @ y.T, _products("km", "nk", **_SIZES)
    ),
    "products, long sums": Family(
        lambda x, y: x.T @ y, lambda x, y: x.T @ y,
        _products("km", "kn", m=(20, 60), n=(20, 60), k=(2000, 6000)),
    ),
    "products of few rows": Family(
        lambda x, y: x @ y, np.matmul, _products("mk", "kn", m=(1, 8), n=(40, 600), k=(40, 2000))
    ),
    "attention": Family(_attend, _attention, _normals(_QUERY, _KEY, _KEY, **_HEADS)),
    "attention, gradients": Family(
        _attend_gradients, _attention_gradients, _normals(_QUERY, _KEY, _KEY, _QUERY, **_HEADS)
    ),
    "rows: rms norm": Family(
        lambda x, w: nn.rms_norm(x, w, EPS),
        lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w,
        _products("mn", "n", **_ROWS),
    ),
    "rows: softmax": Family(nn.softmax, softmax, _products("mn", **_ROWS)),
    "rows: cross entropy": Family(nn.cross_entropy, _picked, _with_labels),
    "columns": Family(
        lambda x: jnp.sum(x * x, axis=0), lambda x: (x * x).sum(0), _products("mn", **_ROWS)
    ),
    "embedding, gradient": Family(_gathered, _added, _with_ids),
    "elementwise": Family(
        lambda x, y: nn.silu(x) * y, lambda x, y: x / (1 + np.exp(-x)) * y,
        _products("mn", "mn", **_ROWS),
    ),
}  # fmt: skip


def error_of(name: str, dtype: str, seed: int) -> tuple[float, list[tuple[int, ...]]]:
    """The error of a family on arrays of one drawn size, and their shapes."""
    family = FAMILIES[name]
    drawn = family.draw(np.random.default_rng(seed))
    kinds = (x.dtype if x.dtype.kind == "i" else DTYPES[dtype] for x in drawn)
    given = [x.astype(kind) for x, kind in zip(drawn, kinds, strict=True)]
    wide = [x if x.dtype.kind == "i" else x.astype(np.float64) for x in given]
    made, wanted = jit(family.fun)(*map(jnp.asarray, given)), family.ref(*wide)
    pairs = zip(_all(made), _all(wanted), strict=True)
    parts = [(np.asarray(x).astype(np.float64) - y, y) for x, y in pairs]
    difference, size = (np.sqrt(sum(np.sum(p[i] ** 2) for p in parts)) for i in (0, 1))
    return float(difference / size), [x.shape for x in given]


def _all(x: Any) -> Sequence[Any]:
    return x if isinstance(x, (tuple, list)) else (x,)


def run_accuracy(shapes: int) -> dict[str, Any]:
    """Errors of each family and dtype over so many random sizes."""
    rows = []
    for name in FAMILIES:
        for dtype in DTYPES:
            errors = [error_of(name, dtype, seed)[0] for seed in range(shapes)]
            spread = {"worst": max(errors), "median": statistics.median(errors)}
            rows.append({"family": name, "dtype": dtype, "shapes": shapes, **spread})
    means = {d: geometric_mean([r["worst"] for r in rows if r["dtype"] == d]) for d in DTYPES}
    return {"adapter": adapter_name(), "rows": rows, "mean_worst": means}


HEAD = ["family", *DTYPES]


def cells(result: dict[str, Any]) -> list[list[str]]:
    """A row for each family: the worst error of each dtype."""
    worst = {(r["family"], r["dtype"]): f"{r['worst']:.1e}" for r in result["rows"]}
    names = dict.fromkeys(r["family"] for r in result["rows"])
    return [[name, *(worst[name, dtype] for dtype in DTYPES)] for name in names]


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the table."""
    console = console or Console(highlight=False, width=table_width())
    count = result["rows"][0]["shapes"]
    title = f"worst ‖out - ref‖ / ‖ref‖ of {count} random shapes on {result['adapter']}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for n, head in enumerate(HEAD):
        table.add_column(head, justify="right" if n else "left")
    for row in cells(result):
        table.add_row(*row)
    console.print(table)
