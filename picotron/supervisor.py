"""A second process that starts a trainer again when the device or the process is lost.

wgpu ends the process at errors inside a submit, so only another process can go on. Invariant: a
trainer is restarted from its last checkpoint, at most `limit` times, and only if it has saved one
since it was started; every other end, success, mistakes and signals from outside included, passes
through with its exit code. A trainer never outlives its supervisor.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from picotron.errors import DEVICE_LOST

SOCKET = "PICOTRON_SUPERVISOR"  # of a supervised process: the number of its end of the socket
RESUME = "PICOTRON_RESUME"  # of a restarted process: the run folder to go on with
FAULT = "PICOTRON_FAULT"
MAX_RESTARTS = 3
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_WITHOUT = {"-h", "--help", "--print-config"}
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")
_ASKED = {getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)}


@dataclass(frozen=True)
class Started:
    """What a trainer told of itself: its run folder, and the step it began with."""

    folder: Path
    step: int

    def saved(self) -> int:
        """The step of the newest checkpoint."""
        steps = [int(path.name[5:]) for path in (self.folder / "checkpoints").glob("step-*")]
        return max(steps, default=0)


# -- in the supervisor -----------------------------------------------------------------------------


def restarts(arguments: Sequence[str]) -> int:
    """How often this command may be restarted; 0 if it needs no supervisor."""
    supervised = SOCKET in os.environ or any(name in os.environ for name in _RANKS)
    if list(arguments[:1]) != ["train"] or supervised or sys.platform == "win32":
        return 0
    if _WITHOUT & set(arguments):
        return 0
    asked = [*arguments, ""]
    for flag, value in itertools.pairwise(asked):
        name, _, attached = flag.partition("=")
        value = attached or value
        if name.replace("_", "-") == "--max-restarts" and value.isdigit():
            return int(value)
    return MAX_RESTARTS


def supervise(arguments: Sequence[str], limit: int) -> int:
    """Run `picotron` with these arguments until it ends for good; returns its exit code."""
    environment = dict(os.environ)
    for attempt in range(limit + 1):
        code, started = _attempt(arguments, environment)
        if code >= 0 and code != DEVICE_LOST:
            return code
        if -code in _ASKED:
            return 128 - code
        why = "the device was lost" if code >= 0 else f"the trainer was ended by {_name(code)}"
        if started is None or started.saved() <= started.step:
            _say(f"{why} before it saved a checkpoint of its own; not started again")
            break
        if attempt == limit:
            _say(f"{why}; it was started again {limit} times already")
            break
        _say(f"{why}; starting again from step {started.saved()} ({attempt + 1} of {limit})")
        environment[RESUME] = str(started.folder)
        if not environment.get(FAULT, "").endswith("!"):
            environment.pop(FAULT, None)
    return code if code >= 0 else 128 - code


def _attempt(arguments: Sequence[str], environment: dict[str, str]) -> tuple[int, Started | None]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "picotron", *arguments],
                env={**environment, SOCKET: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                process_group=0,  # a terminal's Ctrl-C comes to us alone, and is passed on once
            )
        with _Passing(child):
            code = child.wait()
        return code, _told(ours)


class _Passing:
    """While it is entered, signals go to the child instead of ending us."""

    def __init__(self, child: subprocess.Popen) -> None:
        self.child = child
        self.previous: dict[int, object] = {}

    def __enter__(self) -> None:
        for name in _FORWARDED:
            number = getattr(signal, name)
            self.previous[number] = signal.signal(number, self._forward)
        self.previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.child.send_signal(number)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self.child.send_signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)  # until somebody continues us
        self.child.send_signal(signal.SIGCONT)


def _told(ours: socket.socket) -> Started | None:
    ours.setblocking(False)
    with suppress(BlockingIOError, ValueError):
        said = json.loads(ours.recv(1 << 16))
        return Started(Path(said["folder"]), said["step"])
    return None


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _say(text: str) -> None:
    print(f"picotron: {text}", file=sys.stderr, flush=True)


# -- in the trainer's process ----------------------------------------------------------------------


def follow() -> None:
    """End this process when its supervisor has ended, however it did."""
    link = _link()
    if link is not None:
        os.set_inheritable(link, False)
        threading.Thread(target=_end_with, args=(link,), daemon=True).start()


def _end_with(link: int) -> None:
    with suppress(OSError):  # the other end may go without having read all that it was told
        os.read(link, 1)  # nothing is ever sent: this returns when the other end is gone
    os._exit(128 + signal.SIGKILL)


def tell(folder: Path, step: int) -> None:
    """Let the supervisor know, if there is one, where to look for checkpoints."""
    link = _link()
    if link is not None:
        os.write(link, json.dumps({"folder": str(folder), "step": step}).encode())


def resumed_folder() -> str | None:
    """The run folder that a restarted trainer is to go on with."""
    return os.environ.get(RESUME)


def _link() -> int | None:
    text = os.environ.get(SOCKET, "")
    return int(text) if text.isdigit() else None
