"""A wgpu device with everything programs share on it: pipelines, memory, transfers.

Invariant: nothing is submitted that wgpu could refuse, because an error inside `submit` aborts the
process: encoders are finished (which reports a lost device and bad commands as exceptions) and
submitted exactly once, in `Device.submit`, and no buffer is ever destroyed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from codegen.program import Binding, KernelCode

from .adapter import AdapterInfo, adapters, choose, matches, profile_of
from .buffer import Buffer, BufferPool, PendingRead, StagingRing
from .driver import (
    TRUSTED,
    RawEncoder,
    Wait,
    bind_group,
    submit,
    submit_in_pieces,
    unchecked_module,
    wgpu,
)
from .errors import KernelCompileError, NoAdapterError, translate
from .settings import settings
from .tuned import tuned

FEATURES = ("shader-f16", "subgroup", "subgroup-barrier", "timestamp-query")
FEATURES += ("shader-float32-atomic",)
CHUNK_BYTES = 16 << 20  # of one staging buffer while a large array is read
PROBE = KernelCode(
    name="probe_subgroup",
    template="probe",
    wgsl="""@group(0) @binding(0) var<storage, read_write> seen: array<vec2<u32>>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32) {
  seen[lane] = vec2<u32>(size, subgroupAdd(1u));
}
""",
    workgroup=(64, 1, 1),
    bindings=(Binding("seen", "read_write"),),
)


class SoftwareAdapterWarning(UserWarning):
    """The chosen adapter computes on the CPU."""


@dataclass(frozen=True)
class Pipeline:
    """A compiled kernel; `handle` is the native pointer that replay passes on."""

    raw: wgpu.GPUComputePipeline
    layout: wgpu.GPUBindGroupLayout
    handle: object


class Device:
    """One opened adapter. `check` keeps shader bounds checks and validated calls (PICO_CHECK=1)."""

    def __init__(self, info: AdapterInfo, check: bool | None = None) -> None:
        self.info = info
        self.check = settings().check if check is None else check
        self.features = tuple(name for name in FEATURES if name in info.features)
        self.raw: wgpu.GPUDevice = _open(info, self.features)
        self.wait = Wait(self.raw)
        self.limits: dict[str, int] = dict(self.raw.limits)
        self.pool = BufferPool(self.raw, self.limits["max-buffer-size"])
        self.staging = StagingRing(self.raw)
        # Gone with the last program that has the kernel: a CPU driver's machine code takes 2 MiB.
        self._pipelines: WeakValueDictionary[tuple, Pipeline] = WeakValueDictionary()
        self._layouts: dict[tuple[str, ...], wgpu.GPUBindGroupLayout] = {}
        self.profile = tuned(profile_of(info, self._probe_subgroup()), info)

    def __repr__(self) -> str:
        return f"Device({self.info})"

    # Kernels

    def pipeline(self, kernel: KernelCode) -> Pipeline:
        """The compiled kernel, one for each WGSL text while anybody holds it. Raises
        KernelCompileError."""
        key = self._key(kernel)
        found = self._pipelines.get(key)
        if found is None:
            found = self._pipelines[key] = self._compile(kernel, self._layout(key[1]))
        return found

    def pipelines(self, kernels: Sequence[KernelCode]) -> list[Pipeline]:
        """`pipeline` of each, compiled side by side: the driver's compiler releases the lock."""
        missing = [kernel for kernel in kernels if self._key(kernel) not in self._pipelines]
        for kernel in missing:
            self._layout(self._key(kernel)[1])
        if len(missing) < 2:
            return [self.pipeline(kernel) for kernel in kernels]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as workers:
            return list(workers.map(self.pipeline, kernels))

    def _key(self, kernel: KernelCode) -> tuple[str, tuple[str, ...]]:
        return kernel.wgsl, tuple(binding.access for binding in kernel.bindings)

    def _compile(self, kernel: KernelCode, layout: wgpu.GPUBindGroupLayout) -> Pipeline:
        limit = self.limits["max-compute-workgroup-storage-size"]
        if kernel.workgroup_bytes > limit:
            # naga accepts this and the driver then hangs or corrupts memory.
            reason = f"{kernel.workgroup_bytes} bytes of workgroup memory, the adapter has {limit}"
            raise KernelCompileError(kernel, reason)
        try:
            stage = {"module": self._module(kernel), "entry_point": "main"}
            pipeline_layout = self.raw.create_pipeline_layout(bind_group_layouts=[layout])
            raw = self.raw.create_compute_pipeline(
                label=kernel.name, layout=pipeline_layout, compute=stage
            )
        except wgpu.GPUError as error:
            known = translate(error)
            raise (KernelCompileError(kernel, str(error)) if known is error else known) from error
        return Pipeline(raw, layout, raw._internal)

    def _module(self, kernel: KernelCode) -> wgpu.GPUShaderModule:
        if TRUSTED and not self.check:
            return unchecked_module(self.raw, kernel.wgsl, kernel.name)
        return self.raw.create_shader_module(label=kernel.name, code=kernel.wgsl)

    def _layout(self, access: tuple[str, ...]) -> wgpu.GPUBindGroupLayout:
        if access not in self._layouts:
            types = {"read": "read-only-storage", "read_write": "storage"}
            entries = [
                {"binding": i, "visibility": "COMPUTE", "buffer": {"type": types[mode]}}
                for i, mode in enumerate(access)
            ]
            self._layouts[access] = self.raw.create_bind_group_layout(entries=entries)
        return self._layouts[access]

    def _probe_subgroup(self) -> int:
        """The subgroup size a kernel really gets (adapter info does not tell), 0 if unsteady."""
        if "subgroup" not in self.features:
            return 0
        probe, seen = self.pipeline(PROBE), Buffer(self, 64 * 8)
        encoder = self.raw.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(probe.raw)
        compute.set_bind_group(0, self.bind(probe, [(seen.raw, seen.nbytes)]))
        compute.dispatch_workgroups(1)
        compute.end()
        self.submit(encoder)
        values = np.frombuffer(self.download(seen, seen.nbytes), np.uint32)
        return int(values[0]) if (values == values[0]).all() else 0

    # Commands

    def bind(
        self, pipeline: Pipeline, parts: Sequence[tuple[wgpu.GPUBuffer, int]]
    ) -> wgpu.GPUBindGroup:
        """A bind group of the first bytes of each buffer, in binding order."""
        return bind_group(self.raw, pipeline.layout, parts)

    def submit(self, encoder: wgpu.GPUCommandEncoder) -> int:
        """Finish the encoder and submit it. Returns the submission's number. Raises
        DeviceLostError, GPUValidationError."""
        try:
            commands = encoder.finish()
        except wgpu.GPUError as error:
            raise translate(error) from error
        return submit(self.raw, commands)

    def submit_pieces(self, pieces: Sequence[Callable[[RawEncoder], None]]) -> None:
        """Encode each piece by native calls and submit it, in order.

        Raises DeviceLostError, GPUValidationError.
        """
        try:
            submit_in_pieces(self.raw, pieces)
        except wgpu.GPUError as error:
            raise translate(error) from error

    def memory_bytes(self) -> int:
        """Bytes in live buffers of this device."""
        return self.pool.in_use()

    def synchronize(self) -> None:
        """Wait until everything submitted so far is done."""
        # wgpu 0.32 cannot wait for submitted work, but a mapped read comes after it all.
        Buffer(self, 4).start_read().result()

    # Transfers

    def upload(self, array: np.ndarray) -> Buffer:
        """A new buffer holding the array's bytes in C order.

        Of an array that repeats one zero (`np.broadcast_to`), nothing travels to new memory, which
        is all zeros.
        """
        before = self.pool.created
        buffer = Buffer(self, array.nbytes)
        if self.pool.created == before or not _repeats_zero(array):
            self.write(buffer, array)
        return buffer

    def write(self, buffer: Buffer, array: np.ndarray) -> None:
        """Copy the array's bytes to the start of the buffer, before the next submission."""
        if array.nbytes > buffer.nbytes:
            raise ValueError(f"{array.nbytes} bytes do not fit a {buffer.nbytes}-byte buffer")
        if not array.nbytes:
            return
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if rest := -data.size % 4:
            data = np.concatenate([data, np.zeros(rest, np.uint8)])
        try:
            self.raw.queue.write_buffer(buffer.raw, 0, data)
        except wgpu.GPUError as error:
            raise translate(error, f"an upload of {data.size >> 20} MiB failed") from error

    def download(self, buffer: Buffer, nbytes: int | None = None) -> bytearray:
        """The first `nbytes` (default: all) of a buffer, waiting for pending work."""
        total = buffer.nbytes if nbytes is None else nbytes
        if total <= CHUNK_BYTES:
            return buffer.start_read(total).result()
        out, pending = bytearray(total), []
        view = memoryview(out)
        for start in range(0, total, CHUNK_BYTES):
            count = min(CHUNK_BYTES, total - start)
            pending.append((buffer.start_read(count, start), view[start : start + count]))
            if len(pending) == 2:  # one chunk is copied to the host while the next one moves
                _finish(*pending.pop(0))
        for read, part in pending:
            _finish(read, part)
        return out


def _repeats_zero(array: np.ndarray) -> bool:
    return array.size > 1 and not any(array.strides) and not any(array.flat[0].tobytes())


def _finish(read: PendingRead, part: memoryview) -> None:
    read.copy_to(part)


def _open(info: AdapterInfo, features: Sequence[str]) -> wgpu.GPUDevice:
    if info.handle is None:
        raise NoAdapterError(f"{info} is a description only; take one from adapters()")
    if info.software:
        text = f"software adapter {info.name}: expect CPU speed"
        warnings.warn(text, SoftwareAdapterWarning, stacklevel=4)
    return info.handle.request_device_sync(required_features=list(features))


_default: Device | None = None
_override: str | None = None


def set_default_adapter(text: str | None) -> None:
    """Choose the adapter of `default_device` (index, or part of a name or backend), before its use.

    Raises RuntimeError once the device is open on another adapter.
    """
    global _override
    if _default is not None and text is not None and not matches(_default.info, text):
        raise RuntimeError(f"{_default} is already open; choose the adapter before its first use")
    _override = text


def default_device() -> Device:
    """The device of this process, opened at the first call. Raises NoAdapterError."""
    global _default
    if _default is None:
        _default = Device(pick_adapter(_override or settings().adapter)[0])
    return _default


def spread_over_adapters(place: int) -> None:
    """Let the process at this place of a machine take the adapter at it, among those that are like
    the best; one that was chosen by name stays."""
    global _override
    if _default is not None or _override or settings().adapter:
        return
    found = adapters(every_backend=False)
    best, _ = choose(found)
    alike = [a for a in found if (a.kind, a.backend) == (best.kind, best.backend)]
    _override = str(alike[place % len(alike)].index)


def pick_adapter(override: str | None = None) -> tuple[AdapterInfo, str]:
    """The adapter of this machine to use and why; OpenGL is looked at only if nothing else fits."""
    try:
        return choose(adapters(every_backend=override is not None), override)
    except NoAdapterError:
        return choose(adapters(every_backend=True), override)
