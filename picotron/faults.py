"""Faults on purpose, for tests of what survives them: `PICOTRON_FAULT=kind@step`.

Invariant: without the variable nothing happens here. A fault strikes once, just before the step of
its number (from 1) is queued: a supervisor starts the next attempt without the variable, unless it
ends in `!`. Kinds are `kill` and `abort` (the process ends by SIGKILL or SIGABRT, as in a submit
that wgpu refuses), `lost` (the device is destroyed), `nan` and `hang`.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from picotron.device import destroy
from picotron.errors import ConfigError
from tracer import tree

VARIABLE = "PICOTRON_FAULT"


def strike(step: int, state: dict[str, Any]) -> dict[str, Any]:
    """The state to go on with, if the process does."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return state
    kind, _, at = asked.rstrip("!").partition("@")
    if kind not in _KINDS or not at.isdigit():
        raise ConfigError(f"{VARIABLE} must be one of {', '.join(_KINDS)} with @step, not {asked}")
    if step != int(at):
        return state
    if not asked.endswith("!"):
        del os.environ[VARIABLE]
    return _KINDS[kind](state)


def _kill(state: dict[str, Any]) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return state


def _abort(state: dict[str, Any]) -> dict[str, Any]:
    os.abort()


def _lose(state: dict[str, Any]) -> dict[str, Any]:
    destroy()
    return state


def _spoil(state: dict[str, Any]) -> dict[str, Any]:
    params = tree.map(lambda w: np.full(w.shape, np.nan, np.float32), state["params"])
    return {**state, "params": params}


def _hang(state: dict[str, Any]) -> dict[str, Any]:
    time.sleep(3600)
    return state


_KINDS = {"kill": _kill, "abort": _abort, "lost": _lose, "nan": _spoil, "hang": _hang}
