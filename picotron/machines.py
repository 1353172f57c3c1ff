"""What a plan assumes of the devices it plans for, and how long messages take by that.

Invariant: every number that is not counted in a program is a field here, so a plan's assumptions
can be printed, and replaced by a JSON file with the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from picotron.config_file import suggest
from picotron.errors import ConfigError

if TYPE_CHECKING:
    from picotron.config import DistributedConfig
    from picotron.pipeline import Traffic


@dataclass(frozen=True)
class Machine:
    """One device and how it reaches others; rates in units a second, sizes in bytes."""

    name: str
    peak: float
    """Floating-point operations a second, by the vendor."""
    efficiency: float
    """Share of the peak that products reach."""
    memory: float
    bandwidth: float
    """Of the device's memory, as copies reach it."""
    link: float
    """To devices of the same node, from each device, as collectives reach it."""
    network: float
    """To devices of other nodes, from each device."""
    latency: float
    """Seconds for one hop of a collective."""
    devices_per_node: int
    itemsize: int
    """Of weights, gradients and activations while computing: 4, or 2 with 16-bit types, where the
    optimizer keeps float32 weights and moments."""
    overlap: float
    """Share of the gradients' reduction that hides behind the backward pass."""


MACHINES = {
    machine.name: machine
    for machine in (
        # Peak and bandwidth: NVIDIA's data sheet of the H100 SXM. Efficiency: docs/performance.md.
        Machine("h100-webgpu", 66.9e12, 0.6, 80e9, 2.9e12, 1.2e9, 1.2e9, 1e-3, 8, 4, 0.0),
        # What CUDA programs reach with 16-bit tensor cores, NVLink and one 400 Gbit/s card each.
        Machine("h100-cuda-bf16", 989.5e12, 0.6, 80e9, 2.9e12, 330e9, 40e9, 2e-5, 8, 2, 0.9),
        Machine("cpu-2-cores", 57e9, 0.6, 8e9, 8e9, 2e9, 2e9, 1e-4, 2, 4, 0.0),
    )
}
"""`h100-webgpu` moves what devices share through the host; `cpu-2-cores` is llvmpipe."""


def machine(text: str) -> Machine:
    """A machine by name, or from a JSON file of `Machine`'s fields; raises ConfigError."""
    if text in MACHINES:
        return MACHINES[text]
    path = Path(text)
    if not path.is_file():
        hint = suggest(text, MACHINES) or f"; there are {', '.join(MACHINES)}"
        raise ConfigError(f"there is no machine {text!r} and no file of that name{hint}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = [field.name for field in fields(Machine)]
        if not isinstance(data, dict) or set(data) != set(names):
            raise ConfigError(f"{path} must have exactly the fields {', '.join(names)}")
        found = Machine(**data)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the machine in {path}: {error}") from error
    wrong = [n for n in names[1:-1] if not _positive(getattr(found, n))]
    if wrong or not 0 <= found.overlap <= 1:
        raise ConfigError(f"{path}: {', '.join(wrong or ['overlap'])} must be a positive number")
    return found


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


# --- the time of messages -------------------------------------------------------------------------


def busiest(d: DistributedConfig, machine: Machine, ranks: Sequence[Traffic]) -> dict[str, float]:
    """Seconds by axes of the rank whose collectives take longest."""

    def of(traffic: Traffic) -> dict[str, float]:
        return {
            axes: sum(transfer(d, machine, axes, k, *n) for k, n in kinds.items())
            for axes, kinds in traffic.items()
        }

    return max(map(of, ranks), key=lambda found: sum(found.values()))


def transfer(
    d: DistributedConfig, machine: Machine, axes: str, kind: str, count: int, nbytes: int
) -> float:
    """Seconds of a step's collectives over some axes, by rings: each member sends its neighbour
    (n-1)/n of the bytes, twice for a sum that everybody gets."""
    sizes = {"dp": d.dp_size, "pp": d.pp_size, "cp": d.cp_size, "tp": d.tp_size}
    names, own = list(sizes), axes.split(",")
    members = prod(sizes[a] for a in own)
    reach = prod(sizes[a] for a in names[min(names.index(a) for a in own) :])
    rate = machine.link if reach <= machine.devices_per_node else machine.network
    if kind in ("send", "ppermute"):
        return nbytes / rate + count * machine.latency
    rounds = 2 if kind in ("psum", "pmax", "pmin") else 1
    share = rounds * (members - 1) / members
    return share * nbytes / rate + count * rounds * (members - 1) * machine.latency
