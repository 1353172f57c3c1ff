"""The operations that are measured, written once for each library.

Invariant: a peer offers, for each operation, a function of numpy arrays that returns a `Side`; the
arrays lie on its device before anything is timed, and `result` is what the last run computed. An
operation that a library lacks is missing from its peer.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from picotron.errors import ConfigError
from picotron.measure import Side, warm

PEERS = ("torch", "jax", "tinygrad", "numpy")
EPS = 1e-5
ADAMW = dict(lr=1e-3, b1=0.9, b2=0.95, eps=1e-8, decay=0.1)


class Peer:
    """One library: `ops` by name, and how to call, await and fetch."""

    name, version, device = "", "", ""
    rest = 0.0  # of its sides

    def __init__(self) -> None:
        self.ops: dict[str, Callable[..., Any]] = {}
        self.result: Any = None
        self._held: list = []

    def put(self, x: np.ndarray) -> Any:
        return x

    def compiled(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        return fun

    def wait(self) -> None:
        """End when what was started has been done."""

    def fetch(self) -> list[np.ndarray]:
        """The results of the last run, in float32."""
        found = self.result if isinstance(self.result, (tuple, list)) else [self.result]
        return [np.asarray(x).astype(np.float32) for x in found]

    def side(self, op: str, arrays: list[np.ndarray]) -> Side:
        """The operation on these arrays."""
        fun, held = self.compiled(self.ops[op]), [self.put(x) for x in arrays]
        self._held = held

        def run() -> None:
            self.result = fun(*held)

        return Side(run, self.wait, self.rest)

    def device_seconds(self, side: Side) -> float | None:
        """Seconds of one run on the device by its own clock; None where it has none."""
        return None

    def describe(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version, "device": self.device}


def numpy_like_ops(np_: Any, softmax: Callable, attend: Callable, grad: Callable) -> dict:
    """The operations in terms of a library with numpy's interface."""

    def rms_norm(x: Any, w: Any) -> Any:
        return x * (1 / np_.sqrt(np_.mean(x * x, axis=-1, keepdims=True) + EPS)) * w

    def logsumexp(x: Any) -> Any:
        top = np_.max(x, axis=-1, keepdims=True)
        return (np_.log(np_.sum(np_.exp(x - top), axis=-1, keepdims=True)) + top)[..., 0]

    def adamw(p: Any, m: Any, v: Any, g: Any) -> tuple:
        m = ADAMW["b1"] * m + (1 - ADAMW["b1"]) * g
        v = ADAMW["b2"] * v + (1 - ADAMW["b2"]) * g * g
        step = m / (np_.sqrt(v) + ADAMW["eps"]) + ADAMW["decay"] * p
        return p - ADAMW["lr"] * step, m, v

    return {
        "matmul": lambda a, b: a @ b,
        "attention": attend,
        "attention_grad": grad,
        "rms_norm": rms_norm,
        "softmax": softmax,
        "logsumexp": logsumexp,
        "adamw": adamw,
        "negate": lambda x: -x,
    }


class Ours(Peer):
    """This package on the adapter in use."""

    name = "picotron"

    def __init__(self) -> None:
        super().__init__()
        from picotron.device import adapter_name
        from tracer import grad, nn
        from tracer import numpy as jnp

        def attend(q: Any, k: Any, v: Any) -> Any:
            return nn.dot_product_attention(q, k, v, is_causal=True)

        def backward(q: Any, k: Any, v: Any, do: Any) -> Any:
            loss = lambda q, k, v: (attend(q, k, v) * do).sum()  # noqa: E731
            return grad(loss, (0, 1, 2))(q, k, v)

        self.device = adapter_name()
        self.ops = numpy_like_ops(jnp, nn.softmax, attend, backward)
        self.ops["rms_norm"] = lambda x, w: nn.rms_norm(x, w, EPS)
        self._jitted: Any = None

    def put(self, x: np.ndarray) -> Any:
        from tracer import numpy as jnp

        return jnp.asarray(x)

    def compiled(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        from tracer import jit

        self._jitted = jit(fun)
        return self._jitted

    def wait(self) -> None:
        from tracer import block_until_ready

        block_until_ready(self.result)

    def device_seconds(self, side: Side) -> float | None:
        """The sum of the kernels' times by timestamps, the clocks being up."""
        warm(side)
        times = [self._jitted.profile(*self._held) for _ in range(5)]
        if any(t.clock != "gpu" for t in times[0]):
            return None
        return sorted(sum(t.seconds for t in run) for run in times)[2]


class Torch(Peer):
    """PyTorch, on CUDA where our adapter is a GPU too; products in true float32."""

    name = "torch"

    def __init__(self, software: bool) -> None:
        super().__init__()
        import torch

        self.torch, self.version = torch, torch.__version__
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.kind = "cuda" if torch.cuda.is_available() and not software else "cpu"
        self.device = torch.cuda.get_device_name() if self.kind == "cuda" else "cpu"
        functional = torch.nn.functional

        def attend(q: Any, k: Any, v: Any) -> Any:
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

        def backward(q: Any, k: Any, v: Any, do: Any) -> Any:
            leaves = [x.detach().requires_grad_() for x in (q, k, v)]
            return torch.autograd.grad(attend(*leaves), leaves, do)

        def adamw(p: Any, m: Any, v: Any, g: Any) -> tuple:
            step = torch.ones((), device=self.kind)
            torch._fused_adamw_(
                [p], [g], [m], [v], [], [step], lr=ADAMW["lr"], beta1=ADAMW["b1"],
                beta2=ADAMW["b2"], weight_decay=ADAMW["decay"], eps=ADAMW["eps"], amsgrad=False,
                maximize=False,
            )  # fmt: skip
            return p, m, v

        self.ops = {
            "matmul": torch.matmul,
            "attention": attend,
            "attention_grad": backward,
            "rms_norm": lambda x, w: functional.rms_norm(x, w.shape, w, EPS),
            "softmax": lambda x: torch.softmax(x, -1),
            "logsumexp": lambda x: torch.logsumexp(x, -1),
            "adamw": adamw,
            "negate": torch.neg,
        }

    def put(self, x: np.ndarray) -> Any:
        if x.dtype.name == "bfloat16":
            return self.torch.from_numpy(x.astype(np.float32)).to(self.kind, self.torch.bfloat16)
        return self.torch.from_numpy(x.copy()).to(self.kind)

    def wait(self) -> None:
        if self.kind == "cuda":
            self.torch.cuda.synchronize()

    def device_seconds(self, side: Side) -> float | None:
        """Between two events around as many runs as `warm` made, which follow one another."""
        if self.kind != "cuda":
            return None
        calls = warm(side)
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            side.run()
        end.record()
        side.wait()
        return start.elapsed_time(end) / 1e3 / calls

    def fetch(self) -> list[np.ndarray]:
        found = self.result if isinstance(self.result, (tuple, list)) else [self.result]
        return [x.detach().float().cpu().numpy() for x in found]


class Jax(Peer):
    """JAX on its default device."""

    name = "jax"

    def __init__(self) -> None:
        super().__init__()
        import jax

        self.jax, self.version = jax, jax.__version__
        self.device = str(jax.devices()[0])

        def attend(q: Any, k: Any, v: Any) -> Any:
            return jax.nn.dot_product_attention(q, k, v, is_causal=True)

        def backward(q: Any, k: Any, v: Any, do: Any) -> Any:
            return jax.grad(lambda *x: (attend(*x) * do).sum(), (0, 1, 2))(q, k, v)

        self.ops = numpy_like_ops(jax.numpy, jax.nn.softmax, attend, backward)

    def put(self, x: np.ndarray) -> Any:
        return self.jax.device_put(x)

    def compiled(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        return self.jax.jit(fun)

    def wait(self) -> None:
        self.jax.block_until_ready(self.result)


class Tinygrad(Peer):
    """tinygrad on its default device, captured by its own jit."""

    name = "tinygrad"

    def __init__(self) -> None:
        super().__init__()
        import tinygrad

        self.tinygrad, self.device = tinygrad, tinygrad.Device.DEFAULT
        self.version = importlib.metadata.version("tinygrad")

        def rms_norm(x: Any, w: Any) -> Any:
            return x * ((x * x).mean(-1, keepdim=True) + EPS).rsqrt() * w

        def attend(q: Any, k: Any, v: Any) -> Any:
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
            return q.scaled_dot_product_attention(k, v, is_causal=True).transpose(1, 2)

        self.ops = {
            "matmul": lambda a, b: a @ b,
            "attention": attend,
            "rms_norm": rms_norm,
            "softmax": lambda x: x.softmax(-1),
            "logsumexp": lambda x: x.logsumexp(-1),
            "negate": lambda x: -x,
        }

    def put(self, x: np.ndarray) -> Any:
        return self.tinygrad.Tensor(x).realize()

    def compiled(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        return self.tinygrad.TinyJit(lambda *xs: fun(*xs).realize())

    def wait(self) -> None:
        self.tinygrad.Device[self.device].synchronize()

    def fetch(self) -> list[np.ndarray]:
        return [self.result.numpy().astype(np.float32)]


class Numpy(Peer):
    """numpy on the host."""

    name, version, device = "numpy", np.__version__, "cpu"
    rest = 0.1  # OpenBLAS's threads wait for more work with 2^26 cycles of spinning

    def __init__(self) -> None:
        super().__init__()
        self.ops = numpy_like_ops(np, softmax, causal_attention, None)
        del self.ops["attention_grad"]


def softmax(x: np.ndarray) -> np.ndarray:
    """Of each row, along the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def causal_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q k^T / sqrt(D)) v for [B, S, N, D] arrays, each position seeing those before it."""
    scores = np.einsum("bsnd,btnd->bnst", q, k) / math.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[1], dtype=bool), scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bnst,btnd->bsnd", e / e.sum(-1, keepdims=True), v)


def load(name: str, software: bool) -> Peer:
    """The peer of a name; raises ConfigError if its library is not installed."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"--vs {name} needs {name}, which is not installed: {error}") from None
    if name == "torch":
        return Torch(software)
    return {"jax": Jax, "tinygrad": Tinygrad, "numpy": Numpy}[name]()
