"""torch's own sample inputs (OpInfo) through the same functions in the JAX interface.

Invariant: torch on the CPU is the judge of values and gradients, in float32; a sample that asks for
what the interface has no word for is counted apart, never as a pass.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

import numpy as np
import pytest

from . import compare
from .opinfo_map import Unmapped
from .opinfo_numpy import MAP
from .results import clean

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from torch.testing._internal import common_methods_invocations as opinfos  # noqa: E402

SAMPLED = 8  # on the device every eighth sample runs
RTOL = {"values": 1e-4, "gradients": 3e-4}
ATOL = 2e-5
# Where torch's own float32 gradient is off by this much from the one in float64.
NOISE = {"logcumsumexp": 5e-3, "nn.functional.layer_norm": 1e-3}
# torch defines the gradient of a norm at zero as 0; JAX's is NaN, as the formula's.
OTHER_CONVENTIONS = ("subgradients_at_zero",)
INFOS = [
    info
    for info in opinfos.op_db
    if info.name in MAP
    and torch.float32 in info.supported_dtypes("cpu")
    and info.variant_test_name not in OTHER_CONVENTIONS
]


def name_of(info: Any) -> str:
    return ".".join(filter(None, [info.name, info.variant_test_name]))


def map_leaves(x: Any, change: Any) -> Any:
    """`change` of every tensor in torch's nested arguments."""
    if isinstance(x, torch.Tensor):
        return change(x)
    if isinstance(x, (list, tuple)):
        kind = list if isinstance(x, list) else tuple
        return kind(map_leaves(v, change) for v in x)
    if isinstance(x, dict):
        return {k: map_leaves(v, change) for k, v in x.items()}
    return str(x).removeprefix("torch.") if isinstance(x, torch.dtype) else x


def narrowed(t: torch.Tensor) -> np.ndarray:
    """A tensor as numpy, with integers as int32: WGSL has no others that are signed."""
    host = t.detach().resolve_conj().resolve_neg().numpy()
    return host.astype(np.int32) if host.dtype.kind in "iu" else host


def result_leaves(x: Any) -> list:
    return [leaf for _, leaf in compare.leaves(x if isinstance(x, (list, tuple)) else [x])]


def seeded_weights(shape: tuple[int, ...], at: int) -> np.ndarray:
    return np.random.default_rng(at).uniform(0.5, 1.5, shape).astype(np.float32)


class Sample:
    """One of torch's samples: torch's answers, and the call that should give them."""

    def __init__(self, info: Any, sample: Any, gradients: bool) -> None:
        self.info, self.sample = info, sample
        self.tree = [sample.input, list(sample.args), dict(sample.kwargs)]
        self.leaves: list[torch.Tensor] = []
        map_leaves(self.tree, self.leaves.append)
        self.wrt = [i for i, t in enumerate(self.leaves) if gradients and t.requires_grad]

    def torch_answers(self) -> tuple[list, list]:
        """(results, gradients of their weighted sum)."""
        outs = result_leaves(self.info.op(self.tree[0], *self.tree[1], **self.tree[2]))
        total = sum(
            (o * torch.from_numpy(seeded_weights(tuple(o.shape), i))).sum()
            for i, o in enumerate(outs)
            if o.is_floating_point() and o.requires_grad
        )
        if not self.wrt or not isinstance(total, torch.Tensor):
            return [narrowed(o) for o in outs], []
        inputs = [self.leaves[i] for i in self.wrt]
        found = torch.autograd.grad(total, inputs, allow_unused=True)
        pairs = zip(found, inputs, strict=True)
        return [narrowed(o) for o in outs], [
            narrowed(torch.zeros_like(t) if g is None else g) for g, t in pairs
        ]

    def call(self, j: Any, arrays: list) -> list:
        """Our results for the tensors of the sample as arrays."""
        left = iter(arrays)
        first, args, kwargs = map_leaves(self.tree, lambda _: next(left))
        return result_leaves(MAP[self.info.name](j, first, *args, **kwargs))

    def our_values(self, j: Any) -> list:
        return self.call(j, [j.numpy.asarray(narrowed(t)) for t in self.leaves])

    def our_gradients(self, j: Any) -> list:
        host = [narrowed(t) for t in self.leaves]

        def total(*chosen: Any) -> Any:
            arrays = [j.numpy.asarray(a) for a in host]
            for i, x in zip(self.wrt, chosen, strict=True):
                arrays[i] = x
            parts = [
                j.numpy.sum(o * seeded_weights(tuple(o.shape), i))
                for i, o in enumerate(self.call(j, arrays))
                if np.dtype(o.dtype).kind == "f"
            ]
            return sum(parts[1:], parts[0])

        inputs = [j.numpy.asarray(host[i]) for i in self.wrt]
        return list(j.grad(total, tuple(range(len(inputs))))(*inputs))


def difference(ours: list, theirs: list, rtol: float, atol: float) -> str | None:
    """The first result that is not torch's."""
    if len(ours) != len(theirs):
        return f"structure: {len(ours)} results instead of {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        if tuple(a.shape) != b.shape:
            return f"shape: {tuple(a.shape)} instead of {b.shape}"
        if (np.dtype(a.dtype).kind == "f") != (b.dtype.kind == "f"):
            return f"dtype: {np.dtype(a.dtype).name} instead of {b.dtype.name}"
        x, y = np.asarray(a).astype(np.float64), b.astype(np.float64)
        wrong = ~np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            return f"value: {x[at]:.7g} instead of {y[at]:.7g} ({wrong.sum()} of {wrong.size})"
    return None


def attempt(compute: Any, theirs: list, rtol: float, atol: float) -> str | None:
    """The difference, or the error, of our results."""
    try:
        return difference(compute(), theirs, rtol, atol)
    except Unmapped as error:
        return f"unmapped: {error}"
    except Exception as error:
        return compare.described(error)


def run(info: Any, j: Any, every: int, loose: float) -> dict[str, dict[str, str | None]]:
    """{sample: {"values": reason or None, "gradients": ...}} of one operator."""
    torch.manual_seed(zlib.crc32(name_of(info).encode()))
    gradients = info.supports_autograd
    found = {}
    samples = info.sample_inputs("cpu", torch.float32, requires_grad=gradients)
    for i, given in enumerate(samples):
        if i % every:
            continue
        sample = Sample(info, given, gradients)
        values, grads = sample.torch_answers()
        rtol, atol = RTOL["values"] * loose, ATOL * loose
        checks = {"values": attempt(partial(sample.our_values, j), values, rtol, atol)}
        if grads:
            rtol, atol = RTOL["gradients"] * loose, max(NOISE.get(info.name, 0), atol)
            ours = partial(sample.our_gradients, j)
            checks["gradients"] = attempt(ours, grads, rtol, atol)
        found[f"{name_of(info)}#{i}"] = checks
    return found


@pytest.mark.parametrize("info", INFOS, ids=name_of)
def test_opinfo(info, library, on_device, section):
    every, loose = (SAMPLED, compare.DEVICE_LOOSER) if on_device else (1, 1)
    found = run(info, library, every, loose)
    wrong = []
    for sample, checks in found.items():
        kept = {c: clean(r) if r else None for c, r in checks.items()}
        unmapped = any(r and r.startswith("unmapped") for r in kept.values())
        section("OpInfo, not in the interface" if unmapped else "OpInfo")[sample] = kept
        wrong += [f"{sample} {c}: {r}" for c, r in kept.items() if r and not unmapped]
    assert found, "torch gave no samples"
    assert not wrong, f"{len(wrong)} of {len(found)} samples fail:\n" + "\n".join(wrong)


def test_as_many_operators_are_mapped_as_the_table_says():
    assert len({info.name for info in INFOS}) >= 100
