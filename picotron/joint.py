"""A checkpoint that the processes of a job write together.

Invariant: each piece of an array is written by one process of those that have it, and by nobody
else; process 0 gathers none. It writes the manifest, once all have said that their files are on the
disk, so a process that dies before leaves the folder of checkpoints as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from picotron import checkpoint, tensors
from picotron.checkpoint import MODEL, SHARD_BYTES, STATE, Snapshot
from picotron.errors import CheckpointError
from picotron.launch import leads
from picotron.tensors import GlobalArray, Part
from tracer import tree
from tracer.spmd import pieces_to_keep


@dataclass(frozen=True)
class Written:
    """What one process wrote: where its arrays are, by stem, and the digests of its files."""

    arrays: dict[str, tensors.Index]
    digests: dict[str, str]


def start_reads(state: Any) -> Any:
    """A tree of what gives, later, the pieces of each array that this process is to write."""
    turns = itertools.count()
    return tree.map(lambda leaf: _start_read(leaf, next(turns)), state)


def _start_read(leaf: Any, turn: int) -> Callable[[], GlobalArray]:
    pieces = pieces_to_keep(leaf, turn)
    if pieces is None:  # all have all of it
        return (lambda: GlobalArray.whole(leaf)) if leads() else lambda: GlobalArray(leaf.shape, ())
    shape = tuple(leaf.shape)
    return lambda: GlobalArray(shape, tuple(Part(p.start, p.numpy()) for p in pieces))


def write(folder: Path, saved: Snapshot, rank: int, limit: int = SHARD_BYTES) -> Written:
    """Write what this process has of all arrays; raises CheckpointError."""
    tail, groups = f"rank{rank:05d}", ((MODEL, saved.params), (STATE, saved.state))
    with checkpoint.written_aside(folder, saved.rest.step) as aside:
        arrays = {
            stem: tensors.write(aside, f"{stem}-{tail}", group, limit, whole=False)
            for stem, group in groups
        }
        files = sorted(aside.glob(f"*-{tail}*"))
        for path in files:
            checkpoint.flush(path)
        return Written(arrays, {path.name: checkpoint.digest(path) for path in files})


def complete(folder: Path, saved: Snapshot, parts: Sequence[Written]) -> Path:
    """Let the checkpoint appear whose arrays are `parts`; raises CheckpointError."""
    arrays = {stem: tensors.merge(p.arrays[stem] for p in parts) for stem in (MODEL, STATE)}
    lacking = [name for index in arrays.values() for name in tensors.lacking(index)]
    if lacking:
        raise CheckpointError(f"no process has written all of {lacking[0]}; nothing was saved")
    digests = {name: found for part in parts for name, found in part.digests.items()}
    with checkpoint.written_aside(folder, saved.rest.step, alone=True) as aside:
        if not tensors.in_parts(arrays[MODEL]):  # then Hugging Face can read the files
            tensors.write_hugging_face_index(aside, MODEL, arrays[MODEL])
        return checkpoint.finish(aside, saved, arrays, digests)


def without_arrays(saved: Snapshot) -> Snapshot:
    """What `complete` needs of a snapshot, so that nothing else is kept until then."""
    return replace(saved, params={}, state={}, rest=replace(saved.rest, state={}))
