"""`picotron logits`."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picotron.commands.options import WithWeights
from picotron.device import use_adapter
from picotron.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Logits(WithWeights):
    """Write what a model predicts after each of the given tokens."""

    model: Path
    """A Hugging Face folder, checkpoint or run."""
    tokens: Path
    """A .npy of integers [batch, seq]."""
    out: Path
    """The .npy to write: float32 [batch, seq, vocab]."""

    def run(self) -> int:
        """Fill the file piece by piece; it appears once it is complete."""
        from picotron.model_memory import check_scoring
        from picotron.pretrained import open_folder
        from picotron.scoring import Scorer

        folder = open_folder(self.model)
        tokens = _read(self.tokens, folder.model.vocab_size)
        use_adapter(self.adapter)
        scorer = Scorer(folder.model, {})
        check_scoring(scorer, tokens.shape[1], self.dtype, None)
        scorer.params = folder.read(self.dtype)
        shape = (*tokens.shape, folder.model.vocab_size)
        _write(self.out, shape, scorer.logits(tokens))
        print(json.dumps({"out": str(self.out), "shape": shape, "dtype": "float32"}))
        return 0


def _read(path: Path, vocab_size: int) -> np.ndarray:
    try:
        tokens = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read token ids from {path}: {why}") from error
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not tokens.size:
        found = f"{tokens.dtype}{list(tokens.shape)}"
        raise DataError(f"{path} must hold integers [batch, seq], not {found}")
    wrong = (tokens < 0) | (tokens >= vocab_size)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{path}: the token at {at} is {tokens[at]}, outside the vocabulary of {vocab_size}"
        )
    return tokens


def _write(path: Path, shape: tuple[int, ...], pieces) -> None:
    # Not a memory map: on a full disk that would end the process without a word.
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    try:
        with aside.open("wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            for piece in pieces:
                file.write(np.ascontiguousarray(piece, "<f4"))
        aside.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink()
