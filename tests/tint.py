"""Tint without a driver: the WGSL compiler of browsers, on Dawn's Null backend.

Invariant: a module is accepted exactly if a browser with shader-f16 and subgroups accepts it.
"""

from __future__ import annotations

from functools import cache

import pytest

FEATURES = ("ShaderF16", "Subgroups")


@cache
def _device():
    webgpu = pytest.importorskip("pydawn.webgpu", reason="Tint comes with dawn-python (--dev)")
    utils = pytest.importorskip("pydawn.utils")
    options = webgpu.WGPURequestAdapterOptions()
    options.backendType = webgpu.WGPUBackendType_Null
    found: list = []
    info = webgpu.WGPURequestAdapterCallbackInfo()
    info.mode = webgpu.WGPUCallbackMode_WaitAnyOnly
    info.callback = webgpu.WGPURequestAdapterCallback(lambda _, one, *rest: found.append(one))
    utils.wait(webgpu.wgpuInstanceRequestAdapterF(utils.instance, options, info))
    wanted = [getattr(webgpu, f"WGPUFeatureName_{name}") for name in FEATURES]
    return utils.request_device_sync(found[0], wanted)


@cache
def check(wgsl: str) -> None:
    """Raise RuntimeError with Tint's message if it refuses the module; asked once for each text.

    naga takes subgroup operations without the directive that the standard asks for.
    """
    device = _device()
    from pydawn import utils

    directive = "enable subgroups;\n" if "subgroup" in wgsl else ""
    utils.create_shader_module(device, directive + wgsl)
