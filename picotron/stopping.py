"""Where a text ends, and its pieces while it is being written.

Invariant: the pieces of a text joined are what its tokens decode to, cut before the first stop
string; a piece never ends in half a character, and never holds the start of a stop string that
may still become whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

HALF = "\N{REPLACEMENT CHARACTER}"  # what the bytes of an unfinished character decode to


class Decoder(Protocol):
    """A tokenizer, as far as this module is concerned."""

    def decode(self, ids: Iterable[int]) -> str: ...


class Stops:
    """Which rows have met one of the stop tokens."""

    def __init__(self, rows: int, tokens: Sequence[int]) -> None:
        self.tokens, self.met = frozenset(tokens), [False] * rows

    def __call__(self, row: Sequence[int]) -> list[int | None]:
        """The next token of each row, None from its stop token on."""
        pairs = zip(self.met, row, strict=True)
        self.met = [met or token in self.tokens for met, token in pairs]
        return [None if met else token for met, token in zip(self.met, row, strict=True)]

    @property
    def all(self) -> bool:
        return all(self.met)


def pieces(
    tokenizer: Decoder, tokens: Iterable[int | None], stop: Sequence[str] = ()
) -> Iterator[str]:
    """The text of tokens as they come, up to the first None or stop string."""
    held = ""
    for piece in _decoded(tokenizer, tokens):
        held += piece
        found = [at for s in stop if s and (at := held.find(s)) >= 0]
        if found:
            yield from filter(None, [held[: min(found)]])
            return
        keep = max((_overlap(held, s) for s in stop), default=0)
        ready, held = held[: len(held) - keep], held[len(held) - keep :]
        if ready:
            yield ready
    if held:
        yield held


def _decoded(tokenizer: Decoder, tokens: Iterable[int | None]) -> Iterator[str]:
    """Text of each token. It is decoded behind the one before, on which its blanks may depend."""
    ids: list[int] = []
    shown = 0  # how many of `ids` are in the text already
    for token in tokens:
        if token is None:
            break
        ids.append(token)
        before, now = tokenizer.decode(ids[:shown]), tokenizer.decode(ids)
        if len(now) > len(before) and not now.endswith(HALF):
            yield now[len(before) :]
            ids, shown = ids[shown:], len(ids) - shown
    rest = tokenizer.decode(ids)[len(tokenizer.decode(ids[:shown])) :]
    if rest:
        yield rest


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    most = min(len(text), len(stop) - 1)
    return next((n for n in range(most, 0, -1) if text.endswith(stop[:n])), 0)
