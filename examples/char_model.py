"""A GPT of characters in one file: the model, its training step, sampling. After nanoGPT's.

    python examples/char_model.py                       Pride and Prejudice, which the package has
    python examples/char_model.py --data notes.txt      a text of yours, or a glob of texts
    python examples/char_model.py --data stdlib         Python's own sources

Nothing of the model is in the package: an embedding, learned positions, pre-norm blocks of
attention and GELU, a tied head. `train_step` is one compiled program with its state donated.
`picotron train` has what a longer run needs: checkpoints, logs, a cache for generation, meshes.
"""

import argparse

import numpy as np

from picotron import dataset, optim
from picotron.config import DatasetConfig
from tracer import jit, lax, nn, random, tree, value_and_grad
from tracer import numpy as jnp

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", help="a text, a glob, or stdlib")
for name, default in dict(
    steps=500, layers=4, heads=4, width=128, context=64, batch=16, sample=300
).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
args = parser.parse_args()

corpus = dataset.load(DatasetConfig(path=args.data))
tokenizer = corpus.tokenizer
vocab, width = tokenizer.vocab_size, args.width


def weights(key):
    """Normal with deviation 0.02; projections back into the stream scaled down with depth."""
    keys = iter(random.split(key, 2 + 4 * args.layers))

    def matrix(*shape, scale=1.0):
        return 0.02 * scale * random.normal(next(keys), shape)

    def norm():
        return {"weight": jnp.ones(width), "bias": jnp.zeros(width)}

    def block():
        back = (2 * args.layers) ** -0.5
        return {
            "norm1": norm(),
            "qkv": matrix(width, 3 * width),
            "out": matrix(width, width, scale=back),
            "norm2": norm(),
            "up": matrix(width, 4 * width),
            "down": matrix(4 * width, width, scale=back),
        }

    return {
        "tokens": matrix(vocab, width),
        "positions": matrix(args.context, width),
        "blocks": [block() for _ in range(args.layers)],
        "norm": norm(),
    }


def logits(params, ids):
    """float32 [B, S, V] for ids int32 [B, S]."""
    batch, length = ids.shape
    x = params["tokens"][ids] + params["positions"][:length]
    for block in params["blocks"]:
        qkv = layer_norm(x, block["norm1"]) @ block["qkv"]
        q, k, v = jnp.split(qkv.reshape(batch, length, 3 * args.heads, -1), 3, axis=2)
        attended = nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + attended.reshape(batch, length, width) @ block["out"]
        x = x + nn.gelu(layer_norm(x, block["norm2"]) @ block["up"]) @ block["down"]
    return layer_norm(x, params["norm"]) @ params["tokens"].T


def layer_norm(x, of):
    return nn.layer_norm(x, of["weight"], of["bias"])


def loss(params, inputs, targets):
    return jnp.mean(nn.cross_entropy(logits(params, inputs), targets))


optimizer = optim.chain(
    optim.clip_by_global_norm(1.0),
    optim.adamw(optim.warmup_cosine(args.rate, args.rate / 10, args.steps // 10, args.steps)),
)


def train_step(params, moments, inputs, targets):
    value, grads = value_and_grad(loss)(params, inputs, targets)
    updates, moments = optimizer.update(grads, moments, params)
    return optim.apply_updates(params, updates), moments, value


def sample(params, key):
    """Characters after a line break, all on the device: a scan over a sliding window."""

    def step(carry, key):
        window, at = carry  # `at` characters of the window are filled
        rows = logits(params, window[None])[0]
        choice = random.categorical(key, lax.dynamic_index_in_dim(rows, at - 1, 0, False) / 0.8)
        choice = choice.astype(jnp.int32)
        full = at == args.context
        window = jnp.where(full, jnp.roll(window, -1), window)
        at = jnp.where(full, at, at + 1)
        return (lax.dynamic_update_index_in_dim(window, choice, at - 1, 0), at), choice

    start = jnp.zeros(args.context, jnp.int32).at[0].set(tokenizer.encode("\n")[0])
    return lax.scan(step, (start, 1), random.split(key, args.sample))[1]


def windows(tokens, starts):
    rows = np.stack([tokens[start : start + args.context + 1] for start in starts])
    return rows[:, :-1].astype(np.int32), rows[:, 1:].astype(np.int32)


def main():
    params = jit(weights)(random.key(0))
    moments = optimizer.init(params)
    count = sum(leaf.size for leaf in tree.leaves(params))
    print(f"{corpus.source}: {len(corpus.train):,} characters, {vocab} kinds; {count:,} parameters")

    step = jit(train_step, donate_argnums=(0, 1))
    draw = np.random.default_rng(0)
    held_out = windows(corpus.validation, range(0, len(corpus.validation) - args.context - 1, 997))
    validate = jit(loss)
    for n in range(1, args.steps + 1):
        starts = draw.integers(len(corpus.train) - args.context, size=args.batch)
        params, moments, value = step(params, moments, *windows(corpus.train, starts))
        if n == 1 or n % max(1, args.steps // 10) == 0:
            print(f"step {n:4}  loss {float(value):.3f}")
    print(f"validation loss {float(validate(params, *held_out)):.3f} nats a character")
    print("---")
    print(tokenizer.decode(np.asarray(jit(sample)(params, random.key(1)))))


if __name__ == "__main__":
    main()
