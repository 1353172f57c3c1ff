"""Configuration files: JSON or TOML <-> `Config`, strictly.

Invariant: what `save` wrote, `load` reads as an equal configuration; every unknown key, every value
of a wrong type and every value that makes no sense is reported, all at once, with the nearest known
key. Files of other trainers are translated first, see `dialects`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from picotron import dialects
from picotron.config import Config
from picotron.errors import ConfigError
from picotron.validate import problems_of, raise_problems

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


def load(path: Path, base: Config, kind: str | None = None) -> Config:
    """`base` with the sections of a file laid over it; raises ConfigError.

    `kind` is json or toml, by default what the name ends with.
    """
    kind = kind or ("toml" if path.suffix == ".toml" else "json")
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if kind == "toml" else json.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the config file {path} is not {kind.upper()}: {error}") from error
    return from_dict(data, base, str(path))


def save(config: Config, path: Path, kind: str) -> None:
    """Write a file that `load` reads; raises ConfigError."""
    try:
        path.write_text(dumps(config, kind), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write the config file {path}: {error.strerror}") from error


def dumps(config: Config, kind: str = "json") -> str:
    """The text of a file; what is None is left out of TOML, which has no such value."""
    data = to_dict(config)
    if kind == "json":
        return json.dumps(data, indent=2) + "\n"
    return "\n".join(_table(name, section) for name, section in data.items())


def _table(path: str, section: dict[str, Any]) -> str:
    known = {key: value for key, value in section.items() if value is not None}
    inner = {key: value for key, value in known.items() if isinstance(value, dict)}
    lines = [f"{key} = {_toml(value)}\n" for key, value in known.items() if key not in inner]
    tables = (_table(f"{path}.{key}", value) for key, value in inner.items())
    return "".join([f"[{path}]\n", *lines, *(f"\n{table}" for table in tables)])


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        pairs = (f"{key} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def to_dict(config: Config) -> dict[str, Any]:
    return dataclasses.asdict(config)


def from_dict(data: Any, base: Config | None = None, source: str = "the configuration") -> Config:
    """A Config from nested dicts; what is left out keeps its value of `base`."""
    problems: list[str] = []
    if isinstance(data, dict):
        data = dialects.translate(data, source, problems)
    config = _record(base or Config(), data, "", source, problems)
    if problems:  # a file that is right so far may yet be mended by flags
        problems += problems_of(config)
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
        elif typing.get_origin(hints[key]) is tuple:
            changes[key] = _records(value, hints[key], where, source, problems)
        elif _fits(value, hints[key]):
            changes[key] = float(value) if _is_real(value, hints[key]) else value
        else:
            problems.append(f"{source}: {where} must be {spell(hints[key])}, not {value!r}")
    return dataclasses.replace(base, **changes)


def _records(values: Any, hint: Any, path: str, source: str, problems: list[str]) -> Any:
    kind = typing.get_args(hint)[0]
    if not isinstance(values, list | tuple):
        problems.append(f"{source}: {path} must be a list of objects, not {values!r}")
        return ()
    numbered = enumerate(values)
    return tuple(_record(kind(), v, f"{path}[{i}]", source, problems) for i, v in numbered)


def _is_real(value: Any, hint: Any) -> bool:
    """Whether an integer stands for a float."""
    options = typing.get_args(hint) or (hint,)
    return float in options and isinstance(value, int) and not isinstance(value, bool)


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


def spell(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(spell(option) for option in typing.get_args(hint))
    words = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    return words.get(hint, "null")
