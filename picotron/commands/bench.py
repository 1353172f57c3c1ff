"""`picotron bench`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from picotron.commands.options import OnAdapter
from picotron.device import use_adapter
from picotron.errors import ConfigError


@dataclass(frozen=True)
class Bench(OnAdapter):
    """Time the reference train step, whose losses are known, or what the host does around it."""

    what: tyro.conf.Positional[Literal["step", "host", "compile"]] = "step"
    """step: the whole train step, forward, backward and AdamW. host: tracing, eager operations and
    calls, each with its goal, and what many calls leave behind. compile: the way to the first step,
    in a process that finds nothing on disk and in one that finds what the first has left."""
    config: Path | None = None
    """Of step and compile: a JSON file with V, H, NH, NKV, L, I, S and B; by default the small
    reference."""
    mesh: str | None = None
    """Of step: sizes such as dp=2,pp=2,cp=2,tp=2 of a mesh of virtual devices; the result has the
    collectives of a step as well."""
    pp_schedule: Literal["1f1b", "afab", "interleaved", "zb-h1"] | None = None
    """Of step on a mesh with pp: the order of its passes."""
    fsdp: bool = False
    """Of step on a mesh: weights, gradients and moments in parts over dp."""
    sp: bool = False
    """Of step on a mesh: positions between tensor parallel regions in parts over tp."""
    steps: int = 11
    """Of step: how many; the first ones warm up."""
    calls: int = 10_000
    """Of host: how many calls while memory is watched."""
    profile: str | None = None
    """Of compile: compile for this limits profile, without a device: h100, lavapipe or
    webgpu-default."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Print the figures of the reference step, of the host, or of the first step."""
        for name in ("steps", "calls"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be greater than 0, not {getattr(self, name)}")
        parts = {"host": self._host, "step": self._step, "compile": self._compile}
        result, summary = parts[self.what]()
        print(json.dumps(result) if self.json else summary(result))
        return 0

    def _step(self) -> tuple[dict, Callable]:
        from picotron import reference
        from picotron.bench import read_mesh, read_shapes, run_step, summary

        shapes = read_shapes(self.config) if self.config else reference.SMALL
        use_adapter(self.adapter)
        if self.mesh is None and (self.pp_schedule or self.fsdp or self.sp):
            raise ConfigError("--pp-schedule, --fsdp and --sp are of a --mesh such as dp=2,tp=2")
        options = {"pp_engine": self.pp_schedule, "fsdp": self.fsdp, "sp": self.sp}
        mesh = read_mesh(self.mesh, **options) if self.mesh else None
        return run_step(shapes, self.steps, mesh), summary

    def _compile(self) -> tuple[dict, Callable]:
        from picotron import reference
        from picotron.bench import read_shapes
        from picotron.bench_compile import run_compile, summary

        shapes = read_shapes(self.config) if self.config else reference.SMALL
        return run_compile(shapes, self.adapter, self.profile), summary

    def _host(self) -> tuple[dict, Callable]:
        from picotron.bench_host import run_host, summary

        use_adapter(self.adapter)
        return run_host(self.calls), summary
