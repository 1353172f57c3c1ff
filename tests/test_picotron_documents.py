"""Sources of text, tokens on disk, documents that are kept apart, and batches made ahead."""

import json
import sys
import threading

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import LAVAPIPE
from picotron import dataset, documents, tokens
from picotron.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from picotron.documents import source_of
from picotron.errors import DataError
from picotron.prefetch import Prefetched
from picotron.prepare import lowered_step
from picotron.tokenizer import END, ByteTokenizer, CharTokenizer


def texts(path, **settings):
    return list(source_of(DatasetConfig(**settings), str(path)).pieces())


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_globs_are_files_in_order_each_a_document(tmp_path):
    for name in "bac":
        (tmp_path / f"{name}.txt").write_text(f"text of {name}")
    (tmp_path / "empty.txt").write_text("")
    wanted = [(f"text of {name}", True) for name in "abc"]
    assert texts(tmp_path / "*.txt") == wanted
    assert texts(tmp_path / "*.txt", num_samples=2) == wanted[:2]
    with pytest.raises(DataError, match="no file matches"):
        texts(tmp_path / "*.md")


def test_json_lines(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two", "more": 1}])
    assert texts(path) == [("one", True), ("two", True)]
    assert texts(path, num_samples=1) == [("one", True)]
    path = write_lines(tmp_path / "b.jsonl", [{"body": "x"}, {"body": 3}])
    assert texts(path, text_column="body", num_samples=1) == [("x", True)]
    with pytest.raises(DataError, match=r"b.jsonl:2 has no text in 'body'.*--dataset.text-column"):
        texts(path, text_column="body")
    path.write_text('{"text": ')
    with pytest.raises(DataError, match=r"b.jsonl:1 is not JSON"):
        texts(path)


def test_the_standard_library_is_a_corpus():
    files = documents.files_of("stdlib")
    assert len(files) > 300 and files == sorted(files)
    assert any(path.name == "argparse.py" for path in files)
    assert not any("site-packages" in path.parts or "test" in path.parts for path in files)


def test_an_absent_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="the data set a/b needs the datasets library: pip install"):
        list(source_of(DatasetConfig(name="a/b"), None).pieces())


class Rows(list):
    column_names = ("text", "label")
    _fingerprint = "f"


def test_data_sets_of_the_library(monkeypatch):
    asked = []

    class Library:
        @staticmethod
        def load_dataset(*arguments, split):
            asked.append((*arguments, split))
            return Rows({"text": f"row {i}"} for i in range(5))

    monkeypatch.setitem(sys.modules, "datasets", Library)
    config = DatasetConfig(name="a/b", subset_name="c", split="valid", num_samples=2)
    assert list(source_of(config, None).pieces()) == [("row 0", True), ("row 1", True)]
    assert asked == [("a/b", "c", "valid")]
    with pytest.raises(DataError, match="has no column 'body' but text, label"):
        list(source_of(DatasetConfig(name="a/b", text_column="body"), None).pieces())


def test_long_texts_come_in_pieces_cut_at_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "PIECE", 64)
    path = tmp_path / "long.txt"
    path.write_text("äöü and more\r\n" * 40, encoding="utf-8")
    pieces = texts(path)
    assert len(pieces) > 5 and all(text.endswith("\n") for text, _ in pieces[:-1])
    assert "".join(text for text, _ in pieces) == "äöü and more\n" * 40
    path.write_bytes(b"x" * 70 + b"\xff")
    with pytest.raises(DataError, match="byte 70 is 0xff"):
        texts(path)


# -- tokens on disk ----------------------------------------------------------------------------


def test_tokens_are_made_once(tmp_path):
    text, cache = tmp_path / "text.txt", tmp_path / "cache"
    text.write_text("some text\n" * 50)
    config = DatasetConfig(path=str(text), cache_dir=str(cache))
    first = dataset.load(config)
    (file,) = cache.iterdir()
    assert file.suffix == ".bin" and file.stat().st_size == 2 * 500
    made = file.stat().st_mtime_ns
    again = dataset.load(config)
    assert isinstance(again.train, np.memmap) and file.stat().st_mtime_ns == made
    np.testing.assert_array_equal(again.train, first.train)
    np.testing.assert_array_equal(
        again.train, dataset.load(DatasetConfig(path=str(text))).train
    )  # the same as without a cache
    text.write_text("other text\n" * 50)  # other contents, other tokens
    assert dataset.load(config).tokenizer.decode(dataset.load(config).train[:6]) == "other "
    dataset.load(DatasetConfig(path=str(text), cache_dir=str(cache), tokenizer="byte"))
    assert len(list(cache.iterdir())) == 3


def test_a_failing_tokenization_leaves_nothing(tmp_path):
    lines, cache = tmp_path / "a.jsonl", tmp_path / "cache"
    lines.write_text('{"text": "fine"}\n{"text": 1}\n')
    config = DatasetConfig(path=str(lines), cache_dir=str(cache), tokenizer="byte")
    with pytest.raises(DataError, match=r"a.jsonl:2 has no text"):
        dataset.load(config)
    assert list(cache.iterdir()) == []


def test_nanogpt_files(tmp_path):
    CharTokenizer().save(tmp_path / "tokenizer.json")
    ids = np.arange(4, 80, dtype=np.uint16)
    ids.tofile(tmp_path / "train.bin")
    corpus = dataset.load(DatasetConfig(path=str(tmp_path / "train.bin")))
    np.testing.assert_array_equal(np.concatenate([corpus.train, corpus.validation]), ids)
    batch = dataset.Batches(corpus.train, 8, 2, 1, 0)(0)
    assert batch["inputs"].dtype == np.int32
    (tmp_path / "train.bin").write_bytes(b"abc")
    with pytest.raises(DataError, match="has 3 bytes, which are not a number of uint16s"):
        dataset.load(DatasetConfig(path=str(tmp_path / "train.bin")))
    assert tokens.token_type(65536) == np.uint16 and tokens.token_type(65537) == np.uint32


def test_validation_may_have_a_text_of_its_own(tmp_path):
    for name in ("train", "eval"):
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 30)
    paths = {"path": str(tmp_path / "train.txt"), "eval_path": str(tmp_path / "eval.txt")}
    corpus = dataset.load(DatasetConfig(**paths))
    assert corpus.tokenizer.decode(corpus.train) == "train " * 30
    assert corpus.tokenizer.decode(corpus.validation) == "eval " * 30


# -- documents and batches ---------------------------------------------------------------------


def test_memory_of_a_step_does_not_grow_with_the_square_of_a_row():
    """The same tokens in rows eight times as long: a mask [B, S, S] would be eight times as large.

    What is left of the growth are the tables of rotary positions, 64 bytes a position.
    """

    def peak(length: int, mask: bool) -> int:
        shape = ModelConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=1024,
        )  # fmt: skip
        training = TrainingConfig(seq_length=length, micro_batch_size=2048 // length)
        wanted = Config(model=shape, training=training, dataset=DatasetConfig(document_mask=mask))
        graph = lowered_step(wanted).graph
        return compile_graph(graph, LAVAPIPE).peak_bytes

    short, long = peak(128, True), peak(1024, True)
    assert long - short <= 2 * 64 * (1024 - 128)
    assert long - peak(1024, False) <= 2 * 4 * 2048 + 4096  # no more than the numbers themselves


def test_documents_end_and_segments_count_them(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"text": "abc"}, {"text": "de"}] * 30)
    corpus = dataset.load(DatasetConfig(path=str(path), document_mask=True, tokenizer="byte"))
    start = ByteTokenizer().encode("abc", end=True).tolist()
    assert corpus.train[:4].tolist() == start and corpus.train[6] == END
    batch = dataset.cut_windows(corpus.train, np.array([1]), 8, END)
    assert batch["segments"].tolist() == [[0, 0, 0, 1, 1, 1, 2, 2]]
    config = Config(
        dataset=DatasetConfig(document_mask=True), training=TrainingConfig(seq_length=8)
    )
    assert dataset.batches_of(corpus, config)(0)["segments"].shape == (1, 8, 8)
    assert "segments" in next(dataset.validation_batches(corpus, config))


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_see_what_one_device_would(ranks):
    ids, rows, parts = np.arange(5000), 4, 3
    whole = dataset.Batches(ids, 16, rows, parts, seed=5)
    own = [dataset.Batches(ids, 16, rows // ranks, parts, 5, rank, ranks) for rank in range(ranks)]
    for step in (0, 7, 40):
        joined = np.concatenate([batches(step)["inputs"] for batches in own], axis=1)
        np.testing.assert_array_equal(joined, whole(step)["inputs"])


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_prefetching_changes_nothing(ahead):
    made = []

    def make(number):
        made.append((number, threading.current_thread() is threading.main_thread()))
        if number == 9:
            raise DataError("no batch 9")
        return number * 10

    batches = Prefetched(make, ahead)
    asked = [0, 1, 2, 7, 8, 3, 3]
    assert [batches(number) for number in asked] == [number * 10 for number in asked]
    assert any(here for _, here in made) is (ahead == 0)
    with pytest.raises(DataError, match="no batch 9"):
        batches(9)
    batches.close()
