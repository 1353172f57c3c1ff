"""Errors a user can cause or cure; each message is one clear sentence (or a list of them).

Invariant: the command line turns exactly these (and the runtime's device errors) into one line on
stderr and an exit code; any other exception is a defect of the program and keeps its stack trace.
"""

from __future__ import annotations

import errno

DEVICE_LOST = 75  # exit code, sysexits' "try again": a new process can go on


class PicotronError(Exception):
    """A failure at run time that the user can act upon."""

    exit_code = 1


class ConfigError(PicotronError):
    """Flags, configuration files or their combination make no sense; nothing was started."""

    exit_code = 2


class DataError(PicotronError):
    """The text or the tokens to train on are missing, unreadable or unusable."""


class CheckpointError(PicotronError):
    """A checkpoint could not be written or read; the previous one is intact."""


class DivergedError(PicotronError):
    """The loss or the weights are no longer finite numbers."""


class NoRoomError(PicotronError):
    """What was asked for needs more memory than the device has; nothing was allocated."""


def reason(error: Exception) -> str:
    """Why a file could not be written, in words."""
    text = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in text:
        return "no space left on the disk"
    return getattr(error, "strerror", None) or text
