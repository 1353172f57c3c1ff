"""The settings tracing obeys: the environment, `config.update`, and context managers over it.

Invariant: this module alone reads the environment, options once, when it is imported. A context
manager holds for its thread and its extent; `Option.update` is for the process. `now()` is what
holds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

BACKENDS = ("device", "oracle")
# What options that are no switches may be.
CHOICES = {
    "numpy_rank_promotion": ("allow", "warn", "raise"),
    "numpy_dtype_promotion": ("standard", "strict"),
    "default_matmul_precision": (
        None, "default", "high", "highest", "bfloat16", "tensorfloat32", "float32", "bfloat16_3x",
    ),
}  # fmt: skip
# What tracing reads: a trace made under other values of these does not serve.
TRACING = (
    "debug_key_reuse", "check_tracer_leaks", "numpy_rank_promotion", "numpy_dtype_promotion",
)  # fmt: skip
_chosen: str | None = None


@dataclass(frozen=True)
class Settings:
    """Every option with its default; a switch's environment variable is PICO_ and its name."""

    debug_nans: bool = False
    debug_infs: bool = False
    debug_key_reuse: bool = False
    check_tracer_leaks: bool = False
    disable_jit: bool = False
    log_compiles: bool = False
    explain_cache_misses: bool = False
    filter_tracebacks: bool = True
    default_device: Any = None
    num_cpu_devices: int = 1
    numpy_rank_promotion: str = "allow"
    numpy_dtype_promotion: str = "standard"
    default_matmul_precision: str | None = None

    @cached_property
    def tracing(self) -> tuple:
        """The values of the options `TRACING`."""
        return tuple(getattr(self, name) for name in TRACING)


def parse_switch(name: str, value: Any) -> bool:
    """True or False, also as people write it. Raises ValueError for anything else."""
    text = str(value).lower() if isinstance(value, (str, bool, int)) else repr(value)
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("", "0", "false", "no", "off"):
        return False
    raise ValueError(f"{name} is a switch: True or False, not {value!r}")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The switches that environment variables set; the rest as they come."""
    switches = [f.name for f in fields(Settings) if isinstance(f.default, bool)]
    given = {name: f"PICO_{name.upper()}" for name in switches}
    return Settings(
        **{n: parse_switch(v, environment[v]) for n, v in given.items() if v in environment}
    )


class _Local(threading.local):
    settings: Settings | None = None  # what holds inside this thread's context managers
    changed: tuple[str, ...] = ()


_process = from_environment(os.environ)
_local = _Local()


def now() -> Settings:
    """What holds in this thread."""
    return _local.settings or _process


class Option:
    """One field of `Settings`: `option(True)` is a context manager, `option.update` is for good."""

    def __init__(self, name: str, doc: str) -> None:
        self.name, self.__doc__ = name, doc
        self._switch = isinstance(Settings.__dataclass_fields__[name].default, bool)

    def __repr__(self) -> str:
        return f"<option {self.name}={self.value!r}>"

    @property
    def value(self) -> Any:
        """What holds in this thread."""
        return getattr(now(), self.name)

    def update(self, value: Any) -> None:
        """Set for the process; what a context manager says goes first in its thread."""
        global _process
        value = self._checked(value)
        _process = replace(_process, **{self.name: value})
        if _local.settings is not None and self.name not in _local.changed:
            _local.settings = replace(_local.settings, **{self.name: value})

    def _checked(self, value: Any) -> Any:
        if self.name == "num_cpu_devices":
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"num_cpu_devices is a positive number, not {value!r}")
            return value
        if self.name in CHOICES and value not in CHOICES[self.name]:
            known = ", ".join(map(repr, CHOICES[self.name]))
            raise ValueError(f"{self.name} is one of {known}, not {value!r}")
        return parse_switch(self.name, value) if self._switch else value

    @contextmanager
    def __call__(self, new_val: Any = True) -> Iterator[None]:
        """Within the block, in this thread, the option has this value."""
        saved = _local.settings, _local.changed
        _local.settings = replace(now(), **{self.name: self._checked(new_val)})
        _local.changed = (*_local.changed, self.name)
        try:
            yield
        finally:
            _local.settings, _local.changed = saved


debug_nans = Option("debug_nans", "Raise FloatingPointError at the first operation that gives NaN.")
debug_infs = Option("debug_infs", "Raise FloatingPointError at the first that gives an infinity.")
debug_key_reuse = Option("debug_key_reuse", "Raise KeyReuseError where a random key serves twice.")
check_tracer_leaks = Option("check_tracer_leaks", "Raise where a traced value outlives its trace.")
log_compiles = Option("log_compiles", "Log one line for each compile.")
explain_cache_misses = Option("explain_cache_misses", "Log why a function is traced again.")
filter_tracebacks = Option("filter_tracebacks", "Leave this library's frames out of tracebacks.")
jit_disabled = Option("disable_jit", "Run jitted functions and loops as the Python they are.")
device = Option("default_device", "The device of new arrays; there is one.")
virtual = Option("num_cpu_devices", "How many devices of a mesh the one adapter stands for.")
numpy_rank_promotion = Option(
    "numpy_rank_promotion", "Broadcasting arrays of different ranks: allow, warn or raise."
)
numpy_dtype_promotion = Option(
    "numpy_dtype_promotion", "standard, or strict: arrays of different dtypes do not meet."
)
default_matmul_precision = Option(
    "default_matmul_precision", "Any level: products of float32 are always of full precision."
)
OPTIONS = {option.name: option for option in list(globals().values()) if isinstance(option, Option)}


def disable_jit(disable: bool = True) -> Any:
    """A context manager under which jitted functions and loops run as the Python they are."""
    return jit_disabled(disable)


def checking_leaks() -> Any:
    """`check_tracer_leaks(True)`."""
    return check_tracer_leaks(True)


def backend() -> str:
    """ "device" (WebGPU), or "oracle" (numpy) under PICO_BACKEND=oracle."""
    return _chosen or _named(os.environ.get("PICO_BACKEND") or "device")


def use_backend(name: str | None) -> None:
    """Choose the backend of everything compiled from now on; None returns to PICO_BACKEND."""
    global _chosen
    _chosen = None if name is None else _named(name)


def _named(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; choose one of {', '.join(BACKENDS)}")
    return name
