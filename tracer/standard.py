"""What the Python array API standard asks of a namespace, for `tracer.numpy`.

Invariant: what is said here of dtypes and devices is what the functions do.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .config import checked_device, devices
from .errors import located

API_VERSION = "2024.12"
_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int32",),
    "unsigned integer": ("uint32",),
    "integral": ("int32", "uint32"),
    "real floating": ("float32", "float16", "bfloat16"),
    "complex floating": (),
    "numeric": ("int32", "uint32", "float32", "float16", "bfloat16"),
}


def namespace(api_version: str | None = None) -> ModuleType:
    """`tracer.numpy`. Raises ValueError for other versions than the one it keeps."""
    from . import numpy

    if api_version not in (None, API_VERSION):
        raise located(
            ValueError,
            f"api_version={api_version!r} is not available; available versions are: "
            f"[{API_VERSION!r}]",
        )
    return numpy


class NamespaceInfo:
    """The answer of `__array_namespace_info__`."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves open: results whose shape depends on data only exist eagerly."""
        return {
            "boolean indexing": False,
            "data-dependent shapes": False,
            "max dimensions": 64,
        }

    def default_device(self) -> Any:
        """The device arrays are made on."""
        return devices()[0]

    def devices(self) -> list:
        """All devices."""
        return devices()

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """The dtypes of arrays made without one."""
        checked_device(device)
        names = {"real floating": "float32", "integral": "int32", "indexing": "int32"}
        return {kind: np.dtype(name) for kind, name in names.items()}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, np.dtype]:
        """The dtypes there are, by name, of a kind or of a tuple of kinds."""
        checked_device(device)
        kinds = ("bool", "numeric") if kind is None else kind
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if unknown := [k for k in kinds if k not in _KINDS]:
            raise located(ValueError, f"there is no kind {unknown[0]!r} of dtype")
        found = [name for k in kinds for name in _KINDS[k]]
        return {name: np.dtype(name) for name in dict.fromkeys(found)}


def namespace_info() -> NamespaceInfo:
    """Devices, dtypes and capabilities of this namespace."""
    return NamespaceInfo()
