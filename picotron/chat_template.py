"""The prompt that a folder's own chat template makes of messages, as transformers renders it.

Invariant: a template is somebody else's program: it runs in jinja's sandbox for immutable values,
with the few names that transformers gives it, and whatever it does wrong is one sentence. What a
user says cannot turn into a special token of the template around it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from picotron import json_file
from picotron.errors import CheckpointError

CONFIG, FILE = "tokenizer_config.json", "chat_template.jinja"
Message = dict[str, Any]
_MISTAKES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class _Generation(Extension):
    """`{% generation %}`, which marks for training what an assistant says; here it says nothing."""

    tags = {"generation"}  # noqa: RUF012 - as jinja wants it

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@dataclass(frozen=True)
class ChatTemplate:
    """A template, the special tokens it may name, and the file it is from."""

    text: str
    special: dict[str, str]
    source: Path

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(self.text)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The text that stands for messages, each with a `role` and its `content`; raises
        CheckpointError for what the template refuses or gets wrong."""
        try:
            return self._compiled.render(
                messages=list(messages), tools=None, documents=None,
                add_generation_prompt=add_generation_prompt, **self.special,
            )  # fmt: skip
        except (jinja2.TemplateError, *_MISTAKES) as error:
            raise CheckpointError(f"the chat template of {self.source}: {error}") from error


def template_of(folder: Path) -> ChatTemplate | None:
    """The chat template of a model's folder: chat_template.jinja, or the one, or the one that is
    called default, of tokenizer_config.json. None if there is none; raises CheckpointError."""
    path = folder / CONFIG
    try:
        record = json_file.read_object(path) if path.exists() else {}
        alone = (folder / FILE).read_text(encoding="utf-8") if (folder / FILE).exists() else None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the chat template in {folder}: {error}") from error
    text = record.get("chat_template") if alone is None else alone
    if isinstance(text, list):
        named = {each.get("name"): each.get("template") for each in text if isinstance(each, dict)}
        text = named.get("default")
    if text is None:
        return None
    if not isinstance(text, str):
        raise CheckpointError(f"{path}: chat_template must be a text, not {type(text).__name__}")
    return ChatTemplate(text, special_tokens(record), path if alone is None else folder / FILE)


def special_tokens(record: dict[str, Any]) -> dict[str, str]:
    """`bos_token` and the like of a tokenizer_config.json, each as its text."""
    found = {}
    for name, value in record.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
    sort_keys: bool = False,
) -> str:  # fmt: skip
    """Without HTML's escapes, which jinja's own adds."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
