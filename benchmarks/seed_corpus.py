"""The training example of mlsquare/picotron-wgpu with a LLaMA in the place of its model.

Same corpus of 20 phrases and the same settings: hidden size 64, 4 heads, 2 layers, 100 token ids,
SGD at a rate of 0.01, one prefix and its next character per step, 372 steps an epoch, 10 epochs.
The loss is the mean over all 372 prefixes of -ln p(next character). A table of pairs of characters
that has seen the corpus gets 2.003, of single ones 2.994; the example's own model stops at 3.09.

    python benchmarks/seed_corpus.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from picotron import model, optim
from picotron.config import ModelConfig
from picotron.tokenizer import CharTokenizer
from tracer import jit, lax, nn, tree, value_and_grad
from tracer import numpy as jnp

PHRASES = (
    *("hello world", "rust is awesome", "machine learning", "webgpu rocks", "neural networks"),
    *("deep learning", "artificial intelligence", "computer science", "programming languages"),
    *("data structures", "algorithms and complexity", "software engineering"),
    *("distributed systems", "cloud computing", "cybersecurity", "blockchain technology"),
    *("quantum computing", "robotics and automation", "natural language processing"),
    "computer vision",
)
CONFIG = ModelConfig(
    vocab_size=100,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=50,
    initializer_range=0.02,
)
RATE, EPOCHS = 0.01, 10


def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prefixes int32 [372, longest], padded; the last position of each; the next characters."""
    rows = [CharTokenizer().encode(text, start=True, end=True) for text in PHRASES]
    pairs = [(row[:end], row[end]) for row in rows for end in range(1, len(row))]
    prefixes = np.zeros((len(pairs), max(len(prefix) for prefix, _ in pairs)), np.int32)
    for line, (prefix, _) in zip(prefixes, pairs, strict=True):
        line[: len(prefix)] = prefix
    last = np.array([len(prefix) - 1 for prefix, _ in pairs], np.int32)
    return prefixes, last, np.array([following for _, following in pairs], np.int32)


def loss(params: Any, prefixes: Any, last: Any, following: Any) -> Any:
    hidden = model.hidden_states(params, prefixes, CONFIG)
    row = jnp.arange(prefixes.shape[0])
    logits = model.head(params, hidden[row, last], CONFIG)
    return jnp.mean(nn.cross_entropy(logits, following))


def main() -> None:
    optimizer = optim.sgd(RATE)

    @partial(jit, donate_argnums=(0,))
    def epoch(state: Any, data: Any) -> Any:
        def step(state: Any, example: Any) -> Any:
            params, moments = state
            value, grads = value_and_grad(loss)(params, *(part[None] for part in example))
            updates, moments = optimizer.update(grads, moments, params)
            return (optim.apply_updates(params, updates), moments), value

        return lax.scan(step, state, data)

    data = tuple(map(jnp.asarray, examples()))
    params = tree.map(jnp.asarray, model.init(CONFIG, 0))
    state, evaluate = (params, optimizer.init(params)), jit(loss)
    print(f"Initial Loss: {float(evaluate(params, *data)):.4f}")
    for number in range(1, EPOCHS + 1):
        state, losses = epoch(state, data)
        train, after = float(jnp.mean(losses)), float(evaluate(state[0], *data))
        print(f"Epoch {number}/{EPOCHS}: Train Loss: {train:.4f}, Eval Loss: {after:.4f}")


if __name__ == "__main__":
    main()
