"""Characters and ids: one to one, and no text can spell a special token."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picotron.errors import DataError
from picotron.tokenizer import BASE, END, SPECIALS, START, UNKNOWN, CharTokenizer


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
