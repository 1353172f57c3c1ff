"""`picotron chat`."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from picotron.commands.generate import Writes, warn_of_unknown


@dataclass(frozen=True)
class Chat(Writes):
    """Take turns with a trained model: a line of yours, an answer, until an empty line."""

    you: str = "You: "
    """What each of your lines starts with in the text that the model reads."""
    answer: str = "Answer: "
    """What each answer starts with."""

    def run(self) -> int:
        """Read lines from stdin and print the answers, as they come."""
        options = self.options()
        generator = self.generator()
        text, turn = "", 0
        while line := self._line():
            warn_of_unknown(generator, line)
            text += f"{self.you}{line}\n{self.answer}"
            print(self.answer, end="", flush=True)
            stops = ("\n" + self.you.rstrip(), *self.stop)
            for piece in generator.stream(
                text, self.max_new_tokens, seed=self.seed + turn, stop=stops, **options
            ):
                text += piece
                print(piece, end="", flush=True)
            print()
            text, turn = text + "\n", turn + 1
        return 0

    def _line(self) -> str:
        if sys.stdin.isatty():
            print(self.you, end="", flush=True)
        return sys.stdin.readline().strip()
