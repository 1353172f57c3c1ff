"""Generation: equal to the whole forward pass, reproducible, bounded by the context."""

import io

import numpy as np
import pytest

from picotron import cache, cli, model
from picotron.config import ModelConfig
from picotron.errors import ConfigError
from picotron.generator import Generator, bucket, check_options
from picotron.sampling import Sampling, choose
from picotron.stopping import Stops, pieces
from picotron.tokenizer import BASE, END, START, CharTokenizer
from tracer import jit, random, tree
from tracer import numpy as jnp

TOKENIZER = CharTokenizer()
SIZES = dict(
    vocab_size=TOKENIZER.vocab_size + 6,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    initializer_range=0.3,
)
CONFIG = ModelConfig(**SIZES, max_position_embeddings=16)
LONGER = ModelConfig(**SIZES, max_position_embeddings=64)
GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def params():
    return tree.map(jnp.asarray, model.init(CONFIG, 0))


@pytest.fixture(scope="module")
def generator(params):
    return Generator(CONFIG, params, TOKENIZER)


@pytest.fixture(scope="module")
def plain(params):
    """A generator of ids, none of which is special."""
    return Generator(LONGER, params)


@pytest.fixture(scope="module")
def forward(params):
    compiled = jit(lambda tokens: model.forward(params, tokens, LONGER))

    def logits(tokens):
        window = np.zeros((1, 64), np.int32)
        window[0, : len(tokens)] = tokens
        return np.asarray(compiled(window))[0, : len(tokens)]

    return logits


def greedy(generator, prompt, count):
    return "".join(generator.stream(prompt, count, temperature=0.0))


def uncached(forward, prompt, count):
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(np.argmax(forward(tokens)[-1])))
    return tokens[len(prompt) :]


# --- the cache ------------------------------------------------------------------------------------


@pytest.mark.device
def test_cached_logits_are_those_of_the_whole_forward_pass(params, forward):
    tokens = np.random.default_rng(0).integers(0, SIZES["vocab_size"], 40).astype(np.int32)
    want = forward(tokens)
    read = jit(cache.read_prompt, static_argnames=("config", "slots"))
    step = jit(cache.read_token, static_argnames="config", donate_argnames="cache")
    rope, first = model.rope_tables(LONGER, 64), jnp.zeros(1, jnp.int32)
    prompt = np.zeros((1, 16), np.int32)
    prompt[0, :7] = tokens[:7]
    logits, kept = read(params, prompt, None, np.int32(6), config=LONGER, slots=64)
    np.testing.assert_allclose(np.asarray(logits)[0], want[6], atol=1e-5)
    for slot in range(7, 40):
        token = tokens[slot : slot + 1]
        logits, kept = step(params, token, kept, np.int32(slot), first, rope, config=LONGER)
        np.testing.assert_allclose(np.asarray(logits)[0], want[slot], atol=1e-5)


@pytest.mark.device
def test_greedy_tokens_are_those_without_a_cache(plain, forward):
    for prompt in ([5], [5, 6, 7], list(range(20, 37))):
        assert plain.lists([prompt], 30, GREEDY) == [uncached(forward, prompt, 30)]


@pytest.mark.device
def test_rows_of_a_batch_are_what_they_are_alone(plain, forward):
    prompts = [[5, 6, 7], [1], [9, 8, 7, 6, 5, 4, 3, 2, 1]]
    found = plain.lists(prompts, 12, GREEDY)
    assert found == [uncached(forward, prompt, 12) for prompt in prompts]


@pytest.mark.device
def test_the_chunk_does_not_matter(params, plain):
    options = [[3, 4]], 11, Sampling(0.9, top_k=20), 3
    for chunk in (1, 5):
        assert Generator(LONGER, params, chunk=chunk).lists(*options) == plain.lists(*options)


@pytest.mark.device
def test_a_full_context_goes_on_with_its_last_half(generator, params, forward):
    ids = Generator(CONFIG, params)
    found = ids.lists([[7] * 10], 20, GREEDY)[0]
    assert found[:7] == uncached(forward, [7] * 10, 7)  # one behind the last of 16 slots
    again = uncached(forward, ([7] * 10 + found[:7])[-8:], 9)
    assert found[7:16] == again


@pytest.mark.device
def test_long_prompts_count_by_their_last_tokens(generator):
    prompt = "x" * 30 + "the last sixteen"
    assert len(greedy(generator, prompt, 5)) == 5
    assert greedy(generator, prompt, 5) == greedy(generator, prompt[-16:], 5)


@pytest.mark.device
def test_greedy_takes_the_likeliest_visible_character(generator, forward):
    tokens = TOKENIZER.encode("abc").tolist()
    visible = forward(tokens)[-1][END : TOKENIZER.vocab_size]
    assert TOKENIZER.decode([END + int(np.argmax(visible))]) == greedy(generator, "abc", 1)


def test_few_lengths_are_compiled():
    assert {bucket(n, 100) for n in range(1, 101)} == {16, 32, 64, 100}
    assert all(bucket(n, 100) >= n for n in range(1, 101))


# --- sampling -------------------------------------------------------------------------------------

LOGITS = np.log(np.array([0.1, 0.5, 0.15, 0.25], np.float32))
DRAWS = 4000


def frequencies(logits=LOGITS, seen=None, **options):
    sampling = Sampling(**options)
    rows = np.broadcast_to(logits, (DRAWS, logits.size))
    drawn = choose(rows, seen, random.key(0), sampling.values(), sampling.filters)
    return np.bincount(np.asarray(drawn), minlength=logits.size) / DRAWS


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, [0.1, 0.5, 0.15, 0.25]),
        ({"top_k": 2}, [0, 2 / 3, 0, 1 / 3]),
        ({"top_k": 9}, [0.1, 0.5, 0.15, 0.25]),
        ({"top_p": 0.6}, [0, 2 / 3, 0, 1 / 3]),
        ({"top_p": 0.4}, [0, 1, 0, 0]),
        ({"min_p": 0.4}, [0, 2 / 3, 0, 1 / 3]),
        ({"top_k": 3, "top_p": 0.7}, [0, 2 / 3, 0, 1 / 3]),
        ({"temperature": 0.5}, [0.0290, 0.7246, 0.0652, 0.1812]),
        ({"temperature": 0.0}, [0, 1, 0, 0]),
    ],
)
@pytest.mark.device
def test_filters(options, shares):
    np.testing.assert_allclose(frequencies(**options), shares, atol=0.03)


@pytest.mark.device
def test_tokens_that_were_seen_are_less_likely():
    seen = np.array([False, True, False, False])
    shares = np.exp(np.where(seen, LOGITS * 2, LOGITS))
    found = frequencies(seen=seen, repetition_penalty=2.0)
    np.testing.assert_allclose(found, shares / shares.sum(), atol=0.03)
    assert frequencies(-LOGITS, seen, temperature=0.0, repetition_penalty=4.0).argmax() == 0


@pytest.mark.device
def test_the_penalty_sees_prompt_and_tokens(plain):
    prompt = list(range(30, 50))
    found = plain.lists([prompt], 12, Sampling(0.0, repetition_penalty=1e6))[0]
    assert len({*found, *prompt}) == 32  # nothing comes twice


@pytest.mark.device
def test_the_seed_decides(generator):
    first, again, other = ("".join(generator.stream("a", 40, seed=s)) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.device
def test_only_characters_come_out(generator):
    text = "".join(generator.stream("", 60, temperature=3.0, seed=5))
    assert set(text) <= set(BASE)


# --- where it ends --------------------------------------------------------------------------------


@pytest.mark.device
def test_a_stop_token_ends_its_row_alone(plain):
    whole = plain.lists([[5, 6], [1]], 9, GREEDY)
    stop = whole[0][4]
    cut = [row[: row.index(stop)] if stop in row else row for row in whole]
    assert plain.lists([[5, 6], [1]], 9, GREEDY, stop=[stop]) == cut


@pytest.mark.device
def test_a_stop_string_ends_the_text(generator):
    whole = greedy(generator, "abc", 12)
    stop = whole[5:7]
    assert "".join(generator.stream("abc", 12, 0.0, stop=[stop])) == whole[: whole.index(stop)]
    assert generator.texts(["abc"], 12, GREEDY, stop=[stop]) == [whole[: whole.index(stop)]]


class Bytes:
    """Token ids that are the bytes of UTF-8."""

    def decode(self, ids):
        return bytes(ids).decode("utf-8", "replace")


def test_pieces_hold_back_half_characters_and_starts_of_stops():
    text = "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{GREEK SMALL LETTER ALPHA}."
    found = list(pieces(Bytes(), text.encode()))
    assert found == list(text)
    assert "".join(pieces(Bytes(), b"one\nUse it\nUser: x", ["\nUser:"])) == "one\nUse it"
    assert list(pieces(Bytes(), b"ab<", ["<end>"])) == ["a", "b", "<"]
    assert "".join(pieces(Bytes(), [*b"abc", None, *b"de"])) == "abc"


def test_stops_are_for_ever():
    stops = Stops(2, [9])
    assert stops([1, 9]) == [1, None] and not stops.all
    assert stops([9, 2]) == [None, None] and stops.all


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.5}, "temperature must be 0 or more, not -0.5"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -2}, "top-k must be 0 or more"),
        ({"top_p": 0.0}, "top-p must be greater than 0 and at most 1"),
        ({"min_p": 1.5}, "min-p must be 0 or more and at most 1"),
        ({"repetition_penalty": 0.0}, "repetition-penalty must be greater than 0"),
        ({"top_k": -1, "min_p": -1.0}, "top-k.*; --min-p"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**options).check()


@pytest.mark.device
def test_counts_seeds_and_prompts_are_checked(plain):
    for values, message in (((-1, 0), "max-new-tokens"), ((1, -3), "seed")):
        with pytest.raises(ConfigError, match=f"{message} must be 0 or more"):
            check_options(*values)
    with pytest.raises(ConfigError, match="at least one token"):
        plain.lists([[1], []], 3)
    assert plain.lists([[START]], 0) == [[]]


# --- the verbs ------------------------------------------------------------------------------------


@pytest.fixture
def cli_model(monkeypatch, generator):
    monkeypatch.setattr(
        "picotron.commands.generate.Writes.generator", lambda self, prompt="": generator
    )


@pytest.mark.device
def test_generate_prints_the_prompt_and_what_follows(cli_model, generator, capsys):
    words = ["generate", "--prompt", "abc", "--max-new-tokens", "7", "--temperature", "0"]
    assert cli.main(words) == 0
    assert capsys.readouterr().out == "abc" + greedy(generator, "abc", 7) + "\n"
    assert cli.main([*words, "--top-p", "2"]) == 2
    assert "--top-p must be greater than 0" in capsys.readouterr().err


@pytest.mark.device
def test_chat_answers_each_line_after_what_was_said(cli_model, generator, capsys, monkeypatch):
    monkeypatch.setattr("picotron.commands.chat.Chat.template", lambda self: None)
    monkeypatch.setattr("sys.stdin", io.StringIO("Hi\nAnd?\n\nunread\n"))
    assert cli.main(["chat", "--max-new-tokens", "5", "--temperature", "0"]) == 0
    first = greedy(generator, "You: Hi\nAnswer: ", 5)
    second = greedy(generator, f"You: Hi\nAnswer: {first}\nYou: And?\nAnswer: ", 5)
    assert capsys.readouterr().out == f"Answer: {first}\nAnswer: {second}\n"
