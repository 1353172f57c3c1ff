"""`picotron train`."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from picotron import config_file, launch, supervisor
from picotron.commands.options import OnAdapter
from picotron.commands.shortcuts import Shortcuts, put
from picotron.config import Config
from picotron.device import use_adapter
from picotron.presets import PRESETS
from picotron.terminal import command
from picotron.validate import check

if TYPE_CHECKING:
    from picotron.train import Trainer

FORMATS = (["json"], ["toml"])


@dataclass(frozen=True)
class Train(Config, Shortcuts, OnAdapter):
    """Train a LLaMA on a text. Without flags: some minutes on a novel, on any machine."""

    preset: Literal[tuple(PRESETS)] = "novel"
    """Where the defaults come from."""
    config: Path | None = None
    """A JSON or TOML file with sections like these flags; flags go over it."""
    max_restarts: int = supervisor.MAX_RESTARTS
    """How often a run whose process or device was lost is started again from its last checkpoint;
    it must have saved one since it was started. 0 runs without a second process that watches."""
    print_config: Literal["json", "toml"] | None = None
    """Print the resulting configuration and stop; json if neither is named."""

    @staticmethod
    def spelled(arguments: Sequence[str]) -> list[str]:
        """The flags with the format that a bare --print-config leaves out."""
        words = list(arguments)
        for index, word in enumerate(words):
            following = words[index + 1 : index + 2]
            if word in ("--print-config", "--print_config") and following not in FORMATS:
                return [*words[: index + 1], "json", *words[index + 1 :]]
        return words

    @classmethod
    def defaults(cls, arguments: Sequence[str]) -> Train:
        """Preset, resumed run and config file, in this order, become the defaults of the flags."""
        peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        pairs = ("resume", "checkpoint.load-path"), ("init-from", "checkpoint.init-from")
        for name in ("preset", "config", *pairs[0], *pairs[1]):
            peek.add_argument(f"--{name}", f"--{name.replace('-', '_')}", nargs="?", dest=name)
        seen = vars(peek.parse_known_args(list(arguments))[0])
        base = PRESETS.get(seen["preset"] or "novel", Config())
        resumed, source = (seen[short] or seen[long] for short, long in pairs)
        if resumed not in (None, "auto"):
            from picotron import checkpoint

            base = checkpoint.load_config(Path(resumed))[1]
        if seen["config"]:
            base = config_file.load(Path(seen["config"]), base)
        if resumed in (None, "auto"):
            source = source or base.checkpoint.init_from
        if source:
            base = base.starting_from(source)
        return cls(**_sections(base))

    def run(self) -> int:
        """Train, then validate, sample and draw; a signal skips those."""
        config = check(self._asked())
        if self.print_config:
            print(config_file.dumps(config, self.print_config), end="")
            return 0
        os.environ |= {n: v for n, v in vars(config.environment).items() if v is not None}
        code = launch.spread(config, self.adapter, lambda text: print(f"picotron: {text}"))
        return launch.guarded(lambda _: self._train(config)) if code is None else code

    def _train(self, config: Config) -> int:
        from picotron.prepare import prepare
        from picotron.report import Reporter, TrainingConsole
        from picotron.sinks import check_installed
        from picotron.train import Trainer

        check_installed(config)
        use_adapter(self.adapter)
        launch.join(config)
        prepared = prepare(config)
        console = TrainingConsole(highlight=False, quiet=not launch.leads())
        with Reporter.of(prepared, console) as reporter:
            trainer = Trainer(prepared, reporter)
            code = trainer.run()
        if code == 0:
            _finish(trainer, console)
        return code

    def _asked(self) -> Config:
        """What flags, files and presets come to; a run that starts again continues its folder."""
        config = self.over(Config(**_sections(self)))
        folder = supervisor.resumed_folder()
        return config if folder is None else put(config, "checkpoint.load_path", folder)


def _sections(config: Config) -> dict[str, object]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}


def _finish(trainer: Trainer, console: Console) -> None:
    if trainer.config.logging.sample_tokens:
        console.rule("sample")
        console.print(trainer.sample(), markup=False, soft_wrap=True)
        console.rule()
    picture = trainer.plot() if trainer.config.logging.plot and launch.leads() else None
    for path in filter(None, (picture, trainer.save())):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)
    start = trainer.config.logging.sample_prompt
    hint = f"more text: {command()} generate --model {trainer.folder} --prompt {start!r}"
    console.print(hint, markup=False, soft_wrap=True)
