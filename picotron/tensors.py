"""Arrays on disk: safetensors files of bounded size, whatever devices the arrays came from.

Invariant: what is written are global arrays. A part of one says where it starts, so readers need
not know how many processes wrote it, and read no more bytes than they ask for. A tensor that is
whole has its own name in its file, as Hugging Face expects; a part is `name[0:8,16:32]`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from picotron import json_file
from picotron.errors import CheckpointError

DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in DTYPES.items()}
Slices = tuple[slice, ...]
Index = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """The block of a global array that begins at `start`."""

    start: tuple[int, ...]
    data: np.ndarray


@dataclass(frozen=True)
class GlobalArray:
    """An array of a mesh: its whole shape, and the parts of it that this process writes."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    @classmethod
    def whole(cls, array: Any) -> GlobalArray:
        data = np.ascontiguousarray(array)
        shape = np.shape(array)
        return cls(shape, (Part((0,) * len(shape), data.reshape(shape)),))

    @classmethod
    def of(cls, array: Any) -> GlobalArray:
        """What this process has of an array: its shards, each once, or all of it.

        Sharded arrays have JAX's interface: `addressable_shards`, each with `index`, `data` and
        `replica_id`.
        """
        if isinstance(array, cls):
            return array
        shards = getattr(array, "addressable_shards", None)
        if shards is None:
            return cls.whole(array)
        shape = tuple(array.shape)
        first = (shard for shard in shards if shard.replica_id == 0)
        parts = (Part(_starts(shard.index, shape), np.asarray(shard.data)) for shard in first)
        return cls(shape, tuple(parts))

    def transposed(self) -> GlobalArray:
        """The array with its axes in reverse order."""
        turned = (Part(part.start[::-1], part.data.T) for part in self.parts)
        return GlobalArray(self.shape[::-1], tuple(turned))


def _starts(index: Slices, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(part.indices(size)[0] for part, size in zip(index, shape, strict=True))


# -- writing -----------------------------------------------------------------------------------


def write(
    folder: Path, stem: str, arrays: Mapping[str, GlobalArray], limit: int, whole: bool = True
) -> Index:
    """Write `stem.safetensors`, or numbered files of at most `limit` bytes; returns their index.

    Several files get Hugging Face's `stem.safetensors.index.json` if this process writes them
    all (`whole`); one that does not writes no file if it has nothing. The index says, for each
    array, its dtype, shape, and where its parts are.
    """
    entries = list(_entries(arrays))
    files = list(_packed(entries, limit)) if whole or entries else []
    names, index = _file_names(stem, len(files)), {}
    for name, entries in zip(names, files, strict=True):
        _write_file(folder / name, {key: part.data for _, key, part in entries})
        for array, key, part in entries:
            record = {"dtype": _CODES[part.data.dtype], "shape": arrays[array].shape, "parts": []}
            where = {"file": name, "key": key, "start": part.start, "shape": part.data.shape}
            index.setdefault(array, record)["parts"].append(where)
    if whole and len(files) > 1:
        write_hugging_face_index(folder, stem, index)
    return index


def merge(indices: Iterable[Index]) -> Index:
    """One index of what several processes wrote; of a part that two of them have, the first's."""
    merged: Index = {}
    for index in indices:
        for name, record in index.items():
            parts = merged.setdefault(name, {**record, "parts": []})["parts"]
            known = {tuple(part["start"]) for part in parts}
            parts += (part for part in record["parts"] if tuple(part["start"]) not in known)
    return merged


def in_parts(index: Index) -> bool:
    """Whether there are arrays of which no file holds all."""
    return any(len(record["parts"]) != 1 for record in index.values())


def lacking(index: Index) -> list[str]:
    """The arrays whose parts do not make up the whole."""
    return [name for name, record in index.items()
            if math.prod(record["shape"]) != sum(math.prod(p["shape"]) for p in record["parts"])
            ]  # fmt: skip


def _entries(arrays: Mapping[str, GlobalArray]) -> Iterator[tuple[str, str, Part]]:
    for name, array in arrays.items():
        for part in array.parts:
            ends = (a + n for a, n in zip(part.start, part.data.shape, strict=True))
            spans = ",".join(f"{a}:{b}" for a, b in zip(part.start, ends, strict=True))
            is_whole = part.data.shape == tuple(array.shape)
            yield name, name if is_whole else f"{name}[{spans}]", part


def _packed(entries: Iterable[tuple[str, str, Part]], limit: int) -> Iterator[list]:
    """Runs of entries of at most `limit` bytes; one that is larger has a file of its own."""
    packed, size = [], 0
    for entry in entries:
        nbytes = entry[2].data.nbytes
        if packed and size + nbytes > limit:
            yield packed
            packed, size = [], 0
        packed.append(entry)
        size += nbytes
    yield packed


def _file_names(stem: str, count: int) -> list[str]:
    if count == 1:
        return [f"{stem}.safetensors"]
    return [f"{stem}-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]


def _write_file(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    # The library copies nothing: it reads the arrays where they are.
    kept = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    specs = {
        name: safetensors.TensorSpec(
            dtype=array.dtype.name,
            shape=tensors[name].shape,
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in kept.items()
    }
    safetensors.serialize_file(specs, path, {"format": "pt"})


def write_hugging_face_index(folder: Path, stem: str, index: Index) -> None:
    """`stem.safetensors.index.json`, which says which file holds what."""
    parts = [(record, part) for record in index.values() for part in record["parts"]]
    total = sum(math.prod(p["shape"]) * DTYPES[record["dtype"]].itemsize for record, p in parts)
    files = {part["key"]: part["file"] for _, part in parts}
    data = {"metadata": {"total_size": total}, "weight_map": dict(sorted(files.items()))}
    path = folder / f"{stem}.safetensors.index.json"
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


# -- reading -----------------------------------------------------------------------------------


class TensorFile:
    """A safetensors file whose header has been checked; tensors are read from the disk on demand.

    Raises CheckpointError naming the file for whatever is wrong with it. Nothing is allocated on
    the word of a header: the library compares it with the size of the file first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path} is not a file")
        try:
            with safetensors.safe_open(path, framework="np"):
                pass  # the library's own check of header, types and offsets
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
        except (safetensors.SafetensorError, ValueError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        self._base = 8 + length
        self._header = {name: row for name, row in header.items() if name != "__metadata__"}

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._row(name)["shape"])

    def dtype(self, name: str) -> np.dtype:
        code = self._row(name)["dtype"]
        if code not in DTYPES:
            raise CheckpointError(f"{self.path}: {name} has the unsupported type {code}")
        return DTYPES[code]

    def read(self, name: str, at: Slices | None = None) -> np.ndarray:
        """A copy of a tensor, or of a block of it."""
        dtype, shape = self.dtype(name), self.shape(name)
        if 0 in shape:
            return np.empty(shape, dtype)[at or ()]
        start = self._base + self._row(name)["data_offsets"][0]
        mapped = np.memmap(self.path, np.uint8, "r", start, math.prod(shape) * dtype.itemsize)
        return np.array(mapped.view(dtype).reshape(shape)[at or ()])

    def _row(self, name: str) -> dict[str, Any]:
        if name not in self._header:
            raise CheckpointError(f"{self.path} lacks {name}")
        return self._header[name]


class Arrays:
    """The global arrays of a folder, read in whole or in blocks, by an index of their parts."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder, self.index = folder, index
        self._files: dict[str, TensorFile] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.index)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.index[name]["shape"])

    def read(self, name: str, at: Slices | None = None) -> np.ndarray:
        """The array, or the block `at` of it, put together from the files that hold its parts."""
        record = self.index[name]
        wanted = _bounds(at or (), record["shape"])
        blocks = [(p, _overlap(wanted, p["start"], p["shape"])) for p in record["parts"]]
        blocks = [(part, block) for part, block in blocks if block is not None]
        size = math.prod(stop - start for start, stop in wanted)
        seen = sum(self._size(part, block, name) for part, block in blocks)
        disjoint = all(_disjoint(a, b) for (_, a), (_, b) in itertools.combinations(blocks, 2))
        if seen != size or not disjoint:  # before anything of that size is allocated
            raise CheckpointError(f"{self.folder} holds {seen} of the {size} elements of {name}")
        out = np.empty([stop - start for start, stop in wanted], DTYPES[record["dtype"]])
        for part, block in blocks:
            source = _shifted(block, part["start"])
            target = _shifted(block, [low for low, _ in wanted])
            out[target] = self._file(part["file"]).read(part["key"], source)
        return out

    def _size(self, part: dict[str, Any], block: Sequence[tuple[int, int]], name: str) -> int:
        """Elements of a block, once its file agrees with the index."""
        file = self._file(part["file"])
        found = file.shape(part["key"])
        if found != tuple(part["shape"]):
            raise CheckpointError(f"{file.path}: {name} is {found}, not {tuple(part['shape'])}")
        return math.prod(stop - start for start, stop in block)

    def _file(self, name: str) -> TensorFile:
        if name not in self._files:
            self._files[name] = TensorFile(self.folder / plain_name(name))
        return self._files[name]


def index_of(folder: Path, stem: str) -> Index:
    """The index of `stem.safetensors`, or of the files that `stem.safetensors.index.json` names."""
    listed = folder / f"{stem}.safetensors.index.json"
    if not listed.exists():
        return _index_of_file(TensorFile(folder / f"{stem}.safetensors"))
    try:
        where = json_file.read_object(listed).get("weight_map")
    except OSError as error:
        raise CheckpointError(f"cannot read {listed}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{listed} is damaged: {error}") from error
    if not isinstance(where, dict):
        raise CheckpointError(f"{listed} is damaged: it holds no weight_map")
    names = {plain_name(file) for file in where.values()}
    found = merge(_index_of_file(TensorFile(folder / name)) for name in sorted(names))
    wrong = (name for name, file in where.items() if file not in _files_of(found, name))
    for name in wrong:
        raise CheckpointError(f"{folder / where[name]} lacks {name}, which {listed.name} promises")
    return found


def _index_of_file(file: TensorFile) -> Index:
    index: Index = {}
    for name in file:
        shape = file.shape(name)
        part = {"file": file.path.name, "key": name, "start": [0] * len(shape), "shape": shape}
        index[name] = {"dtype": _CODES[file.dtype(name)], "shape": shape, "parts": [part]}
    return index


def _files_of(index: Index, name: str) -> list[str]:
    return [part["file"] for part in index.get(name, {"parts": []})["parts"]]


def plain_name(file: Any) -> str:
    """The name itself; raises CheckpointError if it could lead out of its folder."""
    if not isinstance(file, str) or not re.fullmatch(r"[\w-][\w.-]{,199}", file):
        raise CheckpointError(f"{str(file)[:200]!r} is no name of a file in a checkpoint")
    return file


def checked(index: Any, source: Path) -> Index:
    """An index from a file; raises CheckpointError unless it has the form that `write` gives it."""
    if not isinstance(index, dict) or not all(map(_is_record, index.values())):
        raise CheckpointError(f"{source} is damaged: it does not say where arrays are")
    for record in index.values():
        for part in record["parts"]:
            plain_name(part["file"])
    return index


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("parts"), list):
        return False
    parts, shape = record["parts"], record.get("shape")
    spans = [p.get(name) for p in parts if isinstance(p, dict) for name in ("start", "shape")]
    return (
        isinstance(record.get("dtype"), str)
        and record["dtype"] in DTYPES
        and all(isinstance(p, dict) and {"file", "key"} <= p.keys() for p in parts)
        and all(isinstance(p["key"], str) for p in parts)
        and _are_sizes(shape)
        and all(_are_sizes(span) and len(span) == len(shape) for span in spans)
    )


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _bounds(at: Slices, shape: Sequence[int]) -> list[tuple[int, int]]:
    full = (*at, *(slice(None),) * (len(shape) - len(at)))
    return [part.indices(size)[:2] for part, size in zip(full, shape, strict=True)]


def _overlap(
    wanted: Sequence[tuple[int, int]], start: Sequence[int], shape: Sequence[int]
) -> list[tuple[int, int]] | None:
    pairs = zip(wanted, start, shape, strict=True)
    block = [(max(a, s), min(b, s + n)) for (a, b), s, n in pairs]
    return block if all(a < b for a, b in block) else None


def _disjoint(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> bool:
    return any(b <= c or d <= a for (a, b), (c, d) in zip(first, second, strict=True))


def _shifted(block: Sequence[tuple[int, int]], origin: Sequence[int]) -> Slices:
    return tuple(slice(a - o, b - o) for (a, b), o in zip(block, origin, strict=True))
