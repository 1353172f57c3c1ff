"""Starting a job of several processes, one for each device of its mesh, and ending it.

Invariant: a process that fails ends the whole job at once, because the others would wait for it for
ever; nothing is trained before all processes have shown that they are of one version and have one
configuration.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picotron.errors import ConfigError, PicotronError
from picotron.supervisor import SOCKET

if TYPE_CHECKING:
    from picotron.config import Config
    from runtime.mpi import World

_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_LOCAL_SIZE")
_COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")
PACKAGES = ("ir", "tracer", "codegen", "runtime", "picotron")
TIMEOUT = "PICOTRON_TIMEOUT"  # seconds that a process waits for others
_world: World | None = None


def process_count() -> int:
    """How many processes `mpirun` started, this one among them; 0 without it."""
    return next((int(os.environ[name]) for name in _COUNTS if name in os.environ), 0)


def processes_here() -> int:
    """How many of them are on this machine, as far as the launcher tells; all of them otherwise."""
    told = (int(os.environ[name]) for name in _HERE if name in os.environ)
    return max(1, next(told, process_count()))


def mpirun() -> str | None:
    """The launcher beside this interpreter, or on the path, if mpi4py can be imported."""
    if importlib.util.find_spec("mpi4py") is None:
        return None
    beside = [Path(sys.executable).parent / name for name in ("mpirun", "mpiexec")]
    found = next((str(path) for path in beside if path.exists()), None)
    return found or shutil.which("mpirun") or shutil.which("mpiexec")


def launch(
    devices: int, arguments: Sequence[str], say: Callable[[str], None] = print
) -> int | None:
    """Start `picotron arguments` as one process for each device and wait for it: its exit code.

    None if there is nothing to start: for one device, in a process that `mpirun` started, and
    where there is no MPI; the devices are then virtual ones of this process. Raises ConfigError if
    there are more or fewer processes than devices.
    """
    check_count(devices)
    if process_count() > 1 or devices == 1:
        return None
    launcher = mpirun()
    if launcher is None:
        say(
            f"MPI is not installed (pip install 'picotron-webgpu[mpi]'), so the {devices} devices "
            "are virtual ones of this process"
        )
        return None
    command = [launcher, "-n", str(devices), sys.executable, "-m", "picotron", *arguments]
    return subprocess.run(command, env=environment(devices), check=False).returncode


def check_count(devices: int) -> None:
    """Raises ConfigError if `mpirun` started another number of processes than there are devices."""
    running = process_count()
    if running > 1 and running != devices:
        raise ConfigError(
            f"mpirun started {running} processes, but dp_size x pp_size x cp_size x tp_size is "
            f"{devices}; start it with -n {devices}, or change the sizes"
        )


def environment(devices: int) -> dict[str, str]:
    """Variables of the processes: a software adapter of each takes its share of the cores, and
    launchers that ask for permission to share cores have it."""
    threads = str(max(1, (os.cpu_count() or 1) // devices))
    asked = {
        "LP_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    rest = {n: v for n, v in os.environ.items() if n != SOCKET}  # that is the launcher's own
    return {**asked, **rest}


def world(timeout: float | None = None) -> World | None:
    """All processes of this job; None in a process that is alone."""
    global _world
    if _world is None and process_count() > 1:
        from picotron.device import open_world

        wait = float(os.environ.get(TIMEOUT, "600")) if timeout is None else timeout
        _world = open_world(wait)
    return _world


def alone() -> bool:
    """Whether this process is the whole job."""
    return _world is None


def leads() -> bool:
    """Whether this process writes and speaks for the job."""
    return _world is None or _world.rank == 0


def agreed(value: Any) -> Any:
    """The value of process 0, in all of them."""
    if _world is None:
        return value
    with _world.watchdog.waiting("process 0"):
        return _world.comm.bcast(value, root=0)


def spent_telling() -> tuple[int, float, float]:
    """What collectives between processes have cost this one so far: how many there were, seconds,
    and of these those for which the device had other work."""
    spent = None if _world is None else _world.spent
    return (spent.count, spent.telling_s, spent.covered_s) if spent else (0, 0.0, 0.0)


def told_by_all(value: Any) -> list[Any]:
    """The values of all processes, in the order of their ranks."""
    if _world is None:
        return [value]
    with _world.watchdog.waiting("all other processes"):
        return _world.comm.allgather(value)


@contextmanager
def by_one(context: AbstractContextManager) -> Iterator[Any]:
    """A context that process 0 alone enters; all get what it gives."""
    if leads():
        with context as value:
            yield agreed(value)
    else:
        yield agreed(None)


def stopped(interrupt: Any) -> bool:
    """Whether a process of the job was told to stop; then all of them know."""
    if _world is not None:
        with _world.watchdog.waiting("whether anyone was told to stop"):
            interrupt.signal = max(_world.comm.allgather(interrupt.signal))
    return bool(interrupt.signal)


def join(config: Config) -> None:
    """Take part in the job of a configuration: all processes must have the same one, and of the
    same version. Raises ConfigError if they differ, or are not as many as its devices."""
    here = world()
    if here is None:
        return
    check_count(config.distributed.world_size)
    from picotron import config_file
    from picotron.device import drive

    facts = {
        "configuration": config_file.to_dict(config),
        "version": package_digest(),
        "Python": sys.version,
    }
    check_equal(here, facts)
    d = config.distributed
    drive(here, (d.dp_size, d.pp_size, d.cp_size, d.tp_size))


def spread(config: Config, adapter: str | None, say: Callable[[str], None]) -> int | None:
    """`launch` for a training run, by its configuration as a file."""
    distributed = config.distributed
    if distributed.launcher == "virtual" or distributed.world_size == 1:
        return None
    if distributed.launcher == "mpi" and process_count() < 2 and mpirun() is None:
        lacking = "mpirun" if importlib.util.find_spec("mpi4py") else "mpi4py"
        raise ConfigError(
            f"distributed.launcher mpi starts {distributed.world_size} processes, and there is no "
            f"{lacking}; pip install 'picotron-webgpu[mpi]', or --distributed.launcher virtual"
        )
    from picotron import config_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config_file.to_dict(config)), encoding="utf-8")
        chosen = ["--adapter", adapter] if adapter else []
        return launch(distributed.world_size, ["train", "--config", str(path), *chosen], say)


def guarded(run: Callable[[World | None], int], timeout: float | None = None) -> int:
    """`run()` in a process that may be one of many: if it fails, it ends all of them.

    The message, or the traceback of a defect, is printed first. Returns the exit code.
    """
    here = world(timeout)
    if here is None:
        return run(None)
    try:
        code = run(here)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except PicotronError as error:  # a mistake of the user, said in one sentence
        print(f"picotron: rank {here.rank}: {error}", file=sys.stderr)
        code = error.exit_code
    except BaseException:
        print(f"picotron: rank {here.rank} failed:", file=sys.stderr)
        traceback.print_exc()
        code = 1
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        here.abort(code)
    return code


# --- one job --------------------------------------------------------------------------------------


def check_equal(here: World, facts: Mapping[str, Any]) -> None:
    """Raises ConfigError in every process if they differ in one of the facts, named."""
    told = {name: json.dumps(value, sort_keys=True, default=str) for name, value in facts.items()}
    problems = []
    for name, value in told.items():
        others = here.agree(name, value)
        if others:
            ranks = ", ".join(str(rank) for rank, _ in others)
            problems.append(f"rank {ranks} has another {name} than rank 0")
    if problems:
        raise ConfigError(f"the processes of this job differ: {'; '.join(problems)}")


def package_digest() -> str:
    """A hash of the source of every package here, so that two versions are never one job."""
    root, digest = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


__all__ = [
    "agreed",
    "alone",
    "by_one",
    "check_count",
    "check_equal",
    "environment",
    "guarded",
    "join",
    "launch",
    "leads",
    "mpirun",
    "package_digest",
    "spent_telling",
    "spread",
    "stopped",
    "told_by_all",
    "world",
]
