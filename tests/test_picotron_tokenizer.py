"""Characters and ids: one to one, and no text can spell a special token."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picotron import cli, dataset, tokenizer
from picotron.config import DatasetConfig
from picotron.errors import DataError
from picotron.tokenizer import BASE, END, SPECIALS, START, UNKNOWN, ByteTokenizer, CharTokenizer


@given(st.text(max_size=60))
def test_any_text_round_trips_through_its_own_tokenizer(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_base_ids_do_not_depend_on_the_text():
    first, second = CharTokenizer.train("zebra\n"), CharTokenizer.train("ünïcode ^ $ \n")
    assert first.encode(BASE).tolist() == list(range(4, 82))
    assert second.encode(BASE).tolist() == list(range(4, 82))


def test_special_looking_characters_are_plain_text():
    tokenizer = CharTokenizer.train("?^$<s>\0")
    ids = tokenizer.encode("?^$\0")
    assert min(ids) >= len(SPECIALS)
    assert tokenizer.decode(ids) == "?^$\0"
    assert tokenizer.encode("?").tolist() == [70]


def test_start_and_end_only_on_request():
    tokenizer = CharTokenizer()
    assert tokenizer.encode("ab").tolist() == [4, 5]
    assert tokenizer.encode("ab", start=True, end=True).tolist() == [START, 4, 5, END]
    assert tokenizer.decode([START, 4, 5, END]) == "ab"


def test_unknown_characters_show():
    tokenizer = CharTokenizer()
    assert tokenizer.encode("aé").tolist() == [4, UNKNOWN]
    assert tokenizer.decode([4, UNKNOWN]) == "a\ufffd"
    assert tokenizer.unknown_in("é a\n") == ["\n", "é"]


def test_vocab_size_counts_exactly_what_decodes():
    tokenizer = CharTokenizer.train("\n")
    assert tokenizer.vocab_size == 4 + 78 + 1
    assert tokenizer.decode([tokenizer.vocab_size - 1]) == "\n"
    for outside in (tokenizer.vocab_size, -1):
        with pytest.raises(DataError, match="outside the vocabulary of 83"):
            tokenizer.decode([outside])


def test_save_and_load(tmp_path):
    tokenizer = CharTokenizer.train('a "quoted" — line\n\t\\')
    tokenizer.save(tmp_path / "tokenizer.json")
    assert CharTokenizer.load(tmp_path / "tokenizer.json") == tokenizer


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"model": {"vocab": []}}', '{"model": {"vocab": {"ab": 0, "c": "x"}}}'],
)
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"not a (character-level )?tokenizer"):
        CharTokenizer.load(path)


def test_gaps_and_long_tokens_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    CharTokenizer().save(path)
    data = json.loads(path.read_text())
    data["model"]["vocab"]["word"] = 82
    path.write_text(json.dumps(data))
    with pytest.raises(DataError):
        CharTokenizer.load(path)
    with pytest.raises(DataError, match="cannot read the tokenizer"):
        CharTokenizer.load(tmp_path / "none.json")


def test_huggingface_tokenizers_agree(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    ours = CharTokenizer.train("She said: “no”\n")
    ours.save(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "She: “no” ✓\n"
    assert theirs.encode(text).ids == ours.encode(text).tolist()


# -- bytes and the library ---------------------------------------------------------------------


@given(text=st.text(max_size=200))
def test_bytes_round_trip_whatever_the_text(text):
    ids = ByteTokenizer().encode(text, start=True, end=True)
    assert ids[0] == START and ids[-1] == END and ids.max() < 260
    assert ByteTokenizer().decode(ids) == text.encode("utf-8", "surrogatepass").decode(
        "utf-8", "replace"
    )


def test_the_library_reads_the_byte_tokenizer(tmp_path):
    library = pytest.importorskip("tokenizers")
    ByteTokenizer().save(tmp_path / "tokenizer.json")
    assert tokenizer.load(tmp_path) == ByteTokenizer()
    theirs = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("plain", "ünïcode — 😀\n\t", "a b  c"):
        assert theirs.encode(text).ids == ByteTokenizer().encode(text).tolist()
        assert theirs.decode(ByteTokenizer().encode(text).tolist()) == text


def test_pairs_are_trained_saved_and_loaded(tmp_path):
    pytest.importorskip("tokenizers")
    texts = ["the cat sat on the mat and the hat\n" * 50]
    trained = tokenizer.train("bpe", texts, 280)
    assert 260 < trained.vocab_size <= 280 and (trained.start, trained.end) == (START, END)
    text = "the cat — ünïcode 😀 </s> $"
    ids = trained.encode(text, end=True)
    assert len(trained.encode("the cat")) < 7 and ids[-1] == END
    assert END not in ids[:-1]  # what spells a special token is text
    assert trained.decode(ids) == text and trained.unknown_in(text) == []
    trained.save(tmp_path / "tokenizer.json")
    again = tokenizer.load(tmp_path / "tokenizer.json")
    assert again == trained and again.encode(text, end=True).tolist() == ids.tolist()
    with pytest.raises(DataError, match="outside the vocabulary"):
        trained.decode([trained.vocab_size])


def test_tokenizers_of_others_know_their_ends(tmp_path):
    library = pytest.importorskip("tokenizers")
    theirs = library.Tokenizer(library.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    theirs.pre_tokenizer = library.pre_tokenizers.Whitespace()
    theirs.add_special_tokens(["<|endoftext|>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    loaded = tokenizer.load(tmp_path)
    assert loaded.end == 3 and loaded.start is None and loaded.vocab_size == 4
    assert loaded.encode("b a", start=True, end=True).tolist() == [1, 0, 3]


def test_without_the_library_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match="pip install tokenizers, or take"):
        tokenizer.train("bpe", ["text"], 300)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}}}')
    with pytest.raises(DataError, match="pip install tokenizers"):
        tokenizer.load(tmp_path)


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_each_kind_is_told_by_its_file(tmp_path, kind):
    made = tokenizer.train(kind, ["ab\n", "c—"], 0)
    made.save(tmp_path / "tokenizer.json")
    assert tokenizer.load(tmp_path) == made


def test_texts_become_a_folder_to_train_on(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n' * 50)
    words = ["tokenize", str(tmp_path / "a.jsonl"), "--tokenizer", "byte"]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "400 tokens of 100 documents, 260 in the vocabulary" in capsys.readouterr().out
    corpus = dataset.load(DatasetConfig(path=str(tmp_path / "out" / "tokens.bin")))
    assert corpus.tokenizer == ByteTokenizer()
    assert corpus.tokenizer.decode(corpus.train[:8]) == "onetwo"
    assert cli.main(["tokenize", str(tmp_path / "out" / "tokens.bin")]) == 1
    assert "holds token ids already" in capsys.readouterr().err
