"""The one door to wgpu: import it prepared, and reach the calls its Python layer leaves out.

Invariant: no other module imports wgpu, so the environment is always ready before the native
library loads, and everything that leans on private names of wgpu-py is in this file.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any, NamedTuple

from . import lavapipe
from .declarations import kept_declarations

# The Vulkan loader prints four error lines on stderr when this is unset; any folder will do.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
lavapipe.activate()

with kept_declarations():
    import wgpu
    from wgpu.backends.wgpu_native import _api, _helpers, extras
    from wgpu.backends.wgpu_native._ffi import ffi, lib


def _read_types_quickly(parser: Any) -> None:
    """Let cffi read the name of a C type in the light of the declarations that it mentions.

    It reads every name after a line for each of the header's 430, which makes some 40 names a
    second of work before a process has opened its device.
    """
    if not hasattr(parser, "_declarations"):
        return  # another cffi, which may not need it
    read = parser.parse_type

    def parse_type(name: str) -> Any:
        every, words = parser._declarations, set(re.findall(r"\w+", name))
        parser._declarations = {k: v for k, v in every.items() if k.split()[-1] in words}
        try:
            return read(name)
        finally:
            every.update(parser._declarations)
            parser._declarations = every

    parser.parse_type = parse_type


_read_types_quickly(getattr(ffi, "_parser", None))
TRUSTED = hasattr(lib, "wgpuDeviceCreateShaderModuleTrusted")
LOOK_S = 0.05  # between two looks at promises whose result nobody waits for
NATIVE_BACKENDS = ("Vulkan", "Metal", "DX12")

_begin_pass = lib.wgpuCommandEncoderBeginComputePass
_set_pipeline = lib.wgpuComputePassEncoderSetPipeline
_set_bind_group = lib.wgpuComputePassEncoderSetBindGroup
_dispatch_workgroups = lib.wgpuComputePassEncoderDispatchWorkgroups
_end_pass = lib.wgpuComputePassEncoderEnd
_release_pass = lib.wgpuComputePassEncoderRelease
NULL = ffi.NULL
_MANY = ffi.typeof("WGPUCommandBuffer[]")
_ENTRIES, _GROUP = map(ffi.typeof, ("WGPUBindGroupEntry[]", "WGPUBindGroupDescriptor *"))


def enumerate_adapters(every_backend: bool = False) -> list[wgpu.GPUAdapter]:
    """Adapters of the native backends; with `every_backend` (or if there is none) of OpenGL too.

    Skipping OpenGL makes start-up about 0.3 s faster. wgpu-py has one instance per process, whose
    backends are fixed when it is made, so a second look drops the instance and makes another one;
    adapters and devices of the first stay valid.
    """
    if not every_backend:
        _new_instance(NATIVE_BACKENDS)
        if found := wgpu.gpu.enumerate_adapters_sync():
            return found
    _new_instance(("All",))
    return wgpu.gpu.enumerate_adapters_sync()


def _new_instance(backends: tuple[str, ...]) -> None:
    _helpers._the_instance = None
    extras.set_instance_extras(backends=list(backends))


def unchecked_module(device: wgpu.GPUDevice, code: str, label: str) -> wgpu.GPUShaderModule:
    """A shader module without bounds checks and loop bounding; WGSL errors raise as usual.

    Only for generated kernels, whose indices are in bounds by construction. Needs `TRUSTED`.
    """
    text, name = code.encode(), label.encode()
    text_chars, name_chars = ffi.new("char[]", text), ffi.new("char[]", name)
    source = ffi.new("WGPUShaderSourceWGSL *")
    source.chain.next, source.chain.sType = NULL, lib.WGPUSType_ShaderSourceWGSL
    source.code.data, source.code.length = text_chars, len(text)
    descriptor = ffi.new("WGPUShaderModuleDescriptor *")
    descriptor.nextInChain = ffi.cast("WGPUChainedStruct *", source)
    descriptor.label.data, descriptor.label.length = name_chars, len(name)
    create = _api.libf.wgpuDeviceCreateShaderModuleTrusted
    return _api.GPUShaderModule(label, create(device._internal, descriptor, 0), device)


def bind_group(
    device: wgpu.GPUDevice,
    layout: wgpu.GPUBindGroupLayout,
    parts: Sequence[tuple[wgpu.GPUBuffer, int]],
) -> wgpu.GPUBindGroup:
    """A bind group of the first bytes of each buffer, in binding order.

    A train step's first run makes hundreds, at which wgpu-py's checks of each entry would show.
    """
    entries = ffi.new(_ENTRIES, len(parts))  # all zeros, as are the descriptor's other fields
    for place, (buffer, size) in enumerate(parts):
        entry = entries[place]
        entry.binding, entry.buffer, entry.size = place, buffer._internal, size
    descriptor = ffi.new(_GROUP)
    descriptor.layout, descriptor.entryCount = layout._internal, len(parts)
    descriptor.entries = entries
    create = _api.libf.wgpuDeviceCreateBindGroup
    return _api.GPUBindGroup("", create(device._internal, descriptor), device)


def timestamp_period(device: wgpu.GPUDevice) -> float:
    """Nanoseconds per tick of the device's timestamp queries."""
    return float(lib.wgpuQueueGetTimestampPeriod(device.queue._internal))


class RawCommand(NamedTuple):
    """One dispatch in native pointers; `pipeline` is None where it is set already."""

    pipeline: object | None
    group: object
    x: int
    y: int
    z: int


class RawEncoder:
    """A command encoder of native calls, in which commands at fault are found by `finish`.

    It stands in for wgpu-py's, whose objects and checks cost more than the commands themselves.
    """

    __slots__ = ("_handle",)

    def __init__(self, device: wgpu.GPUDevice) -> None:
        self._handle = _api.libf.wgpuDeviceCreateCommandEncoder(device._internal, NULL)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            lib.wgpuCommandEncoderRelease(self._handle)

    def dispatch(self, commands: Sequence[RawCommand], times: int) -> None:
        """A compute pass that runs the commands a number of times."""
        target, null = _begin_pass(self._handle, NULL), NULL
        set_pipeline, set_group, run = _set_pipeline, _set_bind_group, _dispatch_workgroups
        for _ in range(times):
            for pipeline, group, x, y, z in commands:
                if pipeline is not None:
                    set_pipeline(target, pipeline)
                set_group(target, 0, group, 0, null)
                run(target, x, y, z)
        _end_pass(target)
        _release_pass(target)

    def clear_buffer(self, buffer: wgpu.GPUBuffer, offset: int, size: int) -> None:
        lib.wgpuCommandEncoderClearBuffer(self._handle, buffer._internal, offset, size)

    def copy_buffer_to_buffer(
        self, source: wgpu.GPUBuffer, at: int, target: wgpu.GPUBuffer, to: int, size: int
    ) -> None:
        handles = source._internal, at, target._internal, to
        lib.wgpuCommandEncoderCopyBufferToBuffer(self._handle, *handles, size)

    def finish(self) -> RawCommands:
        """Raises GPUValidationError, or what a lost device gives."""
        return RawCommands(_api.libf.wgpuCommandEncoderFinish(self._handle, NULL))


class RawCommands:
    """What `finish` makes: a command buffer."""

    __slots__ = ("_internal",)

    def __init__(self, handle: object) -> None:
        self._internal = handle

    def __del__(self) -> None:
        lib.wgpuCommandBufferRelease(self._internal)


def submit(device: wgpu.GPUDevice, commands: wgpu.GPUCommandBuffer | RawCommands) -> int:
    """Submit one command buffer. Returns the submission's number."""
    handles = ffi.new(_MANY, [commands._internal])
    return _api.libf.wgpuQueueSubmitForIndex(device.queue._internal, 1, handles)


class Wait:
    """When wgpu-py's thread waits for the device, and for what, while a promise is open.

    By itself it waits at once for all that was submitted. Then nothing can be submitted meanwhile,
    since a wait holds a lock that a submission takes (wgpu issue 9470, mended after version 29),
    and the device has nothing to do when the wait is over. Here it waits when a result is asked
    for, and for that alone. Most promises are kept before: a later submission looks what is done.
    """

    def __init__(self, device: wgpu.GPUDevice) -> None:
        handle, number = device._internal, ffi.new("WGPUSubmissionIndex *")
        asked = self._asked = threading.Event()
        self._number, self._wanted, self._lock = number, [], threading.Lock()

        def poll(block: bool) -> None:
            wait = block and asked.wait(LOOK_S)
            _api.libf.wgpuDevicePoll(handle, wait, number if wait else NULL)

        device._poller._poll_func = poll

    def until(self, promise: wgpu.GPUPromise, submission: int) -> None:
        """Wait for a promise that this submission keeps. Raises what breaks it."""
        if promise._thread_event.is_set():
            promise.sync_wait()
            return
        self._change(self._wanted.append, submission)
        try:
            promise.sync_wait()
        finally:
            self._change(self._wanted.remove, submission)

    def _change(self, how: Callable[[int], None], submission: int) -> None:
        """The first of the submissions that threads wait for is the one to wait for."""
        with self._lock:
            how(submission)
            if self._wanted:
                self._number[0] = min(self._wanted)
                self._asked.set()
            else:
                self._asked.clear()


def submit_in_pieces(
    device: wgpu.GPUDevice, pieces: Sequence[Callable[[RawEncoder], None]]
) -> None:
    """Encode each piece and submit it, in order. Raises what `finish` raises; later pieces are
    not submitted then.

    A driver does half of its work when an encoder is finished, and needs no lock of Python's for
    that: while a piece is encoded here, another thread finishes the one before it and submits it,
    so that the device begins before all is encoded. An interrupt of the user's comes after the
    last piece: half a train step would leave neither the old weights nor the new ones.
    """
    submitted: list[bool] = []  # by the other thread, which is never interrupted
    if len(pieces) == 1:
        encoder = RawEncoder(device)
        pieces[0](encoder)
        _submit(device, encoder, None, submitted)
        return
    try:
        _submit_all(device, pieces, submitted)
    except KeyboardInterrupt:
        _follower().submit(bool).result()  # it has done what it was given
        if submitted:
            _submit_all(device, pieces[len(submitted) :], submitted)
        raise


def _submit_all(
    device: wgpu.GPUDevice,
    pieces: Sequence[Callable[[RawEncoder], None]],
    submitted: list[bool],
) -> None:
    waiting: list[Future[None]] = []
    try:
        for place, piece in enumerate(pieces, 1):
            encoder = RawEncoder(device)
            piece(encoder)
            # The last one has nothing to be encoded beside it.
            given = encoder.finish() if place == len(pieces) else encoder
            before = waiting[-1] if waiting else None
            waiting.append(_follower().submit(_submit, device, given, before, submitted))
    finally:
        wait(waiting)
    for each in waiting:
        each.result()


def _submit(
    device: wgpu.GPUDevice,
    given: RawEncoder | RawCommands,
    before: Future[None] | None,
    submitted: list[bool],
) -> None:
    """Submit a piece, finished here if need be, unless the one before it failed."""
    commands = given.finish() if isinstance(given, RawEncoder) else given
    if before is not None:
        before.result()  # pieces are taken up in order, by one thread: it is there
    submit(device, commands)
    submitted.append(True)


@cache
def _follower() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "finish")
