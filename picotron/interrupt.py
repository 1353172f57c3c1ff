"""Ctrl-C and SIGTERM: a request to stop after the current step, or the end of a command.

Invariant: inside an `Interrupt` the first signal only sets `signal`; a second one ends the program
at once, and inside `prompt_end` the first does. This holds while a driver keeps the main thread,
the only one where Python runs signal handlers. The previous handlers come back on exit.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 1.0  # how long the main thread may take to act on a signal before this module does


class Interrupt:
    """`with Interrupt(say) as interrupt: … if interrupt.signal: break`.

    `say` is told, from another thread, that a stop was asked for if it takes over a second.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self.signal = 0
        self._say = say
        self._previous: dict[int, object] = {}
        self._watcher: _Watcher | None = None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 if nothing came."""
        return 128 + self.signal if self.signal else 0

    def __enter__(self) -> Interrupt:
        # Python delivers signals to the main thread only, and refuses handlers elsewhere.
        if threading.current_thread() is threading.main_thread():
            self._watcher = _Watcher(self._say)
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if self._watcher is not None:
            self._watcher.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            self._restore()
            os.kill(os.getpid(), number)
        self.signal = number

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


@contextmanager
def prompt_end() -> Iterator[None]:
    """Ctrl-C inside ends the program within about a second, whatever a driver is doing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watcher = _Watcher()
    try:
        yield
    finally:
        watcher.close()


class _Watcher:
    """Hears of signals when they come, through the interpreter's wakeup descriptor.

    Ends the program at one that the main thread does not act on, but for the first if `say` is
    there to be told of it.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._say = say
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._theirs.close()  # ends the thread, which reads the end of the stream
        self._thread.join()
        self._ours.close()

    def _watch(self) -> None:
        while heard := self._ours.recv(64):
            for number in (number for number in heard if number in _SIGNALS):
                if self._over():
                    return
                if self._say is None:
                    os._exit(128 + number)
                self._say("stopping after the step under way; a second Ctrl-C ends at once")
                self._say = None

    def _over(self) -> bool:
        """Whether the context ends while the main thread has time to act."""
        until_readable, _, _ = select.select([self._ours], [], [], _PATIENCE_S)
        return bool(until_readable) and not self._ours.recv(1, socket.MSG_PEEK)
