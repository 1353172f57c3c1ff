"""`picotron chat`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from picotron.commands.generate import Writes, warn_of_unknown
from picotron.heartbeat import first_told

if TYPE_CHECKING:
    from picotron.chat_template import ChatTemplate
    from picotron.generator import Generator


@dataclass(frozen=True)
class Chat(Writes):
    """Take turns with a trained model: a line of yours, an answer, until an empty line."""

    system: str | None = None
    """What the model is told first, where its folder has a chat template."""
    you: str = "You: "
    """Without a chat template, what each of your lines starts with in the text that it reads."""
    answer: str = "Answer: "
    """Likewise, what each answer starts with."""

    def run(self) -> int:
        """Read lines from stdin and print the answers, as they come."""
        options = self.options()
        generator, template = self.generator(), self.template()
        turns: Turns | Templated
        if template is None or not hasattr(generator.tokenizer, "marked"):
            turns = Turns(self.you, self.answer)
        else:
            turns = Templated(generator, template)
            if self.system is not None:
                turns.said("system", self.system)
        number = 0
        while line := self._line():
            warn_of_unknown(generator, line)
            turns.said("user", line)
            print(self.answer, end="", flush=True)
            pieces = generator.stream(
                turns.prompt(), self.max_new_tokens, seed=self.seed + number,
                stop=(*turns.stops, *self.stop), **options,
            )  # fmt: skip
            told = first_told(pieces, "compiling kernels and reading your line")
            turns.said("assistant", "".join(_shown(told)))
            print()
            number += 1
        return 0

    def template(self) -> ChatTemplate | None:
        """That of the model's folder."""
        from picotron import checkpoint
        from picotron.chat_template import template_of

        return template_of(checkpoint.resolve(self.folder()))

    def _line(self) -> str:
        if sys.stdin.isatty():
            print(self.you, end="", flush=True)
        return sys.stdin.readline().strip()


@dataclass
class Turns:
    """A conversation as a text of lines, for models that know no other form."""

    you: str
    answer: str
    text: str = ""

    @property
    def stops(self) -> Sequence[str]:
        return ("\n" + self.you.rstrip(),)

    def said(self, role: str, content: str) -> None:
        self.text += f"{self.you}{content}\n{self.answer}" if role == "user" else content + "\n"

    def prompt(self) -> str:
        return self.text


@dataclass
class Templated:
    """A conversation as messages, which the template of the model's folder writes out."""

    generator: Generator
    template: ChatTemplate
    messages: list[dict[str, Any]] = field(default_factory=list)
    stops: Sequence[str] = ()

    def said(self, role: str, content: str) -> None:
        self.messages.append({"role": role, "content": content})

    def prompt(self) -> list[int]:
        """Tokens of the whole conversation, with the beginning of an answer."""
        return self.generator.tokenizer.marked(self.template.render(self.messages))


def _shown(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        print(piece, end="", flush=True)
        yield piece
