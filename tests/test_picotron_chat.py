"""Chat templates: as transformers renders them, and harmless whatever they hold."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from picotron import cli
from picotron.chat_template import ChatTemplate, template_of
from picotron.commands.chat import Templated
from picotron.errors import CheckpointError
from picotron.generator import Generator
from picotron.pretrained import Folder
from picotron.tokenizer_library import LibraryTokenizer
from tests.conformance.chat import CONVERSATIONS, RECORDED, SPECIAL, TEMPLATES

HERE = Path("tokenizer_config.json")
made = json.loads(RECORDED.read_text())
CASES = {name: case for name, case in made["cases"].items() if name != "prompt"}


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("tokenizers")
    return LibraryTokenizer(json.dumps(made["tokenizer"]))


@pytest.mark.parametrize("name", CASES)
def test_rendered_as_transformers_renders(name):
    template, said, begun = name.split("/")
    ours = ChatTemplate(TEMPLATES[template], SPECIAL, HERE)
    assert ours.render(CONVERSATIONS[said], begun == "True") == CASES[name]["text"]


def test_tokens_are_those_of_transformers(tokenizer):
    for case in CASES.values():
        assert tokenizer.marked(case["text"]) == case["ids"]


def test_a_prompt_starts_as_its_tokenizer_says(tokenizer):
    case = made["cases"]["prompt"]
    start, *rest = tokenizer.prompt(case["text"])
    assert [start, *rest] == case["ids"] and start == tokenizer.start
    assert rest == tokenizer.encode(case["text"]).tolist()
    generator = object.__new__(Generator)
    generator.tokenizer = tokenizer
    assert generator._ids(case["text"]) == case["ids"]
    assert generator._ids([7, 8]) == [7, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ raise_exception('no such role') }}", "chat template of .*: no such role"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|not safely"),
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{% if %}", "Expected an expression"),
        ("{{ nothing.here }}", "undefined"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 1 / 0 }}", "division"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_what_a_template_does_wrong_is_one_sentence(text, message):
    with pytest.raises(CheckpointError, match=message) as error:
        ChatTemplate(text, SPECIAL, HERE).render(CONVERSATIONS["question"])
    assert "\n" not in str(error.value)


def test_where_templates_are(tmp_path):
    assert template_of(tmp_path) is None

    def write(**record):
        (tmp_path / HERE).write_text(json.dumps(record))

    write(bos_token={"content": "<b>"}, eos_token="<e>", model_max_length=3)
    assert template_of(tmp_path) is None
    write(chat_template="{{ bos_token }}", bos_token={"content": "<b>"}, add_bos_token=True)
    assert template_of(tmp_path).render([]) == "<b>"
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]
    write(chat_template=several)
    assert template_of(tmp_path).render([]) == "y"
    (tmp_path / "chat_template.jinja").write_text("z")
    assert template_of(tmp_path).render([]) == "z"
    (tmp_path / "chat_template.jinja").unlink()
    write(chat_template=3)
    with pytest.raises(CheckpointError, match="chat_template must be a text, not int"):
        template_of(tmp_path)
    (tmp_path / HERE).write_text("[")
    with pytest.raises(CheckpointError, match="cannot read the chat template in"):
        template_of(tmp_path)


@pytest.mark.parametrize(
    ("generation", "special", "ends"),
    [
        ({"eos_token_id": [5, 7]}, {"eos_token_id": 2}, [5, 7]),
        ({}, {"eos_token_id": 2}, [2]),
        (None, {"eos_token_id": [2, 3]}, [2, 3]),
        (None, {}, None),
        ({"eos_token_id": "x"}, {}, None),
    ],
)
def test_what_ends_a_text(tmp_path, generation, special, ends):
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert Folder(tmp_path, None, None, special).ends() == ends


class Recorder:
    """Stands in for a generator, and keeps the prompts it was given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.prompts, self.stops = tokenizer, [], []

    def stream(self, prompt, count, seed, stop, **options):
        self.prompts.append(prompt)
        self.stops.append(stop)
        yield from ("Yes", ".")


def test_turns_go_through_the_template(tokenizer, monkeypatch, capsys):
    recorder, template = Recorder(tokenizer), ChatTemplate(TEMPLATES["chatml"], SPECIAL, HERE)
    monkeypatch.setattr("picotron.commands.chat.Chat.generator", lambda self, prompt="": recorder)
    monkeypatch.setattr("picotron.commands.chat.Chat.template", lambda self: template)
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n\n"))
    assert cli.main(["chat", "--system", "Be brief."]) == 0
    assert capsys.readouterr().out == "Answer: Yes.\nAnswer: Yes.\n"
    wanted = Templated(recorder, template)
    for role, text in (("system", "Be brief."), ("user", "one")):
        wanted.said(role, text)
    assert recorder.prompts[0] == wanted.prompt()
    wanted.said("assistant", "Yes.")
    wanted.said("user", "two")
    assert recorder.prompts[1] == wanted.prompt()
    assert recorder.stops == [(), ()]
