"""Text from a trained model: a prompt is read once, then one token at a time from the cache.

Invariant: the same weights, prompts, options and seed give the same tokens, however many of them
the device writes at a time. Position, cache and chosen tokens stay on the device; the host reads
tokens while the device is already at work on later ones.

When the context (`max_position_embeddings`) is full, its last half is read again as a new prompt
and writing goes on; a longer prompt counts by its last `max_position_embeddings` tokens. Each token
thus depends on at least half a context, once there is so much, and on at most a whole one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from picotron import cache, model
from picotron.config import ModelConfig
from picotron.device import is_software
from picotron.errors import ConfigError
from picotron.sampling import HIDDEN, Filters, Sampling, choose
from picotron.stopping import Stops, pieces
from picotron.tokenizer import END, START, ByteTokenizer, CharTokenizer, Tokenizer
from picotron.tokenizer_library import LibraryTokenizer
from tracer import ShapeDtypeStruct, eval_shape, jit, lax, random
from tracer import numpy as jnp

State = dict[str, Any]
CHUNK = {True: 4, False: 16}  # tokens of one submission; a software adapter is slow enough as it is
AHEAD = 2  # submissions under way before the host waits for the first


class Generator:
    """Holds the compiled programs of one model: reading a prompt, and a chunk of tokens.

    `chunk` tokens are written by each run of the second; by default what suits the adapter. Texts
    end at the tokens `ends`, by default at the tokenizer's.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: model.Params,
        tokenizer: Tokenizer | None = None,
        chunk: int | None = None,
        ends: Sequence[int] | None = None,
    ) -> None:
        self.config, self.params, self.tokenizer = config, params, tokenizer
        self.ends = ends
        self.chunk = chunk or CHUNK[is_software()]
        self._read = jit(read, static_argnames=("config", "slots", "filters"))
        self._write = jit(
            write, static_argnames=("config", "count", "filters"), donate_argnames="state"
        )

    def stream(
        self,
        prompt: str | Sequence[int],
        count: int,
        temperature: float = 0.8,
        top_k: int = 0,
        seed: int = 0,
        *,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[str]:
        """Up to `count` tokens of text after the prompt, as they come.

        Stops early at the end token, or before the first of the strings `stop`. Options are those
        of `Sampling`. Raises ConfigError.
        """
        sampling = Sampling(temperature, top_k, **options)
        rows = self.tokens([self._ids(prompt)], count, sampling, seed, stop=self._ends())
        return pieces(self.tokenizer, (row[0] for row in rows), stop)

    def texts(
        self,
        prompts: Sequence[str],
        count: int,
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """What follows each of several prompts, up to its end token or stop string."""
        rows = [self._ids(prompt) for prompt in prompts]
        found = self.lists(rows, count, sampling, seed, stop=self._ends())
        return ["".join(pieces(self.tokenizer, tokens, stop)) for tokens in found]

    def _ids(self, prompt: str | Sequence[int]) -> list[int]:
        """The tokens of a prompt, if it is not tokens already: with what a file of Hugging Face's
        puts in front of it, and of an empty one what a document starts with."""
        if not isinstance(prompt, str):
            return list(prompt)
        start = START if self.tokenizer.start is None else self.tokenizer.start
        if isinstance(self.tokenizer, LibraryTokenizer):
            return self.tokenizer.prompt(prompt) or [start]
        return self.tokenizer.encode(prompt).tolist() or [start]

    def _ends(self) -> Sequence[int]:
        if self.ends is not None:
            return self.ends
        return [] if self.tokenizer.end is None else [self.tokenizer.end]

    def lists(
        self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling = Sampling(),  # noqa: B008
        seed: int = 0, stop: Sequence[int] = (),
    ) -> list[list[int]]:  # fmt: skip
        """The tokens that follow each prompt, up to and without its first stop token."""
        found: list[list[int]] = [[] for _ in prompts]
        for row in self.tokens(prompts, count, sampling, seed, stop):
            for tokens, token in zip(found, row, strict=True):
                if token is not None:
                    tokens.append(token)
        return found

    def tokens(
        self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling = Sampling(),  # noqa: B008
        seed: int = 0, stop: Sequence[int] = (),
    ) -> Iterator[list[int | None]]:  # fmt: skip
        """One token for each prompt, `count` times; None for a row from its stop token on.

        Ends early when every row has stopped. Raises ConfigError for options out of range and
        prompts without tokens.
        """
        sampling.check()
        if not prompts or not all(len(p) for p in prompts):
            raise ConfigError("a prompt must have at least one token")
        return self._tokens([list(map(int, p)) for p in prompts], count, sampling, seed, stop)

    def _tokens(
        self, rows: list[list[int]], count: int, sampling: Sampling, seed: int, stop: Sequence[int]
    ) -> Iterator[list[int | None]]:
        stops, written = Stops(len(rows), stop), 0
        keep = size = self.config.max_position_embeddings
        while written < count:
            window = [row[-keep:] for row in rows]
            for row in self._window(window, rows, count - written, written, sampling, seed):
                shown = stops(row)
                if stops.all:
                    return
                for tokens, token in zip(rows, row, strict=True):
                    tokens.append(token)
                written += 1
                yield shown
            keep = max(1, size // 2)

    def _window(
        self, window: list[list[int]], rows: list[list[int]], count: int, index: int,
        sampling: Sampling, seed: int,
    ) -> Iterator[list[int]]:  # fmt: skip
        """Tokens after a window of `rows` until `count` are written or the context is full.

        `index` counts the tokens written before, and decides what is drawn.
        """
        size, longest = self.config.max_position_embeddings, max(map(len, window))
        count = min(count, size - longest + 1)
        filters, chosen = sampling.filters, self._choice(sampling, seed)
        state, token, first = self._begin(window, rows, count, index, filters, chosen)
        waiting, asked, given = deque([token]), 1, 0
        while given < count:
            while asked < count and len(waiting) < AHEAD:
                state, token = self._write(
                    self.params, state, first, chosen, config=self.config, count=self.chunk,
                    filters=filters,
                )  # fmt: skip
                token.copy_to_host_async()
                waiting.append(token)
                asked += self.chunk
            for row in np.asarray(waiting.popleft())[: count - given]:
                given += 1
                yield row.tolist()

    def _begin(
        self, window: list[list[int]], rows: list[list[int]], count: int, index: int,
        filters: Filters, chosen: dict[str, Any],
    ) -> tuple[State, Any, Any]:  # fmt: skip
        """Read a window: the state, the first token, and the slot where each row starts."""
        size, longest = self.config.max_position_embeddings, max(map(len, window))
        tokens = np.zeros((len(window), bucket(longest, size)), np.int32)
        for line, row in zip(tokens, window, strict=True):
            line[longest - len(row) : longest] = row
        first = np.array([longest - len(row) for row in window], np.int32)
        state, token = self._read(
            self.params, tokens, first if first.any() else None, np.int32(longest - 1),
            np.int32(index), self._seen(rows, filters), chosen, config=self.config,
            slots=bucket(longest + count - 1, size), filters=filters,
        )  # fmt: skip
        token.copy_to_host_async()  # a copy asked for later would come after the tokens behind it
        return state, token, jnp.asarray(first)

    def lowered(self, params: Any, lengths: Sequence[int], count: int) -> list[Any]:
        """Its programs for weights as given, shapes among them: reading prompts of these lengths,
        and writing a chunk where `count` tokens are wanted."""
        size, longest = self.config.max_position_embeddings, max(lengths)
        longest = min(longest, size)
        rows, filters, chosen = len(lengths), Filters(), self._choice(Sampling(0.0), 0)
        index, first = ShapeDtypeStruct((), np.int32), ShapeDtypeStruct((rows,), np.int32)
        tokens = ShapeDtypeStruct((rows, bucket(longest, size)), np.int32)
        start = first if len(set(lengths)) > 1 else None
        given = params, tokens, start, index, index, None, chosen
        fixed = {"config": self.config, "filters": filters}
        slots = bucket(longest + min(count, size - longest + 1) - 1, size)
        state, _ = eval_shape(partial(read, slots=slots, **fixed), *given)
        return [
            self._read.lower(*given, slots=slots, **fixed),
            self._write.lower(params, state, first, chosen, count=self.chunk, **fixed),
        ]

    def profile(self, rows: list[list[int]], sampling: Sampling = Sampling(0.0)) -> list[Any]:  # noqa: B008
        """Times of the kernels that write one chunk of tokens after prompts of one window."""
        args, fixed = self._chunk(rows, sampling)
        return self._write.profile(*args, **fixed)

    def bound(self, rows: list[list[int]], sampling: Sampling = Sampling(0.0)) -> tuple:  # noqa: B008
        """What writes such a chunk, as `tracer.jit`'s `bound` gives it."""
        args, fixed = self._chunk(rows, sampling)
        return self._write.bound(*args, **fixed)

    def _chunk(self, rows: list[list[int]], sampling: Sampling) -> tuple[tuple, dict[str, Any]]:
        filters, chosen = sampling.filters, self._choice(sampling, 0)
        state, _, first = self._begin(rows, rows, self.chunk, 0, filters, chosen)
        fixed = {"config": self.config, "count": self.chunk, "filters": filters}
        return (self.params, state, first, chosen), fixed

    def stats(self) -> dict[str, int | float]:
        """Of the program that writes a chunk: kernels a token, and what it took to make."""
        found = self._write.stats()
        names = {"kernels_per_step": "kernels_per_token", "distinct_kernels": "distinct_kernels"}
        names |= {"trace_s": "trace_s", "compile_s": "compile_s"}
        return {shown: found[name] for name, shown in names.items()}

    def _choice(self, sampling: Sampling, seed: int) -> dict[str, Any]:
        """What a choice depends on beside the logits, on the device."""
        values = {name: jnp.asarray(v) for name, v in sampling.values().items()}
        return {"values": values, "key": random.key(seed), "hidden": self._hidden()}

    def _hidden(self) -> Any:
        """bool [V]: ids that no text is made of; None if there are none."""
        if self.tokenizer is None:
            return None
        ids = np.arange(self.config.vocab_size)
        own = isinstance(self.tokenizer, (CharTokenizer, ByteTokenizer))
        hidden = (ids >= self.tokenizer.vocab_size) | (own & (ids < END))
        return jnp.asarray(hidden) if hidden.any() else None

    def _seen(self, rows: list[list[int]], filters: Filters) -> np.ndarray | None:
        """bool [B, V]: the tokens of each row, if a filter asks for them."""
        if not filters.repetition_penalty:
            return None
        seen = np.zeros((len(rows), self.config.vocab_size), bool)
        for line, row in zip(seen, rows, strict=True):
            line[row] = True
        return seen


def bucket(length: int, most: int) -> int:
    """A power of two that holds `length`, from 16 to `most`: few lengths, so few programs."""
    return min(most, max(16, 1 << (length - 1).bit_length()))


# --- programs ---------------------------------------------------------------------------------


def read(
    params: model.Params, tokens: Any, first: Any, last: Any, index: Any, seen: Any,
    chosen: dict[str, Any], config: ModelConfig, slots: int, filters: Filters,
) -> tuple[State, Any]:  # fmt: skip
    """Read prompts int32 [B, S] whose rows end at slot `last`: state and first token [1, B].

    `index` counts the tokens written before; `seen` bool [B, V] are those that are penalised.
    """
    logits, kept = cache.read_prompt(params, tokens, first, last, config, slots)
    token = _pick(logits, seen, index, chosen, filters)
    state = {"cache": kept, "token": token, "slot": last + 1, "index": index + 1}
    if filters.repetition_penalty:
        state["seen"] = _with(seen, token)
    return state, token[None]


def write(
    params: model.Params, state: State, first: Any, chosen: dict[str, Any], config: ModelConfig,
    count: int, filters: Filters,
) -> tuple[State, Any]:  # fmt: skip
    """`count` tokens more for each row: the state behind them, and the tokens int32 [count, B].

    Slots behind the last one are not there: what is written beyond a full context is meaningless.
    """
    rope = model.rope_tables(config, state["cache"][0].shape[2])

    def step(state: State, _: None) -> tuple[State, Any]:
        logits, kept = cache.read_token(
            params, state["token"], state["cache"], state["slot"], first, rope, config
        )
        token = _pick(logits, state.get("seen"), state["index"], chosen, filters)
        new = {
            "cache": kept,
            "token": token,
            "slot": state["slot"] + 1,
            "index": state["index"] + 1,
        }
        if filters.repetition_penalty:
            new["seen"] = _with(state["seen"], token)
        return new, token

    return lax.scan(step, state, None, length=count)


def _pick(logits: Any, seen: Any, index: Any, chosen: dict[str, Any], filters: Filters) -> Any:
    """The token number `index`, int32 [B]."""
    if chosen["hidden"] is not None:
        logits = jnp.where(chosen["hidden"], HIDDEN, logits)
    key = random.fold_in(chosen["key"], index)
    return choose(logits, seen, key, chosen["values"], filters).astype(jnp.int32)


def _with(seen: Any, token: Any) -> Any:
    return seen | (jnp.arange(seen.shape[-1]) == token[:, None])


def check_options(count: int, seed: int) -> None:
    """Raises ConfigError for values outside their range."""
    for name, value in (("max-new-tokens", count), ("seed", seed)):
        if value < 0:
            raise ConfigError(f"--{name} must be 0 or more, not {value}")
