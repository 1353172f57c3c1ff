"""Stand-in hooks over plain row-major buffers, and the adapter and Tint, for the template tests."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import wgpu

from codegen.records import Attention, Matmul


def _declare(name: str, index: int, kind: str, written: bool) -> str:
    access = "read_write" if written else "read"
    return f"@group(0) @binding({index}) var<storage, {access}> {name}: array<{kind}>;"


def _plus(offset: int) -> str:
    return f" + {offset}u" if offset else ""


class MatmulHooks:
    """A [batch, m, k] or [batch, k, m], B [batch, k, n] or [batch, n, k], out [batch, m, n].

    `epilogue` is a statement on `acc`; without one the hooks call their stores light. For a `panel`
    operands that lie the other way are read one by one.
    """

    def __init__(self, k: Matmul, epilogue: str = "", panel: bool = False) -> None:
        self.panel = panel
        self.k, self.epilogue, self.batched = k, epilogue, k.batch > 1
        self.light = not epilogue
        self.lhs = (k.m, k.k) if k.a_axis == "k" else (k.k, k.m)
        self.rhs = (k.k, k.n) if k.b_axis == "n" else (k.n, k.k)
        self.out = (k.m, k.n)

    def bindings(self) -> str:
        rows = zip(("lhs", "rhs", "out"), (self.lhs, self.rhs, self.out), strict=True)
        return "\n".join(
            _declare(name, i, self._kind(shape), name == "out")
            for i, (name, shape) in enumerate(rows)
        )

    def _kind(self, shape: tuple[int, int]) -> str:
        return "f32" if shape[1] % 4 else "vec4<f32>"

    def _read(self, name: str, batch: str, major: str, minor: str) -> str:
        lines, width = getattr(self, name)
        base = f"(({batch}) * {lines}u + ({major})) * {width}u + ({minor})"
        if width % 4 == 0:
            inside = f"({major}) < {lines}u && ({minor}) < {width}u"
            return f"select(vec4<f32>(), {name}[({base}) / 4u], {inside})"
        inside = f"({major}) < {lines}u && ({minor})"
        items = (
            f"select(0.0, {name}[{base}{_plus(e)}], {inside}{_plus(e)} < {width}u)"
            for e in range(4)
        )
        return f"vec4<f32>({', '.join(items)})"

    def _one(self, name: str, batch: str, major: str, minor: str) -> str:
        lines, width = getattr(self, name)
        at = f"(({batch}) * {lines}u + ({major})) * {width}u + ({minor})"
        at = f"{name}[({at}) / 4u][({at}) % 4u]" if width % 4 == 0 else f"{name}[{at}]"
        return f"select(0.0, {at}, ({major}) < {lines}u && ({minor}) < {width}u)"

    def a4(self, b: str, row: str, k: str) -> str:
        if self.panel and self.k.a_axis == "m":
            return self._one("lhs", b, k, row)
        return self._read("lhs", b, *((row, k) if self.k.a_axis == "k" else (k, row)))

    def b4(self, b: str, k: str, col: str) -> str:
        if self.panel and self.k.b_axis == "k":
            columns = (self._one("rhs", b, f"({col}){_plus(e)}", k) for e in range(4))
            return f"vec4<f32>({', '.join(columns)})"
        return self._read("rhs", b, *((k, col) if self.k.b_axis == "n" else (col, k)))

    def store4(self, b: str, row: str, col: str, acc: str) -> str:
        base = f"(({b}) * {self.k.m}u + ({row})) * {self.k.n}u + ({col})"
        lines = [self.epilogue.replace("acc", acc)] if self.epilogue else []
        if self.k.n % 4 == 0:
            inside = f"({row}) < {self.k.m}u && ({col}) < {self.k.n}u"
            return "\n".join([*lines, f"if ({inside}) {{ out[({base}) / 4u] = {acc}; }}"])
        for e in range(4):
            inside = f"({row}) < {self.k.m}u && ({col}){_plus(e)} < {self.k.n}u"
            lines.append(f"if ({inside}) {{ out[{base}{_plus(e)}] = {acc}.{'xyzw'[e]}; }}")
        return "\n".join(lines)


_BACKWARD = ("q", "k", "v", "do", "lse", "delta")
INPUTS = {"fwd": ("q", "k", "v"), "dq": _BACKWARD, "dkv": _BACKWARD}
OUTPUTS = {"fwd": ("o", "lse"), "dq": ("dq",), "dkv": ("dk", "dv")}


class AttentionHooks:
    """q, o, do, dq [B, Sq, NH, D]; k, v, dk, dv [B, Sk, NKV, D]; lse, delta [B, NH, Sq].

    Segments are [B, Sq] and [B, Sk].
    """

    def __init__(self, k: Attention, kernel: str) -> None:
        self.k, self.kernel = k, kernel

    def bindings(self) -> str:
        outputs = OUTPUTS[self.kernel]
        names = self.inputs() + outputs
        scalars = dict(lse="f32", delta="f32", query_segment="i32", key_segment="i32")
        kinds = (scalars.get(name, "vec4<f32>") for name in names)
        return "\n".join(
            _declare(f"x_{name}", i, kind, name in outputs)
            for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
        )

    def inputs(self) -> tuple[str, ...]:
        segments = ("query_segment", "key_segment") if self.k.segments else ()
        return INPUTS[self.kernel] + segments

    def _at(self, name: str, b: str, s: str, head: str, d: str) -> str:
        keys = name in ("k", "v", "dk", "dv")
        length = self.k.kv_len if keys else self.k.q_len
        heads = self.k.kv_heads if keys else self.k.heads
        row = f"(({b}) * {length}u + ({s})) * {heads}u + ({head})"
        return f"x_{name}[({row}) * {self.k.head_dim // 4}u + ({d}) / 4u]"

    def _statistic(self, name: str, b: str, head: str, s: str) -> str:
        return f"x_{name}[(({b}) * {self.k.heads}u + ({head})) * {self.k.q_len}u + ({s})]"

    def lse(self, b: str, head: str, s: str) -> str:
        return self._statistic("lse", b, head, s)

    def delta(self, b: str, head: str, s: str) -> str:
        return self._statistic("delta", b, head, s)

    def query_segment(self, b: str, s: str) -> str:
        return f"x_query_segment[({b}) * {self.k.q_len}u + ({s})]"

    def key_segment(self, b: str, s: str) -> str:
        return f"x_key_segment[({b}) * {self.k.kv_len}u + ({s})]"

    def store_lse(self, b: str, head: str, s: str, val: str) -> str:
        return f"{self.lse(b, head, s)} = {val};"

    def __getattr__(self, hook: str):
        name = hook.removeprefix("store_").removesuffix("4")
        if hook.startswith("store_"):
            return lambda b, s, head, d, val: f"{self._at(name, b, s, head, d)} = {val};"
        return lambda b, s, head, d: self._at(name, b, s, head, d)


@cache
def device() -> wgpu.GPUDevice:
    """A Vulkan device with subgroup operations, or a skip."""
    for adapter in wgpu.gpu.enumerate_adapters_sync():
        if adapter.info["backend_type"] == "Vulkan" and "subgroup" in adapter.features:
            return adapter.request_device_sync(required_features=["subgroup"])
    pytest.skip("no Vulkan adapter with subgroup operations")


def run(code: str, grid: tuple, inputs: list[np.ndarray], shapes: list[tuple]) -> list[np.ndarray]:
    """Dispatches `code` once; outputs start as 7.0, so an element left unwritten shows."""
    dev, usage = device(), wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    arrays = [*inputs, *(np.full(shape, 7.0, np.float32) for shape in shapes)]
    data = [np.resize(a, max(4, math.ceil(a.size / 4) * 4)) for a in arrays]
    data = [a if a.dtype == np.int32 else a.astype(np.float32) for a in data]
    buffers = [dev.create_buffer_with_data(data=a, usage=usage) for a in data]
    pipeline = dev.create_compute_pipeline(
        layout="auto",
        compute={"module": dev.create_shader_module(code=code), "entry_point": "main"},
    )
    entries = [{"binding": i, "resource": {"buffer": b}} for i, b in enumerate(buffers)]
    group = dev.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
    encoder = dev.create_command_encoder()
    compute = encoder.begin_compute_pass()
    compute.set_pipeline(pipeline)
    compute.set_bind_group(0, group)
    compute.dispatch_workgroups(*grid)
    compute.end()
    dev.queue.submit([encoder.finish()])
    read = [np.frombuffer(dev.queue.read_buffer(b), np.float32) for b in buffers[len(inputs) :]]
    return [r[: math.prod(s)].reshape(s) for r, s in zip(read, shapes, strict=True)]
