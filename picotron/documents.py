"""Where texts come from: files, globs, JSON lines, Python's own sources, `datasets`.

Invariant: a source can be read again and gives the same documents in the same order; it never holds
more than one piece of a text in memory; its fingerprint changes if anything that it gives does.
"""

from __future__ import annotations

import codecs
import glob
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from picotron.config import DatasetConfig
from picotron.errors import DataError

NOVEL = "pride_and_prejudice.txt"
PIECE = 16 << 20  # bytes of a text that are read at a time

Piece = tuple[str, bool]
"""Text, and whether a document ends with it."""


class Source(Protocol):
    """Something to read documents from."""

    name: str

    @property
    def size(self) -> int:
        """Bytes, roughly; 0 if unknown."""

    def pieces(self) -> Iterator[Piece]:
        """The texts; raises DataError."""

    def fingerprint(self) -> str: ...


def source_of(config: DatasetConfig, path: str | None) -> Source:
    """The source that a path, or a data set's name, means; raises DataError."""
    if path is None and config.name:
        column, most = config.text_column, config.num_samples
        return Hub(config.name, config.subset_name, config.split, column, most)
    files = tuple(files_of(path))
    return Files(path or NOVEL, files, config.text_column, config.num_samples)


def files_of(path: str | None) -> list[Path]:
    """The files that a path, a folder, a glob or `stdlib` means, sorted."""
    if path is None:
        return [Path(str(resources.files("picotron") / "data" / NOVEL))]
    if path == "stdlib":
        return sorted(_standard_library())
    if any(sign in path for sign in "*?[") and not Path(path).exists():
        found = sorted(Path(name) for name in glob.glob(path, recursive=True))
        found = [each for each in found if each.is_file()]
        if not found:
            raise DataError(f"no file matches {path}")
        return found
    return [Path(path)]


def _standard_library() -> Iterator[Path]:
    """Python's own sources, without its tests, which are mostly data, and installed packages."""
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"}
    for path in root.rglob("*.py"):
        if not left_out & set(path.relative_to(root).parts):
            yield path


@dataclass(frozen=True)
class Files:
    """Text files, each a document; .jsonl files have one in each line."""

    name: str
    paths: tuple[Path, ...]
    column: str = "text"
    most: int | None = None

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.paths if path.exists())

    def pieces(self) -> Iterator[Piece]:
        several = len(self.paths) > 1
        for path in islice(self.paths, None if self._lines else self.most):
            yield from (
                read_lines(path, self.column, self.most)
                if self._lines
                else read_text(path, several)
            )

    @property
    def _lines(self) -> bool:
        return self.paths[0].suffix == ".jsonl"

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.column, self.most, self._lines)).encode())
        for path in self.paths:
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise _unreadable(path, error) from error
        return digest.hexdigest()


def read_text(path: Path, ends: bool) -> Iterator[Piece]:
    """A UTF-8 file in pieces that are cut at line ends; raises DataError."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    kept, offset, empty = "", 0, True
    try:
        with path.open("rb") as file:
            while data := file.read(PIECE):
                text = kept + decoder.decode(data)
                offset += len(data)
                cut = text.rfind("\n") + 1
                if len(data) < PIECE or not cut:
                    kept = text
                    continue
                kept, whole = text[cut:], text[:cut].replace("\r\n", "\n")
                empty = empty and not whole.strip()
                yield whole, False
            decoder.decode(b"", final=True)
    except FileNotFoundError:
        raise DataError(f"there is no text file {path}") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        at, byte = offset + error.start, error.object[error.start]
        raise DataError(f"{path} is not UTF-8 text: byte {at} is {byte:#04x}") from None
    last = kept.replace("\r\n", "\n")
    if not empty or last.strip():
        yield last, ends
    elif not ends:
        raise DataError(f"the text file {path} is empty")


def read_lines(path: Path, column: str, most: int | None) -> Iterator[Piece]:
    """The `column` of each JSON object of a .jsonl file; raises DataError naming the line."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(islice(file, most), 1):
                if line.strip():
                    yield _text_of(line, column, f"{path}:{number}"), True
    except FileNotFoundError:
        raise DataError(f"there is no text file {path}") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}") from None


def _unreadable(path: Path, error: OSError) -> DataError:
    cure = f"; name its files: '{path / '*.txt'}'" if path.is_dir() else ""
    return DataError(f"cannot read the text file {path}: {error.strerror}{cure}")


def _text_of(line: str, column: str, where: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    text = record.get(column) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{where} has no text in {column!r}; name the field: --dataset.text-column")
    return text


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face `datasets` library, which keeps its own files."""

    name: str
    subset: str | None
    split: str
    column: str
    most: int | None = None
    size = 0

    def _rows(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise DataError(
                f"the data set {self.name} needs the datasets library: pip install datasets, or "
                "name files with --data"
            ) from error
        try:
            return datasets.load_dataset(self.name, self.subset, split=self.split)
        except Exception as error:  # the library raises dozens of kinds
            raise DataError(f"cannot load the data set {self.name}: {error}") from error

    def pieces(self) -> Iterator[Piece]:
        rows = self._rows()
        if self.column not in rows.column_names:
            raise DataError(
                f"{self.name} has no column {self.column!r} but {', '.join(rows.column_names)}; "
                "name one: --dataset.text-column"
            )
        for row in islice(rows, self.most):
            yield row[self.column], True

    def fingerprint(self) -> str:
        known = (self._rows()._fingerprint, self.column, self.most)
        return hashlib.sha256(repr(known).encode()).hexdigest()
