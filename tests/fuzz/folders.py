"""Folders of a model with one file damaged, and what reading them must come to.

Invariant: a case is a function of its number, so one that fails can be run again. It passes if
reading ends in a PicotronError, or in a model whose every weight fits config.json and is finite.
`python -m tests.fuzz.folders --cases 10000` runs many and prints what happened.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, model
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig
from picotron.errors import PicotronError
from picotron.pretrained import open_folder
from picotron.tokenizer import CharTokenizer

SECONDS = 10
HOSTILE = (
    *(None, True, False, 0, -1, 1, 3, 2**31, 2**63, 2**64, 10**40, 0.5, -0.0, 1e308),
    *(float("inf"), float("nan"), "", "x", "../model.safetensors", "/etc/passwd", "a\0b", "\ud800"),
    *([], {}, [[]], [None], {"": {}}, ["a"] * 50, "y" * 100_000, "F32", "F64", "BOOL", "llama3"),
)


def make_folders(base: Path) -> list[Path]:
    """One with a single file of weights, one with several and an index, one of a run."""
    tokenizer = CharTokenizer.train("abc")
    config = ModelConfig(tokenizer.vocab_size, 8, 12, 1, 2, 1, attention_bias=True)
    rest = TrainingState(0, Config(model=config), {"n": np.zeros(3, np.int32)}, 0)
    made = []
    for name, limit in (("run", 10**9), ("single", 10**9), ("several", 1500)):
        saved = checkpoint.snapshot(model.init(config, 0), tokenizer, rest)
        folder = checkpoint.save(base / name, saved, limit)
        if name != "run":
            (folder / checkpoint.MANIFEST).unlink()
        made.append(folder)
    assert (made[2] / "model.safetensors.index.json").exists()
    return made


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Some bytes flipped, cut, doubled or replaced."""
    out = bytearray(data)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(out))) if out else 0
        match int(random.integers(5)):
            case 0:
                del out[at:]
            case 1:
                out[at:at] = out[at : at + int(random.integers(1, 40))]
            case 2:
                out[at : at + 1] = random.bytes(int(random.integers(1, 9)))
            case 3:
                del out[at : at + int(random.integers(1, 40))]
            case 4 if out:
                out[at] ^= 1 << int(random.integers(8))
    return bytes(out)


def hostile_json(data: bytes, random: np.random.Generator) -> bytes:
    """The same object with a few values, or names, replaced by what does not belong there."""
    found = json.loads(data)
    for _ in range(random.integers(1, 4)):
        spots = list(_spots(found))
        if not spots:
            break
        holder, key = spots[int(random.integers(len(spots)))]
        value = deepcopy(HOSTILE[int(random.integers(len(HOSTILE)))])
        if isinstance(holder, dict) and random.random() < 0.2:
            holder[str(value)[:200]] = holder.pop(key)
        else:
            holder[key] = value
    if random.random() < 0.02:
        return b'{"a":' * 100_000
    return json.dumps(found).encode("utf-8", "surrogatepass")


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _spots(value[key])


def hostile_header(data: bytes, random: np.random.Generator) -> bytes:
    """A safetensors file whose header, or the length before it, lies."""
    length = int.from_bytes(data[:8], "little")
    header = hostile_json(data[8 : 8 + length], random)
    told = len(header)
    if random.random() < 0.1:
        told = int(random.choice([0, 1, told - 1, told + 1, 2**31, 2**40, 2**62]))
    return told.to_bytes(8, "little") + header + data[8 + length :]


def case(folders: list[Path], number: int) -> tuple[Path, bytes]:
    """The file that is damaged, and its new bytes."""
    random = np.random.default_rng([number, 20])
    folder = folders[int(random.integers(len(folders)))]
    files = sorted(path for path in folder.iterdir() if "state" not in path.name)
    path = files[int(random.integers(len(files)))]
    data = path.read_bytes()
    changes: list[Callable[..., bytes]] = [damaged, hostile_json, hostile_json]
    if path.suffix == ".safetensors":
        changes = [damaged, hostile_header, hostile_header]
    return path, changes[int(random.integers(len(changes)))](data, random)


def outcome(folder: Path) -> str:
    """'read' or 'refused'; anything else is raised."""
    try:
        found = open_folder(folder)
        params = found.read(place=np.asarray)
        found.tokenizer()
    except PicotronError as error:
        assert str(error) and "Traceback" not in str(error)
        return "refused"
    shapes = model.parameter_shapes(found.model)
    flat = model.flatten(params)
    assert {name: array.shape for name, array in flat.items()} == shapes
    assert all(np.isfinite(array).all() for array in flat.values())
    return "read"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread of systems that have alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(base: Path, numbers: range) -> tuple[Counter, list[str]]:
    """How often each outcome came, and the cases that failed with what they raised."""
    folders, counts, failures = make_folders(base), Counter(), []
    for number in numbers:
        path, data = case(folders, number)
        kept = path.read_bytes()
        path.write_bytes(data)
        try:
            with limited(SECONDS):
                counts[outcome(path.parent)] += 1
        except Exception as error:
            failures.append(f"case {number}, {path.name}: {type(error).__name__}: {error}"[:400])
        path.write_bytes(kept)
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Read damaged model folders.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as base:
        counts, failures = run(Path(base), range(asked.first, asked.first + asked.cases))
    print(*failures, sep="\n")
    spent = time.process_time() - start
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{asked.cases} cases in {spent:.0f} s: {told}, {len(failures)} failed")
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
