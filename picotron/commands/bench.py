"""`picotron bench`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from picotron import launch
from picotron.commands.options import OnAdapter, read_mesh
from picotron.device import use_adapter
from picotron.errors import ConfigError


@dataclass(frozen=True)
class Bench(OnAdapter):
    """Time kernels, the reference train step, decoding, or what the host does; alone or against
    another library in the same run."""

    what: tyro.conf.Positional[
        Literal[
            "step",
            "host",
            "gemm",
            "attention",
            "rows",
            "decode",
            "accuracy",
            "scaling",
            "compile",
            "mesh",
            "mpi",
        ]
    ] = "step"
    """step: the whole train step, forward, backward and AdamW. host: tracing, eager operations and
    calls, each with its goal, and what many calls leave behind. gemm: matrix products. attention:
    causal attention, forward and backward. rows: norms, softmax, AdamW and copies, which memory
    bounds. decode: greedy tokens from the cache. accuracy: how far each family of
    kernels is from float64, by dtype, over random shapes. scaling: what a step costs as layers,
    batch and sequence grow, counted and not run. compile: the way to the first step, in a process
    that finds nothing on disk and in one that finds what the first has left. mesh: what the passes
    over 32 layers on 16 devices take, and 4 virtual devices beside one that does their work. mpi:
    what several processes gain over one, and what their sums cost."""
    vs: Literal["torch", "torch.compile", "jax", "tinygrad", "numpy"] | None = None
    """A library that does the same in turns, if it is installed."""
    config: Path | None = None
    """Of step, compile and mpi: a JSON file with V, H, NH, NKV, L, I, S and B; by default the small
    reference, which on a mesh with pp has at least a layer for each stage."""
    mesh: str | None = None
    """Of step: sizes such as dp=2,pp=2,cp=2,tp=2 of a mesh of virtual devices, or of one process
    for each where mpirun started them; the result has the collectives of a step of each device as
    well, those of a pipeline of one device of each stage together, and for how long its ranks
    waited."""
    pp_schedule: Literal["1f1b", "afab", "interleaved", "zb-h1"] | None = None
    """Of step on a mesh with pp: the order of its passes."""
    micro_batches: int | None = None
    """Of step on a mesh: how many; by default as many as pp."""
    fsdp: bool = False
    """Of mpi, and of step on a mesh: weights, gradients and moments in parts over dp."""
    sp: bool = False
    """Of step on a mesh: positions between tensor parallel regions in parts over tp."""
    steps: int = 11
    """Of step and mpi: how many; the first ones warm up."""
    ranks: int = 2
    """Of mpi: how many processes."""
    calls: int = 10_000
    """Of host: how many calls while memory is watched."""
    profile: str | None = None
    """Of compile: compile for this limits profile, without a device: h100, lavapipe or
    webgpu-default."""
    rounds: int = 5
    """Of kernels, decode, mesh and mpi: how often the sides take turns. Of accuracy: how many
    shapes."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of kernels and decode: what arrays and weights are stored as."""
    batch: int = 1
    """Of decode: how many prompts at a time."""
    prompt: int = 32
    """Of decode: tokens of each prompt."""
    tokens: int = 256
    """Of decode: tokens to write after each."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Print the figures."""
        for name in ("steps", "ranks", "calls", "rounds", "batch", "prompt", "tokens"):
            _check_positive(name, getattr(self, name))
        _check_positive("micro-batches", 1 if self.micro_batches is None else self.micro_batches)
        use_adapter(self.adapter)
        return launch.guarded(lambda _: self._measured())

    def _measured(self) -> int:
        runs = {"step": self._step, "host": self._host, "decode": self._decode}
        runs |= {"scaling": self._scaling, "compile": self._compile, "accuracy": self._accuracy}
        runs |= {"mesh": self._mesh, "mpi": self._mpi}
        result, show = runs.get(self.what, self._kernels)()
        if not launch.leads():
            return 0
        if self.json:
            print(json.dumps(result))
        else:
            show(result)
        return 0

    def _step(self) -> tuple[dict, Callable]:
        from picotron.bench import deep_enough, run_step, summary

        if self.mesh is None and (
            self.pp_schedule or self.fsdp or self.sp or self.micro_batches is not None
        ):
            flags = "--pp-schedule, --micro-batches, --fsdp and --sp"
            raise ConfigError(f"{flags} are of a --mesh such as dp=2,tp=2")
        options = {"pp_engine": self.pp_schedule, "fsdp": self.fsdp, "sp": self.sp}
        mesh = read_mesh(self.mesh, **options) if self.mesh else None
        shapes = self._shapes()
        if mesh is not None and self.config is None:
            shapes = deep_enough(shapes, mesh)
        result = run_step(shapes, self.steps, mesh, self.vs, self.micro_batches or 0)
        return result, lambda r: print(summary(r))

    def _compile(self) -> tuple[dict, Callable]:
        from picotron.bench_compile import run_compile, summary

        result = run_compile(self._shapes(), self.adapter, self.profile)
        return result, lambda r: print(summary(r))

    def _mesh(self) -> tuple[dict, Callable]:
        from picotron.bench_mesh import run_mesh, summary

        return run_mesh(self.rounds), lambda r: print(summary(r))

    def _mpi(self) -> tuple[dict, Callable]:
        from picotron.bench_mpi import run_mpi, summary

        shapes = self._shapes()
        flags = ["--adapter", self.adapter] if self.adapter else []
        flags += ["--config", str(self.config)] if self.config else []
        flags += ["--fsdp"] * self.fsdp
        result = run_mpi(shapes, self.ranks, self.steps, self.rounds, flags)
        return result, lambda r: print(summary(r))

    def _shapes(self) -> Any:
        from picotron import reference
        from picotron.bench import read_shapes

        return read_shapes(self.config) if self.config else reference.SMALL

    def _host(self) -> tuple[dict, Callable]:
        from picotron.bench_host import run_host, summary

        return run_host(self.calls), lambda r: print(summary(r))

    def _kernels(self) -> tuple[dict, Callable]:
        from picotron.bench_kernels import run_family
        from picotron.bench_table import show

        return run_family(self.what, self.dtype, self.vs, self.rounds), show

    def _decode(self) -> tuple[dict, Callable]:
        from picotron.bench import summary
        from picotron.bench_decode import run_decode

        sizes = self.batch, self.prompt, self.tokens
        result = run_decode(None, self.dtype, *sizes, self.vs, self.rounds)
        return result, lambda r: print(summary(r))

    def _accuracy(self) -> tuple[dict, Callable]:
        from picotron.bench_accuracy import run_accuracy, show

        return run_accuracy(self.rounds), show

    def _scaling(self) -> tuple[dict, Callable]:
        from picotron.bench_scaling import run_scaling, summary

        return run_scaling(), lambda r: print(summary(r))


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"--{name} must be greater than 0, not {value}")
