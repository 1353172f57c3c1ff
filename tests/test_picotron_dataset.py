"""Text to batches: every window once per epoch, no leak into validation, clear refusals."""

import numpy as np
import pytest

from picotron import dataset
from picotron.config import Config, DatasetConfig, LoggingConfig, TrainingConfig
from picotron.dataset import Batches
from picotron.documents import read_text
from picotron.errors import DataError
from picotron.tokenizer import CharTokenizer
from picotron.tokens import read_tokens


def test_the_shipped_novel():
    corpus = dataset.load(DatasetConfig())
    assert len(corpus.train) + len(corpus.validation) > 600_000
    assert "It is a truth universally" in corpus.tokenizer.decode(corpus.train[:200])
    assert corpus.train.dtype == np.int32


def test_an_epoch_visits_every_window_once():
    batches = Batches(np.arange(1000, dtype=np.int32), 10, 3, 1, seed=1)
    epoch = batches.windows // 3
    starts = [row[0] for step in range(epoch) for row in batches(step)["inputs"][0]]
    assert batches.windows == 99
    assert len(set(starts)) == 99
    assert {start % 10 for start in starts} == {starts[0] % 10}
    assert starts != sorted(starts)
    following = [row[0] for step in range(epoch, 2 * epoch) for row in batches(step)["inputs"][0]]
    assert following != starts


@pytest.mark.parametrize(("length", "rows", "parts"), [(1, 1, 1), (10, 3, 2), (499, 2, 1)])
def test_targets_are_the_next_tokens(length, rows, parts):
    batches = Batches(np.arange(1000, dtype=np.int32), length, rows, parts, seed=7)
    for step in (0, 5, 500):
        batch = batches(step)
        assert batch["inputs"].shape == (parts, rows, length)
        assert (batch["targets"] == batch["inputs"] + 1).all()
        assert batch["targets"].max() < 1000


def test_batches_are_a_function_of_seed_and_step():
    tokens = np.arange(5000, dtype=np.int32)
    first, again, other = (Batches(tokens, 16, 4, 1, seed) for seed in (3, 3, 4))
    late = first(900)
    assert (late["inputs"] == again(900)["inputs"]).all()
    assert (late["inputs"] != other(900)["inputs"]).any()


def test_the_parts_do_not_overlap(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("".join(chr(97 + i % 26) for i in range(1000)))
    corpus = dataset.load(DatasetConfig(path=str(path), validation_fraction=0.2))
    assert (len(corpus.train), len(corpus.validation)) == (800, 200)
    joined = np.concatenate([corpus.train, corpus.validation])
    assert corpus.tokenizer.decode(joined) == path.read_text()


def test_validation_windows_are_fixed_and_in_range():
    tokens = np.arange(130, dtype=np.int32)
    training = TrainingConfig(seq_length=64, micro_batch_size=4)
    config = Config(training=training, logging=LoggingConfig(eval_batches=3))
    corpus = dataset.Corpus(CharTokenizer(), tokens, tokens, "numbers")
    batches = list(dataset.validation_batches(corpus, config))
    assert [batch["inputs"].shape for batch in batches] == [(4, 64)] * 3
    assert batches[0]["inputs"][0, 0] == 0
    assert batches[-1]["targets"][-1, -1] == 129


def test_windows_line_ends_and_byte_order_marks(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\r\ntwo\n".encode())
    assert list(read_text(path, False)) == [("one\ntwo\n", False)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"good \xff bad", "is not UTF-8 text: byte 5 is 0xff"),
    ],
)
def test_unusable_texts(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_text(path, False))


def test_missing_texts_and_folders(tmp_path):
    with pytest.raises(DataError, match="there is no text file"):
        list(read_text(tmp_path / "none.txt", False))
    with pytest.raises(DataError, match="cannot read the text file"):
        list(read_text(tmp_path, False))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.nan, 2.0], "token 1 is nan, which is not a number"),
        ([1.0, np.inf], "token 1 is inf, which is not a number"),
        ([1.0, 2.5], "token 1 is 2.5, which is not a whole number"),
        ([5, 82], "token 1 is 82, which is outside the vocabulary of 82"),
        ([5, -1], "token 1 is -1, which is outside"),
        (np.zeros(0, np.int32), "is empty"),
        (np.zeros((2, 2), np.int32), "must hold one row of numbers"),
        (["a"], "must hold one row of numbers"),
    ],
)
def test_unusable_token_files(tmp_path, values, message):
    path = tmp_path / "tokens.npy"
    np.save(path, np.asarray(values))
    with pytest.raises(DataError) as caught:
        read_tokens(path, 82)
    assert message in str(caught.value)


def test_token_files_are_text_in_another_form(tmp_path):
    tokenizer = CharTokenizer.train("some text\n")
    tokenizer.save(tmp_path / "tokenizer.json")
    np.save(tmp_path / "tokens.npy", tokenizer.encode("some text\n" * 20).astype(np.uint16))
    path = str(tmp_path / "tokens.npy")
    for given in (None, str(tmp_path / "tokenizer.json")):  # it lies beside the tokens
        config = DatasetConfig(path=path, tokenizer_path=given, validation_fraction=0.5)
        corpus = dataset.load(config)
        assert corpus.tokenizer.decode(corpus.train) == "some text\n" * 10
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="name the tokenizer"):
        dataset.load(DatasetConfig(path=path))
    (tmp_path / "junk.npy").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"is not a \.npy file"):
        read_tokens(tmp_path / "junk.npy", 82)


def test_short_texts_name_the_cure():
    corpus = dataset.Corpus(CharTokenizer(), np.zeros(300, np.int32), np.zeros(20, np.int32), "a")
    dataset.check_length(corpus, 19)
    with pytest.raises(DataError, match=r"validation part has 20 tokens.*smaller --training"):
        dataset.check_length(corpus, 20)
    with pytest.raises(DataError, match="training part has 300 tokens"):
        dataset.check_length(corpus, 151)
