"""The one place where the trainer meets the device: which adapter, and what can go wrong with it.

Invariant: importing this module touches no device; the runtime is reached on the first call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picotron.errors import ConfigError
from picotron.words import size_in_bytes

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
    from runtime.ranks import RankDrivers
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


def free_memory() -> int | None:
    """Bytes that a run may take: what PICOTRON_MEMORY says, else what is free on the card, or in
    main memory for a software adapter; None where nothing tells."""
    import runtime
    from runtime.memory import free_ram
    from runtime.settings import settings
    from runtime.vram import free_vram

    asked = settings().memory
    if asked is not None:
        return size_in_bytes(asked, "PICOTRON_MEMORY")
    info = runtime.default_device().info
    return free_ram() if info.software else free_vram(info.name)


def text_of_free(free: int) -> str:
    """How a refusal tells what there is."""
    return f"only {free / 2**20:.1f} MiB of memory are free"


def largest_binding() -> int:
    """Bytes of the largest array that a kernel of the adapter in use can be given."""
    import runtime

    return runtime.default_device().limits["max-storage-buffer-binding-size"]


def measured(lowered: Any, copies: int = 1) -> tuple[Program | None, str | None]:
    """The program of a lowered call, and what it has too much of; None if it fits.

    `copies` of it share the memory. A program that the adapter's limits do not allow is compiled
    as if they did, to be able to tell its size. None of a program where numpy evaluates.
    """
    import runtime
    from codegen.compile import CompileError
    from runtime.memory import shortage
    from runtime.programs import program_of

    try:
        program = lowered.compile().program
    except CompileError as error:
        profile = replace(runtime.default_device().profile, name="unlimited", binding_bytes=1 << 50)
        graph = lowered.on_one_device()
        lacking = str(error).splitlines()[0].partition("; ")[0]
        try:
            return program_of(graph, profile, (), "unlimited"), lacking
        except CompileError:
            raise error from None
    if program is None:
        return None, None
    free, limits = free_memory(), runtime.default_device().limits
    lacking = shortage(program, limits, None if free is None else free // copies)
    if lacking and copies > 1:
        lacking += f", for each of {copies} devices"
    return program, lacking


def program_of(graph: Any, profile: str) -> Program:
    """The program of a graph for a profile by name, compiled or found in the cache."""
    from codegen.profile import PROFILES
    from runtime.programs import program_of

    if profile not in PROFILES:
        raise ConfigError(f"there is no profile {profile!r}; use one of {', '.join(PROFILES)}")
    return program_of(graph, PROFILES[profile], (), "train_step")


def tuning_path(out: Path | None) -> Path:
    """Where measured tile configurations of the adapter in use go; raises ConfigError."""
    import runtime
    from runtime.tuned import table_path

    path = out or table_path(runtime.default_device().info)
    if path is None:
        raise ConfigError("PICOTRON_CACHE=off leaves no place for a table; name one with --out")
    return path


def keep_tuning(entries: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write what was measured, over what a table of the same adapter and driver has; raises
    ConfigError."""
    import runtime
    from runtime.tuned import Table, read, write

    device = runtime.default_device()
    table = Table(device.info.name, device.info.driver, device.profile.units)
    known = read(path, table)
    try:
        write(path, replace(table, entries={**(known.entries if known else {}), **entries}))
    except OSError as error:
        raise ConfigError(f"cannot write the table {path}: {error.strerror}") from error


def compile_error() -> type[ValueError]:
    """What is raised for a program that cannot be made within the limits that it is to keep."""
    from codegen.compile import CompileError

    return CompileError


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
