"""The command line: `picotron VERB`, one line for each verb in `VERBS`.

Invariant: a mistake of the user ends in one clear message on stderr and an exit code, 2 for flags
and configuration, 1 for what went wrong while running, 130 or 143 after a signal; stack traces are
for defects only. Only the module of the verb is imported, and nothing of the compiler before the
flags are known to be right.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Protocol, Union

import tyro

from picotron import supervisor
from picotron.config_file import suggest
from picotron.device import device_errors
from picotron.errors import ConfigError, PicotronError
from picotron.flags import check_flags
from picotron.interrupt import prompt_end

VERBS = {
    "train": "train:Train",
    "generate": "generate:Generate",
    "chat": "chat:Chat",
    "eval": "eval:Eval",
    "logits": "logits:Logits",
    "export": "export:Export",
    "bench": "bench:Bench",
    "profile": "profile:Profile",
    "tune": "tune:Tune",
    "plan": "plan:Plan",
    "viz": "viz:Viz",
    "doctor": "doctor:Doctor",
    "tokenize": "tokenize:Tokenize",
    "plot": "plot:Plot",
    "verify-checkpoint": "verify_checkpoint:VerifyCheckpoint",
}
"""Verb -> module in picotron.commands and the command's class there, in the order of the help."""


class Command(Protocol):
    """A dataclass of flags.

    With a classmethod `defaults(arguments) -> Command`, the flags take their defaults from that;
    with a `spelled(arguments) -> list`, they are read as it spells them.
    """

    def run(self) -> int:
        """Do it and return the exit code."""


def entry() -> int:
    """The console's `picotron`: a training run gets a supervisor, which calls this once more."""
    supervisor.follow()
    arguments = sys.argv[1:]
    limit = supervisor.restarts(arguments)
    return supervisor.supervise(arguments, limit) if limit else main(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _guarded(arguments)


def _guarded(arguments: list[str]) -> int:
    # What a training run does at a signal, and the processes it starts, is its own matter.
    ending = nullcontext() if arguments[:1] == ["train"] else prompt_end()
    try:
        with ending:
            return parse(arguments).run()
    except PicotronError as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; there is nobody to tell
        return 1
    except Exception as error:
        if _interrupted(error):
            return 130
        if isinstance(error, device_errors()):
            return _fail(error, getattr(error, "exit_code", 1))
        raise


def _interrupted(error: BaseException | None) -> bool:
    """Whether a Ctrl-C is behind an error: one inside of an extension module's import becomes an
    ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def parse(arguments: Sequence[str]) -> Command:
    """The command that the arguments spell; tyro prints usage errors and exits with 2."""
    verb, *rest = arguments or ("",)
    if verb not in VERBS:
        return _overview(arguments)
    kind = command(verb)
    if hasattr(kind, "spelled"):
        rest = kind.spelled(rest)
    check_flags(kind, rest)
    default = kind.defaults(rest) if hasattr(kind, "defaults") else None
    return tyro.cli(kind, prog=f"picotron {verb}", args=rest, default=default)


def command(verb: str) -> type[Command]:
    """The class of a verb."""
    module, name = VERBS[verb].split(":")
    return getattr(importlib.import_module(f"picotron.commands.{module}"), name)


def _overview(arguments: Sequence[str]) -> Command:
    """Help on all verbs, or what is wrong with the first argument."""
    known = ", ".join(VERBS)
    if not arguments:
        raise ConfigError(f"name a command: {known}; picotron --help tells what each does")
    if not arguments[0].startswith("-"):
        hint = suggest(arguments[0], VERBS) or f"; there are {known}"
        raise ConfigError(f"there is no command {arguments[0]!r}{hint}")
    if arguments[0] not in ("-h", "--help") and not arguments[0].startswith("--tyro-"):
        raise ConfigError(f"{arguments[0]} stands before the command; name one first: {known}")
    commands = (Annotated[command(verb), tyro.conf.subcommand(verb)] for verb in VERBS)
    return tyro.cli(
        tyro.conf.OmitSubcommandPrefixes[Union[tuple(commands)]],  # noqa: UP007 - built here
        prog="picotron",
        description="Train and run LLaMA-like models through WebGPU.",
        args=list(arguments),
    )


def _fail(error: BaseException, code: int) -> int:
    print(f"picotron: {error}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"picotron: warning: {message}", file=sys.stderr)
