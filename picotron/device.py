"""The one place where the trainer meets the device: which adapter, and what can go wrong with it.

Invariant: importing this module touches no device; the runtime is reached on the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from picotron.errors import ConfigError

if TYPE_CHECKING:
    from codegen.program import Program
    from runtime.mpi import World


def use_adapter(text: str | None) -> None:
    """Choose the adapter by part of its name, its backend or its number; None leaves the choice."""
    if text is not None:
        import runtime

        runtime.set_default_adapter(text)


def open_world(timeout: float) -> World:
    """All processes that `mpirun` started; one that waits longer than `timeout` seconds for the
    others ends the job. Each takes the adapter of its place among those of its machine."""
    from runtime.mpi import World

    return World(timeout)


def drive(world: World, sizes: tuple[int, int, int, int]) -> None:
    """Let each process drive one device of the mesh dp, pp, cp, tp of these sizes: the adapter at
    its place among the real ones of its machine, or the chosen one."""
    import runtime
    from runtime.mesh import use_drivers
    from runtime.mpi import RankDrivers
    from tracer.spmd import MeshShape

    runtime.spread_over_adapters(world.local_rank)
    mesh = MeshShape(("dp", "pp", "cp", "tp"), sizes)
    use_drivers(RankDrivers(world, runtime.default_device(), mesh))


def adapter_name() -> str:
    """The name of the adapter in use; opens it."""
    import runtime

    return runtime.default_device().info.name


def bytes_in_use() -> int:
    """Bytes in live buffers of the adapter in use."""
    import runtime

    return runtime.default_device().memory_bytes()


def check_fits(program: Program) -> None:
    """Raises OutOfMemoryError, before any allocation, if the device cannot hold the program."""
    import runtime
    from runtime.memory import check_memory, free_ram

    device = runtime.default_device()
    check_memory(program, device.limits, free_ram() if device.info.software else None)


def program_of(graph: Any, profile: str) -> Program:
    """The program of a graph for a profile by name, compiled or found in the cache."""
    from codegen.profile import PROFILES
    from runtime.programs import program_of

    if profile not in PROFILES:
        raise ConfigError(f"there is no profile {profile!r}; use one of {', '.join(PROFILES)}")
    return program_of(graph, PROFILES[profile], (), "train_step")


def device_errors() -> tuple[type[BaseException], ...]:
    """Errors of the compiler and the runtime that a user can act upon."""
    import runtime
    from codegen.compile import CompileError

    return (
        CompileError,
        runtime.NoAdapterError,
        runtime.OutOfMemoryError,
        runtime.DeviceLostError,
        runtime.KernelCompileError,
    )


def destroy() -> None:
    """Lose the device of this process, as a driver might."""
    import runtime

    runtime.default_device().raw.destroy()


def is_software() -> bool:
    """Whether the adapter in use computes on the CPU."""
    import runtime

    return runtime.default_device().info.software
