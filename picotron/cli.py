"""The command line: `picotron train | generate | doctor | bench`.

Invariant: a mistake of the user ends in one clear message on stderr and an exit code, 2 for flags
and configuration, 1 for what went wrong while running, 130 or 143 after a signal; stack traces are
for defects only. Nothing is imported from the compiler before the flags are known to be right.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union

import tyro
from rich.console import Console

from picotron import config_file
from picotron.config import PRESETS, Config, check
from picotron.device import adapter_name, device_errors, use_adapter
from picotron.errors import ConfigError, PicotronError

if TYPE_CHECKING:
    from picotron.train import Trainer


@dataclass(frozen=True)
class Train(Config):
    """Train a LLaMA on a text. Without flags: three minutes on a novel, on any machine."""

    preset: Literal["novel", "tiny", "medium"] = "novel"
    """Where the defaults come from."""
    config: Path | None = None
    """A JSON file with sections like these flags; flags go over it."""
    data: str | None = None
    """Short for --dataset.path: the text to train on."""
    steps: int | None = None
    """Short for --training.total-train-steps."""
    resume: str | None = None
    """Short for --checkpoint.load-path: the run or checkpoint folder to continue."""
    out: str | None = None
    """Short for --checkpoint.save-dir: where run folders go."""
    adapter: str | None = None
    """Part of the adapter's name, its backend, or its number in `picotron doctor`."""
    print_config: bool = False
    """Print the resulting configuration as JSON and stop."""


@dataclass(frozen=True)
class Generate:
    """Write text with a trained model."""

    prompt: str = "It is a truth"
    """What the text starts with."""
    ckpt: Path | None = None
    """A checkpoint, run or Hugging Face folder; by default the newest run under outputs/."""
    max_new_tokens: int = 400
    """How many characters to add."""
    temperature: float = 0.8
    """0 always takes the likeliest character."""
    top_k: int = 0
    """Choose among this many likeliest characters; 0 for all."""
    seed: int = 0
    """Another seed, another text."""
    adapter: str | None = None
    """Part of the adapter's name, its backend, or its number in `picotron doctor`."""


@dataclass(frozen=True)
class Doctor:
    """Show the adapters, the one chosen and why, and what is missing."""

    fix: bool = False
    """Install a software driver if there is no adapter."""
    adapter: str | None = None
    """Judge this adapter instead of the one that would be chosen."""


@dataclass(frozen=True)
class Bench:
    """Time the reference train step, whose losses are known, or what the host does around it."""

    what: tyro.conf.Positional[Literal["step", "host"]]
    """step: the whole train step, forward, backward and AdamW. host: tracing, eager operations and
    calls, each with its goal, and what many calls leave behind."""
    config: Path | None = None
    """Of step: a JSON file with V, H, NH, NKV, L, I, S and B; by default the small reference."""
    steps: int = 11
    """Of step: how many; the first ones warm up."""
    calls: int = 10_000
    """Of host: how many calls while memory is watched."""
    json: bool = False
    """Print one JSON object."""
    adapter: str | None = None
    """Part of the adapter's name, its backend, or its number in `picotron doctor`."""


Command = Train | Generate | Doctor | Bench


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _guarded(arguments)


def _guarded(arguments: list[str]) -> int:
    try:
        return run(parse(arguments))
    except PicotronError as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; there is nobody to tell
        return 1
    except Exception as error:
        if isinstance(error, device_errors()):
            return _fail(error, getattr(error, "exit_code", 1))
        raise


def parse(arguments: Sequence[str]) -> Command:
    """The command that the arguments spell; tyro prints usage errors and exits with 2."""
    train = tyro.conf.subcommand("train", default=_train_defaults(arguments))
    commands = Union[  # noqa: UP007 - the members are only known now
        Annotated[Train, train],
        Annotated[Generate, tyro.conf.subcommand("generate")],
        Annotated[Doctor, tyro.conf.subcommand("doctor")],
        Annotated[Bench, tyro.conf.subcommand("bench")],
    ]
    return tyro.cli(
        tyro.conf.OmitSubcommandPrefixes[commands],
        prog="picotron",
        description="Train and run LLaMA-like models through WebGPU.",
        args=list(arguments),
    )


def _train_defaults(arguments: Sequence[str]) -> Train:
    """Preset, resumed run and config file, in this order, become the defaults of the flags."""
    if list(arguments[:1]) != ["train"]:
        return Train()
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in ("--preset", "--config", "--resume", "--checkpoint.load-path"):
        peek.add_argument(flag, nargs="?", dest=flag[2:])
    seen = vars(peek.parse_known_args(list(arguments[1:]))[0])
    base = PRESETS.get(seen["preset"] or "novel", Config())
    resumed = seen["resume"] or seen["checkpoint.load-path"]
    if resumed:
        from picotron import checkpoint

        base = checkpoint.load_config(Path(resumed))[1]
    if seen["config"]:
        base = config_file.load(Path(seen["config"]), base)
    return Train(**_sections(base))


def _sections(config: Config) -> dict[str, object]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}


def run(command: Command) -> int:
    """Carry out a parsed command; returns the exit code."""
    match command:
        case Train():
            return train(command)
        case Generate():
            return generate(command)
        case Doctor():
            from picotron import doctor

            return doctor.run(fix=command.fix, adapter=command.adapter)
        case Bench():
            return bench(command)


# -- train -------------------------------------------------------------------------------------


def train(command: Train) -> int:
    """Train, then validate, sample and draw; a signal skips those."""
    config = check(_with_shortcuts(command))
    if command.print_config:
        print(json.dumps(config_file.to_dict(config), indent=2))
        return 0
    from picotron.prepare import prepare
    from picotron.report import Reporter, TrainingConsole
    from picotron.train import Trainer

    use_adapter(command.adapter)
    prepared = prepare(config)
    console = TrainingConsole(highlight=False)
    frequency, total = config.logging.log_frequency, config.training.total_train_steps
    with Reporter(console, prepared.step, total, frequency) as reporter:
        trainer = Trainer(prepared, reporter)
        code = trainer.run()
        if code == 0:
            trainer.validate()
    if code == 0:
        _finish(trainer, console)
    return code


def _with_shortcuts(command: Train) -> Config:
    """The configuration with --data, --steps, --resume and --out laid over it."""
    config = Config(**_sections(command))
    shortcuts = (
        ("dataset", "path", command.data),
        ("training", "total_train_steps", command.steps),
        ("checkpoint", "load_path", command.resume),
        ("checkpoint", "save_dir", command.out),
    )
    for section, key, value in shortcuts:
        if value is not None:
            changed = replace(getattr(config, section), **{key: value})
            config = replace(config, **{section: changed})
    return config


def _finish(trainer: Trainer, console: Console) -> None:
    if trainer.config.logging.sample_tokens:
        console.rule("sample")
        console.print(trainer.sample(), markup=False, soft_wrap=True)
        console.rule()
    picture = trainer.plot() if trainer.config.logging.plot else None
    for path in filter(None, (picture, trainer.save())):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    hint = f"more text: picotron generate --ckpt {trainer.folder} --prompt 'Mr. Darcy'"
    console.print(hint, markup=False, soft_wrap=True)


# -- generate, bench ---------------------------------------------------------------------------


def generate(command: Generate) -> int:
    """Print the prompt and what the model adds to it, character by character."""
    from picotron import checkpoint
    from picotron.generate import Generator, check_options
    from picotron.prepare import on_device

    check_options(command.max_new_tokens, command.temperature, command.top_k, command.seed)
    loaded = checkpoint.load(command.ckpt or _newest_run(Path("outputs")))
    unknown = loaded.tokenizer.unknown_in(command.prompt)
    if unknown:
        warnings.warn(f"the model has never seen {''.join(unknown)!r} in the prompt", stacklevel=1)
    use_adapter(command.adapter)
    generator = Generator(loaded.model, on_device(loaded.params), loaded.tokenizer)
    options = command.temperature, command.top_k, command.seed
    adapter_name()  # opened here, so that a warning about it does not split the text
    print(command.prompt, end="", flush=True)
    for piece in generator.stream(command.prompt, command.max_new_tokens, *options):
        print(piece, end="", flush=True)
    print()
    return 0


def _newest_run(folder: Path) -> Path:
    runs = [path.parent for path in folder.glob("*/checkpoints")]
    if not runs:
        raise ConfigError(f"there is no run under {folder}/; name a checkpoint with --ckpt DIR")
    return max(runs, key=lambda run: run.stat().st_mtime)


def bench(command: Bench) -> int:
    """Print the figures of the reference step, or of the host."""
    for name in ("steps", "calls"):
        if getattr(command, name) < 1:
            raise ConfigError(f"--{name} must be greater than 0, not {getattr(command, name)}")
    result, summary = (_bench_host if command.what == "host" else _bench_step)(command)
    print(json.dumps(result) if command.json else summary(result))
    return 0


def _bench_step(command: Bench) -> tuple[dict, Callable]:
    from picotron import reference
    from picotron.bench import read_shapes, run_step, summary

    shapes = read_shapes(command.config) if command.config else reference.SMALL
    use_adapter(command.adapter)
    return run_step(shapes, command.steps), summary


def _bench_host(command: Bench) -> tuple[dict, Callable]:
    from picotron.bench_host import run_host, summary

    use_adapter(command.adapter)
    return run_host(command.calls), summary


# -- messages ----------------------------------------------------------------------------------


def _fail(error: BaseException, code: int) -> int:
    print(f"picotron: {error}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"picotron: warning: {message}", file=sys.stderr)
