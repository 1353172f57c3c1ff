"""The one place where the trainer meets the device: which adapter, and what can go wrong with it.

Invariant: importing this module touches no device; the runtime is reached on the first call.
"""

from __future__ import annotations


def use_adapter(text: str | None) -> None:
    """Choose the adapter by part of its name, its backend or its number; None leaves the choice."""
    if text is not None:
        import runtime

        runtime.set_default_adapter(text)


def adapter_name() -> str:
    """The name of the adapter in use; opens it."""
    import runtime

    return runtime.default_device().info.name


def device_errors() -> tuple[type[BaseException], ...]:
    """The runtime's errors that a user can act upon."""
    import runtime

    return (
        runtime.NoAdapterError,
        runtime.OutOfMemoryError,
        runtime.DeviceLostError,
        runtime.KernelCompileError,
    )
