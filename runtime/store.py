"""Results of earlier processes on disk, by key.

Invariant: an entry is whole or it is not there: it is written beside its place and renamed, and
carries a digest. Whatever is wrong with the folder or an entry makes a miss, never an error. The
folder stays below a limit; entries that were not used for longest go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from .settings import settings

LIMIT_BYTES = 256 << 20
_SUFFIX = ".entry"


@dataclass(frozen=True)
class Store:
    """Entries below `folder`, of `limit` bytes together."""

    folder: Path
    limit: int = LIMIT_BYTES

    def get(self, key: str) -> bytes | None:
        """What was put under a key; None if that is not there or damaged."""
        path = self._path(key)
        try:
            digest, data = path.read_bytes().split(b"\n", 1)
            if digest != _digest(data):
                raise ValueError("the entry is damaged")
            found = zlib.decompress(data)
            os.utime(path)
            return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, zlib.error):
            self._drop(path)
            return None

    def put(self, key: str, data: bytes) -> bool:
        """Keep `data` under a key; says whether it was possible."""
        packed = zlib.compress(data, 3)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=self.folder, prefix=".")
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(packed) + b"\n" + packed)
            os.replace(beside, self._path(key))
        except OSError:
            return False
        self._shrink()
        return True

    def entries(self) -> list[tuple[Path, int, float]]:
        """(path, bytes, time of the last use) of each entry, and of what a killed process left."""
        found = []
        try:
            with os.scandir(self.folder) as items:
                for item in items:
                    if item.name.endswith(_SUFFIX) or item.name.startswith("."):
                        stat = item.stat()
                        found.append((Path(item.path), stat.st_size, stat.st_mtime))
        except OSError:
            pass  # another process may be clearing it
        return found

    def clear(self) -> int:
        """Drop all entries; returns how many there were."""
        found = self.entries()
        for path, _, _ in found:
            self._drop(path)
        return len(found)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _shrink(self) -> None:
        found = sorted(self.entries(), key=lambda entry: entry[2])
        excess = sum(nbytes for _, nbytes, _ in found) - self.limit
        for path, nbytes, _ in found:
            if excess <= 0:
                return
            self._drop(path)
            excess -= nbytes

    @staticmethod
    def _drop(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@cache
def default_store() -> Store | None:
    """The store of this user, or where PICOTRON_CACHE says; None if that is `off`."""
    folder = cache_folder()
    return None if folder is None else Store(folder / "programs")


def cache_folder() -> Path | None:
    """Where this user's results of earlier processes lie; None if PICOTRON_CACHE is `off`."""
    chosen = settings().cache
    if chosen == "off":
        return None
    return Path(chosen) if chosen else platformdirs.user_cache_path("picotron")
