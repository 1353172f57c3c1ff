"""Configuration files: JSON <-> `Config`, strictly.

Invariant: `from_dict(to_dict(config)) == config`; every unknown key and every value of a wrong
type is reported, all at once, with the nearest known key.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from picotron.config import Config
from picotron.errors import ConfigError
from picotron.validate import raise_problems

_NAMED_ELSEWHERE = {
    "batch_size": "micro_batch_size",
    "per_device_train_batch_size": "micro_batch_size",
    "max_steps": "total_train_steps",
    "steps": "total_train_steps",
    "lr": "learning_rate",
    "layer_norm_eps": "rms_norm_eps",
    "dropout": "hidden_dropout",
    "resid_pdrop": "hidden_dropout",
    "hidden_dropout_prob": "hidden_dropout",
    "attn_pdrop": "attention_dropout",
    "block_size": "seq_length",
    "context_length": "seq_length",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_embd": "hidden_size",
    "grad_clip": "max_grad_norm",
    "output_dir": "save_dir",
    "save_steps": "save_frequency",
    "logging_steps": "log_frequency",
    "eval_steps": "eval_frequency",
    "train_data_path": "path",
}
"""Names that other trainers use, so that the hint is right where spelling does not help."""


def load(path: Path, base: Config) -> Config:
    """`base` with the sections of a JSON file laid over it; raises ConfigError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the config file {path} is not JSON: {error}") from error
    return from_dict(data, base, str(path))


def to_dict(config: Config) -> dict[str, Any]:
    return dataclasses.asdict(config)


def from_dict(data: Any, base: Config | None = None, source: str = "the configuration") -> Config:
    """A Config from nested dicts; what is left out keeps its value of `base`."""
    problems: list[str] = []
    config = _record(base or Config(), data, "", source, problems)
    raise_problems(problems)
    return config


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` for the nearest known word, or the empty string."""
    known = list(known)
    if _NAMED_ELSEWHERE.get(word) in known:
        near = [_NAMED_ELSEWHERE[word]]
    else:
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _record(base: Any, data: Any, path: str, source: str, problems: list[str]) -> Any:
    if not isinstance(data, dict):
        problems.append(f"{source}: {path or 'the top level'} must be an object, not {data!r}")
        return base
    hints, changes = typing.get_type_hints(type(base)), {}
    for key, value in data.items():
        where = f"{path}.{key}" if path else key
        if key not in hints:
            problems.append(f"{source}: unknown key {where!r}{_hint(key, hints, path)}")
        elif dataclasses.is_dataclass(hints[key]):
            changes[key] = _record(getattr(base, key), value, where, source, problems)
        elif _fits(value, hints[key]):
            changes[key] = float(value) if hints[key] is float else value
        else:
            problems.append(f"{source}: {where} must be {_spell(hints[key])}, not {value!r}")
    return dataclasses.replace(base, **changes)


def _hint(key: str, hints: dict[str, Any], path: str) -> str:
    near = suggest(key, hints)
    if near or path:
        return near
    for section, cls in hints.items():
        inner = suggest(key, typing.get_type_hints(cls)) if dataclasses.is_dataclass(cls) else ""
        if inner:
            return inner.replace("mean '", f"mean '{section}.")
    return f"; known sections: {', '.join(hints)}"


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _spell(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_spell(option) for option in typing.get_args(hint))
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    return words.get(hint, "null")
