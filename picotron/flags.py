"""Mistakes in what follows a verb, all of them at once, in the words that configuration files get.

Invariant: what passes here is read by tyro, which has the last word; what is refused here would be
refused there, one mistake at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from picotron.config_file import spell, suggest
from picotron.errors import ConfigError

_HELP = {"-h", "--help"}
_FLAG = re.compile(r"--[A-Za-z]")


def check_flags(kind: type, words: Sequence[str]) -> None:
    """Raises ConfigError for flags that a command does not have, and for values that theirs cannot
    be. Asked for help, it says nothing."""
    if _HELP & set(words):
        return
    flags = dict(flags_of(kind))
    found = [*_problems(flags, words), *_misplaced(kind, flags, words)]
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        raise ConfigError(f"{len(found)} problems in the flags:\n  - " + "\n  - ".join(found))


def flags_of(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each flag of a command, without its dashes in front, and the type of its value; None for
    those without a value."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, aliases, positional = _plain(hints[field.name])
        names = [prefix + field.name.replace("_", "-"), *aliases]
        if positional:
            continue
        if dataclasses.is_dataclass(hint):
            yield from flags_of(hint, f"{names[0]}.")
        elif hint is bool:
            yield from ((name, None) for name in names)
            yield f"{prefix}no-{field.name.replace('_', '-')}", None
        else:
            yield from ((name, hint) for name in names)


def _places(kind: type) -> Iterator[tuple[str, Any, bool]]:
    """The arguments of a command without a flag: name, type, and whether one must be given."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, _, positional = _plain(hints[field.name])
        if positional:
            unset = field.default is field.default_factory is dataclasses.MISSING
            yield field.name, hint, unset


def _plain(hint: Any) -> tuple[Any, list[str], bool]:
    """A type without what tyro is told of it: other names, and whether it has none."""
    aliases: list[str] = []
    positional = False
    while typing.get_origin(hint) is typing.Annotated:
        hint, *told = typing.get_args(hint)
        for each in told:
            aliases += [name.lstrip("-") for name in getattr(each, "aliases", None) or ()]
            positional |= "positional" in repr(each).lower()
    return hint, aliases, positional


def _problems(known: dict[str, Any], words: Sequence[str]) -> Iterator[str]:
    # A list of records has flags for the fields of each of them.
    lists = tuple(f"{name}." for name, hint in known.items() if typing.get_origin(hint) is tuple)
    for word, following in itertools.zip_longest(words, words[1:]):
        if not _FLAG.match(word):
            continue
        name, attached, value = word[2:].partition("=")
        flag = name.replace("_", "-")
        if flag not in known:
            if not flag.startswith(lists):
                yield f"there is no flag --{name}{_hint(flag, known)}"
            continue
        hint, given = known[flag], value if attached else following
        if hint is None or typing.get_origin(hint) is tuple:
            continue
        if given is None or (not attached and _FLAG.match(given)):
            yield f"--{name} needs a value: {_words(hint)}"
        elif not any(_reads(given, option) for option in _options(hint)):
            yield f"--{name} must be {_words(hint)}, not {given!r}"


def _misplaced(kind: type, known: dict[str, Any], words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the words that are neither flags nor their values."""
    flags = [_flag(word) for word in words if _FLAG.match(word)]
    if any(flag not in known or _several(known[flag]) for flag in flags):
        return  # whether the words behind it are its values is not known
    takes = [_FLAG.match(w) and "=" not in w and known[_flag(w)] is not None for w in words]
    pairs = zip(words, [False, *takes], strict=False)
    given = [word for word, is_value in pairs if not is_value and not word.startswith("-")]
    for name, hint, needed in _places(kind):
        if needed and not given:
            yield f"{name.upper()} is missing; --help tells what it is"
        taken = len(given) if _several(hint) else 1
        for word in given[:taken]:
            if not _reads(word, hint):
                near = suggest(word, map(str, typing.get_args(hint)))
                yield f"{name.upper()} must be {_words(hint)}, not {word!r}{near}"
        given = given[taken:]
    for word in given:
        yield f"nothing takes {word!r}: options begin with --"


def _flag(word: str) -> str:
    return word[2:].partition("=")[0].replace("_", "-")


def _several(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple


def _hint(flag: str, known: dict[str, Any]) -> str:
    near = suggest(flag, known)
    if not near:  # perhaps the section was left out, or is another
        own = flag.rpartition(".")[2].replace("-", "_")
        inner = {name.rpartition(".")[2].replace("-", "_"): name for name in known}
        near = suggest(own, inner)
        if near:
            word = near.split("'")[1]
            near = near.replace(word, inner[word])
    return near.replace("mean '", "mean '--")


def _words(hint: Any) -> str:
    options = (option for option in _options(hint) if option is not types.NoneType)
    return " or ".join("True or False" if option is bool else spell(option) for option in options)


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _reads(text: str, hint: Any) -> bool:
    """Whether a word can be read as a type; of types that this knows nothing of, yes."""
    if hint is types.NoneType:
        return text == "None"
    if hint is bool:
        return text in ("True", "False")
    if typing.get_origin(hint) is typing.Literal:
        return text in map(str, typing.get_args(hint))
    if hint in (int, float):
        try:
            hint(text)
        except ValueError:
            return False
    return True
