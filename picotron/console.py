"""The program `picotron`, started from a shell.

Invariant: a Ctrl-C while modules are being imported ends the program without a stack trace.
"""

from __future__ import annotations

import signal


def entry() -> int:
    """Run the command on the command line and return its exit code."""
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not under `nohup`
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from picotron import cli

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.entry()
