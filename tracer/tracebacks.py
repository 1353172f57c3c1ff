"""Tracebacks without this library's frames, where the message already says what is wrong and where.

Invariant: only what is printed for an uncaught exception changes, and only if its message names the
user's line; any other exception may be a defect of ours, and keeps every frame.
"""

from __future__ import annotations

import sys
from types import TracebackType

from ir.build import is_ours

from . import settings


def filtered(traceback: TracebackType | None) -> TracebackType | None:
    """The frames of other code; all of them if there is no other code."""
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    kept = [tb for tb in frames if not is_ours(tb.tb_frame.f_code.co_filename)]
    found: TracebackType | None = None
    for tb in reversed(kept or frames):
        found = TracebackType(found, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    return found


def says_where(error: BaseException) -> bool:
    """Whether a message names a line, as those made by `errors.located` do."""
    return "\n  at " in str(error)


def install() -> None:
    """Put the filter before whatever prints uncaught exceptions now."""
    printer = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
        short = settings.now().filter_tracebacks and says_where(error)
        printer(kind, error.with_traceback(filtered(tb)) if short else error,
                filtered(tb) if short else tb)  # fmt: skip

    sys.excepthook = hook
