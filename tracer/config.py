"""`config`, and what there is to run on.

Invariant: `config` holds nothing itself; `settings` does. Every option goes by its own name and by
JAX's, which is the same with `jax_` in front.
"""

from __future__ import annotations

import gc
import platform
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from . import settings
from .array import Array
from .errors import located

NO_64_BITS = (
    "64-bit types are not available: WGSL has none. float64, int64 and uint64 become float32, "
    "int32 and uint32; compute on the host with numpy where 32 bits do not do"
)


class Config:
    """The options of `settings`: `config.update(name, value)`, `config.read(name)`."""

    def update(self, name: str, value: Any) -> None:
        """Set an option for the process. Raises AttributeError for unknown names, ValueError."""
        if _short(name) == "enable_x64":
            enable_x64(value)
            return
        if _short(name) == "default_device":
            value = checked_device(value)
        _option(name).update(value)

    def read(self, name: str) -> Any:
        """What holds in this thread."""
        return False if _short(name) == "enable_x64" else _option(name).value

    @property
    def values(self) -> dict[str, Any]:
        """All options by name."""
        return {name: option.value for name, option in settings.OPTIONS.items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.read(name)

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.values.items())


def _short(name: str) -> str:
    return name.removeprefix("jax_")


def _option(name: str) -> settings.Option:
    found = settings.OPTIONS.get(_short(name))
    if found is None:
        known = ", ".join(settings.OPTIONS)
        raise located(
            AttributeError, f"Unrecognized config option: {name}; the options are {known}"
        )
    return found


config = Config()


def enable_x64(new_val: bool = True) -> Any:
    """A context manager that changes nothing, for False. Raises ValueError for True."""
    if new_val:
        raise located(ValueError, NO_64_BITS)
    return nullcontext()


# --- devices --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """What arrays live on. `platform` is "webgpu", or "oracle" for numpy."""

    id: int
    platform: str
    device_kind: str
    process_index: int = 0

    def __str__(self) -> str:
        return f"{self.platform}:{self.id}"

    def memory_stats(self) -> dict[str, int]:
        """bytes_in_use: of the buffers of live arrays and programs."""
        from .backend import device_memory

        return {"bytes_in_use": device_memory()}


def default_backend() -> str:
    """ "webgpu", or "oracle"."""
    return "oracle" if settings.backend() == "oracle" else "webgpu"


def devices(backend: str | None = None) -> list[Device]:
    """The adapter, opened if need be, as often as `jax_num_cpu_devices` says.

    Raises RuntimeError for another backend by name.
    """
    if backend not in (None, default_backend()):
        raise located(
            RuntimeError, f"Unknown backend {backend}: this process runs on {default_backend()}"
        )
    numbers = range(settings.now().num_cpu_devices)
    if default_backend() == "oracle":
        return [Device(i, "oracle", "numpy") for i in numbers]
    from .backend import adapter_name

    return [Device(i, "webgpu", adapter_name()) for i in numbers]


def local_devices(
    process_index: int | None = None, backend: str | None = None, host_id: int | None = None
) -> list[Device]:
    """`devices`: there is one process, which `host_id` names as well. Raises ValueError for
    another one."""
    process_index = host_id if process_index is None else process_index
    if process_index not in (None, 0):
        raise located(ValueError, f"Unknown process_index {process_index}: there is one process")
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    """How many `devices` there are: 1 unless it is said otherwise."""
    return len(devices(backend))


def local_device_count(backend: str | None = None) -> int:
    """`device_count`: there is one process."""
    return len(devices(backend))


def process_index(backend: str | None = None) -> int:
    """0: one process drives one adapter."""
    return 0


def process_count(backend: str | None = None) -> int:
    """1."""
    return 1


def checked_device(device: Any) -> Any:
    """`device`, None, or the one there is. Raises ValueError for others."""
    if device is None or device in (found := devices()) or device == found[0].platform:
        return device
    raise located(ValueError, f"there is no device {device!r}; the devices are {found}")


def default_device(new_val: Any = None) -> Any:
    """A context manager under which arrays are made on a device: None or the one there is."""
    return settings.device(checked_device(new_val))


# --- this process ---------------------------------------------------------------------------------


def live_arrays(platform: str | None = None) -> list[Array]:
    """The arrays that something still refers to and that have not been deleted."""
    found = (x for x in gc.get_objects() if type(x) is Array)
    return [x for x in found if not x.is_deleted()]


def print_environment_info(return_string: bool = False) -> str | None:
    """Versions, device and options, for a report of a defect; printed, or returned."""
    lines = [f"{name + ':':8} {_version(name)}" for name in ("tracer", "wgpu", "numpy", "optree")]
    lines.append(f"python:  {sys.version}")
    lines.append(f"platform: {platform.platform()}")
    try:
        found = devices()[0]
        lines.append(f"device:  {found.device_kind} ({found.platform})")
    except RuntimeError as error:
        lines.append(f"device:  none ({error})")
    default = settings.Settings()
    changed = {n: v for n, v in config.values.items() if v != getattr(default, n)}
    lines.append(f"options: {changed or 'all as they come'}")
    text = "\n".join(lines)
    if return_string:
        return text
    print(text)
    return None


def _version(name: str) -> str:
    """The version of a distribution; our own goes by the name of the project."""
    try:
        return metadata.version({"tracer": "picotron-webgpu"}.get(name, name))
    except metadata.PackageNotFoundError:
        return "not installed as a package"
