"""Token ids on disk: memory maps that are made once, and those that others made.

Invariant: a file of the cache is complete or absent, and named after what it was made of, so a
changed text or tokenizer never meets old tokens. Nothing here holds more than one piece in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import platformdirs
from rich.console import Console
from rich.progress import Progress

from picotron.documents import Source
from picotron.errors import DataError
from picotron.tokenizer import Tokenizer

SUFFIXES = (".npy", ".bin")
IN_MEMORY = 32 << 20  # bytes of text that are not worth a file


def tokenized(source: Source, tokenizer: Tokenizer, cache_dir: str | None) -> np.ndarray:
    """All tokens of a source, one document after another; a memory map if they are many.

    Each document but the only one is followed by the tokenizer's end token.
    """
    if cache_dir is None and 0 < source.size <= IN_MEMORY:
        return np.concatenate([np.zeros(0, np.int32), *_encoded(source, tokenizer)])
    folder = Path(cache_dir) if cache_dir else Path(platformdirs.user_cache_dir("picotron"))
    kind = token_type(tokenizer.vocab_size)
    key = f"{source.fingerprint()} {_identity(tokenizer)} {kind}"
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"
    if not path.exists():
        save(path, source, tokenizer, kind)
    return np.memmap(path, kind, "r")


def token_type(vocab_size: int) -> np.dtype:
    """uint16 as nanoGPT's files, or uint32 where ids exceed it."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def _encoded(source: Source, tokenizer: Tokenizer) -> Iterator[np.ndarray]:
    for text, ends in source.pieces():
        yield tokenizer.encode(text, end=ends and tokenizer.end is not None)


def _identity(tokenizer: Tokenizer) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        tokenizer.save(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()


def save(path: Path, source: Source, tokenizer: Tokenizer, kind: np.dtype) -> tuple[int, int]:
    """Write a file of tokens; returns how many and of how many documents. Raises DataError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _aside(path) as file:
            return write_tokens(file, source, tokenizer, kind)
    except OSError as error:
        raise DataError(
            f"cannot keep tokens in {path.parent}: {error.strerror}; choose another folder"
        ) from error


def write_tokens(
    file: BinaryIO, source: Source, tokenizer: Tokenizer, kind: np.dtype
) -> tuple[int, int]:
    """Append the tokens of a source; returns their number and that of documents."""
    count = documents = done = 0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"tokenizing {source.name}", total=source.size or None)
        for text, ends in source.pieces():
            ids = tokenizer.encode(text, end=ends and tokenizer.end is not None)
            file.write(ids.astype(kind).tobytes())
            count, documents, done = count + len(ids), documents + ends, done + len(text)
            bar.update(task, completed=done)
    if not count:
        raise DataError(f"{source.name} holds no text")
    return count, max(documents, 1)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when all of it is on disk; an error leaves nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".tokens-")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def read_tokens(path: Path, vocab_size: int) -> np.ndarray:
    """Token ids of a .npy or .bin file, a memory map of integers [count]; raises DataError.

    A .bin file is the bytes of uint16, or of uint32 where the vocabulary needs them (nanoGPT's).
    """
    values = _map(path, vocab_size)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DataError(f"{path} must hold one row of numbers, not {values.dtype}{values.shape}")
    if not values.size:
        raise DataError(f"the token file {path} is empty")
    for start in range(0, values.size, IN_MEMORY):
        _check(path, np.asarray(values[start : start + IN_MEMORY]), start, vocab_size)
    return values.astype(np.int32) if values.dtype.kind == "f" else values


def _map(path: Path, vocab_size: int) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        kind, size = token_type(vocab_size), path.stat().st_size
        if size % kind.itemsize:
            raise DataError(f"{path} has {size} bytes, which are not a number of {kind}s")
        return np.memmap(path, kind, "r") if size else np.zeros(0, kind)
    except FileNotFoundError:
        raise DataError(f"there is no token file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a {path.suffix} file of token ids: {error}") from error


def _check(path: Path, values: np.ndarray, start: int, vocab_size: int) -> None:
    for wrong, what in (
        (~np.isfinite(values), "is not a number"),
        (values != np.trunc(values), "is not a whole number"),
        ((values < 0) | (values >= vocab_size), f"is outside the vocabulary of {vocab_size}"),
    ):
        if wrong.any():
            index = int(np.argmax(wrong))
            raise DataError(f"{path}: token {start + index} is {values[index]}, which {what}")
