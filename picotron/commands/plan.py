"""`picotron plan`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from picotron.commands.options import read_mesh
from picotron.config import Config, DistributedConfig, ModelConfig
from picotron.errors import ConfigError
from picotron.presets import PRESETS

if TYPE_CHECKING:
    from picotron.plan import Plan as Planned

BYTES = 256  # vocabulary of presets that take theirs from a text
SHOWN = 10


@dataclass(frozen=True)
class OnMesh:
    """A command about a run on many devices that needs none."""

    preset: Literal[tuple(PRESETS)] = "novel"
    """The model and the sizes of a step."""
    model: Path | None = None
    """A Hugging Face folder, or its config.json, in place of the preset's model."""
    machine: str = "h100-webgpu"
    """h100-webgpu, h100-cuda-bf16, cpu-2-cores, or a JSON file of the fields that --json prints."""
    mesh: str | None = None
    """The sizes in one word, such as dp=2,tp=4; or each by its own flag."""
    dp: int = 1
    """Data parallel size."""
    tp: int = 1
    """Tensor parallel size."""
    pp: int = 1
    """Pipeline stages."""
    cp: int = 1
    """Context parallel size."""
    pp_engine: str | None = None
    """Schedule of the pipeline; by default 1f1b."""
    fsdp: bool = False
    """Shard weights, gradients and moments over dp and cp."""
    zero1: bool = False
    """Shard the moments alone."""
    sp: bool = False
    """Sequence parallel between tensor parallel regions."""
    mbs: int | None = None
    """Sequences of a micro-batch on each data parallel rank."""
    seq_len: int | None = None
    """Tokens of a sequence."""
    grad_acc_steps: int | None = None
    """Micro-batches of a step."""

    def run_config(self) -> Config:
        """The configuration that the flags describe; raises ConfigError."""
        sizes = self._sizes()
        for name in ("dp", "tp", "pp", "cp"):
            if sizes[name] < 1:
                raise ConfigError(f"--{name} must be greater than 0, not {sizes[name]}")
        base = PRESETS[self.preset]
        model = _model(self.model) if self.model else base.model
        if model.vocab_size is None:
            model = replace(model, vocab_size=BYTES)
        given = {
            "micro_batch_size": self.mbs,
            "seq_length": self.seq_len,
            "gradient_accumulation_steps": self.grad_acc_steps,
        }
        mesh = DistributedConfig(
            **{f"{name}_size": size for name, size in sizes.items()},
            pp_engine=self.pp_engine or "1f1b", fsdp=self.fsdp, zero1=self.zero1, sp=self.sp,
        )  # fmt: skip
        changed = {name: value for name, value in given.items() if value is not None}
        return replace(
            base, model=model, distributed=mesh, training=replace(base.training, **changed)
        )

    def _sizes(self) -> dict[str, int]:
        sizes = {"dp": self.dp, "pp": self.pp, "cp": self.cp, "tp": self.tp}
        if self.mesh:
            asked = read_mesh(self.mesh)
            sizes = {name: getattr(asked, f"{name}_size") for name in sizes}
        return sizes


@dataclass(frozen=True)
class Plan(OnMesh):
    """What a run would take of many devices: memory, collectives, step time; needs no device."""

    search: int = 0
    """Rank the meshes of this many devices that fit, instead of planning one."""
    memory_budget: str | None = None
    """Most that a device may take, such as 6GiB: what does not fit is computed again."""
    json: bool = False
    """Print one JSON object, or one a mesh."""

    def run(self) -> int:
        """Print the plan; 1 if it does not fit into the machine's memory."""
        from picotron import plan
        from picotron.machines import machine

        config, where = self.run_config(), machine(self.machine)
        within = replace(config.training, memory_budget=self.memory_budget)
        config = replace(config, training=within)
        if not self.search:
            found = plan.plan(config, where)
            print(json.dumps(as_dict(found))) if self.json else show(found, Console())
            return int(not found.fits)
        plans = plan.search(config, where, self.search)
        if not plans:
            raise ConfigError(
                f"no mesh of {self.search} {where.name} divides and fits this run; raise "
                "--grad-acc-steps, lower --mbs, or take more devices"
            )
        if self.json:
            print("\n".join(json.dumps(as_dict(p)) for p in plans))
        else:
            show_ranking(plans, Console())
        return 0


def _model(path: Path) -> ModelConfig:
    from picotron import hf_config, json_file

    file = path if path.suffix == ".json" else path / "config.json"
    try:
        return hf_config.from_config(json_file.read_object(file), file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the model in {file}: {error}") from error


def as_dict(plan: Planned) -> dict:
    """Everything a plan says, and what it assumed."""
    return {
        "memory": plan.memory,
        "bytes": plan.bytes,
        "fits": plan.fits,
        "traffic": plan.traffic,
        "traffic_of_ranks": plan.ranks,
        "bubble": plan.bubble,
        "seconds": plan.seconds,
        "step_s": plan.step,
        "tok_s": plan.tokens_per_second,
        "mfu": plan.mfu,
        "parameters": plan.parameters,
        "computed_again": plan.again,
        "mesh": asdict(plan.config.distributed),
        "machine": asdict(plan.machine),
    }


def show(plan: Planned, console: Console) -> None:
    """The plan as tables."""
    d, machine = plan.config.distributed, plan.machine
    mesh = f"dp={d.dp_size} pp={d.pp_size} cp={d.cp_size} tp={d.tp_size}"
    console.print(f"{plan.parameters:,} parameters on {d.world_size} {machine.name}: {mesh}")
    memory = Table("memory of a device", "GB", box=None, title_justify="left")
    for kind, size in (*plan.memory.items(), ("together", plan.bytes)):
        memory.add_row(kind, f"{size / 1e9:.3g}")
    memory.add_row("of", f"{machine.memory / 1e9:.0f}")
    console.print(memory)
    traffic = Table("axes", "collective", "count", "MB", box=None)
    for axes, kinds in plan.traffic.items():
        for kind, (count, size) in kinds.items():
            traffic.add_row(axes, kind, f"{count:,}", f"{size / 1e6:,.3g}")
    if plan.traffic:
        staged = "; of one device of each stage, added up" if d.pp_size > 1 else ""
        console.print(f"collectives of a step{staged}")
        console.print(traffic)
    busiest = ", busiest rank" if d.pp_size > 1 else ""
    times = Table(f"time of a step{busiest}", "ms", box=None)
    for name, seconds in (*plan.seconds.items(), ("together", plan.step)):
        times.add_row(name, f"{seconds * 1e3:,.4g}")
    console.print(times)
    rate = f"{plan.tokens_per_second:,.0f} tokens/s, MFU {plan.mfu:.1%}"
    console.print(f"{rate}, pipeline bubble {plan.bubble:.1%} of busy time")
    if plan.again:
        console.print(f"{plan.again:.1%} of the operations are done again, to fit in memory")
    if machine.overlap:
        console.print(f"{machine.overlap:.0%} of the reduction of gradients is assumed hidden")
    if not plan.fits:
        console.print(
            "[bold red]does not fit[/]: try --fsdp, more --tp or --pp, or a smaller --mbs"
        )


def show_ranking(plans: list[Planned], console: Console) -> None:
    """The fastest meshes, a line each."""
    table = Table("dp", "pp", "cp", "tp", "fsdp", "grad acc", "GB", "again", "step ms", "tok/s",
                  "MFU", "bubble", box=None)  # fmt: skip
    for plan in plans[:SHOWN]:
        d = plan.config.distributed
        sizes = (d.dp_size, d.pp_size, d.cp_size, d.tp_size)
        table.add_row(
            *map(str, sizes), "yes" if d.fsdp else "",
            str(plan.config.training.gradient_accumulation_steps), f"{plan.bytes / 1e9:.1f}",
            f"{plan.again:+.0%}" if plan.again else "",
            f"{plan.step * 1e3:,.0f}", f"{plan.tokens_per_second:,.0f}", f"{plan.mfu:.1%}",
            f"{plan.bubble:.1%}",
        )  # fmt: skip
    console.print(table)
    if any(p.again for p in plans):
        console.print("again: operations that are done a second time; without them it does not fit")
    console.print(
        f"{len(plans)} meshes fit; assumptions: --json, and --machine FILE to change them"
    )
