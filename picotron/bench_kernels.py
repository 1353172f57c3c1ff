"""`picotron bench gemm`, `attention` and `rows`: single kernels, alone or against another library.

Invariant: every case states its own operations and bytes, and its result is compared with numpy's
in float64 on rows that are cheap to compute; all sides get the same random arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from picotron.bench_peers import ADAMW, EPS, Ours, Peer, causal_attention, load, softmax
from picotron.device import is_software
from picotron.measure import Timing, geometric_mean, interleaved, ratios, roof

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
CHECKED = 16  # rows of a result that are compared

# (m, n, k): square ones, and those of a LLaMA's projections, feed-forward and head.
GEMM = (
    (4096, 4096, 4096), (8192, 8192, 2048), (2048, 2048, 2048), (8192, 2048, 768),
    (8192, 768, 2048), (8192, 768, 768), (8192, 32000, 768), (2048, 2048, 768),
    (2048, 768, 768), (1024, 1024, 1024), (512, 512, 512),
)  # fmt: skip
GEMM_SOFTWARE = ((512, 512, 512), (1024, 256, 256), (256, 1024, 256), (256, 256, 256))
ATTENTION = ((4, 16, 2048, 64),)  # batch, heads, positions, head size
ATTENTION_SOFTWARE = ((1, 4, 256, 64),)
ROWS = {"rms_norm": (16384, 4096), "softmax": (8192, 8192), "logsumexp": (8192, 32000)}
ROWS |= {"adamw": (67_108_864,), "negate": (67_108_864,)}
ROWS_SOFTWARE = {"rms_norm": (2048, 1024), "softmax": (2048, 1024), "logsumexp": (512, 8192)}
ROWS_SOFTWARE |= {"adamw": (1 << 20,), "negate": (1 << 22,)}


@dataclass(frozen=True)
class Case:
    """One operation on `arrays()`; `check(arrays, results)` is (part of one, what it should be)."""

    name: str
    op: str
    arrays: Callable[[], list[np.ndarray]]
    flops: int
    nbytes: int
    check: Callable[[list[np.ndarray], list[np.ndarray]], tuple[np.ndarray, np.ndarray]]
    bound: str  # "flops" or "bytes": what the case is measured in


def _normal(dtype: str, *shapes: tuple[int, ...]) -> Callable[[], list[np.ndarray]]:
    def make() -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [rng.standard_normal(s, np.float32).astype(DTYPES[dtype]) for s in shapes]

    return make


def _size(dtype: str) -> int:
    return np.dtype(DTYPES[dtype]).itemsize


def gemm_cases(dtype: str, software: bool) -> Iterator[Case]:
    """Products [m, k] @ [k, n]."""
    for m, n, k in GEMM_SOFTWARE if software else GEMM:

        def check(x: list, out: list) -> tuple[np.ndarray, np.ndarray]:
            rows = slice(0, None, max(1, len(x[0]) // CHECKED))
            return out[0][rows], x[0][rows].astype(np.float64) @ x[1].astype(np.float64)

        moved = _size(dtype) * (m * k + k * n + m * n)
        arrays = _normal(dtype, (m, k), (k, n))
        yield Case(f"{m}x{n}x{k}", "matmul", arrays, 2 * m * n * k, moved, check, "flops")


def attention_cases(dtype: str, software: bool) -> Iterator[Case]:
    """Causal attention, forward and with gradients of all three operands."""
    for b, h, s, d in ATTENTION_SOFTWARE if software else ATTENTION:
        shape, name = (b, s, h, d), f"B{b} H{h} S{s} D{d} causal"
        pairs = b * h * s * (s + 1) // 2
        moved = 4 * _size(dtype) * b * s * h * d

        def forward(x: list, out: list) -> tuple[np.ndarray, np.ndarray]:
            first = [a[:1, :256, :1].astype(np.float64) for a in x]
            return out[0][:1, :256, :1], causal_attention(*first)

        def backward(x: list, out: list) -> tuple[np.ndarray, np.ndarray]:
            # The last position's query alone gives dq of the last position.
            q, k, v, do = (a[0, :, 0].astype(np.float64) for a in x)
            p = np.exp(q[-1] @ k.T / np.sqrt(q.shape[1]))
            p /= p.sum()
            dp = do[-1] @ v.T
            return out[0][0, -1, 0], (p * (dp - p @ dp)) @ k / np.sqrt(q.shape[1])

        yield Case(
            f"forward, {name}", "attention", _normal(dtype, *(shape,) * 3), 4 * pairs * d, moved,
            forward, "flops",
        )  # fmt: skip
        yield Case(
            f"forward and backward, {name}", "attention_grad", _normal(dtype, *(shape,) * 4),
            14 * pairs * d, 2 * moved, backward, "flops",
        )  # fmt: skip


def row_cases(dtype: str, software: bool) -> Iterator[Case]:
    """What reads or writes memory and does little else."""
    for op, shape in (ROWS_SOFTWARE if software else ROWS).items():
        shapes = {"rms_norm": (shape, shape[-1:]), "adamw": (shape,) * 4}.get(op, (shape,))
        count, size = int(np.prod(shape)), _size(dtype)
        moved = size * count * {"adamw": 7, "logsumexp": 1}.get(op, 2)
        make = _normal(dtype, *shapes)
        if op == "adamw":
            make = _moments(make)
        name = f"{op.replace('_', ' ')} {'x'.join(map(str, shape))}"
        yield Case(name, op, make, 5 * count, moved, _row_check(op), "bytes")


def _moments(make: Callable[[], list[np.ndarray]]) -> Callable[[], list[np.ndarray]]:
    """A second moment is not negative."""

    def made() -> list[np.ndarray]:
        p, m, v, g = make()
        return [p, m, np.abs(v), g]

    return made


def _row_check(op: str) -> Callable:
    def check(x: list, out: list) -> tuple[np.ndarray, np.ndarray]:
        y = [a[:CHECKED].astype(np.float64) if a.shape == x[0].shape else a for a in x]
        return out[0][:CHECKED], _ROWS[op](*y)

    return check


def _adamw(p: np.ndarray, m: np.ndarray, v: np.ndarray, g: np.ndarray) -> np.ndarray:
    m, v = (
        ADAMW[b] * old + (1 - ADAMW[b]) * new for b, old, new in (("b1", m, g), ("b2", v, g * g))
    )
    step = m / (np.sqrt(v) + ADAMW["eps"]) + ADAMW["decay"] * p
    return p - ADAMW["lr"] * step


_ROWS: dict[str, Callable[..., np.ndarray]] = {
    "rms_norm": lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w,
    "softmax": softmax,
    "logsumexp": lambda x: np.log(np.exp(x).sum(-1)),
    "adamw": _adamw,
    "negate": lambda x: -x,
}
FAMILIES = {"gemm": gemm_cases, "attention": attention_cases, "rows": row_cases}


def run_family(family: str, dtype: str, vs: str | None, rounds: int) -> dict[str, Any]:
    """All cases of a family: times, rates, shares of the roof, errors, and ratios to a peer."""
    software = is_software()
    ours, peer = Ours(), load(vs, software) if vs else None
    top = roof(ours.device, software)
    cases = list(FAMILIES[family](dtype, software))
    found = [_measure(case, ours, peer, top, rounds) for case in cases]
    result = {"family": family, "dtype": dtype, "adapter": ours.device, "roof": top.as_dict()}
    means = {f"mean_{key}": _mean(found, key) for key in ("ratio", "device_ratio")}
    result |= {"peer": peer.describe() if peer else None, "rounds": rounds, "cases": found}
    return result | (means if peer else {})


def _mean(cases: list[dict[str, Any]], key: str) -> float | None:
    return geometric_mean([c[key] for c in cases if c.get(key)])


def _measure(case: Case, ours: Ours, peer: Peer | None, top: Any, rounds: int) -> dict[str, Any]:
    arrays = case.arrays()
    sides = {"ours": ours.side(case.op, arrays)}
    if peer and case.op in peer.ops:
        sides["peer"] = peer.side(case.op, arrays)
    times = interleaved(sides, rounds)
    part, want = case.check(arrays, ours.fetch())
    error = float(np.linalg.norm(part - want) / np.linalg.norm(want))
    device = ours.device_seconds(sides["ours"])
    call = Timing.of(times["ours"])
    seconds = device or call.median
    limit = top.flops if case.bound == "flops" else top.nbytes
    rate = (case.flops if case.bound == "flops" else case.nbytes) / seconds
    found = {
        "case": case.name, "ms": 1e3 * call.median, "device_ms": device and 1e3 * device,
        "tflops": case.flops / seconds / 1e12, "gbytes_s": case.nbytes / seconds / 1e9,
        "share_of_roof": limit and rate / limit, "error": error,
    }  # fmt: skip
    if "peer" in sides:
        ratio = ratios(times["ours"], times["peer"])
        found |= {"peer_ms": 1e3 * Timing.of(times["peer"]).median, "ratio": ratio.median}
        found |= {"ratio_least": ratio.least, "ratio_most": ratio.most}
        theirs = peer.device_seconds(sides["peer"])
        if device and theirs:
            found |= {"peer_device_ms": 1e3 * theirs, "device_ratio": theirs / device}
    return found
