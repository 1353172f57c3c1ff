"""Sampling: reproducible, bounded by the context, never a special token."""

import numpy as np
import pytest

from picotron import model
from picotron.config import ModelConfig
from picotron.errors import ConfigError
from picotron.generate import Generator, check_options, choose
from picotron.tokenizer import BASE, END, CharTokenizer
from tracer import jit, tree
from tracer import numpy as jnp

TOKENIZER = CharTokenizer()
CONFIG = ModelConfig(
    TOKENIZER.vocab_size + 6, 32, 40, 2, 4, 2, max_position_embeddings=16, initializer_range=0.3
)


@pytest.fixture(scope="module")
def params():
    return model.init(CONFIG, 0)


@pytest.fixture(scope="module")
def generator(params):
    return Generator(CONFIG, tree.map(jnp.asarray, params), TOKENIZER)


def greedy(generator, prompt, count):
    return "".join(generator.stream(prompt, count, temperature=0.0))


@pytest.mark.device
def test_greedy_takes_the_likeliest_of_the_whole_forward_pass(generator, params):
    text = "abc"
    for character in greedy(generator, text, 6):
        tokens = TOKENIZER.encode(text)[None]
        forward = jit(lambda p, t: model.forward(p, t, CONFIG))
        logits = np.asarray(forward(tree.map(jnp.asarray, params), tokens))[0, -1]
        visible = logits[END : TOKENIZER.vocab_size]
        assert TOKENIZER.decode([END + int(np.argmax(visible))]) == character
        text += character


@pytest.mark.device
def test_long_prompts_count_by_their_last_tokens(generator):
    prompt = "x" * 30 + "the last sixteen"
    assert len(greedy(generator, prompt, 5)) == 5
    assert greedy(generator, prompt, 5) == greedy(generator, prompt[-16:], 5)


@pytest.mark.device
def test_the_seed_decides(generator):
    first, again, other = ("".join(generator.stream("a", 40, seed=s)) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.device
def test_only_characters_come_out(generator):
    text = "".join(generator.stream("", 60, temperature=3.0, seed=5))
    assert set(text) <= set(BASE)


def test_temperature_and_top_k():
    logits = np.log(np.array([0.5, 0.25, 0.15, 0.1]))
    random = np.random.default_rng(0)

    def frequencies(**options):
        drawn = [choose(logits, random=random, **options) for _ in range(4000)]
        return np.bincount(drawn, minlength=4) / 4000

    np.testing.assert_allclose(
        frequencies(temperature=1.0, top_k=0), [0.5, 0.25, 0.15, 0.1], atol=0.03
    )
    np.testing.assert_allclose(
        frequencies(temperature=1.0, top_k=2), [2 / 3, 1 / 3, 0, 0], atol=0.03
    )
    squares = np.array([0.25, 0.0625, 0.0225, 0.01])
    np.testing.assert_allclose(
        frequencies(temperature=0.5, top_k=9), squares / squares.sum(), atol=0.03
    )
    assert frequencies(temperature=0.0, top_k=0)[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((-1, 1.0, 0, 0), "max-new-tokens must be 0 or more, not -1"),
        ((1, -0.5, 0, 0), "temperature must be 0 or more, not -0.5"),
        ((1, float("nan"), 0, 0), "temperature"),
        ((1, 1.0, -2, 0), "top-k"),
        ((1, 1.0, 0, -3), "seed"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        check_options(*options)
