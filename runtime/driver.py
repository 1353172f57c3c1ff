"""The one door to wgpu: import it prepared, and reach the calls its Python layer leaves out.

Invariant: no other module imports wgpu, so the environment is always ready before the native
library loads, and everything that leans on private names of wgpu-py is in this file.
"""

from __future__ import annotations

import os
import tempfile

from . import lavapipe

# The Vulkan loader prints four error lines on stderr when this is unset; any folder will do.
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
lavapipe.activate()

import wgpu  # noqa: E402
from wgpu.backends.wgpu_native import _api, _helpers, extras  # noqa: E402
from wgpu.backends.wgpu_native._ffi import ffi, lib  # noqa: E402

TRUSTED = hasattr(lib, "wgpuDeviceCreateShaderModuleTrusted")
NATIVE_BACKENDS = ("Vulkan", "Metal", "DX12")

set_pipeline = lib.wgpuComputePassEncoderSetPipeline
set_bind_group = lib.wgpuComputePassEncoderSetBindGroup
dispatch_workgroups = lib.wgpuComputePassEncoderDispatchWorkgroups
NULL = ffi.NULL


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


def timestamp_period(device: wgpu.GPUDevice) -> float:
    """Nanoseconds per tick of the device's timestamp queries."""
    return float(lib.wgpuQueueGetTimestampPeriod(device.queue._internal))
